//! Which tasks would be better placed elsewhere by now: the moves that level services over nodes
//! that joined, came back or got room later.
//!
//! A pure function of a state with the scheduler's own filters and ranking: a task moves only to
//! the node where the scheduler would put it were it placed today, and only if that node then
//! ranks lower than its present one would. Each move lowers the sum of the squared counts of its
//! service (per branch of the preferences, then per node), or leaves those and lowers that of all
//! tasks; so the moves end, and planning on their result proposes none.
//!
//! It decides neither when moves are carried out nor how many at a time, and it changes nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use store::State;
use types::options::Strategy;
use types::service::UpdateState;
use types::{Node, NodeId, Service, ServiceId, ServiceMode, Task, TaskId, TaskState, Timestamp};

use crate::account::Account;
use crate::affinity;
use crate::failures::{Failures, penalty};
use crate::filter;
use crate::index::occupied;
use crate::requirements::{Load, Requirements};
use crate::spread::path;

/// What to look at.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The services to level; `None` is all.
    pub services: Option<BTreeSet<ServiceId>>,
    /// Whether tasks also move to level the nodes as a whole where their service is level.
    pub overall: bool,
    /// Most moves.
    pub moves_max: usize,
}

/// A task that would be better placed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The task that goes.
    pub task: TaskId,
    /// Its service.
    pub service: ServiceId,
    /// Its slot.
    pub slot: u64,
    /// Where it runs.
    pub from: NodeId,
    /// Where its replacement would go as things stand.
    pub to: NodeId,
    /// What it levels.
    pub cause: Cause,
}

impl Move {
    /// Why, for people: `node-3 runs 9 of 12 tasks of web, node-5, joined 2m ago, runs none`.
    pub fn reason(&self, view: &State, now: Timestamp) -> String {
        let name = |id: NodeId| match view.nodes().get(id) {
            Some(node) if !node.hostname().is_empty() => node.hostname().to_owned(),
            _ => id.to_string(),
        };
        let service = view.services().get(self.service);
        let service = service.map_or("its service", |s| &s.spec.annotations.name);
        let joined = view.nodes().get(self.to).map(|n| n.meta.created_at);
        let joined = joined.and_then(|at| recent(now.since(at)));
        let joined = joined.map_or_else(String::new, |ago| format!(", joined {ago} ago,"));
        let (from, to) = (name(self.from), name(self.to));
        match &self.cause {
            Cause::Service {
                from: n,
                to: m,
                all,
            } => {
                let m = none_or(*m);
                format!("{from} runs {n} of {all} tasks of {service}, {to}{joined} runs {m}")
            }
            Cause::Wishes { from: n, to: m } => format!(
                "{n} soft expressions of {service} do not hold on {from}, {m} on {to}{joined}"
            ),
            Cause::Nodes { from: n, to: m } => {
                let m = none_or(*m);
                format!("{from} runs {n} tasks in all, {to}{joined} runs {m}")
            }
            Cause::Branch {
                from: (old, n),
                to: (new, m),
            } => {
                let m = none_or(*m);
                format!(
                    "{n} tasks of {service} are spread to {old:?} (as {from}), \
                     {m} to {new:?} (as {to}{joined})"
                )
            }
        }
    }
}

fn none_or(count: u64) -> String {
    match count {
        0 => "none".to_owned(),
        n => n.to_string(),
    }
}

/// A span under a day in its largest unit; older nodes are not worth a word.
fn recent(span: Duration) -> Option<String> {
    match span.as_secs() {
        s @ 0..60 => Some(format!("{s}s")),
        s @ 60..3_600 => Some(format!("{}m", s / 60)),
        s @ 3_600..86_400 => Some(format!("{}h", s / 3_600)),
        _ => None,
    }
}

