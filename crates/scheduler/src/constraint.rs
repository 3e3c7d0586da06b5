//! Placement constraints: `key==value` and `key!=value` expressions over what is known of a node.
//!
//! The language is SwarmKit's: all expressions of a task must hold, values are compared exactly
//! and regardless of case, a missing label or description counts as empty text. What SwarmKit
//! accepts and then never matches (an unknown key, a malformed address) is refused here, with
//! the key that was probably meant. Nothing here knows of tasks, resources or other nodes.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use types::Node;

/// Fixed keys, as they are shown.
const FIXED_KEYS: [&str; 6] = [
    "node.id",
    "node.hostname",
    "node.ip",
    "node.role",
    "node.platform.os",
    "node.platform.arch",
];

/// Keys that end in a label's name.
const LABEL_PREFIXES: [&str; 2] = ["node.labels.", "engine.labels."];

/// Characters that values may hold besides letters, digits and blanks. Most have no meaning yet;
/// they are those of globs and regular expressions.
const VALUE_PUNCTUATION: &str = ":-_.*()?+[]\\^$|/";

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    key: Key,
    operator: Operator,
    value: Pattern,
}

/// What of a node is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `node.id`.
    Id,
    /// `node.hostname`, which the node reports about itself.
    Hostname,
    /// `node.ip`: the address it was last seen at.
    Ip,
    /// `node.role`: the role of its certificate.
    Role,
    /// `node.platform.os`, which the node reports about itself.
    Os,
    /// `node.platform.arch`, which the node reports about itself; compared as written.
    Arch,
    /// `node.labels.NAME`: set by operators. The name's case matters.
    NodeLabel(String),
    /// `engine.labels.NAME`, which the node reports about itself. The name's case matters.
    EngineLabel(String),
}

/// How it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// What it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// The same text, regardless of case.
    Exact(String),
    /// An address within a network; a single address is a network of one.
    Network(Network),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    addr: IpAddr,
    prefix_len: u8,
}

/// Why a text is not a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Neither `==` nor `!=` in it.
    #[error("constraint {text:?} has no operator, write KEY==VALUE or KEY!=VALUE")]
    NoOperator {
        /// The whole text.
        text: String,
    },
    /// The key is not a name.
    #[error(
        "constraint {text:?} has a malformed key {key:?}, a key has at least two characters of \
         a-z, 0-9, '-', '_' and '.' and begins with a letter or '_'"
    )]
    Key {
        /// The whole text.
        text: String,
        /// The key.
        key: String,
    },
    /// The key is not known.
    #[error("constraint {text:?} has an unknown key {key:?}, did you mean {nearest:?}")]
    UnknownKey {
        /// The whole text.
        text: String,
        /// The key.
        key: String,
        /// The known key that looks most like it.
        nearest: String,
    },
    /// The key names labels but no label.
    #[error("constraint {text:?} names no label, write {prefix}NAME")]
    NoLabel {
        /// The whole text.
        text: String,
        /// The key as far as it is there.
        prefix: &'static str,
    },
    /// The value is empty.
    #[error("constraint {text:?} has no value, write KEY==VALUE or KEY!=VALUE")]
    NoValue {
        /// The whole text.
        text: String,
    },
    /// The value holds a character that values cannot hold.
    #[error("constraint {text:?} has the character {character:?}, which a value cannot hold")]
    Value {
        /// The whole text.
        text: String,
        /// The character.
        character: char,
    },
    /// The value of `node.ip` is neither an address nor a network.
    #[error("constraint {text:?} needs an IP address or a network such as 10.0.0.0/8")]
    Address {
        /// The whole text.
        text: String,
    },
}

