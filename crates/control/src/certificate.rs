//! Certificates: who gets one and for which role, before anything is signed, and how it is kept.

use std::sync::Arc;

use pki::JoinTokens;
use store::{Draft, State};
use types::node::{Certificate, IssuanceState};
use types::{Cluster, Node, NodeId, NodeRole};

use crate::crud;
use crate::error::ControlError;

type Result<T> = std::result::Result<T, ControlError>;

/// The role that a join token gives to a new node.
pub fn first_role(cluster: &Cluster, token: &str) -> Result<NodeRole> {
    let known = &cluster.root_ca.join_tokens;
    let parse = |token: &str| {
        token.parse().map_err(|_| {
            let text = "the join tokens of the cluster cannot be read; rotate them";
            ControlError::Precondition(text.into())
        })
    };
    let tokens = JoinTokens {
        worker: parse(&known.worker)?,
        manager: parse(&known.manager)?,
    };
    pki::token_role(token, &tokens)
        .map_err(|e| ControlError::Argument(format!("a valid join token is necessary: {e}")))
}

/// The role that the next certificate of a node names.
pub fn next_role(state: &State, id: NodeId) -> Result<NodeRole> {
    let node = state.nodes().get(id);
    pki::renewal_role(node.map(AsRef::as_ref), crate::node::is_removed(state, id))
        .map_err(|e| ControlError::Forbidden(e.to_string()))
}

/// Managers of another kind speak another protocol among themselves. A stock Docker Engine with
/// the manager token would become a member of the log that never answers; it is told so before
/// it is given a certificate.
pub fn check_suits(role: NodeRole, is_own: bool) -> Result<()> {
    if is_own || role == NodeRole::Worker {
        return Ok(());
    }
    let text = "a Docker Engine can only be a worker here: join it with the token that `swarmctl \
                join-token worker` prints, or join swarmd on that machine to have a manager there";
    Err(ControlError::Precondition(text.into()))
}

/// What the tables keep of a certificate that was signed.
pub fn issued(id: NodeId, role: NodeRole, csr: Vec<u8>, chain: Vec<u8>) -> Certificate {
    Certificate {
        role,
        csr,
        state: IssuanceState::Issued,
        err: String::new(),
        certificate: chain,
        cn: id.to_string(),
    }
}

/// Keeps the next certificate of a node.
pub fn store(draft: &mut Draft, id: NodeId, certificate: Certificate) -> Result<Arc<Node>> {
    let found = draft.state().nodes().get(id);
    let found = found.ok_or_else(|| ControlError::not_found(store::Kind::Node, id))?;
    let node = Node {
        certificate,
        ..Node::clone(found)
    };
    crud::update(draft, node, State::nodes)
}
