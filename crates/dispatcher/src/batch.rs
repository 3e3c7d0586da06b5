//! Gathers status reports and node updates, so that many of them share one log entry.
//!
//! The first change after a pause is proposed at once. While batches are under way further changes
//! gather, merged per task, so the busier the cluster the larger the batches.

use std::collections::{BTreeMap, BTreeSet};

use types::{NodeId, TaskId, TaskStatus, Timestamp};

use crate::input::{BatchId, CallId};
use crate::limits::{BATCH_PACE, BATCH_REPORTS_MAX, BATCHES_IN_FLIGHT_MAX, REFUSED_PAUSE};

/// Changes waiting and under way.
#[derive(Debug, Default)]
pub(crate) struct Batcher {
    pub(crate) reports: BTreeMap<TaskId, TaskStatus>,
    calls: Vec<CallId>,
    /// Nodes whose record may have to change.
    nodes: BTreeSet<NodeId>,
    /// Lost nodes whose tasks are given up.
    orphaned: BTreeSet<NodeId>,
    in_flight: BTreeMap<BatchId, InFlight>,
    serial: u64,
    not_before: Timestamp,
}

/// A batch under way.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    pub(crate) calls: Vec<CallId>,
    pub(crate) nodes: Vec<NodeId>,
}

/// Everything one batch is made from.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) reports: BTreeMap<TaskId, TaskStatus>,
    pub(crate) nodes: BTreeSet<NodeId>,
    pub(crate) orphaned: BTreeSet<NodeId>,
    pub(crate) calls: Vec<CallId>,
}

impl Batcher {
    /// Adds what a call reports; a report that falls behind one already waiting is dropped.
    pub(crate) fn report(&mut self, call: CallId, updates: Vec<(TaskId, TaskStatus)>) {
        self.calls.push(call);
        for (task, status) in updates {
            match self.reports.get(&task) {
                Some(waiting) if waiting.state > status.state => {}
                _ => {
                    self.reports.insert(task, status);
                }
            }
        }
    }

    pub(crate) fn node(&mut self, node: NodeId) {
        self.nodes.insert(node);
    }

    pub(crate) fn orphan(&mut self, node: NodeId) {
        self.orphaned.insert(node);
    }

    fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.nodes.is_empty() && self.orphaned.is_empty()
    }

    /// When the next batch may leave; `None` while there is none or too many are under way.
    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        if self.is_empty() || self.in_flight.len() >= BATCHES_IN_FLIGHT_MAX {
            return None;
        }
        Some(self.not_before)
    }

    /// Takes what the next batch is made from, if one may leave.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Contents> {
        let is_full = self.reports.len() >= BATCH_REPORTS_MAX;
        let due = self.wake_at()?;
        if now < due && !(is_full && due.since(now) <= BATCH_PACE) {
            return None;
        }
        self.not_before = now.plus(BATCH_PACE);
        Some(Contents {
            reports: std::mem::take(&mut self.reports),
            nodes: std::mem::take(&mut self.nodes),
            orphaned: std::mem::take(&mut self.orphaned),
            calls: std::mem::take(&mut self.calls),
        })
    }

    /// Numbers a batch that leaves.
    pub(crate) fn launch(&mut self, batch: InFlight) -> BatchId {
        self.serial += 1;
        let id = BatchId(self.serial);
        self.in_flight.insert(id, batch);
        id
    }

    /// The number of the batch that leaves next.
    pub(crate) fn next_id(&self) -> BatchId {
        BatchId(self.serial + 1)
    }

    /// Takes a settled batch.
    pub(crate) fn settle(&mut self, id: BatchId) -> Option<InFlight> {
        self.in_flight.remove(&id)
    }

    /// The log refused a batch: wait before the next one.
    pub(crate) fn back_off(&mut self, now: Timestamp) {
        self.not_before = self.not_before.max(now.plus(REFUSED_PAUSE));
    }
}
