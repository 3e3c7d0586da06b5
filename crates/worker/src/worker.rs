//! The state machine of all tasks of a node: inputs in, effects out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::{Task, TaskId, TaskStatus, Timestamp};

use crate::input::{Assignments, Attempt, Change, Effect, Input, Outcome, StoredTask, Write};
use crate::machine::Machine;
use crate::objects::Objects;
use crate::reports::Reports;
use crate::timers::Timers;

/// All tasks of a node. See the crate's documentation.
#[derive(Debug, Default)]
pub struct Worker {
    machines: BTreeMap<TaskId, Machine>,
    objects: Objects,
    reports: Reports,
    timers: Timers,
    attempts: u64,
    /// Name of the last assignments message; `None` until a complete one came.
    chain: Option<String>,
    /// A complete set was received since the agent started.
    is_complete: bool,
    /// What the executor found and no manager has claimed yet.
    found: BTreeSet<TaskId>,
    /// Tasks to be advanced.
    touched: BTreeSet<TaskId>,
    effects: Vec<Effect>,
}

impl Worker {
    /// The tasks that the database kept. The first [`Input::Tick`], due at once, takes them up.
    pub fn new(stored: impl IntoIterator<Item = StoredTask>) -> Self {
        let mut this = Self::default();
        for s in stored {
            let id = s.task.id;
            let machine = Machine::restored(s.task, s.status, s.assigned, s.incomplete);
            this.machines.insert(id, machine);
            this.touched.insert(id);
        }
        this
    }

