//! The life of a task's container: created, started, watched, stopped, removed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, SystemInfo};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptions,
};
use executor::{
    ExecError, Exit, ExitCause, Found, LABEL_NODE_ID, LABEL_TASK_ID, LogOptions, LogStream,
    Started, TaskRun,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use types::naming::task_name;
use types::task::ContainerStatus;
use types::{NodeId, TaskId};

use crate::engine::{Engine, is_conflict, is_not_found};
use crate::files::FileStore;
use crate::image::{self, Images, PullPolicy};
use crate::inspect::{Phase, task_of};
use crate::tasks::{Entry, TaskTable};
use crate::{logs, spec};

/// Containers being created or started at a time. Measured on Docker 20.10 with two cores: one at
/// a time is 1.7 times slower, sixteen gain little over eight and starve running tasks.
const STARTS_IN_FLIGHT_MAX: usize = 8;

/// Containers inspected at a time when the agent starts.
const INSPECTIONS_IN_FLIGHT_MAX: usize = 8;

/// A wait looks at its container this often without being nudged, for an event stream that died
/// without a word.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);

/// While the engine does not answer, a wait asks this often.
const ABSENT_RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a wait bears an engine that does not answer before it says so; a restart of the
/// engine takes a few seconds, or its containers' grace periods without `live-restore`.
const ENGINE_ABSENCE_MAX: Duration = Duration::from_secs(30);

/// What is done with containers of tasks.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    engine: Engine,
    tasks: Arc<TaskTable>,
    images: Images,
    pull: PullPolicy,
    files: FileStore,
    starts: Semaphore,
}

/// What may come of creating a container.
enum Created {
    Yes,
    ImageMissing(String),
}

impl Lifecycle {
    pub(crate) fn new(engine: Engine, files_dir: PathBuf, pull: PullPolicy) -> Self {
        Self {
            engine,
            tasks: Arc::default(),
            images: Images::default(),
            pull,
            files: FileStore::new(files_dir),
            starts: Semaphore::new(STARTS_IN_FLIGHT_MAX),
        }
    }

    pub(crate) fn tasks(&self) -> Arc<TaskTable> {
        Arc::clone(&self.tasks)
    }

    pub(crate) async fn info(&self) -> Result<SystemInfo, ExecError> {
        let info = self.engine.docker.info().await;
        info.map_err(|error| self.engine.failed("cannot describe the node", &error))
    }