/// What a move levels, with the counts before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A preference to spread over the values of a label.
    Branch {
        /// Value on the node it leaves, and tasks of the service on nodes with it.
        from: (String, u64),
        /// The same of the node it goes to.
        to: (String, u64),
    },
    /// Wishes of the service that do not hold on the two nodes.
    Wishes {
        /// On the node it leaves.
        from: u64,
        /// On the node it goes to.
        to: u64,
    },
    /// Tasks of the service on the two nodes, and how many there are in all.
    Service {
        /// On the node it leaves.
        from: u64,
        /// On the node it goes to.
        to: u64,
        /// On all nodes.
        all: u64,
    },
    /// All tasks on the two nodes.
    Nodes {
        /// On the node it leaves.
        from: u64,
        /// On the node it goes to.
        to: u64,
    },
}

/// Why a service is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// It has one task per node, or runs to an end.
    Mode,
    /// It is not spread.
    Strategy(Strategy),
    /// An update is under way or waits for the user.
    Update,
    /// It asks for or shuns what runs on a node, or another service does so with it: what one move
    /// does to the others is not foreseen.
    Affinity,
}

/// All that would be better elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Moves, in the order in which they are made.
    pub moves: Vec<Move>,
    /// Services in scope that are left as they are.
    pub skipped: Vec<(ServiceId, Skip)>,
    /// Whether more would move if more were asked for.
    pub more: bool,
}

/// Plans moves within a scope, as far as the records of tasks tell where they keep failing.
pub fn plan(view: &State, scope: &Scope, now: Timestamp) -> Outlook {
    plan_knowing(view, scope, &Failures::new(view, now))
}

/// The same for whoever remembers failures as the scheduler does. Those of deleted records count
/// too: the scheduler would not put a task there, and so a move would end where it began, and be
/// made again and again.
pub fn plan_knowing(view: &State, scope: &Scope, failures: &Failures) -> Outlook {
    let mut outlook = Outlook::default();
    let mut services = Vec::new();
    let in_scope = |s: &Service| {
        scope
            .services
            .as_ref()
            .is_none_or(|all| all.contains(&s.id))
    };
    let bonded = bonded(view);
    for service in view.services().iter().filter(|s| in_scope(s)) {
        let bond = bonded.contains(&service.id).then_some(Skip::Affinity);
        match skip(view, service).or(bond) {
            Some(skip) => outlook.skipped.push((service.id, skip)),
            None => services.push(service),
        }
    }
    if services.is_empty() {
        return outlook;
    }
    let mut floor = Floor::new(view, failures);
    services.iter().for_each(|s| floor.settle(s));
    let mut moves = Moves::default();
    outlook.more = floor.level_all(&services, scope, &mut moves);
    moves.list.retain(|m| m.from != m.to);
    outlook.moves = moves.list;
    outlook
}

fn skip(view: &State, service: &Service) -> Option<Skip> {
    let ServiceMode::Replicated { .. } = service.spec.mode else {
        return Some(Skip::Mode);
    };
    let of_cluster = || view.cluster().map(|c| c.spec.options.strategy);
    let own = service.spec.options.strategy;
    let strategy = own.or_else(of_cluster).unwrap_or_default();
    if strategy != Strategy::Spread {
        return Some(Skip::Strategy(strategy));
    }
    let state = service.update_status.as_ref().map(|u| u.state);
    match state.unwrap_or_default() {
        UpdateState::Unknown | UpdateState::Completed | UpdateState::RollbackCompleted => None,
        _ => Some(Skip::Update),
    }
}

/// Services with affinities to what runs on a node, and those that such affinities name.
fn bonded(view: &State) -> BTreeSet<ServiceId> {
    let mut bonded = BTreeSet::new();
    for service in view.services().iter() {
        let own = service.spec.options.affinities.iter();
        let own = own.filter_map(|text| affinity::parse(text).ok());
        for affinity in own.filter(|a| !a.is_static()) {
            bonded.insert(service.id);
            bonded.extend(affinity.services(view));
            if affinity.asks_for_tasks() {
                let named = view.tasks().iter().filter(|t| affinity.names_task(t));
                bonded.extend(named.filter_map(|t| t.service_id));
            }
        }
    }
    bonded
}

/// Position of a node among all.
type At = usize;

