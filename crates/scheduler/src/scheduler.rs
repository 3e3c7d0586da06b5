//! The stage that gives tasks their nodes.
//!
//! It owns the indexes and works on a snapshot; it changes nothing but answers with a plan. What
//! it counts as taken follows only the changes it is shown: within one plan it counts its own
//! choices on top, and takes them back at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use store::{Action, Change, Diff, Guard, Plan, State, Step};
use types::ClusterOptions;
use types::task::message;
use types::{
    Entropy, GenericResource, Node, NodeId, Task, TaskId, TaskState, TaskStatus, Timestamp,
};

use crate::bonds::Bonds;
use crate::candidates::{Search, seed_of};
use crate::classes::{ClassId, Classes, Verdict};
use crate::failures::Failures;
use crate::filter::{self, Counts, Filter};
use crate::images;
use crate::index::{NodeIndex, Place, ServiceKey, occupied};
use crate::preempt::{Promise, Quest, ROOMS_PER_PLAN_MAX, WAITS};
use crate::queue::{GroupKey, Queue, Urgency};
use crate::regulars::Regulars;
use crate::requirements::{Load, Requirements, displaceable};

/// Steps of one plan. Enough that the cost of a log append vanishes in it, few enough that other
/// stages and users wait no more than some tens of milliseconds.
pub const STEPS_MAX: usize = 10_000;

/// Least time between two changed texts of why a task waits. Nodes that come and go would
/// otherwise have every waiting task rewritten each time.
pub const TEXT_INTERVAL: Duration = Duration::from_secs(2);

/// Gives tasks their nodes.
#[derive(Debug)]
pub struct Scheduler {
    index: NodeIndex,
    classes: Classes,
    regulars: Regulars,
    queue: Queue,
    failures: Failures,
    /// Classes in which groups wait because nothing fits.
    waiting: BTreeSet<ClassId>,
    /// Room that is on its way, by the task it is for.
    promises: BTreeMap<TaskId, Promise>,
    /// Whether urgent tasks displaced others when the last plan was made.
    preempts: bool,
    /// The group tried last: the next plan goes on behind it, so that no group starves others.
    cursor: Option<GroupKey>,
}

/// One plan being made.
struct Run<'a> {
    view: &'a State,
    now: Timestamp,
    plan: Plan,
    /// Steps the plan may still take.
    budget: usize,
    /// Something was left because the plan is full.
    full: bool,
    /// What the plan places, to be taken back from the accounts.
    placed: Vec<(Place, ServiceKey, Load)>,
    /// Classes of which no node has room, and why.
    exhausted: BTreeMap<ClassId, Arc<str>>,
    /// Classes whose groups are placed one task at a time.
    careful: BTreeSet<ClassId>,
    /// What the cluster is set to.
    options: ClusterOptions,
    /// Tasks that this plan displaces.
    displaced: BTreeSet<TaskId>,
    /// Tasks that room was looked for in this plan.
    quests: usize,
}

impl Scheduler {
    /// A scheduler that knows all of `view`: the ordinary path at the start of a leader.
    pub fn new(view: &State, now: Timestamp) -> Self {
        let mut scheduler = Self {
            index: NodeIndex::default(),
            classes: Classes::default(),
            regulars: Regulars::default(),
            queue: Queue::default(),
            failures: Failures::default(),
            waiting: BTreeSet::new(),
            promises: BTreeMap::new(),
            preempts: false,
            cursor: None,
        };
        for node in view.nodes().iter() {
            scheduler.index.set_node(node);
        }
        for task in view.tasks().iter() {
            scheduler.task_changed(None, Some(task));
        }
        scheduler.failures.expire(now);
        scheduler
    }

