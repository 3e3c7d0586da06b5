//! Pretends to run tasks, by script: for tests, benchmarks and try-outs without an engine.
//!
//! A task here is a record with three moments: when it is prepared, when it runs, when it ends.
//! What state it is in follows from the clock, so nothing runs per task and one node can stand
//! for many thousands. What happens to a task is scripted by labels of its service or container,
//! see [`Script`]; what is random follows from a seed and the task's id.
//!
//! The records live in a [`SimEngine`], which outlives its executors as a real engine outlives an
//! agent. Nothing is ever executed, opened or written.

mod engine;
mod script;

use std::sync::Arc;

use executor::{
    BoxFuture, ExecError, Executor, Exit, Found, LogOptions, LogStream, Started, TaskRun,
};
use types::node::{EngineDescription, NodeDescription, Platform};
use types::{Labels, NodeId, Resources, TaskId};

pub use engine::SimEngine;
pub use script::Script;

/// Cores of a simulated node unless told otherwise, in billionths.
const NANO_CPUS_DEFAULT: i64 = 8_000_000_000;

/// Memory of a simulated node unless told otherwise, in bytes: 32 GiB.
const MEMORY_BYTES_DEFAULT: i64 = 32 << 30;

/// What a simulated node is, and what its tasks do where their labels say nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct SimConfig {
    /// Host name.
    pub hostname: String,
    /// Architecture and operating system.
    pub platform: Platform,
    /// What the node has.
    pub resources: Resources,
    /// Labels of the engine.
    pub labels: Labels,
    /// Decides what is random.
    pub seed: u64,
    /// What tasks do where their labels say nothing.
    pub script: Script,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            hostname: "sim".to_owned(),
            platform: Platform {
                architecture: "x86_64".to_owned(),
                os: "linux".to_owned(),
            },
            resources: Resources {
                nano_cpus: NANO_CPUS_DEFAULT,
                memory_bytes: MEMORY_BYTES_DEFAULT,
                generic: Vec::new(),
            },
            labels: Labels::new(),
            seed: 0,
            script: Script::default(),
        }
    }
}

/// An executor over a [`SimEngine`].
#[derive(Debug, Clone)]
pub struct SimExecutor {
    engine: Arc<SimEngine>,
}

impl SimExecutor {
    /// An executor over a new engine.
    pub fn new(config: SimConfig) -> Self {
        Self::attach(Arc::new(SimEngine::new(config)))
    }

    /// An executor over an engine that may already hold tasks.
    pub fn attach(engine: Arc<SimEngine>) -> Self {
        Self { engine }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<SimEngine> {
        &self.engine
    }
}

impl Executor for SimExecutor {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn describe(&self) -> BoxFuture<'_, Result<NodeDescription, ExecError>> {
        let config = self.engine.config();
        let description = NodeDescription {
            hostname: config.hostname.clone(),
            platform: config.platform.clone(),
            resources: config.resources.clone(),
            engine: EngineDescription {
                version: concat!("sim-", env!("CARGO_PKG_VERSION")).to_owned(),
                labels: config.labels.clone(),
                plugins: Vec::new(),
            },
            ..NodeDescription::default()
        };
        Box::pin(std::future::ready(Ok(description)))
    }

    fn adopt(&self, node: NodeId) -> BoxFuture<'_, Result<Vec<Found>, ExecError>> {
        Box::pin(std::future::ready(Ok(self.engine.found(node))))
    }

    fn prepare<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<(), ExecError>> {
        Box::pin(self.engine.prepare(run))
    }

    fn start<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<Started, ExecError>> {
        Box::pin(self.engine.start(run.id()))
    }

    fn wait(&self, task: TaskId) -> BoxFuture<'_, Result<Exit, ExecError>> {
        Box::pin(self.engine.wait(task))
    }

    fn stop(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        Box::pin(async move {
            self.engine.stop(task).await;
            Ok(())
        })
    }

    fn kill(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        self.engine.kill(task);
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        self.engine.remove(task);
        Box::pin(std::future::ready(Ok(())))
    }

    fn logs(
        &self,
        task: TaskId,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<LogStream, ExecError>> {
        Box::pin(self.engine.clone().logs(task, options))
    }
}
