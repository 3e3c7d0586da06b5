//! What the scheduler sees for one task: which nodes fall out by which rule, what is short, and
//! how the remaining nodes rank. A pure function of a state, for people and tools who ask.
//!
//! It uses the scheduler's own rules and looks only at tasks on nodes that pass the rules about
//! the node itself.

use std::collections::BTreeMap;

use store::State;
use types::options::Strategy;
use types::{Node, NodeId, Task, TaskId, TaskState, Timestamp};

use crate::account::Account;
use crate::affinity;
use crate::candidates::{draw, seed_of};
use crate::constraint;
use crate::failures::{Failures, penalty, spec_key};
use crate::filter::{self, Constraints, Counts, Filter, has_plugin};
use crate::images;
use crate::index::occupied;
use crate::preempt;
use crate::requirements::{Load, Requirements};
use crate::spread::{Rank, order, path};

/// Example nodes per rule: enough to recognise the pattern, few enough to read.
pub const EXAMPLES_MAX: usize = 3;

/// Ranked nodes that are listed.
pub const RANKED_MAX: usize = 5;

/// What the scheduler sees for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Task.
    pub task: TaskId,
    /// The node it has.
    pub node: Option<NodeId>,
    /// Nodes looked at: all, or the one node that the task was made for.
    pub evaluated: usize,
    /// Rules that nodes fail, most nodes first.
    pub filtered: Vec<Filtered>,
    /// Resources that nodes are short of, among nodes that pass the other rules.
    pub exhausted: Vec<Exhausted>,
    /// The best nodes that can take it, best first; for a placed task as if it were not there.
    pub ranked: Vec<Ranked>,
    /// Nodes that can take it.
    pub suitable: usize,
    /// Of the nodes that cannot, the one that comes closest: it passes the most rules, and is
    /// least short of what it lacks.
    pub nearest: Option<Nearest>,
    /// Where tasks of lower priority end to make room for it.
    pub coming: Vec<Coming>,
    /// How nodes are ranked for it.
    pub strategy: Strategy,
    /// Priority of its service.
    pub priority: u8,
}

/// Room that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// Node.
    pub node: NodeId,
    /// Its host name.
    pub hostname: String,
    /// Tasks that were displaced there and have not ended.
    pub ending: Vec<TaskId>,
}

/// The node that comes closest to taking the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// The rule that it fails.
    pub filter: Filter,
    /// The node and what is wrong.
    pub example: Example,
    /// The constraint or affinity that does not hold there, as people write it.
    pub expression: Option<String>,
    /// The label, with its value, that would make a constraint hold there.
    pub label: Option<(String, String)>,
}

/// A rule that nodes fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filtered {
    /// The rule.
    pub filter: Filter,
    /// How many nodes fail it first.
    pub nodes: usize,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A node that fails a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Node.
    pub node: NodeId,
    /// Its host name.
    pub hostname: String,
    /// What is wrong, in words.
    pub detail: String,
}

/// A resource that nodes are short of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    /// `cpu` (billionths of a core), `memory` (bytes) or the kind of a generic resource (units).
    pub resource: String,
    /// How many nodes are short of it first.
    pub nodes: usize,
    /// What the task reserves.
    pub wanted: i64,
    /// The most that is free on one of them.
    pub free_max: i64,
}

impl Exhausted {
    /// What the task reserves, as people read it.
    pub fn wanted_text(&self) -> String {
        amount(&self.resource, self.wanted)
    }

    /// The most that is free on one of them, as people read it.
    pub fn free_text(&self) -> String {
        amount(&self.resource, self.free_max)
    }
}