    /// Follows a change. Every change after the view given to [`Scheduler::new`] must be shown,
    /// in order, those of its own plans too.
    pub fn observe(&mut self, change: &Change) {
        match change {
            Change::Task(diff) => self.task_changed(diff.old.as_deref(), diff.new.as_deref()),
            Change::Node(diff) => self.node_changed(diff),
            Change::Service(diff) => {
                let id = diff.latest().id;
                for class in self.classes.service_changed(id, diff.new.as_deref()) {
                    self.regulars.forget(class);
                    let class = self.classes.get_mut(class);
                    let waiting = class.and_then(|c| c.waiting.as_ref());
                    let groups = waiting.iter().flat_map(|w| &w.groups);
                    groups.for_each(|key| self.queue.set_ready(*key));
                }
            }
            _ => {}
        }
    }

    /// What to do now: nodes for tasks that wait, an end for those not wanted any more, and a
    /// reason for those that fit nowhere. `view` is the state after the last change observed.
    ///
    /// At most [`STEPS_MAX`] steps; if there is more to do, the plan asks to be woken at once.
    /// Nothing is drawn from `entropy`: what the `random` strategy draws follows from task ids.
    pub fn plan(&mut self, view: &State, now: Timestamp, _entropy: &mut dyn Entropy) -> Plan {
        self.failures.expire(now);
        let mut run = Run {
            view,
            now,
            plan: Plan::default(),
            budget: STEPS_MAX,
            full: false,
            placed: Vec::new(),
            exhausted: BTreeMap::new(),
            careful: BTreeSet::new(),
            options: view.cluster().map(|c| c.spec.options).unwrap_or_default(),
            displaced: BTreeSet::new(),
            quests: 0,
        };
        self.set_promises_aside(&mut run);
        self.wake(&mut run);
        self.end_unwanted(&mut run);
        self.place_careful(&mut run);
        self.check_made_for(&mut run);
        self.place_groups(&mut run);
        for (place, service, load) in &run.placed {
            self.index.discharge(*place, *service, load);
        }
        for promise in self.promises.values() {
            self.index.take_back(promise.place, &promise.load);
        }
        if run.full {
            run.plan.wake(now);
        }
        run.plan
    }

    #[cfg(test)]
    pub(crate) fn index(&mut self) -> &NodeIndex {
        &self.index
    }

    #[cfg(test)]
    pub(crate) fn assert_rankings_are_right(&mut self) {
        for class in self.classes.iter_mut() {
            class.assert_ranking_is_right(&mut self.index);
        }
    }

    #[cfg(test)]
    pub(crate) fn waiting_tasks(&self) -> BTreeSet<TaskId> {
        self.queue.tasks()
    }

    fn task_changed(&mut self, old: Option<&Task>, new: Option<&Task>) {
        if !takes_alike(old, new) {
            if let Some(old) = old {
                self.index.remove_task(old);
            }
            if let Some(new) = new {
                self.index.add_task(new);
            }
        }
        self.failures.follow(old, new);
        self.queue.follow(old, new, &mut self.classes);
    }

    fn node_changed(&mut self, diff: &Diff<Node>) {
        let place = match &diff.new {
            Some(node) => Some(self.index.set_node(node)),
            None => {
                // Another node may take its place in the index before the next plan.
                self.queue.set_unchecked(diff.latest().id);
                self.index.remove_node(diff.latest().id)
            }
        };
        if let Some(place) = place {
            self.classes.node_changed(place, self.index.entry(place));
        }
    }

    /// Has those tried again for which a changed node may have made a difference.
    fn wake(&mut self, run: &mut Run) {
        let dirty = self.index.take_dirty();
        for place in &dirty {
            self.queue.set_unchecked(self.index.entry(*place).id);
        }
        for id in self.waiting.clone() {
            if !self.wake_class(id, &dirty, run) {
                self.waiting.remove(&id);
            }
        }
    }

