//! Evicts tasks from nodes that no longer fit them: a label was taken away, a node came back with
//! less memory or without a device.
//!
//! A service that goes back to an earlier spec may come back to tasks of that spec which were
//! judged by another one when their node changed: they are looked at again.
//!
//! The task is reported REJECTED by a manager; the orchestrator then replaces it like any other
//! task that ended, and its agent stops what still runs. Only active nodes are looked at: drained
//! ones lose their tasks anyway, and a pause asks for nothing to be moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::{Action, Change, Diff, Guard, Plan, State, Step};
use types::task::{TaskStatus, message};
use types::{
    Availability, GenericResource, Node, NodeId, Resources, Service, ServiceId, Task, TaskSpec,
    TaskState, Timestamp,
};

use crate::budget::{Budget, Guarded};
use crate::fit;
use crate::ground::Ground;
use crate::slot::age;

/// Watches over tasks that have a node.
#[derive(Debug, Default)]
pub struct Enforcer {
    dirty: BTreeSet<NodeId>,
    /// Services that have another spec.
    services: BTreeSet<ServiceId>,
    /// The tasks that the latest plan evicts, their nodes and their services: whatever moves one of
    /// them may have dropped an eviction.
    planned: Guarded,
    /// Nothing was looked at yet.
    fresh: bool,
}

impl Enforcer {
    /// A stage that has every node to look at.
    pub fn new(view: &State, _now: Timestamp) -> Self {
        Self {
            fresh: !view.nodes().is_empty(),
            ..Self::default()
        }
    }

    /// Notes where to look again.
    pub fn observe(&mut self, change: &Change) {
        let planned = &self.planned;
        match change {
            Change::Node(Diff {
                old,
                new: Some(new),
            }) if old.as_ref().is_none_or(|old| offers_differ(old, new))
                || planned.nodes.contains(&new.id) =>
            {
                self.dirty.insert(new.id);
            }
            Change::Service(Diff {
                old: Some(old),
                new: Some(new),
            }) => {
                if old.spec_version != new.spec_version {
                    self.services.insert(new.id);
                }
                if planned.services.contains(&new.id) {
                    self.dirty.extend(&planned.nodes);
                }
            }
            Change::Task(diff) if planned.tasks.contains(&diff.latest().id) => {
                self.dirty.extend(diff.latest().node_id);
            }
            _ => {}
        }
    }

    /// What to change now.
    pub fn plan(&mut self, view: &State, now: Timestamp) -> Plan {
        if std::mem::take(&mut self.fresh) {
            self.dirty.extend(demanding(view));
        }
        for id in std::mem::take(&mut self.services) {
            let service = view.services().get(id);
            self.dirty
                .extend(service.into_iter().flat_map(|s| outgrown(view, s, now)));
        }
        let mut budget = Budget::new();
        while !budget.is_spent()
            && let Some(id) = self.dirty.pop_first()
        {
            let node = view.nodes().get(id);
            let active = |n: &&Arc<Node>| n.spec.availability == Availability::Active;
            if let Some(node) = node.filter(active) {
                for task in evicted(view, node) {
                    budget.push(eviction(view, task, node, now));
                }
            }
        }
        let mut plan = budget.into_plan();
        self.planned = Guarded::by(&plan);
        if !self.dirty.is_empty() {
            plan.wake(now);
        }
        plan
    }
}

/// Nodes with tasks that ask something of them, read in one go.
fn demanding(view: &State) -> BTreeSet<NodeId> {
    let mut services: BTreeMap<ServiceId, bool> = BTreeMap::new();
    let asks = |spec: &TaskSpec| spec.placement.is_some() || spec.reservations().is_some();
    let mut found = BTreeSet::new();
    for task in view.tasks().iter() {
        let Some(node) = task.node_id else { continue };
        let asked = match task.service_id {
            Some(id) => *services.entry(id).or_insert_with(|| {
                let service = view.services().get(id);
                service.is_none_or(|s| asks(&s.spec.task))
            }),
            None => true,
        };
        if asked || asks(task.spec()) || !task.assigned_generic_resources.is_empty() {
            found.insert(node);
        }
    }
    found
}

