//! One task on its way through the states.
//!
//! ```text
//!               prepare           desired > READY   start           wait
//! ASSIGNED > ACCEPTED > PREPARING ---> READY > STARTING ---> RUNNING ---> COMPLETE | FAILED
//!     \_________\__________\__________/            |            |
//!          fatal error: REJECTED             fatal error: FAILED
//!
//! desired >= SHUTDOWN, in any state: stop, then SHUTDOWN
//! no longer assigned: stop, remove, forget
//! ```

use std::sync::Arc;
use std::time::Duration;

use types::task::{ContainerStatus, message};
use types::{Task, TaskState, TaskStatus, Timestamp, defaults};

use crate::input::{Attempt, Command, Ended, Failure, Outcome, Started};
use crate::limits::{RETRY_PAUSE, RETRY_PAUSE_MAX};
use crate::objects::{Absent, Objects};

/// A task of this node.
#[derive(Debug)]
pub(crate) struct Machine {
    /// What a manager last said; `None` for remains that no manager knows of.
    pub(crate) order: Option<Arc<Task>>,
    /// Whether it is to be run; otherwise it is removed.
    pub(crate) assigned: bool,
    /// What is observed.
    pub(crate) status: TaskStatus,
    /// Counts changes of the status.
    pub(crate) revision: u64,
    /// A manager assigned it again while it is being removed.
    pub(crate) again: Option<Arc<Task>>,
    /// Preparing needs what only a manager can send (again).
    pub(crate) incomplete: bool,
    step: Step,
    failures: u32,
    /// It is certain that nothing of it runs.
    stopped: bool,
    /// Waits for a secret or config.
    pub(crate) holding: bool,
}

/// What goes on with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing.
    Idle,
    /// The executor is at work.
    Busy { attempt: Attempt, doing: Doing },
    /// A command failed and is tried again then, unless something else is wanted by now.
    Resting { until: Timestamp, goal: Goal },
}

/// What the executor is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Prepare,
    Start,
    Wait,
    /// With the moment it is given up.
    Stop {
        until: Timestamp,
    },
    Kill,
    Remove,
}

/// Where a task is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Run,
    Stop,
    Remove,
}

impl Machine {
    /// A task as a manager assigned it. What the manager knows of its state is where it goes on.
    pub(crate) fn new(task: Arc<Task>) -> Self {
        let status = task.status.clone();
        Self::with(Some(task), status)
    }

    /// A task as the database kept it.
    pub(crate) fn restored(
        task: Arc<Task>,
        status: Option<TaskStatus>,
        assigned: bool,
        incomplete: bool,
    ) -> Self {
        let known = task.status.clone();
        let status = status.filter(|s| s.state >= known.state).unwrap_or(known);
        let exit_code = status.container.as_ref().map_or(0, |c| c.exit_code);
        let ended = matches!(status.state, TaskState::Complete | TaskState::Shutdown);
        Self {
            assigned,
            incomplete,
            stopped: ended || (status.state == TaskState::Failed && exit_code != 0),
            ..Self::with(Some(task), status)
        }
    }

    /// Remains that no manager knows of.
    pub(crate) fn remains() -> Self {
        Self {
            assigned: false,
            ..Self::with(None, TaskStatus::default())
        }
    }

    fn with(order: Option<Arc<Task>>, status: TaskStatus) -> Self {
        Self {
            order,
            assigned: true,
            status,
            revision: 0,
            again: None,
            incomplete: false,
            step: Step::Idle,
            failures: 0,
            stopped: false,
            holding: false,
        }
    }

    /// Takes what a manager says now; true if the order differs from the one before.
    pub(crate) fn update(&mut self, task: Arc<Task>) -> bool {
        self.incomplete = false;
        // A manager that knows more than this node has it from this node before a crash, or has
        // given the task up.
        if task.status.state > self.status.state {
            self.status = task.status.clone();
            self.revision += 1;
        }
        let is_new = self.order.as_ref().is_none_or(|old| {
            old.desired_state != task.desired_state || !same_but_status(old, &task)
        });
        self.order = Some(task);
        is_new
    }

    /// Whether the manager's view of the status is what is observed here.
    pub(crate) fn is_known_as(&self, known: &TaskStatus) -> bool {
        let own = &self.status;
        own.state == known.state
            && own.message == known.message
            && own.err == known.err
            && own.container == known.container
            && own.ports == known.ports
    }

    /// When the machine must be advanced although nothing happens.
    pub(crate) fn alarm(&self) -> Option<Timestamp> {
        match self.step {
            Step::Resting { until, .. } => Some(until),
            Step::Busy {
                doing: Doing::Stop { until },
                ..
            } => Some(until),
            _ => None,
        }
    }

