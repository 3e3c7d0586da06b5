//! One alarm per node, found in order without looking at the others.

use std::collections::{BTreeMap, BTreeSet};

use types::{NodeId, Timestamp};

/// At most one alarm per node.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Timestamp, NodeId)>,
    of: BTreeMap<NodeId, Timestamp>,
}

impl Timers {
    /// Sets the node's alarm, in place of an earlier one.
    pub(crate) fn set(&mut self, node: NodeId, at: Timestamp) {
        if let Some(old) = self.of.insert(node, at) {
            self.due.remove(&(old, node));
        }
        self.due.insert((at, node));
    }

    /// Sets the node's alarm unless it has one.
    pub(crate) fn set_once(&mut self, node: NodeId, at: Timestamp) {
        if !self.of.contains_key(&node) {
            self.set(node, at);
        }
    }

    /// Removes the node's alarm.
    pub(crate) fn clear(&mut self, node: NodeId) {
        if let Some(at) = self.of.remove(&node) {
            self.due.remove(&(at, node));
        }
    }

    /// When the first alarm is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the first alarm that is due.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<NodeId> {
        let (at, node) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.clear(node);
        Some(node)
    }
}