    /// Handles one input.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        match input {
            Input::Connected => {
                self.chain = None;
                self.reports.connected();
            }
            Input::Disconnected => {
                self.chain = None;
                self.reports.disconnected();
            }
            Input::Assignments(message) => self.assignments(message),
            Input::Done {
                task,
                attempt,
                outcome,
            } => self.done(task, attempt, outcome, now),
            Input::Found(tasks) => {
                self.found.extend(tasks);
                self.claim_remains();
            }
            Input::Reported { report, accepted } => {
                let machines = &self.machines;
                let revision = |id| machines.get(&id).map(|m| m.revision);
                self.reports.answered(report, accepted, now, revision);
            }
            Input::Tick => {}
        }
        while let Some(task) = self.timers.pop(now) {
            self.touched.insert(task);
        }
        self.advance_all(now);
        self.report(now);
        std::mem::take(&mut self.effects)
    }

    /// When the worker wants an [`Input::Tick`], if nothing comes before.
    pub fn wake_at(&self) -> Option<Timestamp> {
        if !self.touched.is_empty() {
            return Some(Timestamp::ZERO);
        }
        let wishes = [self.timers.next(), self.reports.wake_at()];
        wishes.into_iter().flatten().min()
    }

    /// The tasks that are to be run, with what is observed of them.
    pub fn tasks(&self) -> impl Iterator<Item = (&Arc<Task>, &TaskStatus)> {
        let assigned = self.machines.values().filter(|m| m.assigned);
        assigned.filter_map(|m| Some((m.order.as_ref()?, &m.status)))
    }

    /// How many tasks are known, those being removed included.
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Whether no task is known.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    fn assignments(&mut self, message: Assignments) {
        if !message.complete && self.chain.as_ref() != Some(&message.applies_to) {
            // Asked for once: nothing fits until a complete set starts a new chain.
            if self.chain.take().is_some() {
                self.effects.push(Effect::Resync);
            }
            return;
        }
        self.chain = Some(message.results_in);
        if message.complete {
            self.objects = Objects::default();
        }
        let mut listed = BTreeSet::new();
        // Whatever the order of changes, what a task needs is there before the task.
        let (tasks, objects) = split(message.changes);
        let has_objects = !objects.is_empty();
        for change in objects {
            self.object(change);
        }
        for change in tasks {
            match change {
                Change::UpdateTask(task) => {
                    listed.insert(task.id);
                    self.assign(task, message.complete);
                }
                Change::RemoveTask(id) => self.unassign(id),
                _ => {}
            }
        }
        if message.complete {
            self.is_complete = true;
            let is_gone = |(id, m): &(&TaskId, &Machine)| m.assigned && !listed.contains(id);
            let gone: Vec<_> = self.machines.iter().filter(is_gone).collect();
            let gone: Vec<_> = gone.into_iter().map(|(id, _)| *id).collect();
            for id in gone {
                self.unassign(id);
            }
            self.claim_remains();
        }
        if has_objects || message.complete {
            let holding = self.machines.iter().filter(|(_, m)| m.holding);
            self.touched.extend(holding.map(|(id, _)| *id));
        }
    }

    fn object(&mut self, change: Change) {
        let objects = &mut self.objects;
        match change {
            Change::UpdateSecret(s) => drop(objects.secrets.insert(s.id, s)),
            Change::RemoveSecret(id) => drop(objects.secrets.remove(&id)),
            Change::UpdateConfig(c) => drop(objects.configs.insert(c.id, c)),
            Change::RemoveConfig(id) => drop(objects.configs.remove(&id)),
            Change::UpdateTask(_) | Change::RemoveTask(_) => {}
        }
    }

    fn assign(&mut self, task: Arc<Task>, complete: bool) {
        let id = task.id;
        self.found.remove(&id);
        self.touched.insert(id);
        let machine = match self.machines.get_mut(&id) {
            Some(machine) if !machine.assigned => {
                machine.again = Some(task);
                return;
            }
            Some(machine) => {
                let known = task.status.clone();
                let before = machine.revision;
                if machine.update(task.clone()) {
                    self.effects.push(persist(task, true));
                }
                if machine.revision != before {
                    self.effects.push(observed(id, machine));
                }
                if machine.is_known_as(&known) {
                    self.reports.drop(id);
                } else if complete {
                    self.reports.add(id);
                }
                return;
            }
            None => Machine::new(task.clone()),
        };
        self.machines.insert(id, machine);
        self.effects.push(persist(task, true));
    }

    fn unassign(&mut self, id: TaskId) {
        self.touched.insert(id);
        let Some(machine) = self.machines.get_mut(&id) else {
            return;
        };
        machine.again = None;
        if !machine.assigned {
            return;
        }
        machine.assigned = false;
        self.reports.drop(id);
        if let Some(task) = machine.order.clone() {
            self.effects.push(persist(task, false));
        }
    }

    /// Removes what was found and what no manager assigns, once a complete set says so.
    fn claim_remains(&mut self) {
        if !self.is_complete {
            return;
        }
        for id in std::mem::take(&mut self.found) {
            self.touched.insert(id);
            self.machines.entry(id).or_insert_with(Machine::remains);
        }
    }

    fn done(&mut self, id: TaskId, attempt: Attempt, outcome: Outcome, now: Timestamp) {
        let Some(machine) = self.machines.get_mut(&id) else {
            return;
        };
        let before = machine.revision;
        let is_gone = machine.done(attempt, outcome, now);
        self.touched.insert(id);
        if machine.revision != before {
            self.changed(id);
        }
        if is_gone {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: TaskId) {
        let again = self.machines.remove(&id).and_then(|m| m.again);
        self.timers.set(id, None);
        self.touched.remove(&id);
        self.reports.drop(id);
        self.effects.push(Effect::Persist(Write::Forget(id)));
        if let Some(task) = again {
            self.assign(task, true);
        }
    }

    fn advance_all(&mut self, now: Timestamp) {
        self.objects.is_complete = self.chain.is_some();
        while let Some(id) = self.touched.pop_first() {
            let Some(machine) = self.machines.get_mut(&id) else {
                continue;
            };
            let attempt = Attempt(self.attempts + 1);
            let before = machine.revision;
            let command = machine.advance(now, &self.objects, attempt);
            self.timers.set(id, machine.alarm());
            let has_changed = machine.revision != before;
            if has_changed {
                self.changed(id);
            }
            if let Some(command) = command {
                self.attempts = attempt.0;
                self.effects.push(Effect::Execute {
                    task: id,
                    attempt,
                    command,
                });
            }
        }
    }

    /// A status changed: keep it, and tell the managers if the task is still theirs.
    fn changed(&mut self, id: TaskId) {
        let Some(machine) = self.machines.get(&id) else {
            return;
        };
        self.effects.push(observed(id, machine));
        if machine.assigned {
            self.reports.add(id);
        }
    }

    fn report(&mut self, now: Timestamp) {
        let machines = &self.machines;
        let revision = |id| machines.get(&id).filter(|m| m.assigned).map(|m| m.revision);
        let Some((report, tasks)) = self.reports.take(now, revision) else {
            return;
        };
        let status = |id: TaskId| machines.get(&id).map(|m| (id, m.status.clone()));
        let statuses = tasks.into_iter().filter_map(status).collect();
        self.effects.push(Effect::Report { report, statuses });
    }
}

fn persist(task: Arc<Task>, assigned: bool) -> Effect {
    Effect::Persist(Write::Task { task, assigned })
}

fn observed(task: TaskId, machine: &Machine) -> Effect {
    let status = machine.status.clone();
    Effect::Persist(Write::Status { task, status })
}

/// Changes of tasks, and changes of what tasks need.
fn split(changes: Vec<Change>) -> (Vec<Change>, Vec<Change>) {
    let is_task = |c: &Change| matches!(c, Change::UpdateTask(_) | Change::RemoveTask(_));
    changes.into_iter().partition(is_task)
}
