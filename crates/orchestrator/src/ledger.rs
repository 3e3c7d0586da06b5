//! What is known of every slot of one service, summed up so that a change of one slot costs the
//! same however many slots there are. A cache: rebuilt from the state whenever the service
//! changes or the leader does.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use types::defaults::UPDATE_MONITOR;
use types::{SlotKey, Task, TaskId, TaskState, Timestamp};

use crate::ground::{Ground, Standing};
use crate::mode::{Want, takes_updates};
use crate::restart::may_restart;
use crate::settle::is_completed;
use crate::slot::{Slot, ended_by_itself, reached_at};
use crate::update;

/// How one slot stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The slot is taken: by a task that is meant to run, or by one that ended for good.
    pub(crate) held: bool,
    /// A job's slot has a task that is not done yet.
    pub(crate) busy: bool,
    /// The slot waits for its turn in an update; whether something runs in it.
    pub(crate) outdated: Option<Outdated>,
    /// The slot will wait for its turn in an update: something else comes first, such as a task
    /// like the outdated one that ended.
    pub(crate) owed: bool,
    /// What the latest update did to the slot.
    pub(crate) touch: Option<Touch>,
}

/// A slot that waits for its turn. What does not run is updated first: it costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outdated {
    /// Nothing runs in it.
    Idle,
    /// An outdated task runs in it.
    Running,
}

/// What an update did to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Touch {
    /// The first task that the update made and that was not stopped before it ran.
    task: TaskId,
    /// The update under way made it, not an earlier one.
    present: bool,
    /// When that task was seen to run. The one fact that its record loses when it ends; a new
    /// leader that has not seen it takes the end for an early one.
    ran_at: Option<Timestamp>,
    /// Where it stands.
    progress: Progress,
    /// It ended by itself while it was watched.
    failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// No task of the slot has run yet; none may take longer than this.
    Waiting { deadline: Timestamp },
    /// A task has run (or ended) since then.
    Done { at: Timestamp },
}

impl Facts {
    /// Reads a slot that is kept and needs nothing, as nearly all slots do: its one record is a
    /// task as it should be, on its way or there. `None` says that [`Self::of`] must look closer.
    pub(crate) fn of_quiet(ground: &Ground<'_>, slot: &Slot<'_>) -> Option<Self> {
        let [task] = slot.records[..] else {
            return None;
        };
        let quiet = task.desired_state == ground.goal()
            && !slot.is_past(task)
            && ground.standing(task) == Standing::Current;
        quiet.then(|| Self {
            held: true,
            busy: true,
            ..Self::default()
        })
    }

    /// Reads a slot. `before` is what was known of it.
    pub(crate) fn of(
        ground: &Ground<'_>,
        slot: &Slot<'_>,
        want: Want,
        before: Option<&Self>,
    ) -> Self {
        let touch_before = before.and_then(|f| f.touch);
        let wanted = || slot.tasks().filter(|t| ground.is_wanted(t));
        // What a slot has that is not wanted any more, or too many where it is completed, is busy
        // until it was told to stop: the step that tells it may be dropped, and one that fills
        // another slot not.
        let stops = || slot.tasks().any(|t| t.is_runnable());
        let Some(newest) = slot.newest().filter(|_| want == Want::Keep) else {
            return Self {
                busy: stops(),
                touch: Touch::of_unwanted(ground, slot, touch_before),
                ..Self::default()
            };
        };
        let live = wanted().next().is_some();
        let completed = is_completed(ground, slot);
        let held = live || completed || !may_restart(newest, slot);
        let current = wanted().any(|t| ground.standing(t) == Standing::Current);
        // Beside an older task that goes on, a new one that was stopped, or tried by an earlier
        // update, has changed nothing.
        let undone = |t: &Arc<Task>| {
            let past = t.meta.created_at < ground.update_started_at();
            live && !ground.is_wanted(t) && (past || was_stopped(t))
        };
        let latest = slot.tasks().rfind(|t| !undone(t)).unwrap_or(newest);
        let old = !current && ground.is_outdated(latest);
        let waits = held && old;
        let takes_part = old && takes_updates(ground, slot.key);
        let runs = wanted().any(|t| t.status.state == TaskState::Running);
        Self {
            held,
            busy: live && (!completed || stops()),
            outdated: (takes_part && held).then_some(if runs {
                Outdated::Running
            } else {
                Outdated::Idle
            }),
            owed: takes_part && !held,
            touch: (!waits)
                .then(|| Touch::of(ground, slot, touch_before))
                .flatten()
                .map(|touch| {
                    if held && !live {
                        touch.over(newest)
                    } else {
                        touch
                    }
                }),
        }
    }

    /// The slot needs something else first; its turn in an update comes when that is done.
    pub(crate) fn defer(&mut self) {
        self.owed |= self.outdated.take().is_some();
    }
}