/// All nodes with what their tasks take, as it will be once all is settled.
struct Floor<'a> {
    view: &'a State,
    failures: &'a Failures,
    nodes: Vec<(&'a Arc<Node>, Account)>,
    places: BTreeMap<NodeId, At>,
    /// Tasks of each service on each node.
    here: BTreeMap<ServiceId, BTreeMap<At, u64>>,
    /// Tasks that were moved: where they are now, and what they take there.
    moved: BTreeMap<TaskId, (At, Load)>,
}

/// The tasks of one service that ask for the same, and where they could be.
struct Crowd<'a> {
    service: ServiceId,
    asked: Requirements,
    /// Nodes that pass the rules about the node itself and where the spec does not keep failing.
    fitting: Vec<At>,
    /// The branch of each node.
    paths: Vec<Vec<String>>,
    /// Soft expressions that do not hold on each node.
    misses: Vec<u64>,
    /// Tasks that may move, by node.
    movable: BTreeMap<At, Vec<&'a Arc<Task>>>,
    /// Tasks that wait for a node.
    waiting: Vec<&'a Arc<Task>>,
}

/// How deep two nodes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// By branches and by tasks of the service.
    Service,
    /// Then by all tasks.
    Nodes,
}

/// A move under consideration.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// The first level at which the two nodes differ; branches come first.
    level: usize,
    /// By how much the node it goes to is lower there.
    gain: Reverse<u64>,
    from: At,
    to: At,
}

/// The moves so far; of a task that is moved again, the first reason and the last node.
#[derive(Default)]
struct Moves {
    list: Vec<Move>,
    places: BTreeMap<TaskId, usize>,
    made: usize,
}

/// Tasks of a service in each branch, by the path to it.
type Branches<'c> = BTreeMap<&'c [String], u64>;

// === impl Moves ===

impl Moves {
    fn add(&mut self, done: Move) {
        self.made += 1;
        match self.places.get(&done.task) {
            Some(at) => self.list[*at].to = done.to,
            None => {
                self.places.insert(done.task, self.list.len());
                self.list.push(done);
            }
        }
    }
}

// === impl Floor ===

impl<'a> Floor<'a> {
    fn new(view: &'a State, failures: &'a Failures) -> Self {
        let nodes = view.nodes().iter().map(|n| (n, Account::default()));
        let mut nodes: Vec<(&Arc<Node>, Account)> = nodes.collect();
        let ids = nodes.iter().enumerate();
        let places: BTreeMap<NodeId, At> = ids.map(|(at, (n, _))| (n.id, at)).collect();
        for task in view.tasks().iter() {
            if let Some(at) = occupied(task).and_then(|id| places.get(&id)) {
                nodes[*at].1.add(&Load::of(task));
            }
        }
        Self {
            view,
            failures,
            nodes,
            places,
            here: BTreeMap::new(),
            moved: BTreeMap::new(),
        }
    }

    fn total(&self, at: At) -> u64 {
        u64::from(self.nodes[at].1.active)
    }

    fn here(&self, service: ServiceId, at: At) -> u64 {
        let counts = self.here.get(&service);
        counts.and_then(|c| c.get(&at)).copied().unwrap_or(0)
    }