/// A node that can take the task, with what ranks it, the most important first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// Node.
    pub node: NodeId,
    /// Its host name.
    pub hostname: String,
    /// The branches that the placement preferences put it in, widest first, each with the active
    /// tasks of the service in it: fewest first.
    pub branches: Vec<(String, u64)>,
    /// Recent failures of the task's spec there, if they are enough to count: fewest first.
    pub failures: u32,
    /// Soft expressions, as written, that do not hold: fewest first.
    pub missed: Vec<String>,
    /// How full the node would be with the task, in percent of CPU plus percent of memory; what it
    /// does not reserve counts as full. `binpack` takes the highest.
    pub weight: u32,
    /// Whether the node says that it holds the image; `None` if no node says so. Decides between
    /// nodes that are equal otherwise.
    pub holds_image: Option<bool>,
    /// Active tasks of the service there.
    pub service_tasks: u32,
    /// All active tasks there.
    pub tasks: u32,
}

impl Explanation {
    /// Why the task fits nowhere, as its status says it; empty if it fits somewhere.
    pub fn reason(&self) -> String {
        if self.suitable > 0 {
            return String::new();
        }
        let mut counts = Counts::default();
        for filtered in &self.filtered {
            counts.add(filtered.filter, filtered.nodes);
        }
        counts.text()
    }
}

/// What the scheduler sees for a task; `None` if there is no such task.
pub fn task(view: &State, id: TaskId, now: Timestamp) -> Option<Explanation> {
    let task = view.tasks().get(id)?;
    let mut look = Look::new(view, task, now);
    let made_for = task
        .node_id
        .filter(|_| task.status.state < TaskState::Assigned);
    match made_for {
        Some(node) => view.nodes().get(node).into_iter().for_each(|n| look.at(n)),
        None => view.nodes().iter().for_each(|n| look.at(n)),
    }
    Some(look.finish())
}

/// The look at one task in progress.
struct Look<'a> {
    view: &'a State,
    task: &'a Task,
    asked: Requirements,
    constraints: Constraints,
    failures: Failures,
    evaluated: usize,
    filtered: BTreeMap<Filter, Filtered>,
    exhausted: BTreeMap<String, Exhausted>,
    nearest: Option<(Closeness, Nearest)>,
    coming: Vec<Coming>,
    strategy: Strategy,
    image: Option<String>,
    /// Active tasks of the service in each branch of the preferences, without this one.
    branches: BTreeMap<Vec<String>, u64>,
    suitable: Vec<(Score, Ranked)>,
}

/// How close a node comes: rules passed, then thousandths of what is wanted that are free.
type Closeness = (Filter, i64);

/// What a node is sorted by: tasks in its branches, then its rank.
type Score = (Vec<u64>, Rank, NodeId);

impl<'a> Look<'a> {
    fn new(view: &'a State, task: &'a Task, now: Timestamp) -> Self {
        let asked = Requirements::of(task);
        let of_cluster = || view.cluster().map(|c| c.spec.options.strategy);
        let strategy = asked.strategy.or_else(of_cluster).unwrap_or_default();
        let branches = branches(view, task, &asked);
        let image = image(view, task);
        let mut failures = Failures::default();
        if let Some(service) = task.service_id {
            view.tasks()
                .of_service(service)
                .for_each(|t| failures.record(t));
            failures.expire(now);
        }
        Self {
            constraints: filter::read_constraints(&asked),
            view,
            task,
            asked,
            failures,
            evaluated: 0,
            filtered: BTreeMap::new(),
            exhausted: BTreeMap::new(),
            nearest: None,
            coming: Vec::new(),
            strategy,
            image,
            branches,
            suitable: Vec::new(),
        }
    }

    fn at(&mut self, node: &Node) {
        self.evaluated += 1;
        if let Some(failed) = filter::check_node(&self.asked, &self.constraints, node) {
            let detail = self.detail_of_node(failed, node);
            return self.fails(failed, node, detail);
        }
        if let Some(detail) = self.unmet_affinity(node) {
            return self.fails(Filter::Affinity, node, detail);
        }
        let (account, service_tasks) = self.count(node);
        if let Some(lack) = account.lacks(&self.asked, node) {
            let shortage = Exhausted {
                resource: lack.resource.to_owned(),
                nodes: 1,
                wanted: lack.wanted,
                free_max: lack.free,
            };
            return self.is_short(shortage, node);
        }
        if let Some(port) = self.asked.ports.iter().find(|p| account.uses(p)) {
            let detail = format!("port {}/{} is taken", port.0, port.1.name());
            return self.fails(Filter::HostPorts, node, detail);
        }
        let most = self.asked.max_replicas;
        if most > 0 && u64::from(service_tasks) >= most {
            let detail = format!("{service_tasks} of at most {most} tasks of the service");
            return self.fails(Filter::MaxReplicas, node, detail);
        }
        let found = self.rank(node, &account, service_tasks);
        self.suitable.push(found);
    }

