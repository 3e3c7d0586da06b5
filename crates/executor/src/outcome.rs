//! What executor calls return: how a task started, how it ended, what was found on the node.

use std::fmt;

use types::service::PortConfig;
use types::task::ContainerStatus;
use types::{TaskId, Timestamp};

/// A task that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Started {
    /// What runs.
    pub container: ContainerStatus,
    /// Host-mode ports as really published.
    pub ports: Vec<PortConfig>,
}

/// How a task ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 + number for a signal.
    pub code: i32,
    /// What ended it.
    pub cause: ExitCause,
    /// The engine's own words, where it has any.
    pub detail: String,
    /// When it ended; zero if that is not known.
    pub at: Timestamp,
    /// What ran.
    pub container: ContainerStatus,
}

impl Exit {
    /// Whether it ended by itself with success.
    pub fn is_success(&self) -> bool {
        self.code == 0 && self.cause == ExitCause::Ended
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            ExitCause::Ended => write!(f, "task: non-zero exit ({})", self.code)?,
            ExitCause::OutOfMemory => {
                write!(
                    f,
                    "killed for using more memory than its limit ({})",
                    self.code
                )?;
            }
            ExitCause::Unhealthy => f.write_str("its health check failed")?,
            ExitCause::Lost => f.write_str("it is gone and its exit code is not known")?,
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// What ended a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExitCause {
    /// Its main process ended.
    #[default]
    Ended,
    /// The kernel killed it at its memory limit.
    OutOfMemory,
    /// Its health check failed and it was stopped.
    Unhealthy,
    /// It was removed behind the executor's back or lost in a crash of the node.
    Lost,
}

/// Something of a task that was there before the agent started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The task.
    pub task_id: TaskId,
    /// How far it got.
    pub state: FoundState,
}

/// How far a found task got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundState {
    /// Ready to be started.
    Prepared,
    /// Runs.
    Running(Started),
    /// Ended.
    Exited(Exit),
}