    /// The same for one class. Returns whether any of its groups waits.
    fn wake_class(&mut self, id: ClassId, dirty: &[Place], run: &mut Run) -> bool {
        let Some(class) = self.classes.get_mut(id) else {
            return false;
        };
        let Some(mut waiting) = class.waiting.take().filter(|w| !w.groups.is_empty()) else {
            return false;
        };
        let mut room = Vec::new();
        for place in dirty {
            let verdict = class.verdict(*place, &self.index, run.view);
            waiting.stale |= waiting.note(*place, verdict);
            if verdict == Verdict::Fits {
                room.push(*place);
            }
        }
        let text_at = waiting.told_at.plus(TEXT_INTERVAL);
        let retell = waiting.stale && text_at <= run.now;
        if waiting.stale && !retell {
            run.plan.wake(text_at);
        }
        let most = class.asked.max_replicas;
        let may_preempt = |key: &GroupKey| {
            let urgent = run.options.preemption && key.urgency.0 > 0;
            urgent && dirty.iter().any(|place| class.fits(*place))
        };
        for key in &waiting.groups {
            let below = |place: &Place| {
                most == 0 || u64::from(self.index.service_tasks(key.service, *place)) < most
            };
            if retell || room.iter().any(below) || may_preempt(key) {
                self.queue.set_ready(*key);
            }
        }
        waiting.stale &= !retell;
        class.waiting = Some(waiting);
        true
    }

    /// Tasks that were given up before they had a node end here.
    fn end_unwanted(&mut self, run: &mut Run) {
        for id in self.queue.unwanted() {
            let Some(task) = run.pending(id) else {
                continue;
            };
            if !run.take() {
                return;
            }
            let status = TaskStatus {
                timestamp: run.now,
                state: TaskState::Shutdown,
                message: message("shutdown"),
                ..TaskStatus::default()
            };
            run.report(task, status);
        }
    }

    /// Checks tasks that were made for a node (those of global services) on that node alone.
    fn check_made_for(&mut self, run: &mut Run) {
        let nodes: Vec<NodeId> = self.queue.unchecked().take(run.budget + 1).collect();
        for node in nodes {
            if run.budget == 0 {
                run.full = true;
                return;
            }
            let tasks: Vec<TaskId> = self.queue.made_for(node).collect();
            let mut settled = true;
            for id in tasks {
                if let Some(task) = run.pending(id) {
                    settled &= self.check_one(task, node, run);
                }
            }
            if settled {
                self.queue.set_checked(node);
            }
        }
    }

    /// Places a task on the node it was made for, or says why not. Returns whether all is said
    /// until the node changes.
    fn check_one(&mut self, task: &Arc<Task>, node_id: NodeId, run: &mut Run) -> bool {
        let place = self.index.place(node_id);
        let entry = place.map(|p| self.index.entry(p));
        let Some((place, node, account)) = place
            .zip(entry)
            .and_then(|(place, entry)| Some((place, entry.node.as_ref()?, &entry.account)))
        else {
            return run.tell(
                task,
                &format!("no suitable node (node {node_id} does not exist)"),
            );
        };
        let asked = Requirements::of(task);
        let constraints = filter::read_constraints(&asked);
        let mut bonds = Bonds::of(constraints.affinities.as_ref());
        if bonds.is_careful() && !run.placed.is_empty() {
            run.full = true;
            return false;
        }
        bonds.learn(run.view);
        let here = u64::from(self.index.service_tasks(task.service_id, place));
        let bound = || !bonds.hold(&self.index, run.view, place);
        let failed = filter::check_node(&asked, &constraints, node)
            .or_else(|| bound().then_some(Filter::Affinity))
            .or_else(|| filter::check_room(&asked, node, account))
            .or_else(|| {
                let reached = asked.max_replicas > 0 && here >= asked.max_replicas;
                reached.then_some(Filter::MaxReplicas)
            });
        if let Some(failed) = failed {
            let mut counts = Counts::default();
            counts.add(failed, 1);
            return run.tell(task, &counts.text());
        }
        if !run.take() {
            return false;
        }
        let load = Load {
            nano_cpus: asked.nano_cpus,
            memory_bytes: asked.memory_bytes,
            generic: account.claim(&asked, node),
            ports: asked.ports,
            active: true,
            promised: false,
            displaceable: displaceable(task),
        };
        run.assign(task, node, load.generic.clone());
        self.index.charge(place, task.service_id, &load);
        run.placed.push((place, task.service_id, load));
        false
    }

