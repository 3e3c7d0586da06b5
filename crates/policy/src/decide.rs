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

/// What the called manager knows of its cluster.
pub trait ClusterFacts {
    /// The cluster that callers must belong to.
    fn cluster_id(&self) -> ClusterId;

    /// Whether a node was removed and its certificates no longer count.
    fn is_removed(&self, node_id: NodeId) -> bool;

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
}

/// An allowed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// On whose behalf.
    pub caller: Caller,
    /// Where.
    pub route: Route,
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
            Self::Loop => DeniedKind::Unavailable,
            Self::OtherCluster { .. }
            | Self::Removed { .. }
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
/// # Errors
/// [`Denied`] with one sentence for the caller.
pub fn decide(call: &Call<'_>, facts: &dyn ClusterFacts) -> Result<Decision, Denied> {
    let row = row(call.method).ok_or_else(|| Denied::UnknownMethod {
        method: call.method.to_owned(),
    })?;
    if let Peer::Node(subject) = &call.peer {
        check_standing(subject, facts)?;
    }
    let caller = caller(call, row, facts)?;
    if !row.allows(caller.kind) {
        return Err(match caller.kind {
            CallerKind::Anonymous => Denied::NoCertificate { method: row.method },
            kind => Denied::Role {
                kind,
                method: row.method,
            },
        });
    }
    let route = match row.serve {
        Serve::Leader if !facts.is_leader() => Route::Leader,
        Serve::Leader | Serve::Local => Route::Here,
    };
    if route == Route::Leader && call.peer.may_forward() && call.hops > 0 {
        return Err(Denied::Loop);
    }
    Ok(Decision { caller, route })
}

fn caller(call: &Call<'_>, row: &Row, facts: &dyn ClusterFacts) -> Result<Caller, Denied> {
    let Some(forwarded) = call.forwarded.filter(|_| call.peer.may_forward()) else {
        return Ok(direct(&call.peer));
    };
    if !row.accepts_forwarded() {
        return Err(Denied::NotForwardable { method: row.method });
    }
    let forwarded_by = call.peer.subject().map(|subject| subject.node_id);
    match forwarded {
        Forwarded::Anonymous => Ok(Caller {
            kind: CallerKind::Anonymous,
            subject: None,
            forwarded_by,
        }),
        Forwarded::Node(subject) => {
            check_standing(&subject, facts)?;
            Ok(Caller {
                kind: kind_of(subject.role),
                subject: Some(subject),
                forwarded_by,
            })
        }
    }
}

fn direct(peer: &Peer) -> Caller {
    let kind = match peer {
        Peer::Anonymous => CallerKind::Anonymous,
        Peer::Node(subject) => kind_of(subject.role),
        Peer::LocalSocket(_) => CallerKind::LocalSocket,
    };
    Caller {
        kind,
        subject: peer.subject().copied(),
        forwarded_by: None,
    }
}

fn kind_of(role: NodeRole) -> CallerKind {
    match role {
        NodeRole::Worker => CallerKind::Worker,
        NodeRole::Manager => CallerKind::Manager,
    }
}

fn check_standing(subject: &Subject, facts: &dyn ClusterFacts) -> Result<(), Denied> {
    let (node_id, theirs, ours) = (subject.node_id, subject.cluster_id, facts.cluster_id());
    if theirs != ours {
        return Err(Denied::OtherCluster {
            node_id,
            theirs,
            ours,
        });
    }
    if facts.is_removed(node_id) {
        return Err(Denied::Removed { node_id });
    }
    Ok(())
}