    pub(crate) async fn adopt(&self, node: NodeId) -> Result<Vec<Found>, ExecError> {
        let ids = self.list(format!("{LABEL_NODE_ID}={node}")).await?;
        let found = stream::iter(ids)
            .map(|id| self.find_by_id(id))
            .buffer_unordered(INSPECTIONS_IN_FLIGHT_MAX)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn find_by_id(&self, id: String) -> Result<Option<Found>, ExecError> {
        let Some(inspect) = self.inspect(&id).await? else {
            return Ok(None);
        };
        let Some(task_id) = task_of(&inspect) else {
            tracing::warn!(container = id, "its task label is no task id, left alone");
            return Ok(None);
        };
        self.tasks.entry(task_id).set_container(Some(id));
        Ok(Some(Found {
            task_id,
            state: Phase::of(&inspect).found(),
        }))
    }

    // === create ===

    pub(crate) async fn prepare(self: &Arc<Self>, run: &TaskRun) -> Result<(), ExecError> {
        let expanded = executor::expand(run)?;
        let files = self.files.placed(run);
        let body = spec::create_body(run, &expanded, &files, self.engine.api)?;
        self.check_files(run)?;
        let pull_error = self
            .images
            .refresh(&self.engine, &expanded, self.pull)
            .await;
        match self.create(run, body.clone()).await? {
            Created::Yes => return Ok(()),
            Created::ImageMissing(engine_words) => {
                if let Some(error) = pull_error {
                    return Err(image::not_here(&expanded.image, &error));
                }
                tracing::debug!(engine_words, "pulling");
            }
        }
        self.images.fetch(&self.engine, &expanded).await?;
        match self.create(run, body).await? {
            Created::Yes => Ok(()),
            Created::ImageMissing(error) => Err(image::not_here(&expanded.image, &error)),
        }
    }

    fn check_files(&self, run: &TaskRun) -> Result<(), ExecError> {
        if run.files.is_empty() || self.engine.address.is_local() {
            return self.files.write(run);
        }
        Err(ExecError::rejected(
            "secrets and configs need an engine on the same machine, reached by its socket",
        ))
    }

    /// Creates the container. Runs to its end even if the caller is dropped, so that a later call
    /// finds either nothing or the whole container.
    async fn create(
        self: &Arc<Self>,
        run: &TaskRun,
        body: ContainerCreateBody,
    ) -> Result<Created, ExecError> {
        let (this, task, name) = (Arc::clone(self), run.id(), task_name(&run.task));
        shielded(async move {
            let entry = this.tasks.entry(task);
            let _one_at_a_time = entry.gate.lock().await;
            let _permit = this.starts.acquire().await;
            let options = CreateContainerOptionsBuilder::default().name(&name).build();
            match this
                .engine
                .docker
                .create_container(Some(options), body)
                .await
            {
                Ok(created) => {
                    entry.set_container(Some(created.id));
                    entry.set_fresh();
                    Ok(Created::Yes)
                }
                Err(error) if is_conflict(&error) => this.taken(task, &name, &entry).await,
                Err(error) if is_not_found(&error) => {
                    Ok(Created::ImageMissing(crate::engine::words(&error)))
                }
                Err(error) => Err(this.engine.failed("cannot create the container", &error)),
            }
        })
        .await
    }

    /// A name that is taken is ours if the container is this task's: then it was created before.
    async fn taken(&self, task: TaskId, name: &str, entry: &Entry) -> Result<Created, ExecError> {
        match self.inspect(name).await? {
            Some(inspect) if task_of(&inspect) == Some(task) => {
                entry.set_container(inspect.id);
                Ok(Created::Yes)
            }
            Some(_) => Err(ExecError::rejected(format!(
                "a container that is not this task's has the name {name:?}"
            ))),
            None => Err(ExecError::retry(format!(
                "the container {name:?} is being removed"
            ))),
        }
    }

    // === start ===

    pub(crate) async fn start(self: &Arc<Self>, run: &TaskRun) -> Result<Started, ExecError> {
        let (this, for_start) = (Arc::clone(self), run.clone());
        let started_now = shielded(async move { this.begin(&for_start).await }).await?;
        let entry = self.tasks.entry(run.id());
        let mut nudges = entry.subscribe();
        loop {
            nudges.mark_unchanged();
            let phase = self
                .phase(run.id())
                .await?
                .ok_or(ExecError::NotFound(run.id()))?;
            match phase {
                Phase::Running(started) => return Ok(started),
                // It was started just now and is done already: that it ended is for `wait` to say.
                Phase::Ended(exit) if started_now && exit.cause != ExitCause::Unhealthy => {
                    return Ok(Started {
                        container: exit.container,
                        ports: Vec::new(),
                    });
                }
                Phase::Ended(exit) => return Err(ExecError::Exited(exit)),
                Phase::Unhealthy(_) => {
                    self.stop(run.id()).await?;
                    continue;
                }
                Phase::Created | Phase::Starting(_) => {}
            }
            nudged(&mut nudges, RECHECK_INTERVAL).await;
        }
    }

    /// Starts the container unless it ever was; returns whether it did.
    async fn begin(&self, run: &TaskRun) -> Result<bool, ExecError> {
        let task = run.id();
        let entry = self.tasks.entry(task);
        let _one_at_a_time = entry.gate.lock().await;
        let is_fresh = entry.take_fresh();
        if !is_fresh {
            match self.phase(task).await? {
                None => return Err(ExecError::NotFound(task)),
                Some(Phase::Created) => {}
                Some(_) => return Ok(false),
            }
            // A restart of the machine emptied the tmpfs.
            self.check_files(run)?;
        }
        let id = entry.container().ok_or(ExecError::NotFound(task))?;
        let _permit = self.starts.acquire().await;
        match self
            .engine
            .docker
            .start_container(&id, None::<StartContainerOptions>)
            .await
        {
            Ok(()) => Ok(true),
            Err(error) => Err(self.engine.failed("cannot start the container", &error)),
        }
    }

    // === watch ===

    pub(crate) async fn wait(&self, task: TaskId) -> Result<Exit, ExecError> {
        let entry = self.tasks.entry(task);
        let mut nudges = entry.subscribe();
        let mut last_seen: Option<ContainerStatus> = None;
        let mut absent_since: Option<Instant> = None;
        loop {
            nudges.mark_unchanged();
            match self.phase(task).await {
                Ok(None) => {
                    drop(entry);
                    self.tasks.forget_unused(task);
                    return last_seen.map(lost).ok_or(ExecError::NotFound(task));
                }
                Ok(Some(Phase::Ended(exit))) => return Ok(exit),
                Ok(Some(Phase::Unhealthy(_))) => {
                    self.stop(task).await?;
                    continue;
                }
                Ok(Some(phase)) => {
                    absent_since = None;
                    last_seen = container_of(phase).or(last_seen);
                }
                Err(error) if error.is_temporary() => {
                    let since = *absent_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > ENGINE_ABSENCE_MAX {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            let pause = match absent_since {
                Some(_) => ABSENT_RECHECK_INTERVAL,
                None => RECHECK_INTERVAL,
            };
            nudged(&mut nudges, pause).await;
        }
    }

    async fn phase(&self, task: TaskId) -> Result<Option<Phase>, ExecError> {
        Ok(self.find(task).await?.map(|inspect| Phase::of(&inspect)))
    }

    /// The container of a task, by its id if that is known, else by its label.
    async fn find(&self, task: TaskId) -> Result<Option<ContainerInspectResponse>, ExecError> {
        let entry = self.tasks.entry(task);
        if let Some(id) = entry.container() {
            if let Some(inspect) = self.inspect(&id).await? {
                return Ok(Some(inspect));
            }
            entry.set_container(None);
        }
        for id in self.list(format!("{LABEL_TASK_ID}={task}")).await? {
            if let Some(inspect) = self.inspect(&id).await? {
                entry.set_container(Some(id));
                return Ok(Some(inspect));
            }
        }
        Ok(None)
    }

    async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, ExecError> {
        match self.engine.docker.inspect_container(id, None).await {
            Ok(inspect) => Ok(Some(inspect)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(self.engine.failed("cannot inspect the container", &error)),
        }
    }

    async fn list(&self, label: String) -> Result<Vec<String>, ExecError> {
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let list = self.engine.docker.list_containers(Some(options)).await;
        let list = list.map_err(|e| self.engine.failed("cannot list the containers", &e))?;
        Ok(list
            .into_iter()
            .filter_map(|container| container.id)
            .collect())
    }

    // === end ===

    pub(crate) async fn stop(&self, task: TaskId) -> Result<(), ExecError> {
        let Some(id) = self.running(task).await? else {
            return Ok(());
        };
        let stop = self
            .engine
            .docker
            .stop_container(&id, None::<StopContainerOptions>)
            .await;
        self.end("cannot stop the container", task, stop).await
    }

    pub(crate) async fn kill(&self, task: TaskId) -> Result<(), ExecError> {
        let Some(id) = self.running(task).await? else {
            return Ok(());
        };
        let options = KillContainerOptionsBuilder::default()
            .signal("SIGKILL")
            .build();
        let kill = self.engine.docker.kill_container(&id, Some(options)).await;
        self.end("cannot kill the container", task, kill).await
    }

    /// The container of a task if it runs, after any start that is under way.
    async fn running(&self, task: TaskId) -> Result<Option<String>, ExecError> {
        let entry = self.tasks.entry(task);
        let _after_start = entry.gate.lock().await;
        match self.phase(task).await? {
            Some(Phase::Starting(_) | Phase::Running(_) | Phase::Unhealthy(_)) => {
                Ok(entry.container())
            }
            Some(Phase::Created | Phase::Ended(_)) | None => Ok(None),
        }
    }

    /// Waits for the end that a call asked for. The engine goes on with a stop whose answer took
    /// too long, and refuses one for what has just ended or is gone.
    async fn end(
        &self,
        doing: &str,
        task: TaskId,
        result: Result<(), Error>,
    ) -> Result<(), ExecError> {
        match result {
            Ok(()) | Err(Error::RequestTimeoutError) => {}
            Err(error) if is_conflict(&error) || is_not_found(&error) => {}
            Err(error) => return Err(self.engine.failed(doing, &error)),
        }
        let entry = self.tasks.entry(task);
        let mut nudges = entry.subscribe();
        loop {
            nudges.mark_unchanged();
            match self.phase(task).await? {
                None | Some(Phase::Created | Phase::Ended(_)) => return Ok(()),
                Some(_) => nudged(&mut nudges, RECHECK_INTERVAL).await,
            }
        }
    }

    pub(crate) async fn remove(&self, task: TaskId) -> Result<(), ExecError> {
        let entry = self.tasks.entry(task);
        let _after_start = entry.gate.lock().await;
        let mut nudges = entry.subscribe();
        loop {
            nudges.mark_unchanged();
            let Some(inspect) = self.find(task).await? else {
                break;
            };
            let id = inspect.id.unwrap_or_default();
            // Anonymous volumes go with their container.
            let options = RemoveContainerOptionsBuilder::default()
                .force(true)
                .v(true)
                .build();
            match self
                .engine
                .docker
                .remove_container(&id, Some(options))
                .await
            {
                Ok(()) => break,
                Err(error) if is_not_found(&error) => break,
                // Another removal of it is under way.
                Err(error) if is_conflict(&error) => {
                    nudged(&mut nudges, ABSENT_RECHECK_INTERVAL).await;
                }
                Err(error) => {
                    return Err(self.engine.failed("cannot remove the container", &error));
                }
            }
        }
        self.tasks.forget(task);
        self.files.remove(task).map_err(|error| {
            ExecError::retry(format!(
                "cannot remove the files of secrets and configs: {error}"
            ))
        })
    }

    pub(crate) async fn logs(
        &self,
        task: TaskId,
        options: LogOptions,
    ) -> Result<LogStream, ExecError> {
        let Some(inspect) = self.find(task).await? else {
            self.tasks.forget_unused(task);
            return Err(ExecError::NotFound(task));
        };
        let id = inspect.id.unwrap_or_default();
        Ok(logs::open(self.engine.clone(), id, options))
    }
}

/// Runs a future to its end even if the caller is dropped.
async fn shielded<T: Send + 'static>(
    future: impl Future<Output = Result<T, ExecError>> + Send + 'static,
) -> Result<T, ExecError> {
    match tokio::spawn(future).await {
        Ok(result) => result,
        Err(error) => Err(ExecError::retry(format!(
            "the executor is shutting down: {error}"
        ))),
    }
}

async fn nudged(nudges: &mut watch::Receiver<u64>, pause: Duration) {
    // A timeout is a nudge too. The sender lives in the caller's entry.
    let _ = tokio::time::timeout(pause, nudges.changed()).await;
}

fn container_of(phase: Phase) -> Option<ContainerStatus> {
    match phase {
        Phase::Starting(s) | Phase::Running(s) | Phase::Unhealthy(s) => Some(s.container),
        Phase::Created | Phase::Ended(_) => None,
    }
}

fn lost(container: ContainerStatus) -> Exit {
    Exit {
        code: -1,
        cause: ExitCause::Lost,
        detail: "its container was removed".to_owned(),
        container,
        ..Exit::default()
    }
}