    /// Groups for which single tasks on a node decide: one task, before anything else is placed,
    /// because only what the state holds is seen of single tasks.
    fn place_careful(&mut self, run: &mut Run) {
        let careful = self.classes.careful();
        if careful.is_empty() {
            return;
        }
        if let Some(key) = self.queue.first_of(&careful) {
            self.place_group(key, 1, run);
            run.full |= self.queue.first_of(&careful).is_some();
        }
        run.careful = careful;
    }

    /// All groups, the most urgent first.
    fn place_groups(&mut self, run: &mut Run) {
        let mut urgency = self.queue.next_urgency(None);
        while let Some(level) = urgency {
            if !self.place_level(level, run) {
                run.full = true;
                return;
            }
            urgency = self.queue.next_urgency(Some(level));
        }
        self.cursor = None;
    }

    /// Groups of one urgency, beginning behind the one tried last. Returns whether each was tried.
    fn place_level(&mut self, level: Urgency, run: &mut Run) -> bool {
        let start = self.cursor.filter(|key| key.urgency == level);
        self.cursor = start;
        let mut wrapped = start.is_none();
        loop {
            let next = self.queue.next_ready(level, self.cursor);
            let Some(key) = next.filter(|key| !wrapped || start.is_none_or(|s| *key <= s)) else {
                if wrapped {
                    return true;
                }
                wrapped = true;
                self.cursor = None;
                continue;
            };
            if run.budget == 0 {
                return false;
            }
            self.cursor = Some(key);
            if !run.careful.contains(&key.class) {
                self.place_group(key, run.budget, run);
            }
        }
    }

    /// Places at most `most` tasks of a group.
    fn place_group(&mut self, key: GroupKey, most: usize, run: &mut Run) {
        let Some(group) = self.queue.group(key) else {
            return;
        };
        let tasks: Vec<TaskId> = group.tasks.iter().copied().take(most).collect();
        let more = group.tasks.len() > tasks.len();
        let promised = self.take_promises(&tasks);
        let done = self.place_tasks(key, &tasks, run);
        self.keep_promises(key, &tasks[done..], promised, run);
        if done == tasks.len() {
            run.full |= more;
            return;
        }
        if self.make_room(key, &tasks[done..], run) {
            self.defer(key, done, run);
        }
    }

    /// Sets aside what is promised, and forgets promises that are of no use any more.
    fn set_promises_aside(&mut self, run: &mut Run) {
        let preempts = run.options.preemption;
        if preempts && !self.preempts {
            // Whoever waits may find room now that it may be made.
            for id in &self.waiting {
                let class = self.classes.get_mut(*id);
                let waiting = class.and_then(|c| c.waiting.as_ref());
                let groups = waiting.iter().flat_map(|w| &w.groups);
                groups.for_each(|key| self.queue.set_ready(*key));
            }
        }
        self.preempts = preempts;
        let index = &mut self.index;
        self.promises.retain(|id, promise| {
            let entry = index.entry(promise.place);
            let there = entry.id == promise.node && entry.node.is_some();
            let waits = run.pending(*id).is_some_and(|t| t.node_id.is_none());
            let holds = preempts && there && waits;
            if there && !holds {
                index.reopen(promise.place);
            }
            holds
        });
        for promise in self.promises.values() {
            self.index.set_aside(promise.place, &promise.load);
            if promise.is_broken(run.view) {
                self.queue.set_ready(promise.group);
            }
        }
    }

    /// Takes back what is promised to some tasks: they are about to be tried again.
    fn take_promises(&mut self, tasks: &[TaskId]) -> BTreeMap<TaskId, Promise> {
        let mut taken = BTreeMap::new();
        if self.promises.is_empty() {
            return taken;
        }
        for id in tasks {
            if let Some(promise) = self.promises.remove(id) {
                self.index.take_back(promise.place, &promise.load);
                taken.insert(*id, promise);
            }
        }
        taken
    }

