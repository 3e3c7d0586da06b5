//! Why an executor could not do what it was asked. Never says what to do about the task's state.

use types::TaskId;

use crate::outcome::Exit;

/// Why an executor call failed. Each text is one sentence for the person who wrote the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// It will fail again however often it is tried: the spec asks for what this node cannot do.
    #[error("{0}")]
    Rejected(String),
    /// It may work later: the engine does not answer, a resource is busy.
    #[error("{0}")]
    Retry(String),
    /// There is nothing of that task on this node.
    #[error("nothing of task {0} is on this node")]
    NotFound(TaskId),
    /// The task has already ended.
    #[error("{0}")]
    Exited(Exit),
}

impl ExecError {
    /// A failure that repeating cannot cure.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected(reason.into())
    }

    /// A failure that may pass.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry(reason.into())
    }

    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Retry(_))
    }
}
