//! The slot reconciler: what one slot needs now, whatever the mode of its service.
//!
//! A slot is settled when it has one current task, or one outdated task that waits for its turn
//! in an update, or its last task ended and may not be replaced. Scaling and updates are decided
//! for the service as a whole, elsewhere.

use std::sync::Arc;
use std::time::Duration;

use store::Step;
use types::{Entropy, Task, TaskState, Timestamp};

use crate::act::SlotStep;
use crate::ground::{Ground, Standing};
use crate::mode::Want;
use crate::needs;
use crate::restart::{Candidate, delay, may_restart, start_at};
use crate::schedule;
use crate::slot::{Slot, age, ended_by_itself, reached_at};
use crate::update::PLACED_DEADLINE;

/// How long a task that was made to move another one may wait for a node: it was made because
/// one had room.
const MOVE_UNPLACED_MAX: Duration = Duration::from_secs(60);

/// What a slot needs.
#[derive(Debug)]
pub(crate) struct Settled {
    /// What to change; empty when there is nothing to do now.
    pub(crate) step: Step,
    /// When to look again although nothing changed.
    pub(crate) wake_at: Option<Timestamp>,
}

impl Settled {
    /// Whether there is nothing to do, now or later.
    pub(crate) fn is_settled(&self) -> bool {
        self.step.actions.is_empty() && self.wake_at.is_none()
    }
}

/// The tasks of a slot that are meant to run, by how they stand; each list oldest first.
#[derive(Debug, Default)]
pub(crate) struct Reading<'a> {
    pub(crate) gone: Vec<&'a Arc<Task>>,
    pub(crate) leaving: Vec<&'a Arc<Task>>,
    pub(crate) outdated: Vec<&'a Arc<Task>>,
    pub(crate) current: Vec<&'a Arc<Task>>,
}

impl<'a> Reading<'a> {
    /// Sorts the tasks of a slot.
    pub(crate) fn of(ground: &Ground<'_>, slot: &Slot<'a>) -> Self {
        let mut reading = Self::default();
        for task in slot.tasks().filter(|t| ground.is_wanted(t)) {
            match ground.standing(task) {
                Standing::Ended | Standing::Lost => reading.gone.push(task),
                Standing::Leaving => reading.leaving.push(task),
                Standing::Outdated => reading.outdated.push(task),
                Standing::Current => reading.current.push(task),
            }
        }
        reading
    }
}

/// Decides what a slot needs.
pub(crate) fn settle(
    ground: &Ground<'_>,
    slot: &Slot<'_>,
    want: Want,
    entropy: &mut dyn Entropy,
) -> Settled {
    let mut settler = Settler {
        ground,
        slot,
        step: SlotStep::new(ground, slot, entropy),
        wake_at: None,
    };
    settler.forget_past_runs();
    match want {
        Want::Keep => settler.keep(),
        Want::Stop => settler.stop(),
        Want::Forget => settler.step.give_up(),
    }
    Settled {
        step: settler.step.finish(),
        wake_at: settler.wake_at,
    }
}

struct Settler<'a, 'g> {
    ground: &'g Ground<'a>,
    slot: &'g Slot<'a>,
    step: SlotStep<'a, 'g>,
    wake_at: Option<Timestamp>,
}

impl Settler<'_, '_> {
    fn forget_past_runs(&mut self) {
        let scheduled = schedule::schedule(self.ground.service).is_some();
        for task in self.slot.records.iter().filter(|t| self.slot.is_past(t)) {
            let ended = task.status.state.is_terminal();
            match scheduled {
                // The runs of a schedule are kept as history.
                true if !ended || schedule::is_of_open_run(task) => self.leave(task),
                false if !ended => self.step.forget(task),
                _ => {}
            }
        }
    }

    fn leave(&mut self, task: &Task) {
        if self.ground.is_wanted(task) {
            self.step.stop(task);
        }
    }

