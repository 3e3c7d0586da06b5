//! CPU, memory and generic resources.

use std::collections::BTreeMap;

/// An amount of resources: what a node has, or what a task reserves or may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU in billionths of a core.
    pub nano_cpus: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Generic resources such as GPUs.
    pub generic: Vec<GenericResource>,
}

/// A generic resource: a count, or one named unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GenericResource {
    /// A number of interchangeable units.
    Discrete {
        /// Kind, for example `fpga`.
        kind: String,
        /// How many.
        value: i64,
    },
    /// One unit with a name.
    Named {
        /// Kind, for example `gpu`.
        kind: String,
        /// Name of the unit.
        value: String,
    },
}

impl GenericResource {
    /// The kind.
    pub fn kind(&self) -> &str {
        match self {
            Self::Discrete { kind, .. } | Self::Named { kind, .. } => kind,
        }
    }
}

/// How many units of each kind a list holds: counts of discrete ones, number of named ones.
pub fn count_by_kind(list: &[GenericResource]) -> BTreeMap<&str, i64> {
    let mut counts = BTreeMap::new();
    for resource in list {
        let units = match resource {
            GenericResource::Discrete { value, .. } => *value,
            GenericResource::Named { .. } => 1,
        };
        *counts.entry(resource.kind()).or_insert(0) += units;
    }
    counts
}

/// Limits and reservations of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceRequirements {
    /// What the task may use at most.
    pub limits: Option<Resources>,
    /// What the scheduler sets aside for the task.
    pub reservations: Option<Resources>,
    /// Swap in bytes; −1 is unlimited.
    pub swap_bytes: Option<i64>,
    /// Swappiness, 0–100; −1 is the engine's default.
    pub memory_swappiness: Option<i64>,
}