    fn rank(&self, node: &Node, account: &Account, service_tasks: u32) -> (Score, Ranked) {
        let path = path(&self.asked.spread, node);
        let in_branch = |depth| self.branches.get(&path[..depth]).copied().unwrap_or(0);
        let counts: Vec<u64> = (1..=path.len()).map(in_branch).collect();
        let held = self.image.as_ref();
        let ranked = Ranked {
            node: node.id,
            hostname: node.hostname().to_owned(),
            branches: path.into_iter().zip(counts.iter().copied()).collect(),
            failures: penalty(self.failures.of(spec_key(self.task)), node.id),
            missed: self.missed(node),
            weight: account.weight(&self.asked, node),
            holds_image: held.map(|image| images::held(node).any(|i| i == image)),
            service_tasks,
            tasks: account.active,
        };
        let tasks = (service_tasks, account.active);
        let rank = Rank {
            failures: ranked.failures,
            misses: u32::try_from(ranked.missed.len()).unwrap_or(u32::MAX),
            order: order(
                self.strategy,
                tasks,
                || ranked.weight,
                || draw(seed_of(Some(&self.task.id)), node.id, 0),
            ),
            pulls: ranked.holds_image == Some(false),
        };
        ((counts, rank, node.id), ranked)
    }

    /// Soft expressions that do not hold on a node.
    fn missed(&self, node: &Node) -> Vec<String> {
        let constraints = self.constraints.constraints.iter().flatten();
        let constraints = constraints
            .filter(|c| c.is_soft() && !constraint::matches(c, node))
            .map(ToString::to_string);
        let affinities = self.constraints.affinities.iter().flatten();
        let without = Some(self.task.id);
        let affinities = affinities
            .filter(|a| a.is_soft() && !a.holds(a.finds(self.view, node, without)))
            .map(ToString::to_string);
        constraints.chain(affinities).collect()
    }

    /// The first hard affinity that does not hold on a node.
    fn first_unmet_affinity(&self, node: &Node) -> Option<&affinity::Affinity> {
        let without = Some(self.task.id);
        let affinities = self.constraints.affinities.iter().flatten();
        let mut hard = affinities.filter(|a| !a.is_soft());
        hard.find(|a| !a.holds(a.finds(self.view, node, without)))
    }

    /// What is wrong with a node on which a hard affinity does not hold.
    fn unmet_affinity(&self, node: &Node) -> Option<String> {
        if self.constraints.affinities.is_none() {
            let errors = self.asked.affinities.iter().map(|a| affinity::parse(a));
            return errors.filter_map(Result::err).next().map(|e| e.to_string());
        }
        let unmet = self.first_unmet_affinity(node)?;
        let (what, source) = match unmet.key() {
            affinity::Key::Service | affinity::Key::ServiceLabel(_) => ("service", ""),
            affinity::Key::Task => ("task", ""),
            affinity::Key::Volume => ("volume", ""),
            affinity::Key::Image => ("image", " (reported by the node)"),
        };
        Some(match unmet.operator() {
            constraint::Operator::Equal => {
                format!("{unmet} does not hold, it has no such {what}{source}")
            }
            constraint::Operator::NotEqual => {
                format!("{unmet} does not hold, it has such a {what}{source}")
            }
        })
    }

