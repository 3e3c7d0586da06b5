//! Nodes.

use std::sync::Arc;

use policy::Standing;
use store::{Action, Draft, Key, State};
use types::node::{IssuanceState, Membership};
use types::task::message;
use types::{Node, NodeId, NodeRole, NodeSpec, NodeState, TaskState, TaskStatus, Timestamp};
use wire::api;

use crate::crud;
use crate::error::ControlError;
use crate::filter::{Common, any, has_labels};
use crate::member::{Member, member_of, survives_without};

type Result<T> = std::result::Result<T, ControlError>;

/// A removed node's certificate is remembered this long after it expired, for nodes whose clock
/// is behind (SwarmKit: 7 days).
const BLACKLIST_MARGIN: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// Tasks given up in one transaction: their statuses fit into a log entry.
const ORPHANS_MAX: usize = 2_000;

/// A node as API clients see it, with its part in the replicated log.
pub fn shown(node: &Node, members: &[Member]) -> api::Node {
    let mut shown = api::Node::from(node);
    shown.manager_status = member_of(members, node.id).map(|m| api::ManagerStatus {
        raft_id: m.raft_id,
        addr: m.addr.clone(),
        leader: m.leader,
        reachability: match m.reachable {
            true => api::raft_member_status::Reachability::Reachable.into(),
            false => api::raft_member_status::Reachability::Unreachable.into(),
        },
    });
    shown
}

/// Nodes that pass the filters.
pub fn list<'a>(
    state: &'a State,
    filters: &api::list_nodes_request::Filters,
) -> Vec<&'a Arc<Node>> {
    let common = Common {
        names: &filters.names,
        name_prefixes: &filters.name_prefixes,
        id_prefixes: &filters.id_prefixes,
        labels: None,
    };
    let passes = |node: &Node| {
        let engine = node.description.as_ref().map(|d| &d.engine.labels);
        let own = &node.spec.annotations.labels;
        common.matches(&node.id, node.hostname(), own)
            && (filters.labels.is_empty()
                || engine.is_some_and(|labels| has_labels(labels, &filters.labels)))
            && has_labels(own, &filters.node_labels)
            && any(&filters.roles, |r| {
                *r == api::NodeRole::from(node.role) as i32
            })
            && any(&filters.memberships, |m| {
                *m == api::node_spec::Membership::from(node.spec.membership) as i32
            })
    };
    state.nodes().iter().filter(|n| passes(n)).collect()
}

/// Replaces a node's spec.
pub fn update(
    draft: &mut Draft,
    id: &str,
    version: u64,
    spec: NodeSpec,
    members: &[Member],
) -> Result<Arc<Node>> {
    validate::node(&spec)?;
    let mut node = Node::clone(crud::find(draft.state().nodes(), id)?);
    if node.spec.desired_role != spec.desired_role {
        match spec.desired_role {
            NodeRole::Worker => check_demotion(draft.state(), &node, members)?,
            NodeRole::Manager => check_promotion(&node)?,
        }
    }
    node.meta.version = version;
    node.spec = spec;
    crud::update(draft, node, State::nodes)
}

/// Asks a node for a new certificate: it is told in its session, or when it has one again.
pub fn rotate(draft: &mut Draft, id: &str) -> Result<Arc<Node>> {
    let mut node = Node::clone(crud::find(draft.state().nodes(), id)?);
    node.certificate.state = IssuanceState::Rotate;
    crud::update(draft, node, State::nodes)
}

/// Makes the role of a node follow what is asked for: the role manager does, when nothing is in the
/// way. What certificate it has says another role, so it is asked for a new one in the same breath.
pub fn follow_role(draft: &mut Draft, id: NodeId, role: NodeRole) -> Result<()> {
    let Some(node) = draft.state().nodes().get(id) else {
        return Ok(());
    };
    if node.role == role || node.spec.desired_role != role {
        return Ok(());
    }
    let mut node = Node {
        role,
        ..Node::clone(node)
    };
    node.certificate.state = IssuanceState::Rotate;
    crud::update(draft, node, State::nodes).map(drop)
}

/// Whether a node was removed: its certificates count no more.
pub fn is_removed(state: &State, id: NodeId) -> bool {
    let removed = state.cluster().map(|c| &c.blacklisted_certificates);
    removed.is_some_and(|r| !r.is_empty() && r.contains_key(&id.to_string()))
}

