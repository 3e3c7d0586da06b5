//! Task states and the table of who may move a task from which state to which.
//!
//! The table is data: the store, the dispatcher, the agent's worker and the simulator check
//! against this one copy.

use std::fmt;

/// The state of a task, observed or desired. Numbers are SwarmKit's and leave gaps on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Created by an orchestrator.
    #[default]
    New = 0,
    /// Everything it needs is allocated; waits for a node.
    Pending = 64,
    /// Has a node.
    Assigned = 192,
    /// The node's agent knows it.
    Accepted = 256,
    /// The agent gets its image and other needs ready.
    Preparing = 320,
    /// Can be started at once.
    Ready = 384,
    /// Is being started.
    Starting = 448,
    /// Runs (and is healthy, where it has a health check).
    Running = 512,
    /// Ended by itself with success.
    Complete = 576,
    /// Ended because it was told to.
    Shutdown = 640,
    /// Started and then died.
    Failed = 704,
    /// Could not be started.
    Rejected = 768,
    /// Only ever desired: stop, then forget the record.
    Remove = 800,
    /// Its node is lost for good.
    Orphaned = 832,
}

/// Every state in order.
pub const ALL_STATES: [TaskState; 14] = [
    TaskState::New,
    TaskState::Pending,
    TaskState::Assigned,
    TaskState::Accepted,
    TaskState::Preparing,
    TaskState::Ready,
    TaskState::Starting,
    TaskState::Running,
    TaskState::Complete,
    TaskState::Shutdown,
    TaskState::Failed,
    TaskState::Rejected,
    TaskState::Remove,
    TaskState::Orphaned,
];

/// Who moves a task's observed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// Gives a task what it needs besides a node.
    Allocator,
    /// Gives a task a node.
    Scheduler,
    /// Runs the task on its node.
    Agent,
    /// Evicts tasks whose node no longer fits.
    Enforcer,
    /// Gives up tasks of nodes that are gone.
    Dispatcher,
    /// Ends tasks that no node has seen.
    Orchestrator,
}

impl TaskState {
    /// The state of a SwarmKit number.
    pub fn from_number(number: i32) -> Option<Self> {
        ALL_STATES.into_iter().find(|s| *s as i32 == number)
    }

    /// The state of a lower-case name, as users write it in filters.
    pub fn from_name(name: &str) -> Option<Self> {
        ALL_STATES.into_iter().find(|s| s.name() == name)
    }

    /// SwarmKit's number.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// Lower-case name, as users see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Accepted => "accepted",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Remove => "remove",
            Self::Orphaned => "orphaned",
        }
    }

    /// Whether an observed state is final: the task will never run (again).
    pub fn is_terminal(self) -> bool {
        self >= Self::Complete
    }

    /// Whether a task in this observed state occupies its node: it has one and may run there.
    pub fn is_active(self) -> bool {
        (Self::Assigned..=Self::Running).contains(&self)
    }

    /// Whether `actor` may move an observed state from `self` to `to`.
    ///
    /// Observed states only rise. An agent may skip states: reports are batched and only the
    /// latest one is sent.
    pub fn may_become(self, to: Self, actor: Actor) -> bool {
        match actor {
            Actor::Allocator => self == Self::New && to == Self::Pending,
            Actor::Scheduler => {
                self == Self::Pending && matches!(to, Self::Assigned | Self::Shutdown)
            }
            Actor::Agent => self.is_active() && to > self && to.is_reported_by_agent(),
            Actor::Enforcer => self < Self::Complete && to == Self::Rejected,
            Actor::Dispatcher => self.is_active() && to == Self::Orphaned,
            Actor::Orchestrator => self < Self::Assigned && to == Self::Shutdown,
        }
    }

    fn is_reported_by_agent(self) -> bool {
        (Self::Accepted..=Self::Rejected).contains(&self)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTORS: [Actor; 6] = [
        Actor::Allocator,
        Actor::Scheduler,
        Actor::Agent,
        Actor::Enforcer,
        Actor::Dispatcher,
        Actor::Orchestrator,
    ];

    #[test]
    fn observed_states_only_rise_whoever_moves_them() {
        for from in ALL_STATES {
            for to in ALL_STATES {
                for actor in ACTORS {
                    assert!(
                        !from.may_become(to, actor) || to > from,
                        "{from} {to} {actor:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_actor_moves_a_task_out_of_a_terminal_state() {
        for from in ALL_STATES.into_iter().filter(|s| s.is_terminal()) {
            for to in ALL_STATES {
                assert!(
                    ACTORS.iter().all(|a| !from.may_become(to, *a)),
                    "{from} to {to}"
                );
            }
        }
    }

    #[test]
    fn remove_is_never_observed() {
        for from in ALL_STATES {
            assert!(
                ACTORS
                    .iter()
                    .all(|a| !from.may_become(TaskState::Remove, *a))
            );
        }
    }

    #[test]
    fn numbers_and_names_read_back() {
        for state in ALL_STATES {
            assert_eq!(TaskState::from_number(state.number()), Some(state));
            assert_eq!(TaskState::from_name(state.name()), Some(state));
        }
        assert_eq!(TaskState::from_number(1), None);
    }
}