    /// What the other tasks take on a node, with what others are promised there, and how many of
    /// them are of the same service.
    fn count(&mut self, node: &Node) -> (Account, u32) {
        let view = self.view;
        let mut account = Account::default();
        let mut service_tasks = 0;
        let mut urgent: BTreeMap<TaskId, &Task> = BTreeMap::new();
        let mut ending = Vec::new();
        for task in view.tasks().on_node(node.id) {
            if task.id == self.task.id || occupied(task).is_none() {
                continue;
            }
            let load = Load::of(task);
            service_tasks += u32::from(load.active && task.service_id == self.task.service_id);
            account.add(&load);
            match preempt::makes_room_for(view, task) {
                Some(other) if other.id == self.task.id => ending.push(task.id),
                Some(other) => _ = urgent.insert(other.id, other),
                None => {}
            }
        }
        for other in urgent.values() {
            let asked = Requirements::of(other);
            account.add(&preempt::promised_load(&asked, &account, node));
        }
        if !ending.is_empty() {
            self.coming.push(Coming {
                node: node.id,
                hostname: node.hostname().to_owned(),
                ending,
            });
        }
        (account, service_tasks)
    }

    fn fails(&mut self, filter: Filter, node: &Node, detail: String) {
        self.fails_by(filter, 0, node, detail);
    }

    /// The same where so many thousandths of what is wanted are there.
    fn fails_by(&mut self, filter: Filter, share: i64, node: &Node, detail: String) {
        let example = Example {
            node: node.id,
            hostname: node.hostname().to_owned(),
            detail,
        };
        let closeness = (filter, share);
        if self.nearest.as_ref().is_none_or(|(c, _)| *c < closeness) {
            let example = example.clone();
            let nearest = Nearest {
                filter,
                example,
                expression: None,
                label: None,
            };
            self.nearest = Some((closeness, nearest));
        }
        let filtered = self.filtered.entry(filter).or_insert_with(|| Filtered {
            filter,
            nodes: 0,
            examples: Vec::new(),
        });
        filtered.nodes += 1;
        if filtered.examples.len() < EXAMPLES_MAX {
            filtered.examples.push(example);
        }
    }

    fn is_short(&mut self, shortage: Exhausted, node: &Node) {
        let detail = format!(
            "{}: {} wanted, {} free",
            shortage.resource,
            amount(&shortage.resource, shortage.wanted),
            amount(&shortage.resource, shortage.free_max)
        );
        let share = i128::from(shortage.free_max) * 1000 / i128::from(shortage.wanted.max(1));
        let share = i64::try_from(share.clamp(0, 1000)).unwrap_or(0);
        self.fails_by(Filter::Resources, share, node, detail);
        match self.exhausted.get_mut(&shortage.resource) {
            Some(known) => {
                known.nodes += 1;
                known.free_max = known.free_max.max(shortage.free_max);
            }
            None => {
                self.exhausted.insert(shortage.resource.clone(), shortage);
            }
        }
    }

    fn detail_of_node(&self, failed: Filter, node: &Node) -> String {
        match failed {
            Filter::Ready => format!("is {}", node.status.state.name()),
            Filter::Availability => {
                format!("its availability is {}", node.spec.availability.name())
            }
            Filter::Platform => match &node.description {
                Some(d) => format!(
                    "is {}/{} (reported by the node)",
                    d.platform.os, d.platform.architecture
                ),
                None => "has not said what platform it is".to_owned(),
            },
            Filter::Plugins => self.missing_plugins(node),
            Filter::Constraints => self.unmet_constraint(node),
            Filter::Affinity => self.unmet_affinity(node).unwrap_or_default(),
            other => other.reason(1),
        }
    }

    fn missing_plugins(&self, node: &Node) -> String {
        let missing: Vec<String> = self
            .asked
            .plugins
            .iter()
            .filter(|p| node.description.as_ref().is_some_and(|d| !has_plugin(d, p)))
            .map(|p| format!("{} plugin {}", p.kind.to_lowercase(), p.name))
            .collect();
        format!("has no {}", missing.join(", "))
    }

    /// The first hard constraint that does not hold for a node.
    fn first_unmet_constraint(&self, node: &Node) -> Option<&constraint::Constraint> {
        let constraints = self.constraints.constraints.iter().flatten();
        let mut hard = constraints.filter(|c| !c.is_soft());
        hard.find(|c| !constraint::matches(c, node))
    }

