//! What every object carries: version, times, name and labels.

use std::collections::BTreeMap;

use crate::time::Timestamp;

/// Key-value pairs that users attach to objects.
pub type Labels = BTreeMap<String, String>;

/// System-owned facts about an object's record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meta {
    /// Number of the transaction that last wrote the object. Callers name it in an update; an
    /// update that names an older one is refused.
    pub version: u64,
    /// When the object was created.
    pub created_at: Timestamp,
    /// When the object was last written.
    pub updated_at: Timestamp,
}

/// User-owned name, labels and search keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Name; unique in its table where SwarmKit says so.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Custom index entries.
    pub indices: Vec<IndexEntry>,
}

impl Annotations {
    /// Annotations with a name and nothing else.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

/// One custom search key.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexEntry {
    /// Key.
    pub key: String,
    /// Value.
    pub val: String,
}

/// A pluggable driver with its options (log, volume, network, secret drivers).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Driver {
    /// Driver name.
    pub name: String,
    /// Driver options.
    pub options: Labels,
}