    /// Promises again what is still to come to tasks that still wait. What is not needed or will
    /// not come is for all others again.
    fn keep_promises(
        &mut self,
        key: GroupKey,
        tasks: &[TaskId],
        promised: BTreeMap<TaskId, Promise>,
        run: &mut Run,
    ) {
        for (id, promise) in promised {
            let account = &self.index.entry(promise.place).account;
            let class = self.classes.get_mut(key.class);
            let holds = class.is_some_and(|c| c.fits(promise.place))
                && account.leaving().tasks > 0
                && !promise.is_broken(run.view);
            let waits = tasks.binary_search(&id).is_ok();
            if holds && waits {
                self.promise(id, promise);
            } else {
                self.index.reopen(promise.place);
                run.full |= waits;
            }
        }
    }

    fn promise(&mut self, task: TaskId, promise: Promise) {
        self.index.set_aside(promise.place, &promise.load);
        self.promises.insert(task, promise);
    }

    /// Has tasks of lower priority end for urgent ones that fit nowhere, as many as it helps.
    /// Returns whether no more can be done for them now.
    fn make_room(&mut self, key: GroupKey, tasks: &[TaskId], run: &mut Run) -> bool {
        if !run.options.preemption || key.urgency.0 == 0 || key.service.is_none() {
            return true;
        }
        for id in tasks {
            if self.promises.contains_key(id) {
                continue;
            }
            let Some(task) = run.pending(*id) else {
                continue;
            };
            if run.quests == ROOMS_PER_PLAN_MAX || run.budget == 0 {
                run.full = true;
                return false;
            }
            run.quests += 1;
            let Some(promise) = self.quest(key, run) else {
                return true;
            };
            if let Some(step) = promise.step(run.view, task, run.now) {
                run.budget -= 1;
                run.displaced.extend(&promise.victims);
                run.plan.push(step);
            }
            self.promise(*id, promise);
        }
        true
    }

    fn quest(&mut self, key: GroupKey, run: &Run) -> Option<Promise> {
        let quest = Quest {
            view: run.view,
            class: self.classes.known(key.class, &self.index, run.view)?,
            index: &self.index,
            group: key,
            failed: self.failures.of(key.spec()),
            leaving: &run.displaced,
        };
        quest.room()
    }

    /// Places tasks of a group in order, as many as fit. Returns how many that are.
    fn place_tasks(&mut self, key: GroupKey, tasks: &[TaskId], run: &mut Run) -> usize {
        if run.exhausted.contains_key(&key.class) {
            return 0;
        }
        let Some(class) = self.classes.known(key.class, &self.index, run.view) else {
            return 0;
        };
        let mut search = Search {
            view: run.view,
            key,
            failed: self.failures.of(key.spec()),
            strategy: class.asked.strategy.unwrap_or(run.options.strategy),
            class,
            regulars: &mut self.regulars,
            seed: seed_of(tasks.first()),
            holders: holders(key, tasks.first(), &self.index, run.view),
        };
        let mut tree = search.tree(&mut self.index, tasks.len());
        for (done, id) in tasks.iter().enumerate() {
            let Some(task) = run.pending(*id) else {
                continue;
            };
            let mut taken = None;
            let found = tree.next(&mut |candidate| {
                let (rank, load) = search.place(&mut self.index, candidate)?;
                taken = Some(load);
                Some(rank)
            });
            let (Some(place), Some(load)) = (found, taken) else {
                return done;
            };
            if let Some(node) = &self.index.entry(place).node {
                run.assign(task, node, load.generic.clone());
            }
            run.budget -= 1;
            run.placed.push((place, key.service, load));
        }
        tasks.len()
    }

