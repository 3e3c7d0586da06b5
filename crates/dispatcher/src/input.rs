//! What the dispatcher is told and what it wants done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use store::{Commit, Plan};
use types::cluster::EncryptionKey;
use types::node::NodeDescription;
use types::{Config, ConfigId, Node, NodeId, Secret, SecretId, Task, TaskId, TaskStatus};

use crate::error::CallError;
use crate::session_id::SessionId;

/// A call that waits for its answer. The shell numbers calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// An open stream. The shell numbers streams and never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A batch of changes proposed and not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// What happened.
///
/// `node` always is the caller's identity from its certificate, never from a message.
#[derive(Debug, Clone)]
pub enum Input {
    /// A node opens its session stream.
    OpenSession(OpenSession),
    /// A node opens its assignments stream.
    OpenAssignments {
        /// Stream.
        stream: StreamId,
        /// Caller.
        node: NodeId,
        /// Session it names.
        session: String,
    },
    /// A stream ended at the node's side. Says nothing about the node: only heartbeats do.
    StreamClosed {
        /// Stream.
        stream: StreamId,
    },
    /// The last message was taken from a stream's queue: there is room for the next one.
    StreamReady {
        /// Stream.
        stream: StreamId,
    },
    /// A heartbeat.
    Heartbeat {
        /// Call.
        call: CallId,
        /// Caller.
        node: NodeId,
        /// Session it names.
        session: String,
    },
    /// A node reports what it observes of its tasks.
    UpdateStatus {
        /// Call.
        call: CallId,
        /// Caller.
        node: NodeId,
        /// Session it names.
        session: String,
        /// Tasks with their statuses.
        updates: Vec<(TaskId, TaskStatus)>,
    },
    /// A transaction was committed; the state given along holds it.
    Committed(Arc<Commit>),
    /// Commits were missed: everything has to be looked at afresh.
    Resync,
    /// A proposed batch is settled.
    Settled {
        /// Batch.
        batch: BatchId,
        /// How.
        outcome: Outcome,
    },
    /// The managers of the cluster changed.
    Managers(Arc<[Manager]>),
    /// The nodes whose managers do not answer the leader, all of them. The agent of such a node
    /// shares its machine: after a change of leaders it is not awaited beyond one grace period.
    Silent(BTreeSet<NodeId>),
    /// The moment of [`crate::Dispatcher::wake_at`] has come.
    Tick,
}

/// A node opens its session stream.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// Stream.
    pub stream: StreamId,
    /// Caller.
    pub node: NodeId,
    /// What it says of itself.
    pub description: Option<Arc<NodeDescription>>,
    /// Session it wants to go on with; empty for a new one.
    pub session: String,
    /// Address it calls from.
    pub addr: String,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Those of its steps that still fitted are committed, and the commit was fed before this.
    Committed,
    /// The log refused it.
    Refused,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Answer a call.
    Answer {
        /// Call.
        call: CallId,
        /// With what.
        result: Result<Answer, CallError>,
    },
    /// Send a session message. No other message follows on this stream before
    /// [`Input::StreamReady`].
    SendSession {
        /// Stream.
        stream: StreamId,
        /// Message.
        message: Box<SessionMessage>,
    },
    /// Send an assignments message. No other message follows on this stream before
    /// [`Input::StreamReady`].
    SendAssignments {
        /// Stream.
        stream: StreamId,
        /// Message.
        message: Assignments,
    },
    /// End a stream with an error. It is not mentioned again.
    Close {
        /// Stream.
        stream: StreamId,
        /// Why.
        error: CallError,
    },
    /// Propose changes; the shell answers with [`Input::Settled`].
    Propose {
        /// Batch.
        batch: BatchId,
        /// Changes.
        plan: Plan,
    },
}

/// Answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The heartbeat counts; the next one is due after this long.
    Heartbeat {
        /// Time until the next one.
        period: Duration,
    },
    /// Every update is committed, or carried nothing new.
    Recorded,
}

/// A manager as agents are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// Node.
    pub node: NodeId,
    /// Address that agents dial, `HOST:PORT` with IPv6 in brackets.
    pub addr: String,
    /// How often it is chosen compared with others.
    pub weight: i64,
}

/// What a node is told about itself and the cluster. Always full.
#[derive(Debug, Clone)]
pub struct SessionMessage {
    /// Session.
    pub session: SessionId,
    /// The node's record.
    pub node: Arc<Node>,
    /// All managers.
    pub managers: Arc<[Manager]>,
    /// Keys of the data plane.
    pub keys: Vec<EncryptionKey>,
    /// Root to trust, PEM.
    pub root_ca: Vec<u8>,
}

/// What a node has to run.
#[derive(Debug, Clone)]
pub struct Assignments {
    /// Everything, or changes.
    pub kind: AssignmentKind,
    /// Number of the message it builds on; 0 (on the wire: empty) for a complete set.
    pub applies_to: u64,
    /// Its own number.
    pub results_in: u64,
    /// Changes in the order to apply them.
    pub changes: Vec<AssignmentChange>,
}

/// Whether an assignments message holds everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignmentKind {
    /// Everything; what is not in it must go.
    Complete,
    /// Changes on top of the message before.
    Incremental,
}

/// One change of what a node has to run.
#[derive(Debug, Clone)]
pub enum AssignmentChange {
    /// New or changed.
    Update(Item),
    /// No longer.
    Remove(ItemId),
}

/// Something a node is given.
#[derive(Debug, Clone)]
pub enum Item {
    /// A task.
    Task(Arc<Task>),
    /// A secret of a task.
    Secret(Arc<Secret>),
    /// A config of a task.
    Config(Arc<Config>),
}

/// Names something a node was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemId {
    /// A task.
    Task(TaskId),
    /// A secret.
    Secret(SecretId),
    /// A config.
    Config(ConfigId),
}
