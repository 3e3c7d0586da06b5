//! Joining and leaving the replicated log, and the health check that goes with it.

use std::net::SocketAddr;
use std::sync::Arc;

use store::State;
use tonic::{Request, Response, Status};
use transport::Caller;
use types::node::Membership;
use types::{NodeId, NodeRole};
use wire::api;

use crate::ledger::Ledger;
use crate::quorum::Quorum;
use control::{Member, member::member_of, member::survives_without};

/// Serves `RaftMembership` and `Health`.
#[derive(Clone)]
pub struct MembershipApi {
    ledger: Arc<Ledger>,
    quorum: Arc<dyn Quorum>,
}

impl MembershipApi {
    /// Serves for a manager.
    pub fn new(ledger: Arc<Ledger>, quorum: Arc<dyn Quorum>) -> Self {
        Self { ledger, quorum }
    }
}

/// A certificate says what a node was when it was signed. Who may join the log is what the tables
/// say now: a manager that was demoted or removed must not come back by its old certificate.
fn check_may_join(state: &State, id: NodeId) -> Result<(), Status> {
    let Some(node) = state.nodes().get(id) else {
        let text = format!("node {id} is not known to the cluster; join with a manager token");
        return Err(Status::permission_denied(text));
    };
    if node.role != NodeRole::Manager || node.spec.desired_role != NodeRole::Manager {
        let text = format!("node {id} is a worker; promote it first");
        return Err(Status::permission_denied(text));
    }
    if node.spec.membership != Membership::Accepted {
        let text = format!("node {id} is not accepted into the cluster yet; accept it first");
        return Err(Status::failed_precondition(text));
    }
    Ok(())
}

/// Whether others can dial it: a host and a port.
pub(crate) fn is_reachable(addr: &str) -> bool {
    let port = addr.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
    let nowhere = addr
        .parse::<SocketAddr>()
        .is_ok_and(|a| a.ip().is_unspecified());
    port.is_some_and(|port| port != 0) && !nowhere
}

/// An address that others can dial, with the host that the call came from where none is given.
fn reachable_addr(addr: &str, from: Option<&str>) -> Result<String, Status> {
    let addr = with_host(addr, from);
    if !is_reachable(&addr) {
        let text = format!(
            "addr: {addr:?} is no address at which other managers reach this one; expected \
             HOST:PORT"
        );
        return Err(Status::invalid_argument(text));
    }
    Ok(addr)
}

fn shown(member: &Member) -> api::RaftMember {
    let reachability = match member.reachable {
        true => api::raft_member_status::Reachability::Reachable,
        false => api::raft_member_status::Reachability::Unreachable,
    };
    api::RaftMember {
        raft_id: member.raft_id,
        node_id: member.node_id.to_string(),
        addr: member.addr.clone(),
        status: Some(api::RaftMemberStatus {
            leader: member.leader,
            reachability: reachability.into(),
            message: String::new(),
        }),
    }
}

#[tonic::async_trait]
impl api::raft_membership_server::RaftMembership for MembershipApi {
    async fn join(
        &self,
        request: Request<api::JoinRequest>,
    ) -> Result<Response<api::JoinResponse>, Status> {
        let caller = Caller::of(&request)?;
        let node = caller.node_id()?;
        let addr = reachable_addr(&request.get_ref().addr, caller.remote_addr.as_deref())?;
        check_may_join(&self.ledger.state(), node)?;
        let joined = self
            .quorum
            .join(node, addr)
            .await
            .map_err(Status::failed_precondition)?;
        Ok(Response::new(api::JoinResponse {
            raft_id: joined,
            members: self.quorum.members().iter().map(shown).collect(),
            removed_members: Vec::new(),
        }))
    }

    async fn leave(
        &self,
        request: Request<api::LeaveRequest>,
    ) -> Result<Response<api::LeaveResponse>, Status> {
        let node = Caller::of(&request)?.node_id()?;
        let asked = request.into_inner().node.unwrap_or_default();
        let members = self.quorum.members();
        let own = member_of(&members, node);
        let Some(member) = own.filter(|m| asked.raft_id == 0 || asked.raft_id == m.raft_id) else {
            return Err(Status::permission_denied(
                "a manager can take only itself out",
            ));
        };
        if !survives_without(&members, node) {
            let text = "the remaining managers would have no quorum; promote another node first";
            return Err(Status::failed_precondition(text));
        }
        if member.leader {
            let given = self.quorum.transfer(None).await;
            given.map_err(Status::failed_precondition)?;
            let text = "this manager led; another one does now and can take it out: ask again";
            return Err(Status::unavailable(text));
        }
        let removed = self.quorum.remove(member.raft_id).await;
        removed.map_err(Status::failed_precondition)?;
        Ok(Response::new(api::LeaveResponse {}))
    }
}

/// An address whose host is unspecified takes the host that the call came from.
fn with_host(addr: &str, from: Option<&str>) -> String {
    let Ok(parsed) = addr.parse::<SocketAddr>() else {
        return addr.to_owned();
    };
    let from = from.and_then(|a| a.parse::<SocketAddr>().ok());
    match from {
        Some(from) if parsed.ip().is_unspecified() => {
            SocketAddr::new(from.ip(), parsed.port()).to_string()
        }
        _ => addr.to_owned(),
    }
}

#[tonic::async_trait]
impl api::health_server::Health for MembershipApi {
    async fn check(
        &self,
        request: Request<api::HealthCheckRequest>,
    ) -> Result<Response<api::HealthCheckResponse>, Status> {
        use api::health_check_response::ServingStatus;
        let serving = match request.get_ref().service.as_str() {
            "" | "ControlAPI" => true,
            "Raft" => !self.quorum.members().is_empty(),
            other => return Err(Status::not_found(format!("unknown service {other:?}"))),
        };
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        Ok(Response::new(api::HealthCheckResponse {
            status: status.into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_host_takes_the_one_the_call_came_from() {
        let from = Some("10.1.2.3:55");
        assert_eq!(with_host("0.0.0.0:2377", from), "10.1.2.3:2377");
        assert_eq!(
            with_host("[::]:2377", Some("[fd00::1]:9")),
            "[fd00::1]:2377"
        );
        assert_eq!(with_host("10.0.0.1:2377", from), "10.0.0.1:2377");
        assert_eq!(with_host("manager:2377", from), "manager:2377");
        assert_eq!(with_host("0.0.0.0:2377", None), "0.0.0.0:2377");
    }

    #[test]
    fn an_address_that_nobody_can_dial_is_refused() {
        for bad in ["", "manager", ":2377", "10.0.0.1:0", "0.0.0.0:2377", "m:x"] {
            let refused = reachable_addr(bad, None).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{bad:?}");
        }
        assert_eq!(reachable_addr("m:1", None).unwrap(), "m:1");
    }
}
