//! Policies that can never be carried out on the cluster as it is, found before anything is begun.
//!
//! A node counts if the service may use it: it is let in, not being drained, and fits the
//! constraints; whether it is up just now does not matter. How many tasks of the service it can
//! take is what the service's fixed ports, its limit per node and the node's resources allow, with
//! nothing else there but the ports that other services hold. So what is refused is refused for
//! certain, and what passes may still have to wait.

use std::collections::BTreeSet;

use scheduler::constraint::{self, Constraint};
use store::State;
use types::node::Membership;
use types::resources::count_by_kind;
use types::service::{Protocol, PublishMode, UpdateConfig, UpdateOrder};
use types::{
    Availability, Node, Resources, Service, ServiceId, ServiceMode, ServiceSpec, TaskState,
};

use crate::problem::{Check, Invalid, Problem};
use crate::timing::warn_deadline;

type Port = (u32, Protocol);

/// How many tasks of a service a node can take, and what sets the limit.
struct Room {
    hostname: String,
    tasks: u64,
    limit: String,
}

/// What the service asks for and can never have on the nodes that are there. `id` is the service
/// itself when it exists already.
pub fn impossible(view: &State, id: Option<ServiceId>, spec: &ServiceSpec) -> Vec<Problem> {
    let mut check = Check::default();
    let policies = [("update", &spec.update), ("rollback", &spec.rollback)];
    if policies.iter().any(|(_, config)| starts_first(config)) {
        let rooms = rooms(view, id, spec);
        for (name, _) in policies.iter().filter(|(_, config)| starts_first(config)) {
            check_start_first(&mut check, name, spec, &rooms);
        }
    }
    check.into_problems()
}

/// Refuses what is [`impossible`] in a new service, or in an update of one. What was impossible
/// already (nodes have gone since) and is not touched does not stand in the way of other changes.
///
/// # Errors
/// If there is such a problem.
pub fn service_policies(
    view: &State,
    old: Option<&Service>,
    spec: &ServiceSpec,
) -> Result<(), Invalid> {
    let touched = |old: &Service| {
        let was = &old.spec;
        (was.mode, &was.task, &was.endpoint) != (spec.mode, &spec.task, &spec.endpoint)
            || (was.update, was.rollback) != (spec.update, spec.rollback)
    };
    if !old.is_none_or(touched) {
        return Ok(());
    }
    let problems = impossible(view, old.map(|s| s.id), spec);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Invalid { problems })
    }
}

/// What is allowed and yet leaves tasks waiting on the nodes that are there.
pub fn doubtful(view: &State, id: Option<ServiceId>, spec: &ServiceSpec) -> Vec<Problem> {
    let mut check = Check::default();
    warn_deadline(&mut check, spec);
    if fixed_ports(spec).is_empty()
        && spec.task.placement.is_none()
        && spec.task.reservations().is_none()
    {
        return check.into_problems();
    }
    let rooms = rooms(view, id, spec);
    let wanted = match spec.mode {
        ServiceMode::Replicated { replicas } => replicas,
        ServiceMode::ReplicatedJob {
            max_concurrent,
            total_completions,
        } => max_concurrent.min(total_completions),
        ServiceMode::Global | ServiceMode::GlobalJob => 0,
    };
    let room = total(&rooms);
    if wanted > 0 && rooms.is_empty() && !view.nodes().is_empty() {
        check.fail(
            "task.placement",
            "no node of the cluster fits, so every task waits for one that does",
        );
    } else if wanted > room && !rooms.is_empty() {
        check.fail(
            "mode",
            format_args!(
                "{wanted} tasks are asked for and the {} that fit take {room} at most ({}): the \
                 others wait",
                nodes(rooms.len()),
                narrowest(&rooms),
            ),
        );
    }
    check.into_problems()
}

fn starts_first(config: &Option<UpdateConfig>) -> bool {
    config.is_some_and(|c| c.order == UpdateOrder::StartFirst)
}

fn check_start_first(check: &mut Check, name: &str, spec: &ServiceSpec, rooms: &[Room]) {
    let path = format!("{name}.order");
    match spec.mode {
        ServiceMode::Replicated { replicas } => {
            let room = total(rooms);
            check.require(
                replicas == 0 || rooms.is_empty() || room > replicas,
                path,
                format_args!(
                    "start-first needs room for one task beside the {replicas} replicas, and the \
                     {} that fit take {room} at most ({}): use stop-first, fewer replicas or \
                     more nodes",
                    nodes(rooms.len()),
                    narrowest(rooms),
                ),
            );
        }
        ServiceMode::Global => {
            if let Some(tight) = rooms.iter().find(|r| r.tasks < 2) {
                check.fail(
                    path,
                    format_args!(
                        "start-first needs room for a second task on each node, and node {} has \
                         none ({}): use stop-first",
                        tight.hostname, tight.limit
                    ),
                );
            }
        }
        ServiceMode::ReplicatedJob { .. } | ServiceMode::GlobalJob => {}
    }
}

