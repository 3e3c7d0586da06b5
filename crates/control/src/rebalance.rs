//! `Rebalance`: shows which tasks would be better placed elsewhere, and tells the leader to move
//! them. The moves themselves are made by a stage of the pipeline.

use scheduler::rebalance::{self as planner, Move, Outlook, Scope, Skip};
use store::{Draft, State};
use types::options::Rebalancing;
use types::{Cluster, Service, ServiceId, TaskState, Timestamp};
use wire::{api, swarm::v1 as pb};

use crate::crud;
use crate::error::ControlError;
use crate::plan::hostname;
use crate::progress;

/// Moves that are planned when nobody says how many.
const MOVES_DEFAULT: u32 = 1_000;

/// Most moves in one request: each is a few hundred bytes of the answer.
const MOVES_MAX: u32 = 5_000;

/// Tasks listed of those that were moved and do not run yet.
const SETTLING_MAX: usize = 10;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    service: Option<ServiceId>,
    moves_max: u32,
}

impl Asked {
    /// Reads a request.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn read(state: &State, request: &pb::RebalanceRequest) -> Result<Self, ControlError> {
        let service = match request.service_id.as_str() {
            "" => None,
            id => Some(crud::find(state.services(), id)?.id),
        };
        let moves_max = match request.moves_max {
            0 => MOVES_DEFAULT,
            n => n.min(MOVES_MAX),
        };
        Ok(Self { service, moves_max })
    }
}

/// The plan as things stand.
pub fn plan(state: &State, asked: Asked, now: Timestamp) -> pb::RebalanceResponse {
    let scope = Scope {
        services: asked.service.map(|id| [id].into()),
        overall: true,
        moves_max: usize::try_from(asked.moves_max).unwrap_or(usize::MAX),
    };
    let Outlook {
        moves,
        skipped,
        more,
    } = planner::plan(state, &scope, now);
    let skipped = skipped.into_iter();
    let request = state.cluster().and_then(|c| c.spec.options.rebalancing);
    pb::RebalanceResponse {
        moves: moves.iter().map(|m| shown(state, m, now)).collect(),
        more,
        skipped: skipped
            .filter_map(|(id, why)| left_out(state, id, why))
            .collect(),
        in_progress: request.is_some(),
        moves_left: request.map_or(0, |r| r.moves_left),
        settling: request.map(|r| settling(state, &r)).unwrap_or_default(),
        version: Some(api::Version {
            index: state.version(),
        }),
    }
}

/// Writes the request down, for as many moves as were planned.
///
/// # Errors
/// If moves are being made already.
pub fn ask(
    draft: &mut Draft,
    asked: Asked,
    moves: u32,
    now: Timestamp,
) -> Result<(), ControlError> {
    if let Some(known) = draft
        .state()
        .cluster()
        .and_then(|c| c.spec.options.rebalancing)
    {
        return Err(ControlError::Precondition(format!(
            "tasks are being moved already, {} moves are left; wait for them or end that with \
             `cluster rebalance --stop`",
            known.moves_left
        )));
    }
    let request = Rebalancing {
        service: asked.service,
        moves_left: moves,
        asked_at: now,
    };
    write(draft, Some(request))
}

/// Ends a request, if there is one.
///
/// # Errors
/// If the tables refuse it.
pub fn stop(draft: &mut Draft) -> Result<(), ControlError> {
    let is_going_on = |c: &Cluster| c.spec.options.rebalancing.is_some();
    match draft.state().cluster() {
        Some(cluster) if is_going_on(cluster) => write(draft, None),
        _ => Ok(()),
    }
}

fn write(draft: &mut Draft, request: Option<Rebalancing>) -> Result<(), ControlError> {
    let missing = || ControlError::Precondition("the cluster has no settings yet".into());
    let mut cluster = Cluster::clone(draft.state().cluster().ok_or_else(missing)?);
    cluster.spec.options.rebalancing = request;
    crud::update(draft, cluster, State::clusters).map(drop)
}

fn name(state: &State, id: ServiceId) -> String {
    let service = state.services().get(id);
    service.map_or_else(String::new, |s| s.spec.annotations.name.clone())
}

fn shown(state: &State, found: &Move, now: Timestamp) -> pb::TaskMove {
    pb::TaskMove {
        task_id: found.task.to_string(),
        service_id: found.service.to_string(),
        service_name: name(state, found.service),
        slot: found.slot,
        from_node_id: found.from.to_string(),
        from_hostname: hostname(state, found.from),
        to_node_id: found.to.to_string(),
        to_hostname: hostname(state, found.to),
        reason: found.reason(state, now),
    }
}

fn left_out(state: &State, id: ServiceId, why: Skip) -> Option<pb::SkippedService> {
    let reason = match why {
        Skip::Mode => return None,
        Skip::Strategy(strategy) => format!("its strategy is {strategy}"),
        Skip::Update => "an update is under way or paused".to_owned(),
        Skip::Affinity => "its tasks are bound to others by affinities".to_owned(),
    };
    Some(pb::SkippedService {
        service_id: id.to_string(),
        service_name: name(state, id),
        reason,
    })
}

/// Tasks that were made since the request and do not run yet.
fn settling(state: &State, request: &Rebalancing) -> Vec<String> {
    let in_scope = |s: &&std::sync::Arc<Service>| request.service.is_none_or(|only| only == s.id);
    let services = state.services().iter().filter(in_scope);
    let tasks = services.flat_map(|s| state.tasks().of_service(s.id));
    let fresh = tasks.filter(|t| {
        t.is_runnable()
            && t.status.state < TaskState::Running
            && t.meta.created_at >= request.asked_at
    });
    let line = |t: &std::sync::Arc<types::Task>| {
        let name = &t.service_annotations().name;
        match progress::reason(t) {
            why if why.is_empty() => format!("{name}.{}", t.slot),
            why => format!("{name}.{}: {why}", t.slot),
        }
    };
    fresh.take(SETTLING_MAX).map(line).collect()
}