    fn stop(&mut self) {
        let done = |t: &Task| t.status.state == TaskState::Complete;
        for task in self.slot.tasks().filter(|t| self.ground.is_wanted(t)) {
            if !(self.ground.service.spec.mode.is_job() && done(task)) {
                self.step.stop(task);
            }
        }
    }

    fn keep(&mut self) {
        let reading = Reading::of(self.ground, self.slot);
        if is_completed(self.ground, self.slot) {
            return self.stop();
        }
        let current = self.moved(&reading.current);
        let current = current.or_else(|| self.single(&reading.current));
        let outdated = self.single(&reading.outdated);
        match (current, outdated) {
            (Some(current), outdated) => {
                let old = outdated.into_iter().chain(reading.leaving.iter().copied());
                self.take_over(current, old);
                self.stop_all(&reading.gone);
                self.start_when_due(current);
            }
            (None, Some(outdated)) => {
                self.take_over(outdated, reading.leaving.iter().copied());
                self.retry_beside(outdated, &reading.gone);
                self.start_when_due(outdated);
            }
            (None, None) if !reading.leaving.is_empty() => {
                self.move_away(&reading.leaving, &reading.gone);
            }
            (None, None) => self.replace(&reading.gone),
        }
    }

    /// The task that is to take over from one like it that runs: a move of a start-first service.
    /// It goes on beside the other until it runs; one that does not get there in time is given up.
    fn moved<'t>(&mut self, tasks: &[&'t Arc<Task>]) -> Option<&'t Arc<Task>> {
        let [old, new] = tasks else {
            return None;
        };
        if !self.ground.starts_first() || old.status.state != TaskState::Running {
            return None;
        }
        if new.status.state == TaskState::Running {
            self.step.stop_beside(old, new);
            return Some(new);
        }
        let patience = if new.status.state >= TaskState::Assigned {
            PLACED_DEADLINE
        } else {
            MOVE_UNPLACED_MAX
        };
        let until = new.meta.created_at.plus(patience);
        if until <= self.ground.now {
            return None;
        }
        self.wake(until);
        Some(new)
    }

    /// The task to keep of several that are alike: one that runs, else the oldest.
    fn single<'t>(&mut self, tasks: &[&'t Arc<Task>]) -> Option<&'t Arc<Task>> {
        let running = |t: &&&Arc<Task>| t.status.state == TaskState::Running;
        let keeper = *tasks.iter().find(running).or(tasks.first())?;
        for task in tasks.iter().filter(|t| t.id != keeper.id) {
            self.step.stop_beside(task, keeper);
        }
        Some(keeper)
    }

    /// Old tasks stop when the new one runs, or at once unless the service starts first.
    fn take_over<'t>(&mut self, new: &Task, old: impl Iterator<Item = &'t Arc<Task>>) {
        if new.status.state == TaskState::Running || !self.ground.starts_first() {
            old.for_each(|t| self.step.stop_beside(t, new));
        }
    }

    fn stop_all(&mut self, tasks: &[&Arc<Task>]) {
        tasks.iter().for_each(|t| self.step.stop(t));
    }

    fn start_when_due(&mut self, task: &Task) {
        if task.desired_state >= self.ground.goal() {
            return;
        }
        let due = start_at(self.ground, self.slot, &Candidate::task(task));
        if due <= self.ground.now {
            self.step.start(task);
        } else {
            self.wake(due);
        }
    }

    /// The tasks of a node that is being drained.
    fn move_away(&mut self, leaving: &[&Arc<Task>], gone: &[&Arc<Task>]) {
        let Some(task) = self.single(leaving) else {
            return;
        };
        if !may_restart(task, self.slot) {
            self.stop_all(gone);
            return self.step.stop(task);
        }
        let version = self.version_after(task);
        if !self.ground.starts_first() || task.status.state != TaskState::Running {
            self.stop_all(gone);
            return self.follow(task, version);
        }
        let present = || self.ground.is_paused().then_some(self.present());
        let Some(version) = version.or_else(present) else {
            // It goes on until the update, which is under way, comes to its slot.
            return self.stop_all(gone);
        };
        // What a paused update tried beside it says nothing of its like.
        let alike = |t: &Task| t.spec_version == Some(version);
        let tried = |t: &&Arc<Task>| {
            let later = t.id != task.id && t.meta.created_at >= task.meta.created_at;
            later && alike(t) && ended_by_itself(t)
        };
        match self.slot.tasks().rfind(tried) {
            Some(last) if !may_restart(last, self.slot) => self.stop_all(gone),
            Some(last) if self.retry_at(last, version) > self.ground.now => {
                self.wake(self.retry_at(last, version));
            }
            _ => {
                self.stop_all(gone);
                self.step.create_beside(task, version);
            }
        }
    }

    /// When the next task may start beside one that goes on, after this one ended.
    fn retry_at(&self, last: &Task, version: u64) -> Timestamp {
        let service = self.ground.service;
        let revision = self.ground.view.revision(service.id, version);
        let next = Candidate {
            id: None,
            created_at: self.ground.now,
            spec: revision.map_or(&service.spec, |r| &r.spec),
        };
        reached_at(last).plus(delay(&next, self.slot))
    }

    /// Nothing of the slot runs: the last task is replaced if its policy says so.
    fn replace(&mut self, gone: &[&Arc<Task>]) {
        let Some((last, earlier)) = gone.split_last() else {
            return;
        };
        self.stop_all(earlier);
        if !may_restart(last, self.slot) {
            return self.step.stop(last);
        }
        // A task that ends while it is still held back must not shorten the delay.
        let held = last.desired_state < self.ground.goal()
            && self.ground.standing(last) == Standing::Ended;
        let pause = delay(&Candidate::task(last), self.slot);
        let due = last.meta.created_at.plus(pause);
        if held && due > self.ground.now {
            return self.wake(due);
        }
        self.follow(last, self.version_after(last));
    }

    /// Stops a task for good and makes the next one. Without a version to make it from, the slot is
    /// given up, to be filled with the present spec like any empty one.
    fn follow(&mut self, task: &Task, version: Option<u64>) {
        self.step.stop(task);
        if let Some(version) = version {
            self.step.create(version);
        }
    }

    /// A replacement that was to start beside an outdated task ended: it is tried again after
    /// the restart delay, while the outdated task goes on. The slot has yet to have its turn where
    /// the order is another by now, or what ended is the older of the two, which a rollback made
    /// the current one.
    fn retry_beside(&mut self, outdated: &Task, gone: &[&Arc<Task>]) {
        let Some((last, earlier)) = gone.split_last() else {
            return;
        };
        self.stop_all(earlier);
        let beside = self.ground.starts_first() && age(last) > age(outdated);
        if !beside || self.ground.is_outdated(last) || !may_restart(last, self.slot) {
            return self.step.stop(last);
        }
        let version = self.present();
        let due = self.retry_at(last, version);
        if due > self.ground.now {
            return self.wake(due);
        }
        self.step.stop(last);
        self.step.create_beside(outdated, version);
    }

    /// The version to make a replacement from. An outdated task is replaced by its like: only
    /// the update, in its turn, moves a slot to the new spec. `None` if its like could never start,
    /// because what it needs was removed.
    fn version_after(&self, task: &Task) -> Option<u64> {
        let own = task.spec_version.filter(|_| self.ground.is_outdated(task));
        match own {
            Some(_) if needs::removed(self.ground.view, &task.service_spec).is_some() => None,
            Some(own) => Some(own),
            None => Some(self.present()),
        }
    }

    fn present(&self) -> u64 {
        self.ground.service.spec_version
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |w| w.min(at)));
    }
}

/// Whether the slot of a job has its completion.
pub(crate) fn is_completed(ground: &Ground<'_>, slot: &Slot<'_>) -> bool {
    let done = |t: &Arc<Task>| t.status.state == TaskState::Complete;
    ground.service.spec.mode.is_job() && slot.tasks().any(done)
}
