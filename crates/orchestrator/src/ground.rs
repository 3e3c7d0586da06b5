//! What all decisions about one service are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::State;
use types::service::{UpdateConfig, UpdateOrder, UpdateState};
use types::{Availability, Node, NodeState, Service, ServiceMode, Task, TaskState, Timestamp};

use crate::freshness::Difference;
use crate::slot::iteration;

/// One service in one view at one moment.
#[derive(Debug)]
pub(crate) struct Ground<'a> {
    /// All tables.
    pub(crate) view: &'a State,
    /// The service.
    pub(crate) service: &'a Arc<Service>,
    /// The moment.
    pub(crate) now: Timestamp,
    /// The run of a job that is looked at: the present one but where an earlier one goes on.
    pub(crate) run: Option<u64>,
    /// The mode of that run, else of the service.
    pub(crate) mode: ServiceMode,
    differences: BTreeMap<u64, Difference>,
}

/// How a task that is meant to run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It ended.
    Ended,
    /// Its node is down or gone.
    Lost,
    /// Its node is being drained.
    Leaving,
    /// It may run, but is not what the service asks for any more.
    Outdated,
    /// It is as it should be.
    Current,
}

impl<'a> Ground<'a> {
    /// The ground under one service.
    pub(crate) fn new(view: &'a State, service: &'a Arc<Service>, now: Timestamp) -> Self {
        Self {
            view,
            service,
            now,
            run: iteration(service),
            mode: service.spec.mode,
            differences: BTreeMap::new(),
        }
    }

    /// The same ground for an earlier run of the job, which began with this mode.
    pub(crate) fn of_run(&self, run: u64, mode: ServiceMode) -> Self {
        Self {
            run: Some(run),
            mode,
            differences: self.differences.clone(),
            ..*self
        }
    }

    /// Whether what is looked at is not an earlier run of a job.
    pub(crate) fn is_present(&self) -> bool {
        self.run == iteration(self.service)
    }

    /// Compares the spec versions of these tasks once, however many tasks share them.
    pub(crate) fn learn<'t>(&mut self, tasks: impl Iterator<Item = &'t Arc<Task>>) {
        for task in tasks {
            let Some(version) = task.spec_version else {
                continue;
            };
            let (old, new) = (&task.service_spec, &self.service.spec);
            self.differences
                .entry(version)
                .or_insert_with(|| difference(old, new));
        }
    }

    /// Whether a task is not what the service asks for.
    pub(crate) fn is_outdated(&self, task: &Task) -> bool {
        self.is_outdated_on(task, self.node_of(task))
    }

    fn is_outdated_on(&self, task: &Task, node: Option<&Node>) -> bool {
        let known = task.spec_version.and_then(|v| self.differences.get(&v));
        let found = || difference(&task.service_spec, &self.service.spec);
        let difference = known.copied().unwrap_or_else(found);
        difference.outdates(task, node, &self.service.spec)
    }

    /// The node of a task.
    pub(crate) fn node_of(&self, task: &Task) -> Option<&'a Node> {
        let node = task.node_id.and_then(|id| self.view.nodes().get(id));
        node.map(Arc::as_ref)
    }

    /// Whether the node that the task has is down or gone.
    pub(crate) fn is_lost(&self, task: &Task) -> bool {
        task.node_id.is_some() && gone(self.node_of(task))
    }

    /// Whether the node that the task has is being drained.
    pub(crate) fn is_leaving(&self, task: &Task) -> bool {
        self.node_of(task).is_some_and(drains)
    }

    /// How a task that is meant to run stands.
    pub(crate) fn standing(&self, task: &Task) -> Standing {
        if task.status.state.is_terminal() {
            return match task.status.state {
                TaskState::Orphaned => Standing::Lost,
                _ => Standing::Ended,
            };
        }
        let node = self.node_of(task);
        if task.node_id.is_some() && gone(node) {
            Standing::Lost
        } else if node.is_some_and(drains) {
            Standing::Leaving
        } else if self.is_outdated_on(task, node) {
            Standing::Outdated
        } else {
            Standing::Current
        }
    }

    /// Whether the task may be running on a node that is there to stop it.
    pub(crate) fn occupies(&self, task: &Task) -> bool {
        task.is_active() && !self.is_lost(task)
    }

    /// What tasks of the service are meant to reach.
    pub(crate) fn goal(&self) -> TaskState {
        if self.service.spec.mode.is_job() {
            TaskState::Complete
        } else {
            TaskState::Running
        }
    }

    /// Whether a task is still meant to run.
    pub(crate) fn is_wanted(&self, task: &Task) -> bool {
        task.desired_state <= self.goal()
    }

    /// When the newest update of the service began; never, if there is none.
    pub(crate) fn update_started_at(&self) -> Timestamp {
        let status = self.service.update_status.as_ref();
        status.map_or(Timestamp::MAX, |s| s.started_at)
    }

    /// Where an update stands.
    pub(crate) fn update_state(&self) -> UpdateState {
        let status = self.service.update_status.as_ref();
        status.map_or(UpdateState::Unknown, |s| s.state)
    }

    /// Whether an update stands still until somebody asks for another.
    pub(crate) fn is_paused(&self) -> bool {
        let state = self.update_state();
        matches!(state, UpdateState::Paused | UpdateState::RollbackPaused)
    }

    /// The policy by which tasks are replaced now.
    pub(crate) fn update_config(&self) -> UpdateConfig {
        let spec = &self.service.spec;
        let back = matches!(
            self.update_state(),
            UpdateState::RollbackStarted | UpdateState::RollbackPaused
        );
        let config = if back { spec.rollback } else { spec.update };
        config.unwrap_or_default()
    }

    /// Whether a replacement runs before the old task stops.
    pub(crate) fn starts_first(&self) -> bool {
        self.update_config().order == UpdateOrder::StartFirst
    }
}

/// Whether a node is down or removed.
fn gone(node: Option<&Node>) -> bool {
    node.is_none_or(|n| n.status.state == NodeState::Down)
}

fn drains(node: &Node) -> bool {
    node.spec.availability == Availability::Drain
}

fn difference(old: &Arc<types::ServiceSpec>, new: &Arc<types::ServiceSpec>) -> Difference {
    if Arc::ptr_eq(old, new) {
        Difference::NONE
    } else {
        Difference::between(old, new)
    }
}