/// What the tables say of a node, for the gate.
pub fn standing(state: &State, id: NodeId) -> Standing {
    if state.cluster().is_none() {
        return Standing::Unknown;
    }
    if is_removed(state, id) {
        return Standing::Removed;
    }
    let node = state.nodes().get(id);
    node.map_or(Standing::Unknown, |node| Standing::Known(node.role))
}

/// A stock Docker Engine speaks another protocol between managers than ours. It is known by its
/// description, which lacks our marker.
fn check_promotion(node: &Node) -> Result<()> {
    let text = match &node.description {
        _ if node.spec.membership != Membership::Accepted => {
            "the node is not accepted into the cluster yet; accept it first".to_owned()
        }
        None => format!(
            "node {} has not reported in yet; promote it when it is ready",
            node.id
        ),
        Some(d) if d.engine.labels.contains_key(types::node::OWN_AGENT_LABEL) => return Ok(()),
        Some(_) => format!(
            "node {} runs a stock Docker Engine, which can only be a worker here; run swarmd on \
             that machine and join it with the manager token",
            node.hostname()
        ),
    };
    Err(ControlError::Precondition(text))
}

fn check_demotion(state: &State, node: &Node, members: &[Member]) -> Result<()> {
    let managers = state
        .nodes()
        .iter()
        .filter(|n| n.spec.desired_role == NodeRole::Manager);
    if managers.count() <= 1 {
        let text = "attempting to demote the last manager of the swarm; promote another node first";
        return Err(ControlError::Precondition(text.into()));
    }
    if member_of(members, node.id).is_some() && !survives_without(members, node.id) {
        let text = "can't remove member from the raft: this would result in a loss of quorum; \
                    bring more managers back first";
        return Err(ControlError::Precondition(text.into()));
    }
    Ok(())
}

/// Removes a node: its certificate is refused from now on, its tasks are given up. Returns whether
/// it is removed: a node with more tasks than one transaction takes needs several.
pub fn remove(
    draft: &mut Draft,
    id: &str,
    force: bool,
    members: &[Member],
    now: Timestamp,
) -> Result<bool> {
    let node = crud::find(draft.state().nodes(), id)?.clone();
    if node.spec.desired_role == NodeRole::Manager && member_of(members, node.id).is_some() {
        let text = format!(
            "node {} is a cluster manager and is a member of the raft cluster. It must be demoted \
             to worker before removal",
            node.id
        );
        return Err(ControlError::Precondition(text));
    }
    if node.status.state == NodeState::Ready && !force {
        let text = format!(
            "node {} is not down and can't be removed; stop it or remove it by force",
            node.id
        );
        return Err(ControlError::Precondition(text));
    }
    if !orphan_tasks(draft, &node, now)? {
        return Ok(false);
    }
    blacklist(draft, &node, now)?;
    crud::remove(draft, Key::Node(node.id))?;
    Ok(true)
}

fn blacklist(draft: &mut Draft, node: &Node, now: Timestamp) -> Result<()> {
    let Some(cluster) = draft.state().cluster().cloned() else {
        return Ok(());
    };
    let mut cluster = types::Cluster::clone(&cluster);
    let expiry = certificate_expiry(node).unwrap_or_else(|| {
        let life = cluster.spec.ca.node_cert_expiry;
        now.plus(life.unwrap_or(types::defaults::NODE_CERT_EXPIRY))
    });
    cluster
        .blacklisted_certificates
        .retain(|_, e| e.plus(BLACKLIST_MARGIN) > now);
    cluster
        .blacklisted_certificates
        .insert(node.id.to_string(), expiry);
    crud::update(draft, cluster, State::clusters).map(drop)
}

fn certificate_expiry(node: &Node) -> Option<Timestamp> {
    let pem = std::str::from_utf8(&node.certificate.certificate).ok()?;
    let chain = pki::NodeChain::parse(pem).ok()?;
    Some(chain.claimed_identity().ok()?.not_after)
}

/// Gives tasks up, as many as one transaction takes. Returns whether those were all.
fn orphan_tasks(draft: &mut Draft, node: &Node, now: Timestamp) -> Result<bool> {
    let live: Vec<_> = draft
        .state()
        .tasks()
        .on_node(node.id)
        .filter(|t| t.status.state < TaskState::Complete)
        .map(|t| (t.id, t.status.clone()))
        .take(ORPHANS_MAX)
        .collect();
    let all = live.len() < ORPHANS_MAX;
    for (task, status) in live {
        let status = Box::new(TaskStatus {
            timestamp: now,
            state: TaskState::Orphaned,
            message: message("task orphaned because its node was removed"),
            ..status
        });
        crud::run(draft, Action::Report { task, status })?;
    }
    Ok(all)
}
