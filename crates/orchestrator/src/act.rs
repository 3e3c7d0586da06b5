//! Writes the step that changes one slot.

use store::{Action, Guard, NewTask, Step};
use types::task::{TaskStatus, message};
use types::{Entropy, Task, TaskId, TaskState};

use crate::ground::Ground;
use crate::restart::{Candidate, start_at};
use crate::slot::Slot;

/// The step for one slot under construction.
pub(crate) struct SlotStep<'a, 'g> {
    ground: &'g Ground<'a>,
    slot: &'g Slot<'a>,
    entropy: &'g mut dyn Entropy,
    step: Step,
}

impl<'a, 'g> SlotStep<'a, 'g> {
    /// An empty step.
    pub(crate) fn new(
        ground: &'g Ground<'a>,
        slot: &'g Slot<'a>,
        entropy: &'g mut dyn Entropy,
    ) -> Self {
        Self {
            ground,
            slot,
            entropy,
            step: Step::default(),
        }
    }

    /// The step. Whatever it does, it does for what the service asks for now and for nodes as they
    /// are now: what is taken back at once must not cost a task.
    pub(crate) fn finish(mut self) -> Step {
        if !self.step.actions.is_empty() {
            self.guard_service();
            self.guard_nodes();
        }
        self.step
    }

    /// The task shall stop and its record stay as history. A task that no node has seen is
    /// ended on the spot.
    pub(crate) fn stop(&mut self, task: &Task) {
        self.guard(task);
        if task.desired_state < TaskState::Shutdown {
            self.desire(task, TaskState::Shutdown);
        }
        if task.status.state < TaskState::Assigned {
            let status = TaskStatus {
                timestamp: self.ground.now,
                state: TaskState::Shutdown,
                message: message("stopped before it was placed"),
                ..TaskStatus::default()
            };
            self.step.actions.push(Action::Report {
                task: task.id,
                status: Box::new(status),
            });
        }
    }

    /// The task shall stop and its record be deleted.
    pub(crate) fn forget(&mut self, task: &Task) {
        if task.desired_state < TaskState::Remove {
            self.guard(task);
            self.desire(task, TaskState::Remove);
        }
    }

    /// The task shall stop because another one of the slot does its work.
    pub(crate) fn stop_beside(&mut self, task: &Task, other: &Task) {
        self.guard(other);
        self.stop(task);
    }

    /// All records of the slot go.
    pub(crate) fn give_up(&mut self) {
        let slot = self.slot;
        slot.records.iter().for_each(|t| self.forget(t));
    }

    /// The task that was held back may start.
    pub(crate) fn start(&mut self, task: &Task) {
        self.guard(task);
        self.guard_open();
        self.desire(task, self.ground.goal());
    }

    /// A new task that starts as soon as delay and slot allow.
    pub(crate) fn create(&mut self, spec_version: u64) {
        let spec = self
            .ground
            .view
            .revision(self.ground.service.id, spec_version);
        let Some(revision) = spec else {
            return self.create_as(self.ground.service.spec_version, TaskState::Ready);
        };
        let candidate = Candidate {
            id: None,
            created_at: self.ground.now,
            spec: &revision.spec,
        };
        let due = start_at(self.ground, self.slot, &candidate) <= self.ground.now;
        let goal = self.ground.goal();
        self.create_as(spec_version, if due { goal } else { TaskState::Ready });
    }

    /// A new task that starts at once, beside one of the slot that goes on. Should that one end by
    /// itself meanwhile, it is for its restart policy to say what follows.
    pub(crate) fn create_beside(&mut self, old: &Task, spec_version: u64) {
        self.guard(old);
        self.create_as(spec_version, self.ground.goal());
    }

    fn create_as(&mut self, spec_version: u64, desired_state: TaskState) {
        let service = self.ground.service;
        self.guard_open();
        self.step.actions.push(Action::NewTask(NewTask {
            id: TaskId::random(self.entropy),
            service: service.id,
            spec_version,
            slot: self.slot.key.number(),
            node: self.slot.key.node(),
            desired_state,
            job_iteration: self.ground.run,
        }));
    }

    fn desire(&mut self, task: &Task, state: TaskState) {
        self.step.actions.push(Action::Desire {
            task: task.id,
            state,
        });
    }

    fn guard_service(&mut self) {
        self.push_guard(Guard::service(self.ground.service));
    }

    /// A task of a job that was given up may complete after all, and then its slot is done.
    fn guard_open(&mut self) {
        if self.ground.service.spec.mode.is_job() {
            let open = self.slot.tasks().filter(|t| !t.status.state.is_terminal());
            open.for_each(|t| self.guard(t));
        }
    }

    /// What was on a node that is down is not waited for, and what is on one that is being drained
    /// moves: a node that is back has it running. Of a service with a task per node it is the node
    /// that decides.
    fn guard_nodes(&mut self) {
        let ground = self.ground;
        let active = self.slot.records.iter().filter(|t| t.is_active());
        let left = active.filter(|t| ground.is_lost(t) || ground.is_leaving(t));
        let left = left.filter_map(|t| ground.node_of(t));
        let own = self.slot.key.node();
        let own = own.and_then(|id| ground.view.nodes().get(id));
        for node in left.chain(own.map(AsRef::as_ref)) {
            self.push_guard(Guard::node(node));
        }
    }

    fn guard(&mut self, task: &Task) {
        self.push_guard(Guard::task(task));
    }

    fn push_guard(&mut self, guard: Guard) {
        if !self.step.guards.contains(&guard) {
            self.step.guards.push(guard);
        }
    }
}