    /// The runnable tasks of a service by slot, oldest first.
    fn slots(&self, service: ServiceId) -> BTreeMap<u64, Vec<&'a Arc<Task>>> {
        let mut slots: BTreeMap<u64, Vec<&Arc<Task>>> = BTreeMap::new();
        let tasks = self.view.tasks().of_service(service);
        for task in tasks.filter(|t| t.is_runnable()) {
            slots.entry(task.slot).or_default().push(task);
        }
        let sort = |tasks: &mut Vec<&Arc<Task>>| tasks.sort_by_key(|t| (t.meta.created_at, t.id));
        slots.values_mut().for_each(sort);
        slots
    }

    /// Counts the tasks of a service as they will be: what is about to be taken over counts no
    /// more, what waits for a node counts where the scheduler is about to put it.
    fn settle(&mut self, service: &'a Arc<Service>) {
        let mut here: BTreeMap<At, u64> = BTreeMap::new();
        for tasks in self.slots(service.id).values() {
            let Some((newest, leaving)) = tasks.split_last() else {
                continue;
            };
            for old in leaving {
                self.retire(old);
            }
            if let Some(at) = occupied(newest).and_then(|n| self.places.get(&n)) {
                *here.entry(*at).or_default() += 1;
            }
        }
        self.here.insert(service.id, here);
        for mut crowd in self.crowds(service) {
            for task in std::mem::take(&mut crowd.waiting) {
                if let Some(at) = crowd.best_place(self) {
                    self.charge(&crowd, task, at);
                }
            }
        }
    }

    /// A task counts no more, but takes what it takes until it has ended.
    fn retire(&mut self, task: &Task) {
        let load = Load::of(task);
        let at = occupied(task).and_then(|n| self.places.get(&n)).copied();
        if let Some(at) = at.filter(|_| load.active) {
            let account = &mut self.nodes[at].1;
            account.remove(&load);
            account.add(&Load {
                active: false,
                ..load
            });
        }
    }

    /// The crowds of a service: one for each spec version that has tasks.
    fn crowds(&self, service: &'a Arc<Service>) -> Vec<Crowd<'a>> {
        let mut versions: BTreeMap<Option<u64>, Vec<&Arc<Task>>> = BTreeMap::new();
        for tasks in self.slots(service.id).into_values() {
            // A slot in which one task takes over from another is left alone.
            if let Some(newest) = tasks
                .last()
                .filter(|t| tasks.len() == 1 || t.node_id.is_none())
            {
                versions
                    .entry(newest.spec_version)
                    .or_default()
                    .push(newest);
            }
        }
        let crowds = versions.into_iter().filter_map(|(version, tasks)| {
            let failed = self.failures.of((Some(service.id), version));
            Some(Crowd::new(
                service.id,
                Requirements::of(tasks.first()?),
                tasks,
                failed,
                self,
            ))
        });
        crowds.collect()
    }

    /// Levels services in turn until none moves any more: a move of one may make room for another.
    fn level_all(
        &mut self,
        services: &[&'a Arc<Service>],
        scope: &Scope,
        moves: &mut Moves,
    ) -> bool {
        loop {
            let before = moves.made;
            for depth in [Depth::Service, Depth::Nodes] {
                let asked = depth == Depth::Service || scope.overall;
                for service in services.iter().filter(|_| asked) {
                    if self.level(service, depth, scope.moves_max, moves) {
                        return true;
                    }
                }
            }
            if moves.made == before {
                return false;
            }
        }
    }

    /// Makes the moves of one service until it is level. Whether more would follow than may be
    /// made.
    fn level(
        &mut self,
        service: &'a Arc<Service>,
        depth: Depth,
        moves_max: usize,
        moves: &mut Moves,
    ) -> bool {
        for mut crowd in self.crowds(service) {
            while let Some(found) = crowd.best_move(depth, self) {
                if moves.list.len() >= moves_max {
                    return true;
                }
                if let Some(done) = self.carry_out(&mut crowd, found) {
                    moves.add(done);
                }
            }
        }
        false
    }

    fn carry_out(&mut self, crowd: &mut Crowd<'a>, found: Found) -> Option<Move> {
        let cause = crowd.cause(found, self);
        let tasks = crowd.movable.get_mut(&found.from)?;
        let task = tasks.pop()?;
        if tasks.is_empty() {
            crowd.movable.remove(&found.from);
        }
        crowd.movable.entry(found.to).or_default().push(task);
        let known = self.moved.remove(&task.id);
        let load = known.map_or_else(|| Load::of(task), |(_, load)| load);
        self.nodes[found.from].1.remove(&load);
        let here = self.here.entry(crowd.service).or_default();
        *here.entry(found.from).or_default() -= 1;
        let load = self.charge(crowd, task, found.to);
        self.moved.insert(task.id, (found.to, load));
        Some(Move {
            task: task.id,
            service: crowd.service,
            slot: task.slot,
            from: self.nodes[found.from].0.id,
            to: self.nodes[found.to].0.id,
            cause,
        })
    }

    fn charge(&mut self, crowd: &Crowd<'_>, task: &Task, at: At) -> Load {
        let (node, account) = &mut self.nodes[at];
        let load = Load {
            generic: account.claim(&crowd.asked, node),
            active: true,
            ..Load::of(task)
        };
        account.add(&load);
        let here = self.here.entry(crowd.service).or_default();
        *here.entry(at).or_default() += 1;
        load
    }
}

// === impl Crowd ===

impl<'a> Crowd<'a> {
    fn new(
        service: ServiceId,
        asked: Requirements,
        tasks: Vec<&'a Arc<Task>>,
        failed: Option<&BTreeMap<NodeId, u32>>,
        floor: &Floor<'_>,
    ) -> Self {
        let constraints = filter::read_constraints(&asked);
        let fits = |node: &Node| {
            let failed = penalty(failed, node.id);
            failed == 0 && filter::check_node(&asked, &constraints, node).is_none()
        };
        let nodes = || floor.nodes.iter().enumerate();
        let misses = nodes().map(|(_, (n, _))| u64::from(constraints.misses(n)));
        let fitting = nodes().filter(|(_, (n, _))| fits(n)).map(|(at, _)| at);
        let mut crowd = Self {
            service,
            fitting: fitting.collect(),
            paths: nodes().map(|(_, (n, _))| path(&asked.spread, n)).collect(),
            misses: misses.collect(),
            asked,
            movable: BTreeMap::new(),
            waiting: Vec::new(),
        };
        tasks.into_iter().for_each(|t| crowd.take_in(t, floor));
        crowd
    }

    fn take_in(&mut self, task: &'a Arc<Task>, floor: &Floor<'_>) {
        let Some(id) = task.node_id else {
            return self.waiting.push(task);
        };
        let settled =
            task.status.state == TaskState::Running && task.desired_state == TaskState::Running;
        let present = floor.places.get(&id).copied().filter(|_| settled);
        let serves = |at: &At| floor.nodes[*at].0.accepts_tasks();
        if let Some(at) = present.filter(serves) {
            let at = floor.moved.get(&task.id).map_or(at, |(at, _)| *at);
            self.movable.entry(at).or_default().push(task);
        }
    }

    fn branches(&self, floor: &Floor<'_>) -> Branches<'_> {
        let mut branches = Branches::new();
        if self.asked.spread.is_empty() {
            return branches;
        }
        for (at, tasks) in floor.here.get(&self.service).into_iter().flatten() {
            let path = &self.paths[*at];
            for depth in 1..=path.len() {
                *branches.entry(&path[..depth]).or_default() += tasks;
            }
        }
        branches
    }

    /// Tasks of the service in the branches around a node, widest first.
    fn levels(&self, branches: &Branches<'_>, at: At) -> Vec<u64> {
        let path = &self.paths[at];
        let tasks = |depth| branches.get(&path[..depth]).copied().unwrap_or(0);
        (1..=path.len()).map(tasks).collect()
    }

    fn has_room(&self, at: At, floor: &Floor<'_>) -> bool {
        let (node, account) = &floor.nodes[at];
        let most = self.asked.max_replicas;
        (most == 0 || floor.here(self.service, at) < most)
            && filter::check_room(&self.asked, node, account).is_none()
    }

    /// Where the scheduler would put a task now.
    fn best_place(&self, floor: &Floor<'_>) -> Option<At> {
        let branches = self.branches(floor);
        let room = self.fitting.iter().filter(|at| self.has_room(**at, floor));
        let rank = |at: &&At| (self.levels(&branches, **at), self.count(**at, floor));
        room.min_by_key(rank).copied()
    }

    /// What ranks a node within its branch.
    fn count(&self, at: At, floor: &Floor<'_>) -> (u64, u64, u64, At) {
        let here = floor.here(self.service, at);
        (self.misses[at], here, floor.total(at), at)
    }

    /// The move that levels most, if one does.
    fn best_move(&self, depth: Depth, floor: &Floor<'_>) -> Option<Found> {
        let mut sources: BTreeMap<&[String], At> = BTreeMap::new();
        for at in self.movable.keys() {
            let worst = sources.entry(&self.paths[*at]).or_insert(*at);
            *worst = std::cmp::max_by_key(*worst, *at, |at| self.count(*at, floor));
        }
        if sources.is_empty() {
            return None;
        }
        let mut targets: BTreeMap<&[String], At> = BTreeMap::new();
        for at in self.fitting.iter().filter(|at| self.has_room(**at, floor)) {
            let best = targets.entry(&self.paths[*at]).or_insert(*at);
            *best = std::cmp::min_by_key(*best, *at, |at| self.count(*at, floor));
        }
        let branches = self.branches(floor);
        let found = sources.into_values().filter_map(|from| {
            let to = targets.values();
            let to = to.min_by_key(|to| self.turn(from, **to, &branches))?;
            self.compare(from, *to, depth, &branches, floor)
        });
        found.min_by_key(|f| (f.level, f.gain, f.from))
    }

    /// The order in which the scheduler, with a task of `from` to place, goes through the
    /// branches: at each level the one with the fewest tasks, of equal ones the first by name.
    fn turn(&self, from: At, to: At, branches: &Branches<'_>) -> Vec<(u64, &str)> {
        let (from, path) = (&self.paths[from], &self.paths[to]);
        let shared = from.iter().zip(path).take_while(|(a, b)| a == b).count();
        let tasks = self.levels(branches, to).into_iter().enumerate();
        let without = tasks.map(|(depth, n)| n - u64::from(depth < shared));
        without.zip(path.iter().map(String::as_str)).collect()
    }

    /// Whether a task on `from` would rather be on `to`, were it placed now.
    fn compare(
        &self,
        from: At,
        to: At,
        depth: Depth,
        branches: &Branches<'_>,
        floor: &Floor<'_>,
    ) -> Option<Found> {
        if from == to {
            return None;
        }
        let (old, new) = (&self.paths[from], &self.paths[to]);
        let shared = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        // Of equal branches the first by name is gone to, and so it may be the one it came from.
        let back = shared < old.len() && old[shared] < new[shared];
        let levels = |at| self.levels(branches, at).into_iter().skip(shared);
        let mut pairs: Vec<(u64, u64)> = levels(from).zip(levels(to)).collect();
        let service = self.service;
        // A wish is not a task: nothing of it goes away with the task.
        pairs.push((self.misses[from] + 1, self.misses[to]));
        pairs.push((floor.here(service, from), floor.here(service, to)));
        if depth == Depth::Nodes {
            pairs.push((floor.total(from), floor.total(to)));
        }
        for (at, (with, there)) in pairs.into_iter().enumerate() {
            let without = with.saturating_sub(1);
            if there != without {
                let gain = Reverse(without.checked_sub(there)?);
                let level = shared + at;
                return Some(Found {
                    level,
                    gain,
                    from,
                    to,
                });
            }
            if back {
                return None;
            }
        }
        None
    }

    fn cause(&self, found: Found, floor: &Floor<'_>) -> Cause {
        let Found {
            level, from, to, ..
        } = found;
        let depth = self.asked.spread.len();
        if level < depth {
            let branches = self.branches(floor);
            let side = |at: At| {
                (
                    self.paths[at][level].clone(),
                    self.levels(&branches, at)[level],
                )
            };
            Cause::Branch {
                from: side(from),
                to: side(to),
            }
        } else if level == depth {
            Cause::Wishes {
                from: self.misses[from],
                to: self.misses[to],
            }
        } else if level == depth + 1 {
            let counts = floor.here.get(&self.service);
            Cause::Service {
                from: floor.here(self.service, from),
                to: floor.here(self.service, to),
                all: counts.into_iter().flat_map(BTreeMap::values).sum(),
            }
        } else {
            Cause::Nodes {
                from: floor.total(from),
                to: floor.total(to),
            }
        }
    }
}
