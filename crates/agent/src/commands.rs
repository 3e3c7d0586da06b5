//! Worker commands as executor calls, and executor answers as the worker's words.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use executor::{ExecError, Executor, Exit, NodeFacts, TaskObjects, TaskRun};
use futures_util::FutureExt;
use tokio::sync::watch;
use types::{Config, ConfigId, Secret, SecretId, TaskId};
use worker::{Command, Ended, Failure, Outcome, Run, Started};

/// What all commands of an agent need.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) executor: Arc<dyn Executor>,
    /// `None` until the executor has described the node.
    pub(crate) facts: watch::Receiver<Option<NodeFacts>>,
}

impl Hands {
    /// Carries out a command. A panic of the executor is a failure of this command only.
    pub(crate) async fn execute(&mut self, task: TaskId, command: Command) -> Outcome {
        let work = AssertUnwindSafe(self.call(task, command)).catch_unwind();
        work.await.unwrap_or_else(|_| {
            let text = format!("executor {} failed by a bug", self.executor.name());
            Outcome::Failed(Failure::Retry(text))
        })
    }

    async fn call(&mut self, task: TaskId, command: Command) -> Outcome {
        let result = match command {
            Command::Prepare(run) => self.prepare(run).await,
            Command::Start(run) => self.start(run).await,
            Command::Wait => self.executor.wait(task).await.map(ended),
            Command::Stop => self.executor.stop(task).await.map(|()| Outcome::Stopped),
            Command::Kill => self.executor.kill(task).await.map(|()| Outcome::Stopped),
            Command::Remove => self.executor.remove(task).await.map(|()| Outcome::Removed),
        };
        result.unwrap_or_else(failed)
    }

    async fn prepare(&mut self, run: Run) -> Result<Outcome, ExecError> {
        let run = self.resolve(run).await?;
        match self.executor.prepare(&run).await {
            // It ran and ended before the agent died; starting says how.
            Ok(()) | Err(ExecError::Exited(_)) => Ok(Outcome::Prepared),
            Err(error) => Err(error),
        }
    }

    async fn start(&mut self, run: Run) -> Result<Outcome, ExecError> {
        let run = self.resolve(run).await?;
        let started = self.executor.start(&run).await?;
        Ok(Outcome::Started(Started {
            container: started.container,
            ports: started.ports,
        }))
    }

    /// Templates name facts of the node, so it must have been described.
    async fn resolve(&mut self, run: Run) -> Result<TaskRun, ExecError> {
        let facts = self.facts.wait_for(Option::is_some).await;
        let facts = facts.ok().and_then(|f| f.clone());
        let facts = facts.ok_or_else(|| ExecError::retry("the agent is stopping"))?;
        TaskRun::resolve(run.task.clone(), facts, &Objects(&run))
    }
}

/// What one task may read.
struct Objects<'a>(&'a Run);

impl TaskObjects for Objects<'_> {
    fn secret(&self, id: SecretId) -> Option<Arc<Secret>> {
        self.0.secrets.iter().find(|s| s.id == id).cloned()
    }

    fn config(&self, id: ConfigId) -> Option<Arc<Config>> {
        self.0.configs.iter().find(|c| c.id == id).cloned()
    }
}

fn ended(exit: Exit) -> Outcome {
    let reason = exit.to_string();
    let mut container = exit.container.clone();
    container.exit_code = exit.code;
    Outcome::Ended(Ended {
        success: exit.is_success(),
        reason,
        container,
    })
}

fn failed(error: ExecError) -> Outcome {
    match error {
        ExecError::Exited(exit) => ended(exit),
        ExecError::Rejected(text) => Outcome::Failed(Failure::Fatal(text)),
        ExecError::Retry(text) => Outcome::Failed(Failure::Retry(text)),
        ExecError::NotFound(_) => Outcome::Failed(Failure::Missing(error.to_string())),
    }
}
