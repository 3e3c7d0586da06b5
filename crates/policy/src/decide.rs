//! The decision for one call.

use types::{ClusterId, NodeId, NodeRole};

use crate::table::{CallerKind, Row, Serve, row};

/// A node as its verified certificate names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Which node.
    pub node_id: NodeId,
    /// With which rights.
    pub role: NodeRole,
    /// Of which cluster.
    pub cluster_id: ClusterId,
}

/// The other end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Showed no certificate.
    Anonymous,
    /// Showed a certificate that leads to a trusted root.
    Node(Subject),
    /// Came in through the local socket; carries this node's own identity.
    LocalSocket(Subject),
}

/// Whom the peer says it calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// A caller that showed no certificate.
    Anonymous,
    /// A node whose certificate the peer has verified.
    Node(Subject),
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Path of the method.
    pub method: &'a str,
    /// The other end of the connection.
    pub peer: Peer,
    /// Identity passed along, if any. Looked at only if the peer is a manager.
    pub forwarded: Option<Forwarded>,
    /// How often the call was passed on already. Looked at only if the peer is a manager.
    pub hops: usize,
}

/// What the tables say of a node. A certificate says what the node was when it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: it was never here, or has just joined and this manager is behind.
    Unknown,
    /// It was removed; its certificates no longer count.
    Removed,
    /// It is a node with this role.
    Known(NodeRole),
}

/// What the called manager knows of its cluster.
pub trait ClusterFacts {
    /// The cluster that callers must belong to.
    fn cluster_id(&self) -> ClusterId;

    /// What this manager's tables say of a node.
    fn standing(&self, node_id: NodeId) -> Standing;

    /// Whether this manager is the leader.
    fn is_leader(&self) -> bool;
}

/// On whose behalf a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// How it is known.
    pub kind: CallerKind,
    /// Which node it is; `None` without a certificate. On the local socket: this node.
    pub subject: Option<Subject>,
    /// The manager that passed the call on.
    pub forwarded_by: Option<NodeId>,
}

/// Where a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// By the called manager.
    Here,
    /// By the leader, which is another manager.
    Leader,
    /// By the called manager, once it leads. The manager that passed the call on has learned of
    /// this one's election before it serves; a call is passed on only once.
    HereOnceLeading,
}

/// An allowed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// On whose behalf.
    pub caller: Caller,
    /// Where.
    pub route: Route,
    /// The row that allowed it.
    pub row: &'static Row,
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No row.
    #[error("method {method} is not offered by this manager")]
    UnknownMethod {
        /// Path of the method.
        method: String,
    },
    /// Another organisation in the certificate.
    #[error("node {node_id} belongs to cluster {theirs}, this is cluster {ours}")]
    OtherCluster {
        /// Who.
        node_id: NodeId,
        /// Cluster in its certificate.
        theirs: ClusterId,
        /// This cluster.
        ours: ClusterId,
    },
    /// On the list of removed nodes.
    #[error("node {node_id} was removed from the cluster; it has to join again with a token")]
    Removed {
        /// Who.
        node_id: NodeId,
    },
    /// Its certificate still says manager.
    #[error(
        "node {node_id} is not a manager any more and may not call {method}; use a manager, or \
         wait until the node has renewed its certificate"
    )]
    Demoted {
        /// Who.
        node_id: NodeId,
        /// Path of the method.
        method: &'static str,
    },
    /// The manager that passed the call on is none any more.
    #[error("node {node_id} passed the call on and is not a manager any more; call another one")]
    Messenger {
        /// Who.
        node_id: NodeId,
    },
    /// No certificate where one is needed.
    #[error("method {method} needs a node certificate; join the cluster first")]
    NoCertificate {
        /// Path of the method.
        method: &'static str,
    },
    /// The row says no.
    #[error("{kind} may not call {method}")]
    Role {
        /// How the caller is known.
        kind: CallerKind,
        /// Path of the method.
        method: &'static str,
    },
    /// An identity was passed along for a method that is never passed on.
    #[error("method {method} is answered by the called manager and cannot be passed on to another")]
    NotForwardable {
        /// Path of the method.
        method: &'static str,
    },
    /// Passed on once already.
    #[error(
        "this manager is not the leader, and the call was passed on once already; leadership is \
         changing, try again"
    )]
    Loop,
}

/// Classes of refusal, one for each status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniedKind {
    /// The caller has to show a certificate.
    Unauthenticated,
    /// The caller is known and may not.
    PermissionDenied,
    /// There is no such method.
    Unimplemented,
    /// The same call may succeed in a moment.
    Unavailable,
}

// === impl Denied ===

impl Denied {
    /// The class of the refusal.
    #[must_use]
    pub fn kind(&self) -> DeniedKind {
        match self {
            Self::UnknownMethod { .. } => DeniedKind::Unimplemented,
            Self::NoCertificate { .. } => DeniedKind::Unauthenticated,
            // Whoever called it is not to blame, and finds another.
            Self::Loop | Self::Messenger { .. } => DeniedKind::Unavailable,
            Self::OtherCluster { .. }
            | Self::Removed { .. }
            | Self::Demoted { .. }
            | Self::Role { .. }
            | Self::NotForwardable { .. } => DeniedKind::PermissionDenied,
        }
    }
}

// === impl Peer ===