impl Touch {
    fn of(ground: &Ground<'_>, slot: &Slot<'_>, before: Option<Self>) -> Option<Self> {
        if ground.service.spec.mode.is_job() {
            return None;
        }
        let tasks: Vec<_> = slot.tasks().collect();
        let old = tasks.iter().rposition(|t| ground.is_outdated(t))?;
        let made = &tasks[old + 1..];
        let seen = |t: &Task| before.filter(|b| b.task == t.id);
        let first = made
            .iter()
            .find(|t| !was_stopped(t) || seen(t).is_some_and(|b| b.ran_at.is_some()))
            .or(made.last())?;
        let before = seen(first);
        let runs = first.status.state == TaskState::Running;
        let ran_at = before
            .and_then(|b| b.ran_at)
            .or_else(|| runs.then(|| reached_at(first)));
        let present = first.meta.created_at >= ground.update_started_at();
        let monitor = ground.update_config().monitor.unwrap_or(UPDATE_MONITOR);
        let early = ran_at.is_none_or(|at| reached_at(first).since(at) <= monitor);
        Some(Self {
            task: first.id,
            present,
            ran_at,
            progress: Progress::of(ground, made, before.map(|b| b.progress), ran_at),
            failed: present && early && ended_by_itself(first),
        })
    }

    /// What an update did to a slot that is wanted no more. Its new task is in flight until it was
    /// told to stop: the step that tells it may be dropped, and one that takes the update further
    /// not.
    fn of_unwanted(ground: &Ground<'_>, slot: &Slot<'_>, before: Option<Self>) -> Option<Self> {
        let live = slot.tasks().any(|t| ground.is_wanted(t));
        let touch = live.then(|| Self::of(ground, slot, before)).flatten();
        touch.filter(|t| matches!(t.progress, Progress::Waiting { .. }))
    }

    /// Nothing of the slot runs or is going to: its policy forbids another task. However its last
    /// one ended, the update has nothing left to wait for.
    fn over(self, last: &Task) -> Self {
        let at = match self.progress {
            Progress::Waiting { .. } => reached_at(last),
            Progress::Done { at } => at,
        };
        let progress = Progress::Done { at };
        Self { progress, ..self }
    }
}

impl Progress {
    /// Reads the tasks that an update made in a slot. One that was stopped before it ran does not
    /// take the slot any further: what replaces it is still in flight.
    fn of(
        ground: &Ground<'_>,
        made: &[&Arc<Task>],
        before: Option<Self>,
        ran_at: Option<Timestamp>,
    ) -> Self {
        let known = match before {
            Some(Self::Done { at }) => Some(at),
            _ => None,
        };
        let arrived = |t: &&&Arc<Task>| t.status.state == TaskState::Running || ended_by_itself(t);
        let seen = made.iter().filter(arrived).map(|t| reached_at(t));
        if let Some(at) = seen.chain(ran_at).chain(known).min() {
            return Self::Done { at };
        }
        let mut trial = made.iter().rev().take_while(|t| !was_stopped(t)).peekable();
        let placed = |t: &&&Arc<Task>| t.status.state >= TaskState::Assigned;
        let newest = trial
            .peek()
            .or(made.last().as_ref())
            .map(|t| t.meta.created_at);
        let trial: Vec<_> = trial.collect();
        let patience = update::patience(ground, trial.iter().any(placed));
        let since = trial.last().map(|t| t.meta.created_at).or(newest);
        let deadline = since.map_or(Timestamp::MAX, |at| at.plus(patience));
        Self::Waiting { deadline }
    }
}

/// Whether a task was told to stop (or lost its node) before its record shows that it ran.
pub(crate) fn was_stopped(task: &Task) -> bool {
    let state = task.status.state;
    matches!(state, TaskState::Shutdown | TaskState::Orphaned)
        || (task.desired_state >= TaskState::Shutdown && state < TaskState::Running)
}

/// The slots of one service.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    slots: BTreeMap<SlotKey, Facts>,
    held: u64,
    busy: u64,
    /// Slots that have records and are not held.
    vacant: BTreeSet<SlotKey>,
    owed: u64,
    outdated: BTreeSet<(Outdated, SlotKey)>,
    waiting: BTreeSet<(Timestamp, SlotKey)>,
    done: BTreeSet<(Timestamp, SlotKey)>,
    touched: u64,
    failed: BTreeMap<SlotKey, TaskId>,
    /// Earlier runs of the job go on beside the present one.
    pub(crate) has_earlier_runs: bool,
}

impl Ledger {
    /// What is known of a slot.
    pub(crate) fn get(&self, key: SlotKey) -> Option<&Facts> {
        self.slots.get(&key)
    }

