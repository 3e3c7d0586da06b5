//! The stage that turns services into tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use store::{Action, Change, Diff, Plan, State, Step};
use types::{Entropy, Node, NodeId, ServiceId, ServiceMode, SlotKey, Task, TaskState, Timestamp};

use crate::act::SlotStep;
use crate::alarms::Alarms;
use crate::budget::{Budget, Guarded};
use crate::ground::Ground;
use crate::ledger::{Facts, Ledger};
use crate::mode::{self, Want};
use crate::schedule;
use crate::settle::settle;
use crate::slot::Slot;
use crate::update;

/// What is to be looked at in a service.
#[derive(Debug)]
enum Dirty {
    /// Every slot.
    All,
    /// These slots, and the service as a whole as far as the ledger tells.
    Slots(BTreeSet<SlotKey>),
}

/// Makes, replaces, starts and stops the tasks of all services.
#[derive(Debug, Default)]
pub struct Orchestrator {
    dirty: BTreeMap<ServiceId, Dirty>,
    /// Nodes whose change may matter to the tasks on them.
    nodes: BTreeSet<NodeId>,
    ledgers: BTreeMap<ServiceId, Ledger>,
    alarms: Alarms,
    /// What the latest plan was decided from: also a change of it that changes no decision counts.
    planned: Guarded,
    /// The service that was last worked on: a huge one must not keep others waiting.
    last: Option<ServiceId>,
    /// Nothing was looked at yet.
    fresh: bool,
}

/// Tasks of services, with the numbers of their slots.
type Grouped<'a> = BTreeMap<ServiceId, Vec<(u64, &'a Arc<Task>)>>;

impl Orchestrator {
    /// A stage that has everything to look at.
    pub fn new(view: &State, _now: Timestamp) -> Self {
        let services = view.services().iter().map(|s| s.id);
        Self {
            dirty: services.map(|id| (id, Dirty::All)).collect(),
            fresh: true,
            ..Self::default()
        }
    }

    /// Notes where to look again.
    pub fn observe(&mut self, change: &Change) {
        match change {
            Change::Service(diff) => {
                self.dirty.insert(diff.latest().id, Dirty::All);
            }
            Change::Node(diff)
                if node_matters(diff) || self.planned.nodes.contains(&diff.latest().id) =>
            {
                self.nodes.insert(diff.latest().id);
            }
            Change::Task(diff)
                if task_matters(diff) || self.planned.tasks.contains(&diff.latest().id) =>
            {
                let task = diff.latest();
                if let Some(service) = task.service_id {
                    self.mark(service, SlotKey::of(task));
                }
            }
            _ => {}
        }
    }

    /// What to change now.
    pub fn plan(&mut self, view: &State, now: Timestamp, entropy: &mut dyn Entropy) -> Plan {
        self.ring(now);
        self.look_at_nodes(view);
        let grouped = self.first_look(view);
        let mut work = Work {
            view,
            now,
            entropy,
            budget: Budget::new(),
            grouped,
        };
        while let Some(id) = self.next_service() {
            if work.budget.is_spent() {
                break;
            }
            self.last = Some(id);
            if let Some(dirty) = self.dirty.remove(&id) {
                self.reconcile(id, dirty, &mut work);
            }
        }
        let mut plan = work.budget.into_plan();
        self.planned = Guarded::by(&plan);
        if !self.dirty.is_empty() {
            plan.wake(now);
        }
        if let Some(at) = self.alarms.first() {
            plan.wake(at);
        }
        plan
    }

    fn mark(&mut self, service: ServiceId, key: SlotKey) {
        let dirty = self
            .dirty
            .entry(service)
            .or_insert_with(|| Dirty::Slots(BTreeSet::new()));
        if let Dirty::Slots(slots) = dirty {
            slots.insert(key);
        }
    }

    /// Marks what waited for this moment.
    fn ring(&mut self, now: Timestamp) {
        while let Some((service, slot)) = self.alarms.ring(now) {
            match slot {
                Some((_, key)) => self.mark(service, key),
                None => self.mark_whole(service),
            }
        }
    }

    fn mark_whole(&mut self, service: ServiceId) {
        self.dirty
            .entry(service)
            .or_insert_with(|| Dirty::Slots(BTreeSet::new()));
    }

    /// Marks the slots that a change of these nodes may matter to.
    fn look_at_nodes(&mut self, view: &State) {
        for node in std::mem::take(&mut self.nodes) {
            for task in view.tasks().on_node(node) {
                if let Some(service) = task.service_id.filter(|_| !task.status.state.is_terminal())
                {
                    self.mark(service, SlotKey::of(task));
                }
            }
            for service in view.services().iter() {
                if service.spec.mode.is_global() {
                    self.mark(service.id, SlotKey::Node(node));
                }
            }
        }
    }