impl Peer {
    /// The node at the other end, if it is known.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Anonymous => None,
            Self::Node(subject) | Self::LocalSocket(subject) => Some(subject),
        }
    }

    /// Whether this peer's word about other callers counts.
    #[must_use]
    pub fn may_forward(&self) -> bool {
        matches!(
            self,
            Self::Node(Subject {
                role: NodeRole::Manager,
                ..
            })
        )
    }
}

/// Decides one call: who it is from, whether it is allowed, where it is answered.
///
/// Ask again when the standing of a node has changed: a call that is still being answered may not
/// be allowed any more.
///
/// # Errors
/// [`Denied`] with one sentence for the caller.
pub fn decide(call: &Call<'_>, facts: &dyn ClusterFacts) -> Result<Decision, Denied> {
    let row = row(call.method).ok_or_else(|| Denied::UnknownMethod {
        method: call.method.to_owned(),
    })?;
    let route = route(call, row, facts);
    let caller = caller(call, row, route, facts)?;
    if !row.allows(caller.kind) {
        return Err(refusal(&caller, row));
    }
    Ok(Decision { caller, route, row })
}

fn route(call: &Call<'_>, row: &Row, facts: &dyn ClusterFacts) -> Route {
    match row.serve {
        Serve::Leader | Serve::Read if facts.is_leader() => Route::Here,
        Serve::Leader | Serve::Read if call.peer.may_forward() && call.hops > 0 => {
            Route::HereOnceLeading
        }
        Serve::Leader | Serve::Read => Route::Leader,
        Serve::Local | Serve::Member => Route::Here,
    }
}

/// A certificate that says more than the tables is the reason, if there is one.
fn refusal(caller: &Caller, row: &'static Row) -> Denied {
    let method = row.method;
    match (caller.kind, caller.subject) {
        (CallerKind::Anonymous, _) => Denied::NoCertificate { method },
        (CallerKind::Worker, Some(subject)) if subject.role == NodeRole::Manager => {
            let node_id = subject.node_id;
            Denied::Demoted { node_id, method }
        }
        (kind, _) => Denied::Role { kind, method },
    }
}

fn caller(
    call: &Call<'_>,
    row: &Row,
    route: Route,
    facts: &dyn ClusterFacts,
) -> Result<Caller, Denied> {
    let Some(forwarded) = call.forwarded.filter(|_| call.peer.may_forward()) else {
        return direct(&call.peer, row, route, facts);
    };
    if !row.accepts_forwarded() {
        return Err(Denied::NotForwardable { method: row.method });
    }
    let forwarded_by = match &call.peer {
        Peer::Node(messenger) => Some(check_messenger(messenger, route, facts)?),
        Peer::Anonymous | Peer::LocalSocket(_) => None,
    };
    let (kind, subject) = match forwarded {
        Forwarded::Anonymous => (CallerKind::Anonymous, None),
        Forwarded::Node(subject) => (kind_of(&subject, row, route, facts)?, Some(subject)),
    };
    Ok(Caller {
        kind,
        subject,
        forwarded_by,
    })
}

fn direct(
    peer: &Peer,
    row: &Row,
    route: Route,
    facts: &dyn ClusterFacts,
) -> Result<Caller, Denied> {
    let kind = match peer {
        Peer::Anonymous => CallerKind::Anonymous,
        Peer::Node(subject) => kind_of(subject, row, route, facts)?,
        Peer::LocalSocket(_) => CallerKind::LocalSocket,
    };
    Ok(Caller {
        kind,
        subject: peer.subject().copied(),
        forwarded_by: None,
    })
}

/// A manager whose word about another caller counts.
fn check_messenger(
    messenger: &Subject,
    route: Route,
    facts: &dyn ClusterFacts,
) -> Result<NodeId, Denied> {
    let node_id = messenger.node_id;
    check_cluster(messenger, facts)?;
    match (facts.standing(node_id), route) {
        (Standing::Removed | Standing::Known(NodeRole::Worker), _)
        | (Standing::Unknown, Route::Here) => Err(Denied::Messenger { node_id }),
        _ => Ok(node_id),
    }
}

/// What a node with a certificate is to the manager that answers. One that only passes the call on
/// leaves that to the leader: its own tables may be behind.
fn kind_of(
    subject: &Subject,
    row: &Row,
    route: Route,
    facts: &dyn ClusterFacts,
) -> Result<CallerKind, Denied> {
    check_cluster(subject, facts)?;
    let node_id = subject.node_id;
    let certified = match subject.role {
        NodeRole::Worker => CallerKind::Worker,
        NodeRole::Manager => CallerKind::Manager,
    };
    match (facts.standing(node_id), route, row.serve) {
        (Standing::Removed, _, _) => Err(Denied::Removed { node_id }),
        // Whoever leads has applied everything: a node it does not know is none.
        (Standing::Unknown, Route::Here, Serve::Leader | Serve::Read) => {
            Err(Denied::Removed { node_id })
        }
        (_, _, Serve::Member) | (_, Route::Leader, _) => Ok(certified),
        (Standing::Known(NodeRole::Worker), _, _) => Ok(CallerKind::Worker),
        _ => Ok(certified),
    }
}

fn check_cluster(subject: &Subject, facts: &dyn ClusterFacts) -> Result<(), Denied> {
    let (node_id, theirs, ours) = (subject.node_id, subject.cluster_id, facts.cluster_id());
    if theirs == ours {
        return Ok(());
    }
    Err(Denied::OtherCluster {
        node_id,
        theirs,
        ours,
    })
}