    /// The tasks of a group after the first `done` fit nowhere: they are told why, and wait.
    fn defer(&mut self, key: GroupKey, done: usize, run: &mut Run) {
        let text = self.reason(key, run);
        let Some(group) = self.queue.group_mut(key) else {
            return;
        };
        if group.told.as_ref() != Some(&text) {
            let promises = &self.promises;
            let mut alike = done == 0;
            for id in group.tasks.iter().skip(done) {
                let promised = promises.contains_key(id);
                alike &= !promised;
                let text = if promised { WAITS } else { &text };
                if run.pending(*id).is_some_and(|task| !run.tell(task, text)) {
                    return;
                }
            }
            group.told = alike.then_some(text);
        }
        self.queue.set_waiting(key);
    }

    /// Why a group fits nowhere; it is counted among those that wait.
    fn reason(&mut self, key: GroupKey, run: &mut Run) -> Arc<str> {
        let Some(class) = self.classes.known(key.class, &self.index, run.view) else {
            return Arc::from("");
        };
        if let Some(text) = run.exhausted.get(&key.class) {
            class.waiting.get_or_insert_default().groups.insert(key);
            return text.clone();
        }
        let verdicts = class.verdicts(&self.index, run.view);
        let waiting = class.waiting.get_or_insert_default();
        waiting.groups.insert(key);
        waiting.verdicts = verdicts;
        waiting.told_at = run.now;
        waiting.stale = false;
        let text: Arc<str> = waiting.counts().text().into();
        // With a maximum per node it depends on the service whether a node has room.
        if class.asked.max_replicas == 0 {
            run.exhausted.insert(key.class, text.clone());
        }
        self.waiting.insert(key.class);
        text
    }
}

impl<'a> Run<'a> {
    /// A task that still waits.
    fn pending(&self, id: TaskId) -> Option<&'a Arc<Task>> {
        let task = self.view.tasks().get(id)?;
        (task.status.state == TaskState::Pending).then_some(task)
    }

    /// Takes one step of the budget, if there is one left.
    fn take(&mut self) -> bool {
        if self.budget == 0 {
            self.full = true;
            return false;
        }
        self.budget -= 1;
        true
    }

    fn assign(&mut self, task: &Task, node: &Node, generic: Vec<GenericResource>) {
        self.plan.push(Step {
            guards: [Guard::task(task), Guard::node(node)].into(),
            actions: [Action::Assign {
                task: task.id,
                node: node.id,
                generic,
                volumes: Vec::new(),
            }]
            .into(),
        });
    }

    /// Writes why a task waits, unless its status says so already. Returns whether it is said.
    fn tell(&mut self, task: &Task, text: &str) -> bool {
        if *task.status.err == *text {
            return true;
        }
        if !self.take() {
            return false;
        }
        let status = TaskStatus {
            timestamp: self.now,
            err: text.into(),
            ..task.status.clone()
        };
        self.report(task, status);
        true
    }

    fn report(&mut self, task: &Task, status: TaskStatus) {
        let action = Action::Report {
            task: task.id,
            status: Box::new(status),
        };
        self.plan.push(Step::guarded(Guard::task(task), action));
    }
}

/// Nodes that hold the image of a service's tasks; `None` if no node says so, or for tasks without
/// a service, which are equal in all but what they run.
fn holders(
    key: GroupKey,
    first: Option<&TaskId>,
    index: &NodeIndex,
    view: &State,
) -> Option<Arc<BTreeSet<Place>>> {
    key.service?;
    let task = view.tasks().get(*first?)?;
    let image = images::normal(&task.spec().container()?.image)?;
    index.holders(&image).cloned()
}

/// Whether two versions of a task take the same on the same node.
fn takes_alike(old: Option<&Task>, new: Option<&Task>) -> bool {
    let node = |task: Option<&Task>| task.and_then(occupied);
    if node(old).is_none() && node(new).is_none() {
        return true;
    }
    let (Some(old), Some(new)) = (old, new) else {
        return false;
    };
    let wanted = |task: &Task| task.desired_state <= TaskState::Complete;
    occupied(old) == occupied(new)
        && wanted(old) == wanted(new)
        && Arc::ptr_eq(&old.service_spec, &new.service_spec)
        && old.endpoint == new.endpoint
        && old.assigned_generic_resources == new.assigned_generic_resources
}
