//! Situations that committed changes show.

use store::Change;
use types::service::UpdateState;
use types::{NodeState, TaskState};

use crate::world::World;

impl World {
    /// Notes what a committed change shows.
    pub(crate) fn mark_change(&mut self, change: &Change) {
        match change {
            Change::Task(diff) => {
                let (Some(old), Some(new)) = (&diff.old, &diff.new) else {
                    return;
                };
                if old.status.state != new.status.state {
                    self.mark_task(new.status.state);
                }
                let waits = new.status.state == TaskState::Pending && !new.status.err.is_empty();
                self.mark_if(waits && old.status.err.is_empty(), "task says why it waits");
            }
            Change::Service(diff) => {
                let state = |s: &Option<std::sync::Arc<types::Service>>| {
                    s.as_ref()
                        .and_then(|s| s.update_status.as_ref())
                        .map(|u| u.state)
                };
                if state(&diff.old) != state(&diff.new) {
                    self.mark_update(state(&diff.new));
                }
                let ports = |s: &Option<std::sync::Arc<types::Service>>| {
                    s.as_ref().and_then(|s| s.endpoint.clone())
                };
                let new = ports(&diff.new);
                self.mark_if(new.is_some() && ports(&diff.old) != new, "ports allocated");
            }
            Change::Node(diff) => {
                let (Some(old), Some(new)) = (&diff.old, &diff.new) else {
                    return;
                };
                let (was, is) = (old.status.state, new.status.state);
                self.mark_if(was != is && is == NodeState::Down, "node called down");
                self.mark_if(
                    was == NodeState::Down && is == NodeState::Ready,
                    "node comes back",
                );
                self.mark_if(old.role != new.role, "role of a node changes");
            }
            _ => {}
        }
    }

    fn mark_task(&mut self, state: TaskState) {
        self.mark(match state {
            TaskState::Complete => "task completes",
            TaskState::Failed => "task fails",
            TaskState::Rejected => "task rejected",
            TaskState::Orphaned => "task orphaned",
            TaskState::Shutdown => "task shut down",
            TaskState::Running => "task runs",
            TaskState::Assigned => "task assigned",
            _ => "task moves on",
        });
    }

    fn mark_update(&mut self, state: Option<UpdateState>) {
        self.mark(match state {
            Some(UpdateState::Updating) => "update begins",
            Some(UpdateState::Paused) => "update paused by failures",
            Some(UpdateState::Completed) => "update completes",
            Some(UpdateState::RollbackStarted) => "rollback begins",
            Some(UpdateState::RollbackPaused) => "rollback paused by failures",
            Some(UpdateState::RollbackCompleted) => "rollback completes",
            _ => "update status cleared",
        });
    }
}