fn nodes(count: usize) -> String {
    match count {
        1 => "1 node".to_owned(),
        n => format!("{n} nodes"),
    }
}

fn total(rooms: &[Room]) -> u64 {
    rooms
        .iter()
        .fold(0, |sum: u64, r| sum.saturating_add(r.tasks))
}

/// What sets the limit on the node with the least room.
fn narrowest(rooms: &[Room]) -> &str {
    let least = rooms.iter().min_by_key(|r| r.tasks);
    least.map_or("", |r| &r.limit)
}

fn rooms(view: &State, id: Option<ServiceId>, spec: &ServiceSpec) -> Vec<Room> {
    let ports = fixed_ports(spec);
    let placement = spec.task.placement.as_ref();
    let texts = placement.map_or(&[][..], |p| &p.constraints);
    // One that cannot be read is told of by its own path.
    let mut constraints = constraint::parse_all(texts).unwrap_or_default();
    constraints.retain(|c| !c.is_soft());
    let nodes = view.nodes().iter().filter(|n| may_use(n, &constraints));
    nodes
        .map(|node| room(view, id, spec, &ports, node))
        .collect()
}

/// Whether the service may have tasks on a node.
fn may_use(node: &Node, constraints: &[Constraint]) -> bool {
    node.spec.membership == Membership::Accepted
        && node.spec.availability != Availability::Drain
        && constraints.iter().all(|c| constraint::matches(c, node))
}

fn room(
    view: &State,
    id: Option<ServiceId>,
    spec: &ServiceSpec,
    ports: &BTreeSet<Port>,
    node: &Node,
) -> Room {
    let mut limits: Vec<(u64, String)> = Vec::new();
    if let Some((port, _)) = ports.first() {
        limits.push((1, format!("port {port} is there once per node")));
        if let Some((port, other)) = taken_port(view, id, ports, node) {
            limits.push((
                0,
                format!("port {port} of a node belongs to service {other}"),
            ));
        }
    }
    let placement = spec.task.placement.as_ref();
    if let Some(max) = placement.map(|p| p.max_replicas).filter(|max| *max > 0) {
        limits.push((max, format!("at most {max} tasks per node are allowed")));
    }
    let has = node.description.as_ref().map(|d| &d.resources);
    if let (Some(has), Some(wanted)) = (has, spec.task.reservations()) {
        limits.extend(by_resources(has, wanted));
    }
    let least = limits.into_iter().min_by_key(|(tasks, _)| *tasks);
    let (tasks, limit) = least.unwrap_or((u64::MAX, String::new()));
    Room {
        hostname: node.hostname().to_owned(),
        tasks,
        limit,
    }
}

fn by_resources(has: &Resources, wanted: &Resources) -> Vec<(u64, String)> {
    let fits = |has: i64, wanted: i64| u64::try_from(has.max(0) / wanted.max(1)).unwrap_or(0);
    let mut limits = Vec::new();
    if wanted.nano_cpus > 0 {
        let text = "each task reserves CPU".to_owned();
        limits.push((fits(has.nano_cpus, wanted.nano_cpus), text));
    }
    if wanted.memory_bytes > 0 {
        let text = "each task reserves memory".to_owned();
        limits.push((fits(has.memory_bytes, wanted.memory_bytes), text));
    }
    let units = count_by_kind(&has.generic);
    for (kind, count) in count_by_kind(&wanted.generic) {
        let here = units.get(kind).copied().unwrap_or(0);
        limits.push((fits(here, count), format!("each task reserves {kind}")));
    }
    limits
}

/// Ports that each task takes on its node under a fixed number.
fn fixed_ports(spec: &ServiceSpec) -> BTreeSet<Port> {
    let ports = spec.endpoint.iter().flat_map(|e| &e.ports);
    ports
        .filter(|p| p.publish_mode == PublishMode::Host && p.published_port != 0)
        .map(|p| (p.published_port, p.protocol))
        .collect()
}

/// One of the ports that a task of another service holds on the node.
fn taken_port(
    view: &State,
    id: Option<ServiceId>,
    ports: &BTreeSet<Port>,
    node: &Node,
) -> Option<(u32, String)> {
    let there = view.tasks().on_node(node.id);
    let mut others = there.filter(|t| {
        t.service_id.is_some()
            && t.service_id != id
            && t.desired_state <= TaskState::Complete
            && t.is_active()
    });
    others.find_map(|task| {
        let held = fixed_ports(&task.service_spec);
        let (port, _) = *held.intersection(ports).next()?;
        Some((port, task.service_annotations().name.clone()))
    })
}
