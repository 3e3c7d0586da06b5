//! Recent failures of a service's spec version on a node.
//!
//! A node where the same spec keeps failing is ranked last, so that a broken disk or a missing
//! driver on one machine does not draw every restart to it.

use std::collections::BTreeMap;
use std::time::Duration;

use store::{Change, State};
use types::{NodeId, ServiceId, Task, TaskState, Timestamp};

/// How long a failure counts (SwarmKit's monitor period).
const FAILURE_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// From this many failures on they count at all (SwarmKit's number).
pub(crate) const FAILURES_MIN: u32 = 5;

/// Failures remembered; beyond it the oldest are forgotten early. 100,000 are 333 a second for
/// five minutes, far more than nodes can report while they still make progress.
const FAILURES_MAX: usize = 100_000;

/// A service's spec version.
pub(crate) type SpecKey = (Option<ServiceId>, Option<u64>);

/// Recent failures. They count for their time although the records of the tasks may be deleted
/// before: whoever looks where the scheduler would put a task has to remember what it remembers.
#[derive(Debug, Default)]
pub struct Failures {
    log: BTreeMap<(Timestamp, u64), (SpecKey, NodeId)>,
    counts: BTreeMap<SpecKey, BTreeMap<NodeId, u32>>,
    recorded: u64,
}

impl Failures {
    /// Those that the records of all tasks tell of.
    pub fn new(view: &State, now: Timestamp) -> Self {
        let mut failures = Self::default();
        view.tasks().iter().for_each(|t| failures.record(t));
        failures.expire(now);
        failures
    }

    /// Follows a change.
    pub fn observe(&mut self, change: &Change) {
        if let Change::Task(diff) = change {
            self.follow(diff.old.as_deref(), diff.new.as_deref());
        }
    }

    /// Counts a task that has just failed.
    pub(crate) fn follow(&mut self, old: Option<&Task>, new: Option<&Task>) {
        if let Some(new) = new.filter(|_| !old.is_some_and(has_failed)) {
            self.record(new);
        }
    }

    /// Counts a task that failed or was rejected; others are ignored.
    pub(crate) fn record(&mut self, task: &Task) {
        let Some(node) = task.node_id.filter(|_| has_failed(task)) else {
            return;
        };
        let spec = spec_key(task);
        self.recorded += 1;
        self.log.insert((moment(task), self.recorded), (spec, node));
        let nodes = self.counts.entry(spec).or_default();
        *nodes.entry(node).or_default() += 1;
        if self.log.len() > FAILURES_MAX {
            self.forget_oldest();
        }
    }

    /// Forgets failures that are too old at `now`.
    pub fn expire(&mut self, now: Timestamp) {
        let oldest = now.minus(FAILURE_AGE_MAX);
        while self
            .log
            .first_key_value()
            .is_some_and(|((at, _), _)| *at < oldest)
        {
            self.forget_oldest();
        }
    }

    /// Nodes with failures of a spec version.
    pub(crate) fn of(&self, spec: SpecKey) -> Option<&BTreeMap<NodeId, u32>> {
        self.counts.get(&spec)
    }

    fn forget_oldest(&mut self) {
        let Some((_, (spec, node))) = self.log.pop_first() else {
            return;
        };
        let Some(nodes) = self.counts.get_mut(&spec) else {
            return;
        };
        if let Some(count) = nodes.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(&node);
            }
        }
        if nodes.is_empty() {
            self.counts.remove(&spec);
        }
    }
}

/// The penalty of a node: its failures, if they are enough to count.
pub(crate) fn penalty(failed: Option<&BTreeMap<NodeId, u32>>, node: NodeId) -> u32 {
    let failures = failed.and_then(|f| f.get(&node)).copied().unwrap_or(0);
    if failures >= FAILURES_MIN {
        failures
    } else {
        0
    }
}

/// The spec version that a task's failures count for.
pub(crate) fn spec_key(task: &Task) -> SpecKey {
    (task.service_id, task.spec_version)
}

/// Whether a task ended in a way that speaks against its node.
fn has_failed(task: &Task) -> bool {
    matches!(task.status.state, TaskState::Failed | TaskState::Rejected)
}

/// When it failed, by a manager's clock where one recorded it.
fn moment(task: &Task) -> Timestamp {
    if task.status.applied_at.is_set() {
        task.status.applied_at
    } else {
        task.status.timestamp
    }
}
