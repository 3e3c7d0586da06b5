//! Bounds the work of one plan, so that a huge change becomes many small log entries.

use std::collections::BTreeSet;

use store::{Guard, Plan, Step};
use types::{NodeId, ServiceId, TaskId};

/// Most actions in one plan (give or take one step). A new task is about 60 bytes in the log, so
/// a full plan stays well under a MiB and is applied within milliseconds.
pub const ACTIONS_PER_PLAN_MAX: usize = 5_000;

/// A plan under construction with the actions it may still take.
#[derive(Debug)]
pub(crate) struct Budget {
    plan: Plan,
    left: usize,
}

impl Budget {
    /// An empty plan.
    pub(crate) fn new() -> Self {
        Self {
            plan: Plan::default(),
            left: ACTIONS_PER_PLAN_MAX,
        }
    }

    /// Actions that it may still take.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Whether no further step fits.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Adds a step unless it is empty.
    pub(crate) fn push(&mut self, step: Step) {
        if !step.actions.is_empty() {
            self.left = self.left.saturating_sub(step.actions.len());
            self.plan.push(step);
        }
    }

    /// The plan.
    pub(crate) fn into_plan(self) -> Plan {
        self.plan
    }
}

/// What the steps of a plan were decided from: whatever moves one of these may have dropped a step.
#[derive(Debug, Default)]
pub(crate) struct Guarded {
    /// Tasks.
    pub(crate) tasks: BTreeSet<TaskId>,
    /// Nodes.
    pub(crate) nodes: BTreeSet<NodeId>,
    /// Services.
    pub(crate) services: BTreeSet<ServiceId>,
}

impl Guarded {
    /// By the guards of a plan.
    pub(crate) fn by(plan: &Plan) -> Self {
        let mut all = Self::default();
        for guard in plan.steps.iter().flat_map(|s| &s.guards) {
            match *guard {
                Guard::Task { id, .. } => all.tasks.insert(id),
                Guard::Node { id, .. } => all.nodes.insert(id),
                Guard::Service { id, .. } => all.services.insert(id),
            };
        }
        all
    }
}
