//! What the worker is told and what it wants done.

use std::sync::Arc;

use types::service::PortConfig;
use types::task::ContainerStatus;
use types::{Config, ConfigId, Secret, SecretId, Task, TaskId, TaskStatus};

/// Numbers executor commands; never used twice by one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(pub u64);

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A session with a manager is up; nothing is known of its assignments yet.
    Connected,
    /// There is no session any more.
    Disconnected,
    /// Assignments of the current session.
    Assignments(Assignments),
    /// The executor is done with a command.
    Done {
        /// Task.
        task: TaskId,
        /// Command.
        attempt: Attempt,
        /// How it went.
        outcome: Outcome,
    },
    /// Tasks of which the executor found something when the agent started.
    Found(Vec<TaskId>),
    /// A report was answered.
    Reported {
        /// Report.
        report: u64,
        /// Whether the managers have it.
        accepted: bool,
    },
    /// The moment of [`crate::Worker::wake_at`] has come.
    Tick,
}

/// What a node has to run, as a manager says it.
#[derive(Debug, Clone, Default)]
pub struct Assignments {
    /// Whether this is everything: what is not in it must go.
    pub complete: bool,
    /// The message that this one builds on.
    pub applies_to: String,
    /// The name of this message.
    pub results_in: String,
    /// Changes, in any order.
    pub changes: Vec<Change>,
}

/// One change of what a node has.
#[derive(Debug, Clone)]
pub enum Change {
    /// A task is new or changed.
    UpdateTask(Arc<Task>),
    /// A task is no longer this node's.
    RemoveTask(TaskId),
    /// A secret is new or changed.
    UpdateSecret(Arc<Secret>),
    /// A secret is no longer needed.
    RemoveSecret(SecretId),
    /// A config is new or changed.
    UpdateConfig(Arc<Config>),
    /// A config is no longer needed.
    RemoveConfig(ConfigId),
}

/// How an executor command went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Prepared.
    Prepared,
    /// Runs, and is healthy where it has a health check.
    Started(Started),
    /// Has ended.
    Ended(Ended),
    /// Nothing of it runs any more.
    Stopped,
    /// Nothing of it is left.
    Removed,
    /// It did not work.
    Failed(Failure),
}

/// A task that runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Started {
    /// What runs.
    pub container: ContainerStatus,
    /// Host-mode ports as really published.
    pub ports: Vec<PortConfig>,
}

/// A task that has ended by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ended {
    /// Whether it did what it was meant to.
    pub success: bool,
    /// Why not, in words.
    pub reason: String,
    /// What ran, with its exit code.
    pub container: ContainerStatus,
}

/// Why a command did not work, in one sentence for users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may work later.
    Retry(String),
    /// It will never work.
    Fatal(String),
    /// There is nothing of the task on this node.
    Missing(String),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Have the executor do something. A command of the same task that is still under way is
    /// abandoned: its answer is not wanted.
    Execute {
        /// Task.
        task: TaskId,
        /// Number to give back with the outcome.
        attempt: Attempt,
        /// What.
        command: Command,
    },
    /// Write to the database. Writes are lost in a crash without harm, but keep their order.
    Persist(Write),
    /// Report statuses to the manager; answered by [`Input::Reported`].
    Report {
        /// Number to give back with the answer.
        report: u64,
        /// Tasks with their statuses.
        statuses: Vec<(TaskId, TaskStatus)>,
    },
    /// Reopen the assignments stream: a message is missing.
    Resync,
}

/// What the executor is to do with a task.
#[derive(Debug, Clone)]
pub enum Command {
    /// Get everything ready.
    Prepare(Run),
    /// Start.
    Start(Run),
    /// Wait for the end.
    Wait,
    /// End it, with its grace period.
    Stop,
    /// End it at once.
    Kill,
    /// Remove all of it.
    Remove,
}

/// A task with the secrets and configs it references, and no others.
#[derive(Debug, Clone)]
pub struct Run {
    /// Task.
    pub task: Arc<Task>,
    /// Its secrets.
    pub secrets: Vec<Arc<Secret>>,
    /// Its configs.
    pub configs: Vec<Arc<Config>>,
}

/// A database write.
#[derive(Debug, Clone)]
pub enum Write {
    /// What a manager said of a task, and whether it still is this node's.
    Task {
        /// Task.
        task: Arc<Task>,
        /// Whether it is to be run; otherwise it is being removed.
        assigned: bool,
    },
    /// What is observed of a task.
    Status {
        /// Task.
        task: TaskId,
        /// Status.
        status: TaskStatus,
    },
    /// Nothing is left of a task.
    Forget(TaskId),
}

/// A task as the database gives it back.
#[derive(Debug, Clone)]
pub struct StoredTask {
    /// What a manager last said of it.
    pub task: Arc<Task>,
    /// What was last observed, if anything.
    pub status: Option<TaskStatus>,
    /// Whether it is to be run.
    pub assigned: bool,
    /// Whether something that preparing needs (registry credentials) was left out of the database;
    /// preparing then waits until a manager sends the task again.
    pub incomplete: bool,
}
