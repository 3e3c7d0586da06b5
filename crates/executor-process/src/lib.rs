//! Runs tasks as plain child processes: the executor of nodes without a container engine.
//!
//! A task's command, taken from `command` and `args`, runs in its own session with its own
//! environment, directory, user and limits, and otherwise sees the node as it is. The image is
//! ignored when there is a command; a spec that needs a container is rejected with what it needs.
//!
//! Between agent and command stands a [`shim`] per task, so that the command, its output and its
//! exit code survive any death of the agent. What there is of a task is in its directory
//! (`record`), and a process is only ever believed to be the task's by number, start time and
//! boot. The agent's supervisor must not kill the shims with the agent (systemd:
//! `KillMode=process`).

mod clock;
mod describe;
pub mod inherited;
mod lifecycle;
mod logfile;
mod record;
pub mod shim;
mod spec;
mod user;

use std::path::PathBuf;
use std::sync::Arc;

use executor::{
    BoxFuture, ExecError, Executor, Exit, Found, LogOptions, LogStream, Started, TaskRun,
};
use types::node::NodeDescription;
use types::{GenericResource, NodeId, TaskId};

use crate::lifecycle::Lifecycle;

/// How processes are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Where tasks have their directories; must survive a restart of the agent.
    pub dir: PathBuf,
    /// Program and first arguments of the shim; the task's directory is added.
    pub shim: Vec<String>,
    /// Generic resources that the node offers.
    pub generic_resources: Vec<GenericResource>,
}

impl ProcessConfig {
    /// Tasks below `dir`, with the running program's subcommand `task-shim` as the shim.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            shim: vec!["/proc/self/exe".to_owned(), "task-shim".to_owned()],
            generic_resources: Vec::new(),
        }
    }
}

/// An executor over a directory of tasks.
#[derive(Debug)]
pub struct ProcessExecutor {
    lifecycle: Arc<Lifecycle>,
    generic_resources: Vec<GenericResource>,
}

impl ProcessExecutor {
    /// An executor over the directory, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// Fails when the directory cannot be made.
    pub fn open(config: ProcessConfig) -> std::io::Result<Self> {
        Ok(Self {
            lifecycle: Arc::new(Lifecycle::open(config.dir, config.shim)?),
            generic_resources: config.generic_resources,
        })
    }
}

impl Executor for ProcessExecutor {
    fn name(&self) -> &'static str {
        "process"
    }

    fn describe(&self) -> BoxFuture<'_, Result<NodeDescription, ExecError>> {
        Box::pin(std::future::ready(describe::description(
            &self.generic_resources,
        )))
    }

    fn adopt(&self, node: NodeId) -> BoxFuture<'_, Result<Vec<Found>, ExecError>> {
        Box::pin(std::future::ready(self.lifecycle.adopt(node)))
    }

    fn prepare<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<(), ExecError>> {
        Box::pin(self.lifecycle.prepare(run))
    }

    fn start<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<Started, ExecError>> {
        Box::pin(self.lifecycle.start(run.id()))
    }

    fn wait(&self, task: TaskId) -> BoxFuture<'_, Result<Exit, ExecError>> {
        Box::pin(self.lifecycle.wait(task))
    }

    fn stop(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        Box::pin(self.lifecycle.stop(task))
    }

    fn kill(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        Box::pin(self.lifecycle.kill(task))
    }

    fn remove(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        Box::pin(self.lifecycle.remove(task))
    }

    fn logs(
        &self,
        task: TaskId,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<LogStream, ExecError>> {
        Box::pin(self.lifecycle.logs(task, options))
    }
}
