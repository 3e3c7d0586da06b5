//! What creating or updating a service would do: a rehearsal on the present tables.
//!
//! The change is drafted by the function that carries it out, so whatever that refuses is refused
//! here in the same words; the scheduler then places the tasks on a copy. The draft is dropped:
//! nothing is written, proposed or remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use scheduler::Simulation;
use store::{Draft, State};
use types::entropy::SeededEntropy;
use types::{Node, NodeId, Service, ServiceId, ServiceSpec, TaskId, Timestamp};
use wire::{api, swarm::v1 as pb};

use crate::error::ControlError;
use crate::{crud, service};

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
    let Drafted {
        old,
        new,
        impossible,
    } = draft(state, change, now)?;
    let seen = scheduler::simulate(state, &new, now);
    let mut reply = pb::PlanServiceResponse {
        service_id: old.map(|s| s.id.to_string()).unwrap_or_default(),
        service_name: new.annotations.name.clone(),
        version: old.map(|s| api::Version {
            index: s.meta.version,
        }),
        old_spec: old.map(|s| api::ServiceSpec::from(s.spec.as_ref())),
        new_spec: Some(api::ServiceSpec::from(new.as_ref())),
        impossible,
        warnings: warnings(state, old.map(|s| s.id), &new),
        ..Default::default()
    };
    count(&mut reply, &seen);
    place(&mut reply, state, old.map(|s| s.id), &seen);
    displace(&mut reply, state, &seen.displaced);
    Ok(reply)
}

/// A change that was drafted.
struct Drafted<'a> {
    /// The service before.
    old: Option<&'a Service>,
    /// The spec after.
    new: Arc<ServiceSpec>,
    /// Why it can never be carried out; the change itself would be refused then.
    impossible: Vec<String>,
}

/// Drafts a change. One that is refused because nodes can never carry it out is gone on with: a
/// plan shows what is impossible beside all else.
fn draft(state: &State, change: Change, now: Timestamp) -> Result<Drafted<'_>, ControlError> {
    let mut draft = Draft::new(state, now);
    let (old, spec, rollback) = match change {
        Change::Create(spec) => (None, spec, false),
        Change::Update(id, spec) => (Some(crud::find(state.services(), &id)?), spec, false),
        Change::Rollback(id) => {
            let old = crud::find(state.services(), &id)?;
            (Some(old), ServiceSpec::clone(&old.spec), true)
        }
    };
    let drafted = match old {
        // The id of a rehearsed service is never seen.
        None => service::create(
            &mut draft,
            spec.clone(),
            now,
            &mut SeededEntropy::new(now.0),
        ),
        Some(old) => {
            let update = match rollback {
                true => service::Update::back(old),
                false => service::Update::to(old, spec.clone()),
            };
            service::update(&mut draft, update, now)
        }
    };
    let old = old.map(AsRef::as_ref);
    match drafted {
        Ok(service) => Ok(Drafted {
            old,
            new: service.spec.clone(),
            impossible: Vec::new(),
        }),
        Err(refusal) => {
            let impossible = only_impossible(state, old.map(|s| s.id), &spec);
            let impossible = impossible.filter(|_| !rollback).ok_or(refusal)?;
            Ok(Drafted {
                old,
                new: Arc::new(spec),
                impossible,
            })
        }
    }
}

/// Why the nodes can never carry a spec out, if nothing else is wrong with it.
fn only_impossible(
    state: &State,
    id: Option<ServiceId>,
    spec: &ServiceSpec,
) -> Option<Vec<String>> {
    let sound = validate::service(spec).is_ok() && validate::service_refs(state, id, spec).is_ok();
    let problems = validate::impossible(state, id, spec);
    let texts = problems.iter().map(ToString::to_string);
    (sound && !problems.is_empty()).then(|| texts.collect())
}

