//! What creating or updating a service would do: a rehearsal on the present tables.
//!
//! The change is drafted by the function that carries it out, so whatever that refuses is refused
//! here in the same words; the scheduler then places the tasks on a copy. The draft is dropped:
//! nothing is written, proposed or remembered.

use std::collections::BTreeMap;

use scheduler::Simulation;
use store::{Draft, State};
use types::{Node, NodeId, Service, ServiceId, ServiceSpec, TaskId, Timestamp};
use wire::{api, swarm::v1 as pb};

use crate::control::error::ControlError;
use crate::control::{crud, service};

/// Nodes listed in one answer: more are for tools, which can count tasks themselves.
const NODES_MAX: usize = 200;

/// Displaced tasks listed in one answer.
const DISPLACED_MAX: usize = 50;

/// A change to rehearse.
#[derive(Debug)]
pub enum Change {
    /// A new service.
    Create(ServiceSpec),
    /// Another spec for a service.
    Update(String, ServiceSpec),
    /// The spec before, for a service.
    Rollback(String),
}

impl Change {
    /// Reads a request.
    ///
    /// # Errors
    /// If a field cannot be read or is missing.
    pub fn read(request: pb::PlanServiceRequest) -> Result<Self, ControlError> {
        let pb::PlanServiceRequest {
            service_id,
            spec,
            rollback,
        } = request;
        if rollback {
            return Ok(Self::Rollback(service_id));
        }
        let spec: ServiceSpec = crud::spec(spec)?;
        Ok(match service_id.as_str() {
            "" => Self::Create(spec),
            _ => Self::Update(service_id, spec),
        })
    }
}

/// Rehearses a change.
///
/// # Errors
/// If the change itself would be refused.
pub fn of(
    state: &State,
    change: Change,
    now: Timestamp,
) -> Result<pb::PlanServiceResponse, ControlError> {
    let mut draft = Draft::new(state, now);
    let (old, new) = match change {
        Change::Create(spec) => (None, service::create(&mut draft, spec)?),
        Change::Update(id, spec) => update(state, &mut draft, id, spec, false, now)?,
        Change::Rollback(id) => {
            let spec = crud::find(state.services(), &id)?.spec.clone();
            update(state, &mut draft, id, ServiceSpec::clone(&spec), true, now)?
        }
    };
    let seen = scheduler::simulate(state, &new.spec, now);
    let mut reply = pb::PlanServiceResponse {
        service_id: old.map(|s| s.id.to_string()).unwrap_or_default(),
        service_name: new.spec.annotations.name.clone(),
        version: old.map(|s| api::Version {
            index: s.meta.version,
        }),
        old_spec: old.map(|s| api::ServiceSpec::from(s.spec.as_ref())),
        new_spec: Some(api::ServiceSpec::from(new.spec.as_ref())),
        warnings: warnings(&new.spec),
        ..Default::default()
    };
    count(&mut reply, &seen);
    place(&mut reply, state, old.map(|s| s.id), &seen);
    displace(&mut reply, state, &seen.displaced);
    Ok(reply)
}

type Versions<'a> = (Option<&'a Service>, std::sync::Arc<Service>);

fn update<'a>(
    state: &'a State,
    draft: &mut Draft,
    id: String,
    spec: ServiceSpec,
    rollback: bool,
    now: Timestamp,
) -> Result<Versions<'a>, ControlError> {
    let old = crud::find(state.services(), &id)?;
    let asked = service::Update {
        id,
        version: old.meta.version,
        spec,
        rollback,
    };
    Ok((Some(old), service::update(draft, asked, now)?))
}

fn warnings(spec: &ServiceSpec) -> Vec<String> {
    let problems = validate::service_warnings(spec).into_iter();
    problems.map(|p| p.to_string()).collect()
}

fn count(reply: &mut pb::PlanServiceResponse, seen: &Simulation) {
    let replaced = seen.outcomes.iter().filter(|o| o.replaces.is_some());
    reply.tasks_replaced = replaced.count() as u64;
    reply.tasks_created = seen.outcomes.len() as u64 - reply.tasks_replaced;
    reply.tasks_kept = seen.kept as u64;
    reply.tasks_stopped = seen.surplus as u64;
    let mut waiting: BTreeMap<&str, u64> = BTreeMap::new();
    for outcome in seen.outcomes.iter().filter(|o| o.node.is_none()) {
        *waiting.entry(&outcome.reason).or_default() += 1;
    }
    let waits = waiting.into_iter().map(|(reason, tasks)| pb::PlannedWait {
        reason: reason.to_owned(),
        tasks,
    });
    reply.waiting = waits.collect();
}

fn place(
    reply: &mut pb::PlanServiceResponse,
    state: &State,
    known: Option<ServiceId>,
    seen: &Simulation,
) {
    let mut nodes: BTreeMap<NodeId, pb::PlannedNode> = BTreeMap::new();
    let present = known
        .into_iter()
        .flat_map(|id| state.tasks().of_service(id));
    for task in present.filter(|t| t.is_runnable()) {
        if let Some(node) = task.node_id {
            nodes.entry(node).or_default().tasks_now += 1;
        }
    }
    for outcome in &seen.outcomes {
        let replaced = outcome
            .replaces
            .and_then(|id| state.tasks().get(id)?.node_id);
        if let Some(node) = replaced {
            nodes.entry(node).or_default().tasks_replaced += 1;
        }
        if let Some(node) = outcome.node {
            nodes.entry(node).or_default().tasks_new += 1;
        }
    }
    let mut rows: Vec<_> = nodes.into_iter().collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse((row.tasks_new, row.tasks_now)));
    reply.nodes_left_off = rows.len().saturating_sub(NODES_MAX) as u64;
    let named = rows
        .into_iter()
        .take(NODES_MAX)
        .map(|(id, row)| pb::PlannedNode {
            node_id: id.to_string(),
            hostname: hostname(state, id),
            ..row
        });
    reply.nodes = named.collect();
}

fn displace(reply: &mut pb::PlanServiceResponse, state: &State, displaced: &[TaskId]) {
    let tasks = displaced.iter().filter_map(|id| state.tasks().get(*id));
    let rows = tasks.take(DISPLACED_MAX).map(|t| pb::PlannedDisplacement {
        task_id: t.id.to_string(),
        service_name: t.service_annotations().name.clone(),
        slot: t.slot,
        node_hostname: t.node_id.map(|id| hostname(state, id)).unwrap_or_default(),
    });
    reply.displaced = rows.collect();
    reply.displaced_left_off = displaced.len().saturating_sub(DISPLACED_MAX) as u64;
}

/// The host name of a node; empty if there is no such node.
pub(crate) fn hostname(state: &State, id: NodeId) -> String {
    let node = state.nodes().get(id);
    node.map_or("", |n| Node::hostname(n)).to_owned()
}
