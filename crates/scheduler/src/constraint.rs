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

use crate::expression::{self, Expression, LabelKeys, Pattern, Problem, Vocabulary};
pub use crate::expression::{Operator, ParseError, Strength};

/// Beginnings of keys that end in a label's name.
const NODE_LABEL: &str = "node.labels.";
const ENGINE_LABEL: &str = "engine.labels.";

/// One expression.
pub type Constraint = Expression<Key, Value>;

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
pub enum Value {
    /// A text.
    Text(Pattern),
    /// An address within a network; a single address is a network of one.
    Network(Network),
}

/// A network of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    addr: IpAddr,
    prefix_len: u8,
}

/// Reads one expression. `==` is looked for before `!=`; blanks around key and value are ignored.
///
/// # Errors
/// If it is not an expression, its key is unknown or its value can never match.
pub fn parse(text: &str) -> Result<Constraint, ParseError> {
    expression::read(text, |key: &Key, value| match (key, parse_network(value)) {
        (Key::Ip, Some(network)) => Ok(Value::Network(network)),
        (Key::Ip, None) => match Pattern::read(value)? {
            Pattern::Exact(_) => Err(Problem::Address),
            pattern => Ok(Value::Text(pattern)),
        },
        _ => Pattern::read(value).map(Value::Text),
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

impl Vocabulary for Key {
    const WHAT: &'static str = "constraint";
    const FIXED: &'static [(&'static str, Self)] = &[
        ("node.id", Self::Id),
        ("node.hostname", Self::Hostname),
        ("node.ip", Self::Ip),
        ("node.role", Self::Role),
        ("node.platform.os", Self::Os),
        ("node.platform.arch", Self::Arch),
        ("node", Self::IdOrHostname),
        ("storagedriver", Self::Fact("storagedriver")),
        ("kernelversion", Self::Fact("kernelversion")),
        ("operatingsystem", Self::Fact("operatingsystem")),
        ("ostype", Self::Os),
    ];
    const LABELS: LabelKeys<Self> = &[
        (NODE_LABEL, Self::NodeLabel),
        (ENGINE_LABEL, Self::EngineLabel),
    ];

    fn label(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::NodeLabel(name) => Some((NODE_LABEL, name)),
            Self::EngineLabel(name) => Some((ENGINE_LABEL, name)),
            _ => None,
        }
    }
}

impl Constraint {
    /// The label, with its value, that operators can give any node to make this hold; `None` if
    /// it is about something else, or leaves open which value.
    pub fn label_wanted(&self) -> Option<(&str, &str)> {
        match (&self.key, self.operator, &self.value) {
            (Key::NodeLabel(name), Operator::Equal, Value::Text(Pattern::Exact(value))) => {
                Some((name, value))
            }
            _ => None,
        }
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

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expression::show_key(self, f)
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