/// Nodes that no longer satisfy the constraints of a service that has tasks there which are as its
/// present spec asks for, whichever version they were made from. What is not is left to its update.
fn outgrown<'a>(
    view: &'a State,
    service: &'a Arc<Service>,
    now: Timestamp,
) -> impl Iterator<Item = NodeId> + 'a {
    let spec = &service.spec.task;
    let asks = spec
        .placement
        .as_ref()
        .is_some_and(|p| !p.constraints.is_empty());
    let tasks = || view.tasks().of_service(service.id).filter(move |_| asks);
    let mut ground = Ground::new(view, service, now);
    ground.learn(tasks());
    let present = move |t: &&Arc<Task>| t.is_active() && !ground.is_outdated(t);
    let nodes = tasks().filter(present);
    let nodes = nodes.filter_map(|t| view.nodes().get(t.node_id?));
    nodes
        .filter(|n| !fit::constraints_hold(n, spec))
        .map(|n| n.id)
}

fn offers_differ(old: &Node, new: &Node) -> bool {
    old.spec != new.spec
        || old.role != new.role
        || old.status.addr != new.status.addr
        || old.description != new.description
}

/// The tasks that do not fit, when older tasks keep what they have.
fn evicted<'a>(view: &'a State, node: &Node) -> Vec<&'a Arc<Task>> {
    let mut tasks: Vec<_> = view
        .tasks()
        .on_node(node.id)
        .filter(|t| t.is_active() && t.desired_state <= TaskState::Complete)
        .collect();
    tasks.sort_by_key(|t| age(t));
    let mut left = node.description.as_ref().map(|d| d.resources.clone());
    tasks.retain(|task| {
        let service = task.service_id.and_then(|id| view.services().get(id));
        let spec = service.map_or(task.spec(), |s| &s.spec.task);
        let fits =
            fit::constraints_hold(node, spec) && left.as_mut().is_none_or(|left| take(left, task));
        !fits
    });
    tasks
}

/// Takes what the task holds out of what is left, or takes nothing.
fn take(left: &mut Resources, task: &Task) -> bool {
    let mut next = left.clone();
    let spec: &TaskSpec = task.spec();
    if let Some(reserved) = spec.reservations() {
        next.nano_cpus -= reserved.nano_cpus;
        next.memory_bytes -= reserved.memory_bytes;
        let short = (reserved.nano_cpus > 0 && next.nano_cpus < 0)
            || (reserved.memory_bytes > 0 && next.memory_bytes < 0);
        if short {
            return false;
        }
    }
    let mut held = task.assigned_generic_resources.iter();
    let fits = held.all(|unit| take_generic(&mut next.generic, unit));
    if fits {
        *left = next;
    }
    fits
}

fn take_generic(left: &mut Vec<GenericResource>, unit: &GenericResource) -> bool {
    match unit {
        GenericResource::Named { .. } => {
            let place = left.iter().position(|have| have == unit);
            place.map(|at| left.remove(at)).is_some()
        }
        GenericResource::Discrete { kind, value } => left.iter_mut().any(|have| match have {
            GenericResource::Discrete { kind: k, value: v } if k == kind && *v >= *value => {
                *v -= value;
                true
            }
            _ => false,
        }),
    }
}

fn eviction(view: &State, task: &Task, node: &Node, now: Timestamp) -> Step {
    let service = task.service_id.and_then(|id| view.services().get(id));
    let guards = [Guard::task(task), Guard::node(node)].into_iter();
    let guards = guards.chain(service.map(|s| Guard::service(s)));
    let status = TaskStatus {
        timestamp: now,
        state: TaskState::Rejected,
        message: message("task rejected by constraint enforcer"),
        err: "assigned node no longer meets constraints".into(),
        applied_at: now,
        ..task.status.clone()
    };
    Step {
        guards: guards.collect(),
        actions: [Action::Report {
            task: task.id,
            status: Box::new(status),
        }]
        .into(),
    }
}
