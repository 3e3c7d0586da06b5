//! The agents of all nodes: they do what tasks ask for, in the time that their image takes.

use std::collections::BTreeMap;
use std::time::Duration;

use store::{Action, State, Step};
use types::{NodeState, Task, TaskId, TaskState, TaskStatus, Timestamp};

/// How tasks of an image behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// From being allowed to start until it runs.
    pub start: Duration,
    /// From being told to stop until it has.
    pub stop: Duration,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs until it is told to stop.
    Runs,
    /// Its image does not exist.
    Missing,
    /// It fails after this time.
    Fails(Duration),
    /// It succeeds after this time.
    Completes(Duration),
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(1),
            stop: Duration::from_secs(1),
            fate: Fate::Runs,
        }
    }
}

/// All agents.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    images: BTreeMap<String, Behaviour>,
    /// When the next state of a task is reached.
    due: BTreeMap<(TaskId, TaskState), Timestamp>,
}

impl Agents {
    /// Says how tasks of an image behave from now on.
    pub(crate) fn set(&mut self, image: &str, behaviour: Behaviour) {
        self.images.insert(image.to_owned(), behaviour);
    }

    /// How tasks of an image behave.
    pub(crate) fn behaviour(&self, image: &str) -> Behaviour {
        self.images.get(image).copied().unwrap_or_default()
    }

    /// When something happens by itself.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.due.values().copied().filter(|at| *at > now).min()
    }

    /// What the agents of nodes that are up report now.
    pub(crate) fn reports(&mut self, state: &State, now: Timestamp) -> Vec<Step> {
        let mut steps = Vec::new();
        for task in state.tasks().iter().filter(|t| t.is_active()) {
            let node = task.node_id.and_then(|id| state.nodes().get(id));
            if node.is_none_or(|n| n.status.state != NodeState::Ready) {
                continue;
            }
            let Some((next, after, err)) = self.next_of(task) else {
                continue;
            };
            let at = *self.due.entry((task.id, next)).or_insert(now.plus(after));
            if at <= now {
                self.due.retain(|(id, _), _| *id != task.id);
                steps.push(report(task, next, &err, now));
            }
        }
        steps
    }

    fn next_of(&self, task: &Task) -> Option<(TaskState, Duration, String)> {
        let image = task.spec().container().map_or("", |c| &c.image);
        let Behaviour { start, stop, fate } = self.behaviour(image);
        let none = String::new;
        match (task.desired_state, task.status.state, fate) {
            (desired, ..) if desired >= TaskState::Shutdown => {
                Some((TaskState::Shutdown, stop, none()))
            }
            (_, state, Fate::Missing) if state < TaskState::Ready => Some((
                TaskState::Rejected,
                Duration::ZERO,
                format!("No such image: {image}"),
            )),
            (_, state, _) if state < TaskState::Ready => {
                Some((TaskState::Ready, Duration::ZERO, none()))
            }
            (desired, TaskState::Ready, _) if desired >= TaskState::Running => {
                Some((TaskState::Running, start, none()))
            }
            (_, TaskState::Running, Fate::Fails(after)) => {
                Some((TaskState::Failed, after, "task: non-zero exit (1)".into()))
            }
            (_, TaskState::Running, Fate::Completes(after)) => {
                Some((TaskState::Complete, after, none()))
            }
            _ => None,
        }
    }
}

/// The step that reports a state of a task.
pub(crate) fn report(task: &Task, state: TaskState, err: &str, now: Timestamp) -> Step {
    let status = TaskStatus {
        timestamp: now,
        applied_at: now,
        state,
        err: err.into(),
        ..task.status.clone()
    };
    Step::unguarded(Action::Report {
        task: task.id,
        status: Box::new(status),
    })
}
