//! Why a call of an agent is refused or its stream ended.

use types::{NodeId, TaskId};

/// The gRPC status an error travels as; agents act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The node has to register (again).
    NotFound,
    /// The session is not the current one.
    InvalidArgument,
    /// The stream ends; the agent opens a new session.
    Aborted,
    /// The caller asks for what is not its own.
    PermissionDenied,
    /// Try again later or elsewhere.
    Unavailable,
}

/// Why a call is refused or a stream ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The cluster has no such node.
    #[error("node {0} is not part of the cluster")]
    NoSuchNode(NodeId),
    /// The node has no session with this leader.
    #[error("node not registered")]
    NotRegistered,
    /// The session named in the call is not the node's current one.
    #[error("session invalid")]
    StaleSession,
    /// The node opened a newer session.
    #[error("session replaced by a newer one of the same node")]
    Replaced,
    /// The stream was opened a second time.
    #[error("stream replaced by a newer one of the same session")]
    StreamReplaced,
    /// The node did not send heartbeats.
    #[error("heartbeats were missed, open a new session")]
    HeartbeatsMissed,
    /// The node said that it cannot run tasks.
    #[error("noted: the node is listed as down until it opens a session")]
    CannotRun,
    /// The node registers too often.
    #[error("node {0} registered too often within 8 s, try again later")]
    TooManyRegistrations(NodeId),
    /// The report names a task of another node.
    #[error("task {0} does not belong to this node")]
    ForeignTask(TaskId),
    /// The report could not be written.
    #[error("the report could not be written to the log, report again")]
    NotWritten,
}

impl CallError {
    /// The gRPC status it travels as.
    pub fn code(&self) -> Code {
        match self {
            Self::NoSuchNode(_) | Self::NotRegistered => Code::NotFound,
            Self::StaleSession => Code::InvalidArgument,
            Self::Replaced | Self::StreamReplaced | Self::HeartbeatsMissed => Code::Aborted,
            Self::ForeignTask(_) => Code::PermissionDenied,
            Self::TooManyRegistrations(_) | Self::NotWritten | Self::CannotRun => Code::Unavailable,
        }
    }
}