    /// Goes as far as possible without the executor; the command that is needed next, if any.
    pub(crate) fn advance(
        &mut self,
        now: Timestamp,
        objects: &Objects,
        attempt: Attempt,
    ) -> Option<Command> {
        self.holding = false;
        let goal = self.goal();
        if !self.may_act(goal, now) {
            return None;
        }
        let (doing, command) = match goal {
            Goal::Run => match self.run(now, objects) {
                // What can never run is stopped: something of it may be there.
                None if self.goal() == Goal::Stop => self.stop(now),
                next => next?,
            },
            Goal::Stop | Goal::Remove if !self.stopped => self.stop(now),
            Goal::Remove => (Doing::Remove, Command::Remove),
            Goal::Stop => return None,
        };
        self.step = Step::Busy { attempt, doing };
        Some(command)
    }

    fn goal(&self) -> Goal {
        if !self.assigned {
            Goal::Remove
        } else if self.desired() >= TaskState::Shutdown || self.status.state.is_terminal() {
            Goal::Stop
        } else {
            Goal::Run
        }
    }

    fn desired(&self) -> TaskState {
        let order = self.order.as_ref();
        order.map_or(TaskState::Remove, |t| t.desired_state)
    }

    /// Whether a new command may be given: nothing is under way that serves the goal.
    fn may_act(&self, goal: Goal, now: Timestamp) -> bool {
        match self.step {
            Step::Idle => true,
            Step::Resting { until, goal: then } => now >= until || goal != then,
            Step::Busy { doing, .. } => match doing {
                Doing::Prepare | Doing::Start | Doing::Wait => goal != Goal::Run,
                Doing::Stop { until } => now >= until,
                Doing::Kill | Doing::Remove => false,
            },
        }
    }

    /// The way up.
    fn run(&mut self, now: Timestamp, objects: &Objects) -> Option<(Doing, Command)> {
        if self.status.state < TaskState::Accepted {
            self.move_to(TaskState::Accepted, "accepted", now);
        }
        match self.status.state {
            TaskState::Accepted if self.desired() <= TaskState::Accepted => None,
            TaskState::Accepted | TaskState::Preparing => {
                let run = self.gather(now, objects)?;
                if self.status.state < TaskState::Preparing {
                    self.move_to(TaskState::Preparing, "preparing", now);
                }
                Some((Doing::Prepare, Command::Prepare(run)))
            }
            TaskState::Ready if self.desired() <= TaskState::Ready => None,
            TaskState::Ready | TaskState::Starting => {
                let run = self.gather(now, objects)?;
                if self.status.state < TaskState::Starting {
                    self.move_to(TaskState::Starting, "starting", now);
                }
                Some((Doing::Start, Command::Start(run)))
            }
            _ => Some((Doing::Wait, Command::Wait)),
        }
    }

    /// The task with what it references; `None` while something is missing. What can never have
    /// it ends.
    fn gather(&mut self, now: Timestamp, objects: &Objects) -> Option<crate::input::Run> {
        let order = self.order.clone()?;
        if self.incomplete && self.status.state < TaskState::Ready {
            return None;
        }
        match objects.restrict(&order) {
            Ok(run) => Some(run),
            Err(Absent::Awaited(why)) => {
                self.holding = true;
                self.explain(why, now);
                None
            }
            Err(Absent::Gone(why)) => {
                let was_started = self.status.state >= TaskState::Starting;
                let end = if was_started {
                    TaskState::Failed
                } else {
                    TaskState::Rejected
                };
                self.fail(end, why, now);
                None
            }
        }
    }

    /// The way down: ask first, kill if even that hangs.
    fn stop(&self, now: Timestamp) -> (Doing, Command) {
        let hangs = matches!(
            self.step,
            Step::Busy {
                doing: Doing::Stop { .. },
                ..
            }
        );
        if hangs {
            return (Doing::Kill, Command::Kill);
        }
        let container = self.order.as_ref().and_then(|t| t.spec().container());
        let grace = container.and_then(|c| c.stop_grace_period);
        let until = now
            .plus(grace.unwrap_or(defaults::STOP_GRACE_PERIOD))
            .plus(defaults::STOP_SLACK);
        (Doing::Stop { until }, Command::Stop)
    }