/// Reads one expression. `==` is looked for before `!=`; blanks around key and value are ignored.
///
/// # Errors
/// If it is not an expression, its key is unknown or its value can never match.
pub fn parse(text: &str) -> Result<Constraint, ParseError> {
    let (key, operator, value) = split(text)?;
    check_key_shape(text, key)?;
    check_value_shape(text, value)?;
    let key = known_key(text, key)?;
    let value = if key == Key::Ip {
        let network = parse_network(value).ok_or_else(|| ParseError::Address {
            text: text.to_owned(),
        })?;
        Pattern::Network(network)
    } else {
        Pattern::Exact(value.to_owned())
    };
    Ok(Constraint {
        key,
        operator,
        value,
    })
}

/// Reads all expressions of a placement.
///
/// # Errors
/// The first that is malformed.
pub fn parse_all(texts: &[String]) -> Result<Vec<Constraint>, ParseError> {
    texts.iter().map(|text| parse(text)).collect()
}

/// Whether an expression holds for a node.
pub fn matches(constraint: &Constraint, node: &Node) -> bool {
    match constraint.operator {
        Operator::Equal => constraint.equals(node),
        Operator::NotEqual => !constraint.equals(node),
    }
}

/// Whether all expressions, as written, hold for a node. One that cannot be read never holds.
pub fn check_all(texts: &[String], node: &Node) -> bool {
    texts
        .iter()
        .all(|text| parse(text).is_ok_and(|constraint| matches(&constraint, node)))
}

impl Constraint {
    /// What of a node is compared.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// How it is compared.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    fn equals(&self, node: &Node) -> bool {
        match &self.value {
            Pattern::Exact(value) => same_text(&self.key.read(node), value),
            Pattern::Network(network) => {
                parse_node_addr(&node.status.addr).is_some_and(|addr| network.contains(addr))
            }
        }
    }
}

impl Key {
    /// What a node has there; empty where it has nothing.
    pub fn read<'a>(&self, node: &'a Node) -> Cow<'a, str> {
        let described = node.description.as_deref();
        let found = match self {
            Self::Id => return Cow::Owned(node.id.to_string()),
            Self::Hostname => Some(node.hostname()),
            Self::Ip => Some(node.status.addr.as_str()),
            Self::Role => Some(node.role.name()),
            Self::Os => described.map(|d| d.platform.os.as_str()),
            Self::Arch => described.map(|d| d.platform.architecture.as_str()),
            Self::NodeLabel(name) => {
                let labels = &node.spec.annotations.labels;
                labels.get(name).map(String::as_str)
            }
            Self::EngineLabel(name) => {
                described.and_then(|d| d.engine.labels.get(name).map(String::as_str))
            }
        };
        Cow::Borrowed(found.unwrap_or_default())
    }

    /// Whether the node itself says what is there, so that a compromised node can lie about it.
    pub fn is_self_reported(&self) -> bool {
        match self {
            Self::Hostname | Self::Os | Self::Arch | Self::EngineLabel(_) => true,
            Self::Id | Self::Ip | Self::Role | Self::NodeLabel(_) => false,
        }
    }
}

impl Network {
    fn contains(self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(net), IpAddr::V4(host)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_len));
                (net.to_bits() ^ host.to_bits()) & mask.unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(host)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_len));
                (net.to_bits() ^ host.to_bits()) & mask.unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.key, self.operator, self.value)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("node.id"),
            Self::Hostname => f.write_str("node.hostname"),
            Self::Ip => f.write_str("node.ip"),
            Self::Role => f.write_str("node.role"),
            Self::Os => f.write_str("node.platform.os"),
            Self::Arch => f.write_str("node.platform.arch"),
            Self::NodeLabel(name) => write!(f, "node.labels.{name}"),
            Self::EngineLabel(name) => write!(f, "engine.labels.{name}"),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Network(n) if n.prefix_len == full_len(n.addr) => write!(f, "{}", n.addr),
            Self::Network(n) => write!(f, "{}/{}", n.addr, n.prefix_len),
        }
    }
}

