//! Runs tasks as containers of a Docker Engine, through its HTTP API.
//!
//! The engine holds all state: a task's container is found by its labels, so an agent that lost
//! its database finds its tasks again. What is true of a container is what the engine's `inspect`
//! says; events only say when to look (`watch`).
//!
//! The engine need not be in swarm mode and may use `live-restore`: containers then run on while
//! it restarts and are simply seen again. Without it the engine stops them, and that end is what
//! their tasks report.
//!
//! It never changes or removes a container that is not labelled as a task's.

mod address;
mod describe;
mod engine;
mod files;
mod held;
mod image;
mod inspect;
mod lifecycle;
mod logs;
mod patient;
mod spec;
mod tasks;
mod time;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use executor::{
    BoxFuture, ExecError, Executor, Exit, Found, LogOptions, LogStream, Started, TaskRun,
};
use tokio_util::task::AbortOnDropHandle;
use types::node::NodeDescription;
use types::{GenericResource, NodeId, TaskId};

pub use address::{AddressError, EngineAddress};
pub use engine::ConnectError;
pub use image::PullPolicy;
pub use patient::PatientDocker;

use crate::engine::Engine;
use crate::held::Held;
use crate::lifecycle::Lifecycle;

/// Where secrets and configs of tasks are kept unless told otherwise; `/run` is a tmpfs.
const FILES_DIR_DEFAULT: &str = "/run/swarmd/files";

/// How an engine is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerConfig {
    /// Where the engine answers.
    pub address: EngineAddress,
    /// When images are pulled.
    pub pull: PullPolicy,
    /// Where secrets and configs of tasks are kept; must be on a tmpfs that the engine sees too.
    pub files_dir: PathBuf,
    /// Generic resources that the node offers; the engine does not know of any.
    pub generic_resources: Vec<GenericResource>,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self {
            address: EngineAddress::default(),
            pull: PullPolicy::default(),
            files_dir: PathBuf::from(FILES_DIR_DEFAULT),
            generic_resources: Vec::new(),
        }
    }
}

/// An executor over one Docker Engine.
#[derive(Debug)]
pub struct DockerExecutor {
    lifecycle: Arc<Lifecycle>,
    engine: Engine,
    held: Held,
    generic_resources: Vec<GenericResource>,
    _watch: AbortOnDropHandle<()>,
}

impl DockerExecutor {
    /// Connects to the engine. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] when nothing answers there or it is too old. An engine that goes away
    /// later is waited for.
    pub async fn connect(config: DockerConfig) -> Result<Self, ConnectError> {
        let engine = Engine::connect(config.address).await?;
        let lifecycle = Arc::new(Lifecycle::new(
            engine.clone(),
            config.files_dir,
            config.pull,
        ));
        let watch = tokio::spawn(watch::follow(engine.clone(), lifecycle.tasks()));
        Ok(Self {
            lifecycle,
            engine,
            held: Held::default(),
            generic_resources: config.generic_resources,
            _watch: AbortOnDropHandle::new(watch),
        })
    }
}

impl Executor for DockerExecutor {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn describe(&self) -> BoxFuture<'_, Result<NodeDescription, ExecError>> {
        Box::pin(async move {
            let info = self.lifecycle.info().await?;
            let images = self.held.names(&self.engine).await;
            Ok(describe::description(info, images, &self.generic_resources))
        })
    }

    fn adopt(&self, node: NodeId) -> BoxFuture<'_, Result<Vec<Found>, ExecError>> {
        Box::pin(self.lifecycle.adopt(node))
    }

    fn prepare<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<(), ExecError>> {
        Box::pin(self.lifecycle.prepare(run))
    }

    fn start<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<Started, ExecError>> {
        Box::pin(self.lifecycle.start(run))
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
