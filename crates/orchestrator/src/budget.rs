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

/// The tasks that the steps of a plan were decided from.
pub(crate) fn guarded_tasks(plan: &Plan) -> BTreeSet<TaskId> {
    let guards = plan.steps.iter().flat_map(|s| &s.guards);
    let tasks = guards.filter_map(|guard| match guard {
        Guard::Task { id, .. } => Some(*id),
        _ => None,
    });
    tasks.collect()
}

/// The nodes that the steps of a plan were decided from.
pub(crate) fn guarded_nodes(plan: &Plan) -> BTreeSet<NodeId> {
    let guards = plan.steps.iter().flat_map(|s| &s.guards);
    let nodes = guards.filter_map(|guard| match guard {
        Guard::Node { id, .. } => Some(*id),
        _ => None,
    });
    nodes.collect()
}

/// The services that the steps of a plan were decided from.
pub(crate) fn guarded_services(plan: &Plan) -> BTreeSet<ServiceId> {
    let guards = plan.steps.iter().flat_map(|s| &s.guards);
    let services = guards.filter_map(|guard| match guard {
        Guard::Service { id, .. } => Some(*id),
        _ => None,
    });
    services.collect()
}
