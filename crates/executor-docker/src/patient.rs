//! An engine that need not answer yet: for a node that went on with Docker and comes up before it.

use executor::{
    BoxFuture, ExecError, Executor, Exit, Found, LogOptions, LogStream, Started, TaskRun,
};
use tokio::sync::OnceCell;
use types::node::NodeDescription;
use types::{NodeId, TaskId};

use crate::{DockerConfig, DockerExecutor};

/// Connects with the first call that finds the engine answering; until then every call may be
/// repeated, and says why.
#[derive(Debug)]
pub struct PatientDocker {
    config: DockerConfig,
    connected: OnceCell<DockerExecutor>,
}

impl PatientDocker {
    /// Connects later.
    #[must_use]
    pub fn new(config: DockerConfig) -> Self {
        Self {
            config,
            connected: OnceCell::new(),
        }
    }

    async fn get(&self) -> Result<&DockerExecutor, ExecError> {
        let connect = || async {
            let docker = DockerExecutor::connect(self.config.clone()).await;
            docker.map_err(|error| ExecError::retry(format!("waiting for Docker: {error}")))
        };
        self.connected.get_or_try_init(connect).await
    }
}

impl Executor for PatientDocker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn describe(&self) -> BoxFuture<'_, Result<NodeDescription, ExecError>> {
        Box::pin(async { self.get().await?.describe().await })
    }

    fn adopt(&self, node: NodeId) -> BoxFuture<'_, Result<Vec<Found>, ExecError>> {
        Box::pin(async move { self.get().await?.adopt(node).await })
    }

    fn prepare<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<(), ExecError>> {
        Box::pin(async { self.get().await?.prepare(run).await })
    }

    fn start<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<Started, ExecError>> {
        Box::pin(async { self.get().await?.start(run).await })
    }

    fn wait(&self, task: TaskId) -> BoxFuture<'_, Result<Exit, ExecError>> {
        Box::pin(async move { self.get().await?.wait(task).await })
    }

    fn stop(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        Box::pin(async move { self.get().await?.stop(task).await })
    }

    fn kill(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        Box::pin(async move { self.get().await?.kill(task).await })
    }

    fn remove(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        Box::pin(async move { self.get().await?.remove(task).await })
    }

    fn logs(
        &self,
        task: TaskId,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<LogStream, ExecError>> {
        Box::pin(async move { self.get().await?.logs(task, options).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_may_be_repeated_until_the_engine_answers() {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("unix://{}", dir.path().join("docker.sock").display());
        let docker = PatientDocker::new(DockerConfig {
            address: address.parse().unwrap(),
            ..DockerConfig::default()
        });
        let error = docker.describe().await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("waiting for Docker") && text.contains(&address),
            "{text}"
        );
    }
}