fn split(text: &str) -> Result<(&str, Operator, &str), ParseError> {
    [("==", Operator::Equal), ("!=", Operator::NotEqual)]
        .into_iter()
        .find_map(|(symbol, operator)| {
            let (key, value) = text.split_once(symbol)?;
            Some((key.trim(), operator, value.trim()))
        })
        .ok_or_else(|| ParseError::NoOperator {
            text: text.to_owned(),
        })
}

fn check_key_shape(text: &str, key: &str) -> Result<(), ParseError> {
    let begins = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = key
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if begins && goes_on && key.len() >= 2 {
        return Ok(());
    }
    Err(ParseError::Key {
        text: text.to_owned(),
        key: key.to_owned(),
    })
}

fn check_value_shape(text: &str, value: &str) -> Result<(), ParseError> {
    if value.is_empty() {
        return Err(ParseError::NoValue {
            text: text.to_owned(),
        });
    }
    let allowed = |c: char| {
        c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || VALUE_PUNCTUATION.contains(c)
    };
    match value.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(character) => Err(ParseError::Value {
            text: text.to_owned(),
            character,
        }),
    }
}

fn known_key(text: &str, key: &str) -> Result<Key, ParseError> {
    let fixed = match key.to_ascii_lowercase().as_str() {
        "node.id" => Some(Key::Id),
        "node.hostname" => Some(Key::Hostname),
        "node.ip" => Some(Key::Ip),
        "node.role" => Some(Key::Role),
        "node.platform.os" => Some(Key::Os),
        "node.platform.arch" => Some(Key::Arch),
        _ => None,
    };
    if let Some(fixed) = fixed {
        return Ok(fixed);
    }
    let Some((prefix, name)) = label_key(key) else {
        return Err(ParseError::UnknownKey {
            text: text.to_owned(),
            key: key.to_owned(),
            nearest: nearest_key(key),
        });
    };
    if name.is_empty() {
        return Err(ParseError::NoLabel {
            text: text.to_owned(),
            prefix,
        });
    }
    Ok(match prefix {
        "node.labels." => Key::NodeLabel(name.to_owned()),
        _ => Key::EngineLabel(name.to_owned()),
    })
}

/// The label prefix of a key (regardless of case) and the label's name, if it is a label's key.
pub(crate) fn label_key(key: &str) -> Option<(&'static str, &str)> {
    LABEL_PREFIXES.into_iter().find_map(|prefix| {
        let (head, name) = key.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then_some((prefix, name))
    })
}

/// The known key with the fewest edits to `key`; a label's name is carried over.
fn nearest_key(key: &str) -> String {
    let lower = key.to_ascii_lowercase();
    let fixed = FIXED_KEYS
        .iter()
        .map(|known| (edits(&lower, known), (*known).to_owned()));
    // `node.label.rack` is compared as `node.label.` with `node.labels.`.
    let (head, name) = match lower.match_indices('.').nth(1) {
        Some((at, _)) => (&lower[..=at], &key[at + 1..]),
        None => (lower.as_str(), "NAME"),
    };
    let labels = LABEL_PREFIXES
        .iter()
        .map(|prefix| (edits(head, prefix), format!("{prefix}{name}")));
    let nearest = fixed.chain(labels).min_by_key(|(distance, _)| *distance);
    nearest.map(|(_, known)| known).unwrap_or_default()
}

/// Levenshtein distance in bytes; both are ASCII here.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn same_text(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

fn full_len(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

fn parse_network(text: &str) -> Option<Network> {
    let (addr, prefix_len) = match text.split_once('/') {
        Some((addr, len)) => (addr.parse::<IpAddr>().ok()?, len.parse::<u8>().ok()?),
        None => {
            let addr = text.parse::<IpAddr>().ok()?;
            (addr, full_len(addr))
        }
    };
    (prefix_len <= full_len(addr)).then_some(Network { addr, prefix_len })
}

/// A node's address, with or without a port.
fn parse_node_addr(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    plain.or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()))
}

#[cfg(test)]
mod tests;
