//! Which slot of a service a task fills.

use std::fmt;

use crate::{NodeId, Task};

/// Which slot of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotKey {
    /// A number: from 1 in replicated services, from 0 in replicated jobs.
    Number(u64),
    /// A node: global services and global jobs.
    Node(NodeId),
}

impl SlotKey {
    /// The slot that a task of a service fills.
    pub fn of(task: &Task) -> Self {
        match task.node_id {
            Some(node) if task.service_spec.mode.is_global() => Self::Node(node),
            _ => Self::Number(task.slot),
        }
    }

    /// The number to write into a task.
    pub fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Node(_) => 0,
        }
    }

    /// The node to write into a task.
    pub fn node(self) -> Option<NodeId> {
        match self {
            Self::Number(_) => None,
            Self::Node(node) => Some(node),
        }
    }
}

/// As in names of tasks.
impl fmt::Display for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Node(node) => node.fmt(f),
        }
    }
}