    /// Notes how a slot stands; `None` when it has no records.
    pub(crate) fn put(&mut self, key: SlotKey, facts: Option<Facts>) {
        if let Some(old) = self.slots.remove(&key) {
            self.held -= u64::from(old.held);
            self.busy -= u64::from(old.busy);
            self.owed -= u64::from(old.owed);
            self.vacant.remove(&key);
            if let Some(outdated) = old.outdated {
                self.outdated.remove(&(outdated, key));
            }
            if let Some(touch) = old.touch {
                self.untouch(key, touch);
            }
        }
        let Some(facts) = facts else {
            return;
        };
        self.held += u64::from(facts.held);
        self.busy += u64::from(facts.busy);
        self.owed += u64::from(facts.owed);
        if !facts.held {
            self.vacant.insert(key);
        }
        if let Some(outdated) = facts.outdated {
            self.outdated.insert((outdated, key));
        }
        if let Some(touch) = facts.touch {
            self.touch(key, touch);
        }
        self.slots.insert(key, facts);
    }

    fn touch(&mut self, key: SlotKey, touch: Touch) {
        match touch.progress {
            Progress::Waiting { deadline } => self.waiting.insert((deadline, key)),
            Progress::Done { at } => self.done.insert((at, key)),
        };
        self.touched += u64::from(touch.present);
        if touch.failed {
            self.failed.insert(key, touch.task);
        }
    }

    fn untouch(&mut self, key: SlotKey, touch: Touch) {
        match touch.progress {
            Progress::Waiting { deadline } => self.waiting.remove(&(deadline, key)),
            Progress::Done { at } => self.done.remove(&(at, key)),
        };
        self.touched -= u64::from(touch.present);
        self.failed.remove(&key);
    }

    /// Slots that are taken.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Whether a slot is taken.
    pub(crate) fn holds(&self, key: SlotKey) -> bool {
        self.slots.get(&key).is_some_and(|f| f.held)
    }

    /// Slots of a job that have a task which is not done.
    pub(crate) fn busy(&self) -> u64 {
        self.busy
    }

    /// Slots that have records and are not taken.
    pub(crate) fn vacant(&self) -> impl Iterator<Item = SlotKey> + '_ {
        self.vacant.iter().copied()
    }

    /// Numbered slots that are not taken, lowest first.
    pub(crate) fn free_numbers(&self, range: Range<u64>) -> impl Iterator<Item = SlotKey> + '_ {
        let mut taken = self
            .slots
            .range(SlotKey::Number(range.start)..SlotKey::Number(range.end))
            .filter(|(_, f)| f.held)
            .map(|(key, _)| *key)
            .peekable();
        range
            .map(SlotKey::Number)
            .filter(move |key| taken.next_if_eq(key).is_none())
    }

    /// Slots that wait for their turn in an update, in that turn.
    pub(crate) fn outdated(&self) -> impl Iterator<Item = SlotKey> + '_ {
        self.outdated.iter().map(|(_, key)| *key)
    }

    /// Whether slots will wait for their turn that do not yet: the update is not over.
    pub(crate) fn owes(&self) -> bool {
        self.owed > 0
    }

    /// The slot of the update that has waited longest for a task to run, and until when it may.
    pub(crate) fn waiting(&self) -> Option<(Timestamp, SlotKey)> {
        self.waiting.first().copied()
    }

    /// How many slots of the update wait for a task to run.
    pub(crate) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// When slots of the update were done, latest first.
    pub(crate) fn done(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.done.iter().rev().map(|(at, _)| *at)
    }

    /// Slots that belong to the update under way: done, in flight or still to come.
    pub(crate) fn update_total(&self) -> u64 {
        self.touched + self.outdated.len() as u64
    }

    /// Tasks of the update under way that ended early, by slot.
    pub(crate) fn failed(&self) -> &BTreeMap<SlotKey, TaskId> {
        &self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Option<Facts> {
        Some(Facts {
            held: true,
            ..Facts::default()
        })
    }

    #[test]
    fn the_lowest_free_numbers_come_first() {
        let mut ledger = Ledger::default();
        for n in [1, 2, 4, 7] {
            ledger.put(SlotKey::Number(n), held());
        }
        ledger.put(SlotKey::Number(5), Some(Facts::default()));
        let free: Vec<_> = ledger.free_numbers(1..u64::MAX).take(4).collect();
        assert_eq!(free, [3, 5, 6, 8].map(SlotKey::Number));
        assert_eq!(ledger.vacant().collect::<Vec<_>>(), [SlotKey::Number(5)]);
    }

    #[test]
    fn sums_follow_what_is_put_and_taken_back() {
        let mut ledger = Ledger::default();
        let key = SlotKey::Number(1);
        let outdated = Some(Outdated::Running);
        let facts = Facts {
            held: true,
            busy: true,
            outdated,
            owed: false,
            touch: None,
        };
        ledger.put(key, Some(facts));
        assert_eq!(
            (ledger.held(), ledger.busy(), ledger.update_total()),
            (1, 1, 1)
        );
        ledger.put(key, None);
        assert_eq!(
            (ledger.held(), ledger.busy(), ledger.update_total()),
            (0, 0, 0)
        );
        assert!(ledger.get(key).is_none() && ledger.outdated().next().is_none());
    }
}
