//! What an executor of tasks must do, and what all of them share.
//!
//! An executor turns a task into something that runs: a container, a process, a timer. It knows
//! nothing of managers, sessions or task states; the agent's worker decides what is wanted next
//! and an executor makes it so or says in one sentence why it cannot.
//!
//! Rules for every implementation, checked by [`conformance`]:
//!
//! - *Idempotent.* Each call may be repeated, also by a later process on the same node; a call
//!   whose work is already done returns as if it had just done it.
//! - *Cancel-safe.* A call's future may be dropped at any point. What it began is finished or
//!   found again by the same call made later; nothing is left half-made under another name.
//! - *Never doubled.* Two starts of one task, whenever and by whomever, run it once.
//! - *Independent of the caller's life.* What was started keeps running when the executor is
//!   dropped or its process dies.
//!
//! This crate never runs anything itself.

pub mod conformance;
mod error;
mod expand;
mod labels;
mod log;
mod outcome;
mod run;
mod signal;
pub mod template;
pub mod testing;

use std::pin::Pin;

use types::node::NodeDescription;
use types::{NodeId, TaskId};

pub use error::ExecError;
pub use expand::expand;
pub use labels::{
    LABEL_NODE_ID, LABEL_SERVICE_ID, LABEL_SERVICE_NAME, LABEL_TASK, LABEL_TASK_ID,
    LABEL_TASK_NAME, task_labels,
};
pub use log::{LOG_QUEUE_CHUNKS_MAX, LogChunk, LogOptions, LogSender, LogStream, Output};
pub use outcome::{Exit, ExitCause, Found, FoundState, Started};
pub use run::{FileKind, NodeFacts, TaskFile, TaskObjects, TaskRun};
pub use signal::{SignalError, parse_signal};

/// A future that an object-safe trait can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs tasks on this node. See the rules in the crate's documentation.
///
/// The usual order for a task is `prepare`, `start`, `wait`, then `remove`; `stop` and `kill` may
/// come at any time, also before `prepare`.
pub trait Executor: Send + Sync + 'static {
    /// Short name for logs, for example `docker`.
    fn name(&self) -> &'static str;

    /// What this node is and has.
    fn describe(&self) -> BoxFuture<'_, Result<NodeDescription, ExecError>>;

    /// What of this node's tasks is already there, whoever started it.
    ///
    /// The agent calls it once after its start, keeps what it knows and calls
    /// [`Executor::remove`] for the rest.
    fn adopt(&self, node: NodeId) -> BoxFuture<'_, Result<Vec<Found>, ExecError>>;

    /// Gets everything ready so that [`Executor::start`] is quick: image, container, files.
    ///
    /// # Errors
    ///
    /// [`ExecError::Rejected`] when the spec cannot be honoured here, [`ExecError::Retry`] when
    /// the engine cannot be reached.
    fn prepare<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<(), ExecError>>;

    /// Starts a prepared task. Where it has a health check, returns when it is healthy.
    ///
    /// A task that ends at once has started: the call that started it returns `Ok`, and how it
    /// ended is for [`Executor::wait`] to say. A repeated call returns [`ExecError::Exited`] then,
    /// which may be a success.
    ///
    /// # Errors
    ///
    /// [`ExecError::NotFound`] when it is not prepared, [`ExecError::Exited`] when it ended
    /// before it could be called running (also if that was long ago), else as `prepare`.
    fn start<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<Started, ExecError>>;

    /// Waits for the end of a started task; returns at once if it ended long ago.
    ///
    /// # Errors
    ///
    /// [`ExecError::NotFound`] when there is no such task, [`ExecError::Retry`] when it cannot
    /// be said whether it runs.
    fn wait(&self, task: TaskId) -> BoxFuture<'_, Result<Exit, ExecError>>;

    /// Asks the task to end with its stop signal, waits its grace period, then kills it. Returns
    /// when it has ended. A task that is not there has ended.
    ///
    /// # Errors
    ///
    /// [`ExecError::Retry`] when the engine cannot be reached.
    fn stop(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>>;

    /// Ends the task at once. Returns when it has ended. A task that is not there has ended.
    ///
    /// # Errors
    ///
    /// [`ExecError::Retry`] when the engine cannot be reached.
    fn kill(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>>;

    /// Ends the task if it runs and removes all of it: container, files, logs.
    ///
    /// # Errors
    ///
    /// [`ExecError::Retry`] when the engine cannot be reached.
    fn remove(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>>;

    /// What the task wrote, oldest first.
    ///
    /// # Errors
    ///
    /// [`ExecError::NotFound`] when there is no such task, [`ExecError::Rejected`] when its
    /// output is not kept here, with the reason.
    fn logs(
        &self,
        task: TaskId,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<LogStream, ExecError>>;
}