    /// The first time, all tasks by service: read in one go, which is several times faster than
    /// service by service. Tasks of services that are gone are looked at too.
    fn first_look<'a>(&mut self, view: &'a State) -> Grouped<'a> {
        let mut grouped = Grouped::new();
        if std::mem::take(&mut self.fresh) {
            for task in view.tasks().iter() {
                if let Some(service) = task.service_id {
                    let tasks = grouped.entry(service).or_default();
                    tasks.push((task.slot, task));
                }
            }
            for service in grouped.keys() {
                self.dirty.insert(*service, Dirty::All);
            }
        }
        grouped
    }

    fn next_service(&self) -> Option<ServiceId> {
        let after = self.last.map_or(Unbounded, Excluded);
        let mut rest = self.dirty.range((after, Unbounded));
        let (id, _) = rest.next().or_else(|| self.dirty.first_key_value())?;
        Some(*id)
    }

    fn reconcile(&mut self, id: ServiceId, dirty: Dirty, work: &mut Work<'_>) {
        let view = work.view;
        let Some(service) = view.services().get(id) else {
            self.ledgers.remove(&id);
            self.alarms.forget(id);
            return self.forget(id, work);
        };
        let mut ground = Ground::new(view, service, work.now);
        let known = self.ledgers.remove(&id);
        let (slots, mut ledger, before) = match (dirty, known) {
            (Dirty::Slots(keys), Some(ledger)) => {
                let slots = keys.iter().map(|key| Slot::read(&ground, *key));
                (slots.collect(), ledger, Ledger::default())
            }
            (_, before) => {
                self.alarms.forget(id);
                let slots = match work.grouped.remove(&id) {
                    Some(tasks) => Slot::sort_all(&ground, tasks),
                    None => Slot::read_all(&ground),
                };
                let mut ledger = Ledger::default();
                ledger.has_earlier_runs = !schedule::open_earlier_runs(&ground).is_empty();
                (slots, ledger, before.unwrap_or_default())
            }
        };
        ground.learn(slots.iter().flat_map(|s| s.records.iter().copied()));
        let room = work.budget.left();
        for slot in &slots {
            let before = ledger.get(slot.key).or(before.get(slot.key)).copied();
            let facts = self.visit(&ground, slot, before, work);
            ledger.put(slot.key, facts);
        }
        self.fill(&ground, &ledger, work);
        if !self.give_up(&ground, &ledger, work) {
            let untouched = work.budget.left() == room;
            self.update(&ground, &ledger, untouched, work);
        }
        if ledger.has_earlier_runs {
            ledger.has_earlier_runs = self.go_on_with_earlier_runs(&ground, work);
        }
        self.ledgers.insert(id, ledger);
    }

    /// Settles the runs of a job that go on beside the present one. Whether there are any.
    fn go_on_with_earlier_runs(&mut self, present: &Ground<'_>, work: &mut Work<'_>) -> bool {
        let runs = schedule::open_earlier_runs(present);
        for (run, mode) in &runs {
            let ground = present.of_run(*run, *mode);
            let mut ledger = Ledger::default();
            for slot in Slot::read_all(&ground) {
                let facts = self.visit(&ground, &slot, None, work);
                ledger.put(slot.key, facts);
            }
            self.fill(&ground, &ledger, work);
            let over = schedule::is_over(&ground, &ledger);
            for step in schedule::close(&ground).filter(|_| over) {
                if work.budget.is_spent() {
                    self.mark_whole(ground.service.id);
                    break;
                }
                work.budget.push(step);
            }
        }
        !runs.is_empty()
    }

    /// The service is gone: its tasks follow.
    fn forget(&mut self, id: ServiceId, work: &mut Work<'_>) {
        for task in work.view.tasks().of_service(id) {
            if task.desired_state < TaskState::Remove {
                if work.budget.is_spent() {
                    self.dirty.insert(id, Dirty::All);
                    return;
                }
                work.budget.push(Step::unguarded(Action::Desire {
                    task: task.id,
                    state: TaskState::Remove,
                }));
            }
        }
    }

    /// Settles one slot and says how it stands.
    fn visit(
        &mut self,
        ground: &Ground<'_>,
        slot: &Slot<'_>,
        before: Option<Facts>,
        work: &mut Work<'_>,
    ) -> Option<Facts> {
        let service = ground.service.id;
        let place = (service, Some((ground.run, slot.key)));
        let want = mode::want(ground, slot.key);
        if want == Want::Keep
            && let Some(facts) = Facts::of_quiet(ground, slot)
        {
            self.alarms.set(place, None);
            debug_assert_eq!(facts, Facts::of(ground, slot, want, before.as_ref()));
            debug_assert!(settle(ground, slot, want, work.entropy).is_settled());
            return Some(facts);
        }
        let mut facts = Facts::of(ground, slot, want, before.as_ref());
        if work.budget.is_spent() {
            self.mark(service, slot.key);
            facts.defer();
            return slot.newest().map(|_| facts);
        }
        let settled = settle(ground, slot, want, work.entropy);
        self.alarms.set(place, settled.wake_at);
        if !settled.step.actions.is_empty() {
            facts.defer();
            work.budget.push(settled.step);
        } else if want == Want::Keep && !facts.held && mode::fills_at_sight(ground, slot.key) {
            work.fill(ground, slot);
        }
        slot.newest().map(|_| facts)
    }

    /// Fills numbered slots.
    fn fill(&mut self, ground: &Ground<'_>, ledger: &Ledger, work: &mut Work<'_>) {
        for key in mode::missing(ground, ledger) {
            if work.budget.is_spent() {
                return;
            }
            work.fill(ground, &Slot::read(ground, key));
            if work.budget.is_spent() {
                self.mark_whole(ground.service.id);
            }
        }
    }

    /// Gives up numbered slots that are too many, and what is left of empty ones. Whether there
    /// were any.
    fn give_up(&mut self, ground: &Ground<'_>, ledger: &Ledger, work: &mut Work<'_>) -> bool {
        let ServiceMode::Replicated { replicas } = ground.service.spec.mode else {
            return false;
        };
        let mut slots = mode::surplus(ground, ledger);
        if ledger.held() >= replicas {
            slots.extend(ledger.vacant());
        }
        for key in &slots {
            if work.budget.is_spent() {
                self.mark_whole(ground.service.id);
                break;
            }
            work.give_up(ground, &Slot::read(ground, *key));
        }
        !slots.is_empty()
    }

    /// Takes the update of the service further.
    /// `untouched` is whether none of its slots needs anything now.
    fn update(
        &mut self,
        ground: &Ground<'_>,
        ledger: &Ledger,
        untouched: bool,
        work: &mut Work<'_>,
    ) {
        let turn = if !ground.mode.is_job() {
            update::next(ground, ledger)
        } else if work.budget.is_spent() {
            // The tasks of a run are made before the next run begins.
            return self.mark_whole(ground.service.id);
        } else {
            update::next_of_job(ground, untouched && schedule::is_over(ground, ledger))
        };
        self.alarms.set((ground.service.id, None), turn.wake_at);
        if let Some(step) = turn.status {
            work.budget.push(step);
        }
        for key in turn.slots {
            if work.budget.is_spent() {
                return self.mark_whole(ground.service.id);
            }
            let slot = Slot::read(ground, key);
            let step = update::replace(ground, &slot, work.entropy);
            work.budget.push(step);
        }
    }
}