fn warnings(state: &State, id: Option<ServiceId>, spec: &ServiceSpec) -> Vec<String> {
    let problems = validate::service_warnings(spec).into_iter();
    let problems = problems.chain(validate::doubtful(state, id, spec));
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
pub fn hostname(state: &State, id: NodeId) -> String {
    let node = state.nodes().get(id);
    node.map_or("", |n| Node::hostname(n)).to_owned()
}

#[cfg(test)]
mod tests {
    use types::node::{NodeDescription, NodeStatus};
    use types::service::{EndpointSpec, PortConfig, PublishMode, UpdateConfig, UpdateOrder};
    use types::{Annotations, ContainerSpec, NodeSpec, NodeState, Runtime, ServiceMode};

    use super::*;
    use crate::testing::tables;

    fn node(n: u128) -> Node {
        Node {
            description: Some(Arc::new(NodeDescription {
                hostname: format!("node-{n}"),
                ..NodeDescription::default()
            })),
            status: NodeStatus {
                state: NodeState::Ready,
                ..NodeStatus::default()
            },
            ..Node::new(
                NodeId::from_u128((1 << 127) + n).unwrap(),
                NodeSpec::default(),
            )
        }
    }

    fn cluster(nodes: u128) -> State {
        tables(Timestamp::from_secs(1), (1..=nodes).map(|n| node(n).into()))
    }

    fn web(replicas: u64) -> ServiceSpec {
        let mut spec = ServiceSpec {
            annotations: Annotations::named("web"),
            mode: ServiceMode::Replicated { replicas },
            ..ServiceSpec::default()
        };
        spec.task.runtime = Runtime::Container(Box::new(ContainerSpec {
            image: "nginx:1".into(),
            ..ContainerSpec::default()
        }));
        spec
    }

    fn plan(state: &State, spec: ServiceSpec) -> Result<pb::PlanServiceResponse, ControlError> {
        of(state, Change::Create(spec), Timestamp::from_secs(2))
    }

    #[test]
    fn a_new_service_is_placed_and_what_finds_no_node_waits_with_its_reason() {
        let mut spec = web(3);
        spec.task.placement.get_or_insert_default().max_replicas = 1;
        let reply = plan(&cluster(2), spec).unwrap();
        assert_eq!((reply.tasks_created, reply.tasks_replaced), (3, 0));
        let new: Vec<_> = reply.nodes.iter().map(|n| n.tasks_new).collect();
        assert_eq!(new, [1, 1]);
        assert_eq!(reply.waiting.len(), 1);
        assert!(
            reply.waiting[0].reason.contains("max replicas"),
            "{reply:?}"
        );
        assert_eq!(reply.version, None);
    }

    #[test]
    fn what_nodes_can_never_carry_out_is_shown_beside_the_rest() {
        let mut spec = web(2);
        spec.update = Some(UpdateConfig {
            order: UpdateOrder::StartFirst,
            ..UpdateConfig::default()
        });
        spec.endpoint = Some(EndpointSpec {
            ports: vec![PortConfig {
                target_port: 80,
                published_port: 80,
                publish_mode: PublishMode::Host,
                ..PortConfig::default()
            }],
            ..EndpointSpec::default()
        });
        let reply = plan(&cluster(2), spec.clone()).unwrap();
        assert_eq!(reply.impossible.len(), 1, "{reply:?}");
        assert_eq!(reply.tasks_created, 2);
        assert_eq!(plan(&cluster(3), spec).unwrap().impossible, [] as [&str; 0]);
    }

    #[test]
    fn what_the_change_itself_would_be_refused_for_is_refused() {
        let mut spec = web(1);
        spec.annotations.name.clear();
        let refusal = plan(&cluster(1), spec.clone()).unwrap_err().to_string();
        let mut draft = Draft::new(&cluster(1), Timestamp::from_secs(2));
        let (now, mut entropy) = (Timestamp::from_secs(2), SeededEntropy::new(1));
        let same = service::create(&mut draft, spec, now, &mut entropy);
        let same = same.unwrap_err().to_string();
        assert_eq!(refusal, same);
        let gone = Change::Update("0123456789abcdefghijklmno".into(), web(1));
        assert!(of(&cluster(1), gone, Timestamp::from_secs(2)).is_err());
    }
}
