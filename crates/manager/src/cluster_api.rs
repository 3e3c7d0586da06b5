//! What SwarmKit's API lacks: status of the managers, paged lists, progress, explanations.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use store::{Change, Draft, State};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use types::{NodeId, ServiceId, Task, TaskId};
use wire::{api, swarm::v1 as pb};

use crate::control_api::ControlApi;
use crate::control_api::status::{OrRefuse, write_status};
use crate::ledger::{Cursor, Ledger};
use crate::quorum::Quorum;
use control::Member;
use control::crud;
use control::progress;
use control::rebalance::{self, Asked};
use control::task::TaskFilter;

/// Tasks in one message of a list.
const PAGE_DEFAULT: usize = 500;

/// Most tasks in one message.
const PAGE_MAX: usize = 2_000;

/// A message is not filled further than this: clients accept 4 MiB, and one task more is under
/// the 1.5 MiB that a spec may have.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// Messages waiting for a slow reader.
const QUEUE: usize = 4;

/// Shortest time between two progress messages: people read no faster.
const PROGRESS_PERIOD_MIN: Duration = Duration::from_millis(100);

/// Serves `swarm.v1.Cluster`.
#[derive(Clone)]
pub struct ClusterApi {
    ledger: Arc<Ledger>,
    quorum: Arc<dyn Quorum>,
    control: ControlApi,
    node_id: NodeId,
}

impl ClusterApi {
    /// Serves for the manager on `node_id`.
    pub fn new(ledger: Arc<Ledger>, quorum: Arc<dyn Quorum>, node_id: NodeId) -> Self {
        let control = ControlApi::new(ledger.clone(), quorum.clone());
        Self {
            ledger,
            quorum,
            control,
            node_id,
        }
    }
}

/// Whether a majority agrees, as far as the manager on `own` knows: a leader hears of everybody,
/// and steps down when it hears of too few; others know that they hear of a leader.
fn has_quorum(members: &[Member], own: NodeId) -> bool {
    let Some(leader) = members.iter().find(|m| m.leader) else {
        return false;
    };
    let voters = members.iter().filter(|m| m.voter);
    let reachable = voters.clone().filter(|m| m.reachable).count();
    leader.node_id != own || reachable > voters.count() / 2
}

fn member(member: &Member, state: &State, by_leader: bool) -> pb::Member {
    use pb::member::{Reachability, Role};
    let role = match (member.leader, member.voter) {
        (true, _) => Role::Leader,
        (false, true) => Role::Follower,
        (false, false) => Role::Learner,
    };
    let reachability = match (member.reachable, by_leader) {
        (true, _) => Reachability::Reachable,
        (false, true) => Reachability::Unreachable,
        // Only the leader hears of everybody.
        (false, false) => Reachability::Unspecified,
    };
    let node = state.nodes().get(member.node_id);
    pb::Member {
        raft_id: member.raft_id,
        node_id: member.node_id.to_string(),
        hostname: node.map(|n| n.hostname().to_owned()).unwrap_or_default(),
        addr: member.addr.clone(),
        role: role.into(),
        reachability: reachability.into(),
        match_index: member.match_index,
        ..Default::default()
    }
}

fn counts(state: &State) -> pb::StoreCounts {
    pb::StoreCounts {
        nodes: state.nodes().len() as u64,
        services: state.services().len() as u64,
        tasks: state.tasks().len() as u64,
        networks: state.networks().len() as u64,
        secrets: state.secrets().len() as u64,
        configs: state.configs().len() as u64,
        volumes: state.volumes().len() as u64,
    }
}

/// What a list of tasks holds, and how.
struct Pages {
    filter: TaskFilter,
    after: Option<TaskId>,
    tasks_max: usize,
    /// Without spec, networks and endpoint.
    summary: bool,
}

fn listed(task: &Task, summary: bool) -> api::Task {
    let mut task = api::Task::from(task);
    if summary {
        task.spec = None;
        task.networks = Vec::new();
        task.endpoint = None;
    }
    task
}