/// One call of `plan`.
struct Work<'a> {
    view: &'a State,
    now: Timestamp,
    entropy: &'a mut dyn Entropy,
    budget: Budget,
    grouped: Grouped<'a>,
}

impl Work<'_> {
    /// Puts a first task into an empty slot.
    fn fill(&mut self, ground: &Ground<'_>, slot: &Slot<'_>) {
        if slot.tasks().any(|t| ground.is_wanted(t)) {
            return;
        }
        let mut step = SlotStep::new(ground, slot, self.entropy);
        step.create(ground.service.spec_version);
        self.budget.push(step.finish());
    }

    /// Gives a slot up with all its records.
    fn give_up(&mut self, ground: &Ground<'_>, slot: &Slot<'_>) {
        let mut step = SlotStep::new(ground, slot, self.entropy);
        step.give_up();
        self.budget.push(step.finish());
    }
}

/// Whether a change of a task can change a decision. Tasks that come nearer to running cannot,
/// but for READY, from where on pull credentials no longer matter.
fn task_matters(diff: &Diff<Task>) -> bool {
    let (Some(old), Some(new)) = (&diff.old, &diff.new) else {
        return true;
    };
    let (was, is) = (old.status.state, new.status.state);
    let crossed = |state| was < state && is >= state;
    old.desired_state != new.desired_state
        || old.node_id != new.node_id
        || (was != is && is >= TaskState::Running)
        || crossed(TaskState::Ready)
        || crossed(TaskState::Assigned)
}

/// Whether a change of a node can change where tasks may be.
fn node_matters(diff: &Diff<Node>) -> bool {
    let (Some(old), Some(new)) = (&diff.old, &diff.new) else {
        return true;
    };
    let described = |n: &Node| {
        let d = n.description.as_ref();
        d.map(|d| {
            (
                d.hostname.clone(),
                d.platform.clone(),
                d.engine.labels.clone(),
            )
        })
    };
    old.status.state != new.status.state
        || old.status.addr != new.status.addr
        || old.spec != new.spec
        || old.role != new.role
        || described(old) != described(new)
}
