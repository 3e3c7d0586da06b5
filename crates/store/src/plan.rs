//! Plans: what a stage wants to change, each step with what it was decided from.
//!
//! A stage plans on a snapshot. Before its plan is proposed, every step is checked against the
//! newest state; a step whose ground has moved is dropped, and the change that moved it makes
//! the stage look again.

use smallvec::{SmallVec, smallvec};
use types::{Node, NodeId, Service, ServiceId, Task, TaskId, Timestamp};

use crate::action::{Action, Transaction};
use crate::apply::Step as Applying;
use crate::change::{Change, Commit};
use crate::error::ApplyError;
use crate::state::State;

/// What a step was decided from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The task is still at this version.
    Task {
        /// Task.
        id: TaskId,
        /// Version of its record.
        version: u64,
    },
    /// The service is still at this version.
    Service {
        /// Service.
        id: ServiceId,
        /// Version of its record.
        version: u64,
    },
    /// The node is still at this version.
    Node {
        /// Node.
        id: NodeId,
        /// Version of its record.
        version: u64,
    },
}

/// Guards of a step. By far the most steps place a task: they fit in without an allocation.
pub type Guards = SmallVec<[Guard; 2]>;

/// Actions of a step; the same.
pub type Actions = SmallVec<[Action; 1]>;

/// Actions that happen together or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// What they were decided from.
    pub guards: Guards,
    /// The actions, in order.
    pub actions: Actions,
}

impl Step {
    /// A single action without a guard: for actions that check themselves when applied.
    pub fn unguarded(action: Action) -> Self {
        Self::together([action])
    }

    /// Several actions without a guard.
    pub fn together(actions: impl IntoIterator<Item = Action>) -> Self {
        Self {
            guards: Guards::new(),
            actions: actions.into_iter().collect(),
        }
    }

    /// A single action decided from one object.
    pub fn guarded(guard: Guard, action: Action) -> Self {
        Self {
            guards: smallvec![guard],
            actions: [action].into(),
        }
    }
}

/// Everything a stage wants to change now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Independent steps, in order.
    pub steps: Vec<Step>,
    /// When the stage wants to plan again although nothing changed.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    /// Adds a step.
    pub fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Asks to be woken at `at` or earlier.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |w| w.min(at)));
    }
}

impl Guard {
    /// The task is still as it is here.
    pub fn task(task: &Task) -> Self {
        Self::Task {
            id: task.id,
            version: task.meta.version,
        }
    }

    /// The service is still as it is here.
    pub fn service(service: &Service) -> Self {
        Self::Service {
            id: service.id,
            version: service.meta.version,
        }
    }

    /// The node is still as it is here.
    pub fn node(node: &Node) -> Self {
        Self::Node {
            id: node.id,
            version: node.meta.version,
        }
    }

    /// Whether the ground has not moved.
    pub fn holds(&self, state: &State) -> bool {
        match *self {
            Self::Task { id, version } => state
                .tasks()
                .get(id)
                .is_some_and(|t| t.meta.version == version),
            Self::Service { id, version } => state
                .services()
                .get(id)
                .is_some_and(|s| s.meta.version == version),
            Self::Node { id, version } => state
                .nodes()
                .get(id)
                .is_some_and(|n| n.meta.version == version),
        }
    }
}

/// Why a step was dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// An object it was decided from has changed.
    #[error("{0:?} no longer holds")]
    Guard(Guard),
    /// An action does not fit any more.
    #[error(transparent)]
    Action(#[from] ApplyError),
}

/// A transaction under construction on top of a state.
#[derive(Debug)]
pub struct Draft {
    state: State,
    at: Timestamp,
    actions: Vec<Action>,
    changes: Vec<Change>,
}

impl Draft {
    /// An empty transaction after `state`, made at `at`, or just after `state` was if that is
    /// later.
    pub fn new(state: &State, at: Timestamp) -> Self {
        let at = state.next_moment(at);
        let mut state = state.clone();
        state.version += 1;
        state.time = at;
        Self {
            state,
            at,
            actions: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The state as the actions so far make it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How many actions it holds.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether it holds no action.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Adds a step, or leaves the transaction as it was.
    ///
    /// # Errors
    /// If a guard does not hold or an action does not fit.
    pub fn add(&mut self, step: Step) -> Result<(), Dropped> {
        if let Some(guard) = step.guards.iter().find(|g| !g.holds(&self.state)) {
            return Err(Dropped::Guard(*guard));
        }
        if let [action] = &step.actions[..]
            && action.is_task_delta()
        {
            // Refused or done as a whole: no copy of the state to go back to is needed, which
            // makes steps of this kind, by far the most, several times cheaper.
            let changes = std::mem::take(&mut self.changes);
            let mut applying = Applying::after(&mut self.state, self.at, changes);
            let done = applying.run(action);
            self.changes = applying.into_changes();
            done?;
        } else {
            let mut next = self.state.clone();
            let mut applying = Applying::new(&mut next, self.at);
            for action in &step.actions {
                applying.run(action)?;
            }
            self.changes.extend(applying.into_changes());
            self.state = next;
        }
        self.actions.extend(step.actions);
        Ok(())
    }

    /// The transaction, what it changed, and the state it makes.
    pub fn finish(self) -> (Transaction, Commit, State) {
        let version = self.state.version;
        let tx = Transaction {
            version,
            at: self.at,
            actions: self.actions,
            digest: Some(self.state.digest()),
        };
        (
            tx,
            Commit {
                version,
                at: self.at,
                changes: self.changes,
            },
            self.state,
        )
    }
}
