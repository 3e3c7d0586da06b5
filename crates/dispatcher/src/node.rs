//! What the leader knows of one node beyond the store: its session, and what its record should say.

use std::borrow::Cow;
use std::sync::Arc;

use types::node::{NodeDescription, NodeStatus};
use types::{Node, NodeState, Timestamp};

use crate::assignments::AssignmentSet;
use crate::input::{BatchId, StreamId};
use crate::limits::{REGISTRATION_WINDOW, REGISTRATIONS_MAX};
use crate::session_id::SessionId;

/// A node as the dispatcher sees it.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) presence: Presence,
    /// Batch that carries an update of the node's record.
    pub(crate) in_flight: Option<BatchId>,
    registrations: Registrations,
}

/// Whether a node answers.
#[derive(Debug, Default)]
pub(crate) enum Presence {
    /// Nothing is known, and nothing is to be written.
    #[default]
    Absent,
    /// Was not down when this leader took over and has not been heard of since.
    Awaited,
    /// Has a session.
    Present(Box<Session>),
    /// Missed its heartbeats, or says that it cannot run tasks.
    Lost {
        /// Why, as users see it.
        message: Cow<'static, str>,
    },
}

/// One registration of a node.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) addr: String,
    pub(crate) description: Option<Arc<NodeDescription>>,
    /// The node's record says that it is ready, and the node may be told so.
    pub(crate) announced: bool,
    pub(crate) outlet: Option<Outlet>,
    pub(crate) assignments: Option<AssignmentSet>,
}

/// The session stream. Its messages are always full, so one flag says what is still to be sent.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) stream: StreamId,
    pub(crate) busy: bool,
    pub(crate) dirty: bool,
}

/// Counts registrations against the limit.
#[derive(Debug, Default)]
struct Registrations {
    since: Timestamp,
    count: u32,
}

/// What a node's record should say.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    status: NodeStatus,
    description: Option<Cow<'a, Arc<NodeDescription>>>,
}

// === impl Entry ===

impl Entry {
    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.presence {
            Presence::Present(session) => Some(session),
            _ => None,
        }
    }

    /// Counts a registration; false if there were too many.
    pub(crate) fn admit(&mut self, now: Timestamp) -> bool {
        let r = &mut self.registrations;
        if now.since(r.since) > REGISTRATION_WINDOW {
            r.since = now;
            r.count = 0;
        }
        r.count += 1;
        r.count <= REGISTRATIONS_MAX
    }

    /// What the node's record should say, if anything.
    pub(crate) fn wanted<'a>(&'a self, node: &'a Node) -> Option<Wanted<'a>> {
        let addr = node.status.addr.clone();
        let (state, message, addr, description) = match &self.presence {
            Presence::Absent => return None,
            Presence::Awaited if node.status.state == NodeState::Down => return None,
            Presence::Awaited => (NodeState::Unknown, LEADER_CHANGED, addr, None),
            Presence::Lost { message } => (NodeState::Down, message.as_ref(), addr, None),
            Presence::Present(s) => {
                let description = s.description.as_ref().map(Cow::Borrowed);
                (NodeState::Ready, "", s.addr.clone(), description)
            }
        };
        Some(Wanted {
            status: NodeStatus {
                state,
                message: message.to_owned(),
                addr,
            },
            description,
        })
    }
}

/// What users see of a node between two leaders. SwarmKit's words.
const LEADER_CHANGED: &str = "Node moved to \"unknown\" state due to leadership change in cluster";

/// What users see of a node that stopped answering. SwarmKit's words.
pub(crate) const HEARTBEAT_FAILURE: &str = "heartbeat failure";

/// The same for a node that this leader never heard of.
pub(crate) const HEARTBEAT_FAILURE_UNKNOWN: &str =
    "heartbeat failure for node in \"unknown\" state";

// === impl Session ===

impl Session {
    /// The streams that are open.
    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamId> {
        let outlet = self.outlet.as_ref().map(|o| o.stream);
        outlet
            .into_iter()
            .chain(self.assignments.as_ref().map(|a| a.stream))
    }
}

// === impl Wanted ===

impl Wanted<'_> {
    /// Whether the record says it already.
    pub(crate) fn is_met(&self, node: &Node) -> bool {
        let described = match &self.description {
            None => true,
            Some(wanted) => node
                .description
                .as_ref()
                .is_some_and(|d| d == wanted.as_ref()),
        };
        // While a node is unknown its message is whatever the first leader that lost it wrote.
        let same_status = if self.status.state == NodeState::Unknown {
            node.status.state == NodeState::Unknown
        } else {
            node.status == self.status
        };
        described && same_status
    }

    /// The record as it should be.
    pub(crate) fn applied_to(self, node: &Node) -> Node {
        let mut node = node.clone();
        node.status = self.status;
        if let Some(description) = self.description {
            node.description = Some(description.into_owned());
        }
        node
    }
}

/// Whether a node must be told of a change of its record. Its status and description are its own
/// news, and record facts mean nothing to it.
pub(crate) fn concerns_agent(old: &Node, new: &Node) -> bool {
    old.spec != new.spec
        || old.role != new.role
        || old.certificate != new.certificate
        || old.attachments != new.attachments
        || old.vxlan_udp_port != new.vxlan_udp_port
}
