//! Placement constraints: `key==value` and `key!=value` expressions over what is known of a node.
//!
//! The language is SwarmKit's with classic Swarm's globs, regular expressions, soft expressions
//! and keys on top. All hard expressions of a task must hold; a missing label or description
//! counts as empty text. What SwarmKit accepts and then never matches (an unknown key, a malformed
//! address) is refused here, with the key that was probably meant. Nothing here knows of tasks,
//! resources or other nodes.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use types::Node;

use crate::expression::{self, Parts, Pattern, Problem, edits};
pub use crate::expression::{Operator, ParseError, Strength};

/// Fixed keys, as they are shown.
const FIXED_KEYS: [(&str, Key); 11] = [
    ("node.id", Key::Id),
    ("node.hostname", Key::Hostname),
    ("node.ip", Key::Ip),
    ("node.role", Key::Role),
    ("node.platform.os", Key::Os),
    ("node.platform.arch", Key::Arch),
    ("node", Key::IdOrHostname),
    ("storagedriver", Key::Fact("storagedriver")),
    ("kernelversion", Key::Fact("kernelversion")),
    ("operatingsystem", Key::Fact("operatingsystem")),
    ("ostype", Key::Os),
];

/// Keys that end in a label's name.
const LABEL_PREFIXES: [&str; 2] = ["node.labels.", "engine.labels."];

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    key: Key,
    operator: Operator,
    strength: Strength,
    value: Value,
}

/// What of a node is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `node.id`.
    Id,
    /// `node.hostname`, which the node reports about itself.
    Hostname,
    /// `node`: id or host name, as in classic Swarm.
    IdOrHostname,
    /// `node.ip`: the address it was last seen at.
    Ip,
    /// `node.role`: the role of its certificate.
    Role,
    /// `node.platform.os` or `ostype`, which the node reports about itself.
    Os,
    /// `node.platform.arch`, which the node reports about itself; compared as written.
    Arch,
    /// `storagedriver`, `kernelversion` or `operatingsystem`: the engine's label of that name,
    /// which our agents report and stock engines do not.
    Fact(&'static str),
    /// `node.labels.NAME`: set by operators. The name's case matters.
    NodeLabel(String),
    /// `engine.labels.NAME`, which the node reports about itself. The name's case matters.
    EngineLabel(String),
}

/// What it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// A text.
    Text(Pattern),
    /// An address within a network; a single address is a network of one.
    Network(Network),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    addr: IpAddr,
    prefix_len: u8,
}

/// Reads one expression. `==` is looked for before `!=`; blanks around key and value are ignored.
///
/// # Errors
/// If it is not an expression, its key is unknown or its value can never match.
pub fn parse(text: &str) -> Result<Constraint, ParseError> {
    read(text).map_err(|problem| ParseError {
        what: "constraint",
        text: text.to_owned(),
        problem,
    })
}

fn read(text: &str) -> Result<Constraint, Problem> {
    let Parts {
        key,
        operator,
        strength,
        value,
    } = expression::split(text)?;
    let key = known_key(key)?;
    let value = match (&key, parse_network(value)) {
        (Key::Ip, Some(network)) => Value::Network(network),
        (Key::Ip, None) => match Pattern::read(value)? {
            Pattern::Exact(_) => return Err(Problem::Address),
            pattern => Value::Text(pattern),
        },
        _ => Value::Text(Pattern::read(value)?),
    };
    Ok(Constraint {
        key,
        operator,
        strength,
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

/// Whether an expression holds for a node, hard or soft.
pub fn matches(constraint: &Constraint, node: &Node) -> bool {
    constraint.operator.holds(constraint.finds(node))
}

/// Whether all hard expressions, as written, hold for a node. One that cannot be read never holds.
pub fn check_all(texts: &[String], node: &Node) -> bool {
    texts.iter().all(|text| {
        parse(text).is_ok_and(|constraint| constraint.is_soft() || matches(&constraint, node))
    })
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

    /// Whether it only ranks nodes.
    pub fn is_soft(&self) -> bool {
        self.strength == Strength::Soft
    }

    fn finds(&self, node: &Node) -> bool {
        match (&self.value, &self.key) {
            (Value::Network(network), _) => {
                parse_node_addr(&node.status.addr).is_some_and(|addr| network.contains(addr))
            }
            (Value::Text(pattern), Key::IdOrHostname) => {
                pattern.matches(node.hostname()) || pattern.matches(&node.id.to_string())
            }
            (Value::Text(pattern), Key::Ip) => parse_node_addr(&node.status.addr)
                .is_some_and(|addr| pattern.matches(&addr.to_string())),
            (Value::Text(pattern), key) => pattern.matches(&key.read(node)),
        }
    }
}

impl Key {
    /// What a node has there; empty where it has nothing.
    pub fn read<'a>(&self, node: &'a Node) -> Cow<'a, str> {
        let described = node.description.as_deref();
        let engine_label =
            |name: &str| described.and_then(|d| d.engine.labels.get(name).map(String::as_str));
        let found = match self {
            Self::Id => return Cow::Owned(node.id.to_string()),
            Self::Hostname | Self::IdOrHostname => Some(node.hostname()),
            Self::Ip => Some(node.status.addr.as_str()),
            Self::Role => Some(node.role.name()),
            Self::Os => described.map(|d| d.platform.os.as_str()),
            Self::Arch => described.map(|d| d.platform.architecture.as_str()),
            Self::Fact(name) => engine_label(name),
            Self::NodeLabel(name) => {
                let labels = &node.spec.annotations.labels;
                labels.get(name).map(String::as_str)
            }
            Self::EngineLabel(name) => engine_label(name),
        };
        Cow::Borrowed(found.unwrap_or_default())
    }

    /// Whether the node itself says what is there, so that a compromised node can lie about it.
    pub fn is_self_reported(&self) -> bool {
        match self {
            Self::Hostname
            | Self::IdOrHostname
            | Self::Os
            | Self::Arch
            | Self::Fact(_)
            | Self::EngineLabel(_) => true,
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
        let Self {
            key,
            operator,
            strength,
            value,
        } = self;
        write!(f, "{key}{operator}{strength}{value}")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fixed = FIXED_KEYS.iter().find(|(_, key)| key == self);
        match (fixed, self) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Self::NodeLabel(name)) => write!(f, "node.labels.{name}"),
            (None, Self::EngineLabel(name)) => write!(f, "engine.labels.{name}"),
            (None, other) => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(pattern) => write!(f, "{pattern}"),
            Self::Network(n) if n.prefix_len == full_len(n.addr) => write!(f, "{}", n.addr),
            Self::Network(n) => write!(f, "{}/{}", n.addr, n.prefix_len),
        }
    }
}

fn known_key(key: &str) -> Result<Key, Problem> {
    let fixed = FIXED_KEYS
        .iter()
        .find(|(name, _)| key.eq_ignore_ascii_case(name));
    if let Some((_, fixed)) = fixed {
        return Ok(fixed.clone());
    }
    let Some((prefix, name)) = label_key(key) else {
        return Err(Problem::UnknownKey {
            key: key.to_owned(),
            nearest: nearest_key(key),
        });
    };
    if name.is_empty() {
        return Err(Problem::NoLabel(prefix));
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
    // The last part of a key alone, such as `hostname`, is as good as the key.
    let distance = |known: &str| match known.rsplit('.').next() {
        Some(last) if last == lower => 0,
        _ => edits(&lower, known),
    };
    let fixed = FIXED_KEYS
        .iter()
        .map(|(known, _)| (distance(known), (*known).to_owned()));
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
