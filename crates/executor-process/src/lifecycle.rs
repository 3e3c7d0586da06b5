//! The life of a task's process, seen from the agent: everything is read from its directory.

mod logs;

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use executor::{
    ExecError, Exit, ExitCause, Found, FoundState, LogOptions, LogStream, Started, TaskRun,
};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::time::Instant;
use types::task::ContainerStatus;
use types::{NodeId, TaskId, Timestamp};

use crate::record::{ChildRecord, ExitRecord, Stage, TaskDir, processes};
use crate::shim::{FAILED_LINE, NOT_RUN_CODE, STARTED_LINE};
use crate::spec::Launch;

/// How often a task is looked at when nothing can say when to look: before its shim works, and
/// when its shim was killed and the command is not.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a killed task may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a shim may take from its own start to that of the command.
const SHIM_TIMEOUT: Duration = Duration::from_secs(30);

/// What is done with processes of tasks.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    dir: PathBuf,
    shim: Vec<String>,
    /// Held while a task is started, so that its shim is started once.
    gates: Mutex<HashMap<TaskId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Lifecycle {
    pub(crate) fn open(dir: PathBuf, shim: Vec<String>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self {
            // The shim changes to another directory.
            dir: dir.canonicalize()?,
            shim,
            gates: Mutex::default(),
        })
    }

    fn dir_of(&self, task: TaskId) -> TaskDir {
        TaskDir::new(self.dir.join(task.to_string()))
    }

    fn gate(&self, task: TaskId) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        Arc::clone(gates.entry(task).or_default())
    }

    pub(crate) fn adopt(&self, node: NodeId) -> Result<Vec<Found>, ExecError> {
        let entries = fs::read_dir(&self.dir).map_err(|error| {
            ExecError::retry(format!("cannot read {}: {error}", self.dir.display()))
        })?;
        let node = node.to_string();
        let names = entries.flatten().map(|entry| entry.file_name());
        let ids = names.filter_map(|name| name.to_str()?.parse::<TaskId>().ok());
        let mut found = Vec::new();
        for task_id in ids {
            match self.find(task_id, &node) {
                Ok(Some(state)) => found.push(Found { task_id, state }),
                Ok(None) => {}
                // One damaged directory must not hide the others.
                Err(error) => tracing::warn!(%task_id, %error, "cannot read the task's directory"),
            }
        }
        Ok(found)
    }

    fn find(&self, task: TaskId, node: &str) -> io::Result<Option<FoundState>> {
        let dir = self.dir_of(task);
        if dir.launch()?.and_then(|launch| launch.node).as_deref() != Some(node) {
            return Ok(None);
        }
        Ok(Some(match dir.stage()? {
            Stage::Absent => return Ok(None),
            Stage::Prepared | Stage::Between => FoundState::Prepared,
            Stage::Running(child) => FoundState::Running(started(task, &child)),
            Stage::Exited(record) => FoundState::Exited(exit(task, record)),
            Stage::Lost(child) => FoundState::Exited(lost(task, child)),
        }))
    }

    pub(crate) async fn prepare(&self, run: &TaskRun) -> Result<(), ExecError> {
        let (dir, run) = (self.dir_of(run.id()), run.clone());
        // It waits for the disk.
        match tokio::task::spawn_blocking(move || write_dir(&dir, &run)).await {
            Ok(result) => result,
            Err(error) => Err(ExecError::retry(format!(
                "the executor is shutting down: {error}"
            ))),
        }
    }

    // === start ===

    pub(crate) async fn start(self: &Arc<Self>, task: TaskId) -> Result<Started, ExecError> {
        // Runs to its end even if the caller is dropped: a shim must not be left without the
        // gate that keeps others from starting a second one.
        let this = Arc::clone(self);
        match tokio::spawn(async move { this.start_shim(task).await }).await {
            Ok(result) => result,
            Err(error) => Err(ExecError::retry(format!(
                "the executor is shutting down: {error}"
            ))),
        }
    }

    async fn start_shim(&self, task: TaskId) -> Result<Started, ExecError> {
        let gate = self.gate(task);
        let _one_at_a_time = gate.lock().await;
        let dir = self.dir_of(task);
        let is_new = stage(&dir)? == Stage::Prepared;
        if is_new {
            self.run_shim(&dir).await?;
        }
        let deadline = Instant::now() + SHIM_TIMEOUT;
        loop {
            match stage(&dir)? {
                Stage::Absent | Stage::Prepared => return Err(ExecError::NotFound(task)),
                Stage::Running(child) => return Ok(started(task, &child)),
                // It ran and is done already: that it ended is for `wait` to say.
                Stage::Exited(record) if is_new => return Ok(ran(task, &record)),
                Stage::Exited(record) => return Err(ExecError::Exited(exit(task, record))),
                Stage::Lost(child) => return Err(ExecError::Exited(lost(task, child))),
                Stage::Between if Instant::now() > deadline => {
                    return Err(ExecError::retry("the task's shim does not get ahead"));
                }
                // The command ended and its shim is writing that down, or the shim of an earlier
                // agent is at work.
                Stage::Between => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    }

    /// Starts the shim and hears from it whether the command runs.
    async fn run_shim(&self, dir: &TaskDir) -> Result<(), ExecError> {
        let fail = |error: io::Error| ExecError::retry(format!("cannot start a shim: {error}"));
        let (program, arguments) = self
            .shim
            .split_first()
            .ok_or_else(|| ExecError::rejected("there is no shim"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(dir.path())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(fail)?;
        let stdout = child.stdout.take();
        // The runtime reaps the shim when it ends, if the agent is still there.
        drop(child);
        let Some(stdout) = stdout else {
            return Ok(());
        };
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await.map_err(fail)? {
            if line == STARTED_LINE {
                return Ok(());
            }
            if let Some(reason) = line.strip_prefix(FAILED_LINE) {
                return Err(ExecError::rejected(format!(
                    "cannot start the command: {reason}"
                )));
            }
        }
        Ok(())
    }

    // === end ===

    pub(crate) async fn wait(&self, task: TaskId) -> Result<Exit, ExecError> {
        let dir = self.dir_of(task);
        let mut was_there = None;
        loop {
            match stage(&dir)? {
                Stage::Absent => {
                    return was_there
                        .map(|child| lost(task, child))
                        .ok_or(ExecError::NotFound(task));
                }
                Stage::Exited(record) => return Ok(exit(task, record)),
                Stage::Lost(child) => return Ok(lost(task, child)),
                Stage::Running(child) => was_there = Some(Some(child)),
                Stage::Prepared | Stage::Between => {}
            }
            shim_gone(&dir).await;
        }
    }

    pub(crate) async fn stop(&self, task: TaskId) -> Result<(), ExecError> {
        let dir = self.dir_of(task);
        let Some(child) = self.running(task, &dir).await? else {
            return Ok(());
        };
        let launch = dir.launch().ok().flatten();
        let number = launch
            .as_ref()
            .map_or(Signal::SIGTERM as i32, |l| l.stop_signal);
        let grace = launch.map_or(types::defaults::STOP_GRACE_PERIOD, |launch| {
            Duration::from_millis(launch.stop_grace_ms)
        });
        let signal = Signal::try_from(number).unwrap_or(Signal::SIGTERM);
        // All of its group, so that a shell's children hear of it. Gone already is fine.
        let _ = killpg(Pid::from_raw(child.process.pid), signal);
        match tokio::time::timeout(grace, self.wait(task)).await {
            Ok(Ok(_) | Err(ExecError::NotFound(_))) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => self.kill(task).await,
        }
    }

    pub(crate) async fn kill(&self, task: TaskId) -> Result<(), ExecError> {
        let dir = self.dir_of(task);
        let Some(child) = self.running(task, &dir).await? else {
            return Ok(());
        };
        let pid = Pid::from_raw(child.process.pid);
        // Gone already is fine. The shim kills what else there is; if it is gone too, this does.
        let _ = killpg(pid, Signal::SIGKILL);
        if tokio::time::timeout(KILL_TIMEOUT, self.wait(task))
            .await
            .is_err()
        {
            return Err(ExecError::retry(format!(
                "process {pid} does not die of SIGKILL"
            )));
        }
        if let Ok(Stage::Lost(_)) = dir.stage() {
            for left in processes(|stat| stat.session == pid.as_raw()) {
                let _ = kill(Pid::from_raw(left), Signal::SIGKILL);
            }
        }
        Ok(())
    }

    /// The command of a task if it runs, after any start that is under way.
    async fn running(&self, task: TaskId, dir: &TaskDir) -> Result<Option<ChildRecord>, ExecError> {
        let gate = self.gate(task);
        let _after_start = gate.lock().await;
        let deadline = Instant::now() + SHIM_TIMEOUT;
        loop {
            match stage(dir)? {
                Stage::Running(child) => return Ok(Some(child)),
                Stage::Between if Instant::now() < deadline => {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
                Stage::Between => {
                    return Err(ExecError::retry("the task's shim does not get ahead"));
                }
                Stage::Absent | Stage::Prepared | Stage::Exited(_) | Stage::Lost(_) => {
                    return Ok(None);
                }
            }
        }
    }

    pub(crate) async fn remove(&self, task: TaskId) -> Result<(), ExecError> {
        self.kill(task).await?;
        let dir = self.dir_of(task);
        match fs::remove_dir_all(dir.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = dir.path().display();
                Err(ExecError::retry(format!("cannot remove {path}: {error}")))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn logs(
        &self,
        task: TaskId,
        options: LogOptions,
    ) -> Result<LogStream, ExecError> {
        let dir = self.dir_of(task);
        match stage(&dir)? {
            Stage::Absent => Err(ExecError::NotFound(task)),
            _ => Ok(logs::open(dir, options)),
        }
    }
}

/// Makes the directory of a prepared task.
fn write_dir(dir: &TaskDir, run: &TaskRun) -> Result<(), ExecError> {
    if stage(dir)? != Stage::Absent {
        return Ok(());
    }
    let launch = Launch::of(run)?;
    let fail = |error: io::Error| {
        let path = dir.path().display();
        ExecError::retry(format!("cannot write the task's directory {path}: {error}"))
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir.path())
        .map_err(fail)?;
    match mkfifo(&dir.alive(), Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(fail(error.into())),
    }
    // Last: it is what says that the task is prepared.
    dir.write_launch(&launch).map_err(fail)
}

fn stage(dir: &TaskDir) -> Result<Stage, ExecError> {
    dir.stage().map_err(|error| {
        let path = dir.path().display();
        ExecError::retry(format!("cannot read the task's directory {path}: {error}"))
    })
}

/// Returns when the shim has ended, or after a moment when there is none to wait for.
async fn shim_gone(dir: &TaskDir) {
    let began = Instant::now();
    if let Ok(mut alive) = pipe::OpenOptions::new().open_receiver(dir.alive()) {
        // Nothing is ever written: this returns when the last writer is gone.
        let _ = alive.read(&mut [0; 1]).await;
    }
    if began.elapsed() < LOOK_INTERVAL {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn container(task: TaskId, pid: i32, exit_code: i32) -> ContainerStatus {
    ContainerStatus {
        container_id: format!("process-{task}"),
        pid,
        exit_code,
    }
}

fn started(task: TaskId, child: &ChildRecord) -> Started {
    Started {
        container: container(task, child.process.pid, 0),
        ports: Vec::new(),
    }
}

fn ran(task: TaskId, record: &ExitRecord) -> Started {
    Started {
        container: container(task, record.pid, 0),
        ports: Vec::new(),
    }
}

fn exit(task: TaskId, record: ExitRecord) -> Exit {
    Exit {
        code: record.code,
        cause: ExitCause::Ended,
        detail: record.detail,
        at: Timestamp(record.at_ns),
        container: container(task, record.pid, record.code),
    }
}

fn lost(task: TaskId, child: Option<ChildRecord>) -> Exit {
    let pid = child.map_or(0, |child| child.process.pid);
    Exit {
        code: NOT_RUN_CODE,
        cause: ExitCause::Lost,
        detail: "its shim was killed or the node was cut off".to_owned(),
        at: Timestamp::ZERO,
        container: container(task, pid, NOT_RUN_CODE),
    }
}
