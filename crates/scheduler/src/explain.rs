//! What the scheduler sees for one task: which nodes fall out by which rule, what is short, and
//! how the remaining nodes rank. A pure function of a state, for people and tools who ask.
//!
//! It uses the scheduler's own rules and looks only at tasks on nodes that pass the rules about
//! the node itself.

use std::collections::BTreeMap;

use store::State;
use types::{Node, NodeId, Task, TaskId, TaskState, Timestamp};

use crate::account::Account;
use crate::constraint;
use crate::failures::{Failures, penalty, spec_key};
use crate::filter::{self, Constraints, Counts, Filter, has_plugin};
use crate::index::occupied;
use crate::requirements::{Load, Requirements};

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

/// A node that can take the task, with what ranks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// Node.
    pub node: NodeId,
    /// Its host name.
    pub hostname: String,
    /// Recent failures of the task's spec there, if they are enough to count.
    pub failures: u32,
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
    suitable: Vec<Ranked>,
}

impl<'a> Look<'a> {
    fn new(view: &'a State, task: &'a Task, now: Timestamp) -> Self {
        let asked = Requirements::of(task);
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
            suitable: Vec::new(),
        }
    }

    fn at(&mut self, node: &Node) {
        self.evaluated += 1;
        if let Some(failed) = filter::check_node(&self.asked, &self.constraints, node) {
            let detail = self.detail_of_node(failed, node);
            return self.fails(failed, node, detail);
        }
        let (account, service_tasks) = self.count(node.id);
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
        self.suitable.push(Ranked {
            node: node.id,
            hostname: node.hostname().to_owned(),
            failures: penalty(self.failures.of(spec_key(self.task)), node.id),
            service_tasks,
            tasks: account.active,
        });
    }

    /// What the other tasks take on a node, and how many of them are of the same service.
    fn count(&self, node: NodeId) -> (Account, u32) {
        let mut account = Account::default();
        let mut service_tasks = 0;
        for task in self.view.tasks().on_node(node) {
            if task.id == self.task.id || occupied(task).is_none() {
                continue;
            }
            let load = Load::of(task);
            service_tasks += u32::from(load.active && task.service_id == self.task.service_id);
            account.add(&load);
        }
        (account, service_tasks)
    }

    fn fails(&mut self, filter: Filter, node: &Node, detail: String) {
        let filtered = self.filtered.entry(filter).or_insert_with(|| Filtered {
            filter,
            nodes: 0,
            examples: Vec::new(),
        });
        filtered.nodes += 1;
        if filtered.examples.len() < EXAMPLES_MAX {
            filtered.examples.push(Example {
                node: node.id,
                hostname: node.hostname().to_owned(),
                detail,
            });
        }
    }

    fn is_short(&mut self, shortage: Exhausted, node: &Node) {
        let detail = format!(
            "{}: {} wanted, {} free",
            shortage.resource,
            amount(&shortage.resource, shortage.wanted),
            amount(&shortage.resource, shortage.free_max)
        );
        self.fails(Filter::Resources, node, detail);
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

    fn unmet_constraint(&self, node: &Node) -> String {
        let Some(constraints) = &self.constraints else {
            let errors = self.asked.constraints.iter().map(|c| constraint::parse(c));
            let error = errors.filter_map(Result::err).next();
            return error.map(|e| e.to_string()).unwrap_or_default();
        };
        let unmet = constraints.iter().find(|c| !constraint::matches(c, node));
        let Some(unmet) = unmet else {
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

    fn finish(mut self) -> Explanation {
        self.suitable
            .sort_by_key(|r| (r.failures, r.service_tasks, r.tasks, r.node));
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
            ranked: self.suitable,
            suitable,
        }
    }
}

/// An amount as people read it.
fn amount(resource: &str, value: i64) -> String {
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