async fn send_pages(
    state: Arc<State>,
    pages: Pages,
    out: mpsc::Sender<Result<pb::StreamTasksResponse, Status>>,
) {
    let version = Some(api::Version {
        index: state.version(),
    });
    let mut after = pages.after;
    loop {
        let mut tasks = Vec::new();
        let mut bytes = 0;
        for task in pages.filter.page(&state, after).take(pages.tasks_max) {
            after = Some(task.id);
            let task = listed(task, pages.summary);
            bytes += task.encoded_len();
            tasks.push(task);
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        if tasks.is_empty() {
            return;
        }
        let message = pb::StreamTasksResponse { tasks, version };
        if out.send(Ok(message)).await.is_err() {
            return;
        }
    }
}

/// Whether a change may change what is shown of a service.
fn concerns(change: &Change, id: ServiceId) -> bool {
    match change {
        Change::Service(diff) => diff.latest().id == id,
        Change::Task(diff) => diff.latest().service_id == Some(id),
        _ => false,
    }
}

async fn watch_service(
    ledger: Arc<Ledger>,
    mut cursor: Cursor,
    request: (ServiceId, usize, bool),
    out: mpsc::Sender<Result<pb::ServiceProgress, Status>>,
) {
    let (id, rows, until_settled) = request;
    loop {
        let progress = progress::of(&ledger.state(), id, rows);
        let phase = progress.phase();
        if out.send(Ok(progress)).await.is_err() {
            return;
        }
        use pb::service_progress::Phase;
        let settled = matches!(phase, Phase::Converged | Phase::Failed | Phase::Paused);
        if phase == Phase::Removed || (settled && until_settled) {
            return;
        }
        tokio::time::sleep(PROGRESS_PERIOD_MIN).await;
        let goes_on = tokio::select! {
            state = cursor.next_where(|c| concerns(c, id)) => state.is_some(),
            () = out.closed() => false,
        };
        if !goes_on {
            return;
        }
    }
}

#[tonic::async_trait]
impl pb::cluster_server::Cluster for ClusterApi {
    async fn status(
        &self,
        _: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let state = self.ledger.state();
        let members = self.quorum.members();
        let standing = self.quorum.standing();
        let leader = members.iter().find(|m| m.leader);
        let leads = leader.is_some_and(|m| m.node_id == self.node_id);
        Ok(Response::new(pb::StatusResponse {
            cluster_id: state
                .cluster()
                .map(|c| c.id.to_string())
                .unwrap_or_default(),
            node_id: self.node_id.to_string(),
            leader_node_id: leader.map(|m| m.node_id.to_string()).unwrap_or_default(),
            term: standing.term,
            commit_index: standing.committed,
            applied_index: standing.applied,
            feature_level: state.cluster().map_or(0, |c| c.feature_level),
            members: members.iter().map(|m| member(m, &state, leads)).collect(),
            disk: Some(pb::DiskStatus {
                state: match standing.disk_trouble {
                    None => pb::disk_status::State::Ok.into(),
                    Some(_) => pb::disk_status::State::Full.into(),
                },
                message: standing.disk_trouble.unwrap_or_default(),
                ..Default::default()
            }),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            has_quorum: has_quorum(&members, self.node_id),
            counts: Some(counts(&state)),
            tables_differ_since: self.ledger.differ_since().unwrap_or_default(),
            ..Default::default()
        }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipResponse>, Status> {
        let node = request.into_inner().node_id;
        let members = self.quorum.members();
        let to = match node.as_str() {
            "" => None,
            id => {
                let found = members
                    .iter()
                    .find(|m| m.node_id.to_string() == id && m.voter);
                let text = || Status::not_found(format!("node {id} is not a voting manager"));
                Some(found.ok_or_else(text)?.raft_id)
            }
        };
        self.quorum
            .transfer(to)
            .await
            .map_err(Status::failed_precondition)?;
        let leader = self.quorum.members().into_iter().find(|m| m.leader);
        Ok(Response::new(pb::TransferLeadershipResponse {
            leader_node_id: leader.map(|m| m.node_id.to_string()).unwrap_or_default(),
            term: self.quorum.standing().term,
        }))
    }

    async fn rotate_certificate(
        &self,
        request: Request<pb::RotateCertificateRequest>,
    ) -> Result<Response<pb::RotateCertificateResponse>, Status> {
        let id = request.into_inner().node_id;
        let edit = |draft: &mut store::Draft| control::node::rotate(draft, &id);
        let node = self.ledger.write(edit).await.map_err(write_status)?;
        tracing::info!(node = %node.id, "asked for a new certificate");
        let node = control::node::shown(&node, &self.quorum.members());
        Ok(Response::new(pb::RotateCertificateResponse {
            node: Some(node),
        }))
    }

    type StreamTasksStream = ReceiverStream<Result<pb::StreamTasksResponse, Status>>;

    async fn stream_tasks(
        &self,
        request: Request<pb::StreamTasksRequest>,
    ) -> Result<Response<Self::StreamTasksStream>, Status> {
        let request = request.into_inner();
        let after = match request.after_task_id.as_str() {
            "" => None,
            id => Some(crud::parse_id::<types::Task>(id).or_refuse()?),
        };
        let tasks_max = match request.page_size as usize {
            0 => PAGE_DEFAULT,
            size => size.min(PAGE_MAX),
        };
        let pages = Pages {
            filter: TaskFilter::new(request.filters.unwrap_or_default()),
            after,
            tasks_max,
            summary: request.summary,
        };
        let state = self.control.read().await?;
        let (out, stream) = mpsc::channel(QUEUE);
        tokio::spawn(send_pages(state, pages, out));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn explain(
        &self,
        request: Request<pb::ExplainRequest>,
    ) -> Result<Response<pb::ExplainResponse>, Status> {
        let request = request.into_inner();
        let state = self.control.read().await?;
        let task = control::task::find(&state, &request.task_id).or_refuse()?;
        Ok(Response::new(control::explain::of(
            &state,
            task,
            request.examples_max as usize,
            crate::clock::now(),
        )))
    }

    type WatchServiceStream = ReceiverStream<Result<pb::ServiceProgress, Status>>;

    async fn watch_service(
        &self,
        request: Request<pb::WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let request = request.into_inner();
        let state = self.control.read().await?;
        let id = crud::find(state.services(), &request.service_id)
            .or_refuse()?
            .id;
        let (_, cursor) = self.ledger.subscribe();
        let (out, stream) = mpsc::channel(QUEUE);
        let what = (id, request.tasks_max as usize, request.until_settled);
        tokio::spawn(watch_service(self.ledger.clone(), cursor, what, out));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn plan_service(
        &self,
        request: Request<pb::PlanServiceRequest>,
    ) -> Result<Response<pb::PlanServiceResponse>, Status> {
        let change = control::plan::Change::read(request.into_inner()).or_refuse()?;
        let state = self.control.read().await?;
        let rehearse = move || control::plan::of(&state, change, crate::clock::now());
        let reply = tokio::task::spawn_blocking(rehearse).await;
        let reply = reply.map_err(|e| Status::internal(format!("the rehearsal ended: {e}")))?;
        Ok(Response::new(reply.or_refuse()?))
    }

    async fn rebalance(
        &self,
        request: Request<pb::RebalanceRequest>,
    ) -> Result<Response<pb::RebalanceResponse>, Status> {
        let request = request.into_inner();
        let state = self.control.read().await?;
        let asked = Asked::read(&state, &request).or_refuse()?;
        let now = crate::clock::now();
        if request.stop {
            self.control.edit(rebalance::stop).await?;
            let state = self.control.read().await?;
            return Ok(Response::new(rebalance::plan(&state, asked, now)));
        }
        let look = move || rebalance::plan(&state, asked, now);
        let planned = tokio::task::spawn_blocking(look).await;
        let mut reply =
            planned.map_err(|e| Status::internal(format!("the planning ended: {e}")))?;
        let moves = u32::try_from(reply.moves.len()).unwrap_or(u32::MAX);
        if !request.plan_only && moves > 0 {
            let ask = |d: &mut Draft| rebalance::ask(d, asked, moves, now);
            self.control.edit(ask).await?;
            (reply.in_progress, reply.moves_left) = (true, moves);
        }
        Ok(Response::new(reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five voters of whom the first leads, as one of them sees them.
    fn members(reachable: [bool; 5]) -> Vec<Member> {
        let member = |(i, reachable): (usize, bool)| Member {
            raft_id: i as u64 + 1,
            node_id: id(i as u128 + 1),
            addr: String::new(),
            leader: i == 0,
            voter: true,
            reachable,
            match_index: 0,
        };
        reachable.into_iter().enumerate().map(member).collect()
    }

    fn id(n: u128) -> NodeId {
        NodeId::from_u128(n).unwrap()
    }

    #[test]
    fn a_follower_that_hears_of_a_leader_knows_that_there_is_a_majority_and_nothing_of_the_others()
    {
        let by_follower = members([true, true, false, false, false]);
        assert!(has_quorum(&by_follower, id(2)));
        assert!(
            !has_quorum(&by_follower, id(1)),
            "a leader hears of everybody"
        );
        assert!(!has_quorum(&by_follower[1..], id(2)), "nobody leads");
        let state = State::default();
        let other = member(&by_follower[4], &state, false);
        assert_eq!(other.reachability(), pb::member::Reachability::Unspecified);
        let other = member(&by_follower[4], &state, true);
        assert_eq!(other.reachability(), pb::member::Reachability::Unreachable);
    }
}
