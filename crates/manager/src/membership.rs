//! Joining and leaving the replicated log, and the health check that goes with it.

use std::net::SocketAddr;
use std::sync::Arc;

use tonic::{Request, Response, Status};
use transport::Caller;
use wire::api;

use crate::quorum::{Member, Quorum, member_of, survives_without};

/// Serves `RaftMembership` and `Health`.
#[derive(Clone)]
pub struct MembershipApi {
    quorum: Arc<dyn Quorum>,
}

impl MembershipApi {
    /// Serves for a manager.
    pub fn new(quorum: Arc<dyn Quorum>) -> Self {
        Self { quorum }
    }
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
        let addr = with_host(&request.get_ref().addr, caller.remote_addr.as_deref());
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
        let removed = if member.leader {
            self.quorum.transfer(None).await
        } else {
            self.quorum.remove(member.raft_id).await
        };
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
}