    /// Takes the executor's answer; true if nothing is left of the task. Answers to commands that
    /// are not under way are ignored.
    pub(crate) fn done(&mut self, attempt: Attempt, outcome: Outcome, now: Timestamp) -> bool {
        let doing = match self.step {
            Step::Busy { attempt: a, doing } if a == attempt => doing,
            _ => return false,
        };
        self.step = Step::Idle;
        if !matches!(outcome, Outcome::Failed(_)) {
            self.failures = 0;
        }
        match (doing, outcome) {
            (_, Outcome::Failed(failure)) => return self.failed(doing, failure, now),
            (Doing::Prepare, Outcome::Prepared) => self.move_to(TaskState::Ready, "prepared", now),
            (Doing::Start, Outcome::Started(started)) => self.started(started, now),
            (Doing::Start | Doing::Wait, Outcome::Ended(ended)) => self.ended(ended, now),
            (Doing::Stop { .. } | Doing::Kill, _) => self.stopped(now),
            (Doing::Remove, _) => return true,
            // An answer that does not fit the command: ask again, not at once.
            _ => self.rest(now),
        }
        false
    }

    fn started(&mut self, started: Started, now: Timestamp) {
        self.stopped = false;
        self.status.container = Some(Box::new(started.container));
        self.status.ports = started.ports;
        self.move_to(TaskState::Running, "started", now);
    }

    fn ended(&mut self, ended: Ended, now: Timestamp) {
        self.stopped = true;
        if ended.container != ContainerStatus::default() {
            self.status.container = Some(Box::new(ended.container));
        }
        if ended.success {
            self.move_to(TaskState::Complete, "finished", now);
        } else {
            self.fail(TaskState::Failed, ended.reason, now);
        }
    }

    fn stopped(&mut self, now: Timestamp) {
        self.stopped = true;
        if self.assigned && !self.status.state.is_terminal() {
            self.move_to(TaskState::Shutdown, "shutdown", now);
        }
    }

    fn failed(&mut self, doing: Doing, failure: Failure, now: Timestamp) -> bool {
        let (text, is_final) = match failure {
            Failure::Retry(text) => (text, false),
            Failure::Fatal(text) => (text, true),
            Failure::Missing(text) => match doing {
                Doing::Stop { .. } | Doing::Kill => {
                    self.stopped(now);
                    return false;
                }
                Doing::Remove => return true,
                Doing::Prepare => (text, false),
                Doing::Start | Doing::Wait => (text, true),
            },
        };
        match doing {
            Doing::Prepare if is_final => self.fail(TaskState::Rejected, text, now),
            Doing::Start | Doing::Wait if is_final => self.fail(TaskState::Failed, text, now),
            _ => {
                if self.assigned && !self.status.state.is_terminal() {
                    self.explain(text, now);
                }
                self.rest(now);
            }
        }
        false
    }

    fn rest(&mut self, now: Timestamp) {
        let factor = 2u32.saturating_pow(self.failures.min(10));
        let pause: Duration = RETRY_PAUSE.saturating_mul(factor).min(RETRY_PAUSE_MAX);
        self.failures += 1;
        self.step = Step::Resting {
            until: now.plus(pause),
            goal: self.goal(),
        };
    }

    fn move_to(&mut self, state: TaskState, text: &'static str, now: Timestamp) {
        if state <= self.status.state {
            return; // a manager knew more than the database gave back
        }
        self.status.state = state;
        self.status.message = message(text);
        self.status.err = Box::default();
        self.stamp(now);
    }

    /// The last message stays: it says what the task was at when it failed.
    fn fail(&mut self, state: TaskState, reason: String, now: Timestamp) {
        if state <= self.status.state {
            return; // a manager gave the task up meanwhile
        }
        self.status.state = state;
        self.status.err = reason.into();
        self.stamp(now);
    }

    /// Says why the task does not move, once.
    fn explain(&mut self, reason: String, now: Timestamp) {
        if *self.status.err != *reason {
            self.status.err = reason.into();
            self.stamp(now);
        }
    }

    fn stamp(&mut self, now: Timestamp) {
        self.status.timestamp = now;
        self.status.applied_by = None;
        self.status.applied_at = Timestamp::ZERO;
        self.revision += 1;
    }
}

/// Whether two orders are the same but for what is observed and recorded.
fn same_but_status(a: &Task, b: &Task) -> bool {
    let same_spec =
        Arc::ptr_eq(&a.service_spec, &b.service_spec) || a.service_spec == b.service_spec;
    same_spec
        && a.annotations == b.annotations
        && a.networks == b.networks
        && a.endpoint == b.endpoint
        && a.log_driver == b.log_driver
        && a.assigned_generic_resources == b.assigned_generic_resources
        && a.volumes == b.volumes
}