    fn unmet_constraint(&self, node: &Node) -> String {
        if self.constraints.constraints.is_none() {
            let errors = self.asked.constraints.iter().map(|c| constraint::parse(c));
            let error = errors.filter_map(Result::err).next();
            return error.map(|e| e.to_string()).unwrap_or_default();
        }
        let Some(unmet) = self.first_unmet_constraint(node) else {
            return String::new();
        };
        let found = unmet.key().read(node);
        let source = if unmet.key().is_self_reported() {
            " (reported by the node)"
        } else {
            ""
        };
        if found.is_empty() {
            format!("{unmet} does not hold, it has no {}", unmet.key())
        } else {
            format!("{unmet} does not hold, it has {found:?}{source}")
        }
    }

    /// The node that comes closest, with the expression that it does not fulfil.
    fn nearest(&self) -> Option<Nearest> {
        let (_, nearest) = self.nearest.as_ref()?;
        let mut nearest = nearest.clone();
        let node = self.view.nodes().get(nearest.example.node)?;
        match nearest.filter {
            Filter::Constraints => {
                let unmet = self.first_unmet_constraint(node);
                nearest.expression = unmet.map(ToString::to_string);
                let label = unmet.and_then(constraint::Constraint::label_wanted);
                nearest.label = label.map(|(name, value)| (name.to_owned(), value.to_owned()));
            }
            Filter::Affinity => {
                let unmet = self.first_unmet_affinity(node);
                nearest.expression = unmet.map(ToString::to_string);
            }
            _ => {}
        }
        Some(nearest)
    }

    fn finish(mut self) -> Explanation {
        let nearest = self.nearest();
        self.suitable.sort_by(|(a, _), (b, _)| a.cmp(b));
        let suitable = self.suitable.len();
        self.suitable.truncate(RANKED_MAX);
        let mut filtered: Vec<Filtered> = self.filtered.into_values().collect();
        filtered.sort_by_key(|f| std::cmp::Reverse(f.nodes));
        Explanation {
            task: self.task.id,
            node: self.task.node_id,
            evaluated: self.evaluated,
            filtered,
            exhausted: self.exhausted.into_values().collect(),
            ranked: self
                .suitable
                .into_iter()
                .map(|(_, ranked)| ranked)
                .collect(),
            suitable,
            nearest,
            coming: self.coming,
            strategy: self.strategy,
            priority: self.task.service_spec.options.priority,
        }
    }
}

/// The image of a service's task as nodes list it, if any node says that it holds it.
fn image(view: &State, task: &Task) -> Option<String> {
    task.service_id?;
    let image = images::normal(&task.spec().container()?.image)?;
    let mut nodes = view.nodes().iter();
    let held = nodes.any(|n| images::held(n).any(|i| i == image));
    held.then_some(image)
}

/// Active tasks of the service, without this one, in each branch of its preferences.
fn branches(view: &State, task: &Task, asked: &Requirements) -> BTreeMap<Vec<String>, u64> {
    let mut branches = BTreeMap::new();
    let Some(service) = task.service_id.filter(|_| !asked.spread.is_empty()) else {
        return branches;
    };
    for other in view.tasks().of_service(service).filter(|t| t.id != task.id) {
        let counts = other.desired_state <= TaskState::Complete;
        let node = occupied(other).filter(|_| counts);
        if let Some(node) = node.and_then(|id| view.nodes().get(id)) {
            let path = path(&asked.spread, node);
            for depth in 1..=path.len() {
                *branches.entry(path[..depth].to_vec()).or_default() += 1;
            }
        }
    }
    branches
}

/// An amount as people read it: CPUs, MiB or units.
pub fn amount(resource: &str, value: i64) -> String {
    match resource {
        "cpu" => format!(
            "{}.{:03} CPUs",
            value / 1_000_000_000,
            value.abs() / 1_000_000 % 1000
        ),
        "memory" => format!("{} MiB", value / (1 << 20)),
        _ => value.to_string(),
    }
}
