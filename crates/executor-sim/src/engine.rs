//! The records of simulated tasks. A task's state is a function of its record and the clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use executor::{
    ExecError, Exit, ExitCause, Found, FoundState, LogChunk, LogOptions, LogStream, Output,
    Started, TaskRun,
};
use tokio::sync::Notify;
use tokio::time::Instant;
use types::entropy::{Entropy, SeededEntropy};
use types::service::{PortConfig, PublishMode};
use types::task::ContainerStatus;
use types::{NodeId, TaskId, Timestamp};

use crate::SimConfig;
use crate::script::Script;

/// Exit code of a killed task: 128 + SIGKILL.
const KILLED_CODE: i32 = 137;

/// Where "any free port" begins: Linux's own range of ephemeral ports.
const EPHEMERAL_PORT_FIRST: u32 = 32_768;

/// The engine of a simulated node.
#[derive(Debug)]
pub struct SimEngine {
    config: SimConfig,
    /// The script of tasks whose labels say nothing: most of a node's, so they share it.
    default_script: Arc<Script>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    by_id: HashMap<TaskId, Record>,
    next_pid: i32,
}

#[derive(Debug)]
struct Record {
    node: Option<NodeId>,
    script: Arc<Script>,
    stop_grace: Duration,
    host_ports: Vec<PortConfig>,
    run: Option<Run>,
    /// Wakes those who wait for the task when its end moves.
    changed: Arc<Notify>,
}

/// A task that was started.
#[derive(Debug, Clone)]
struct Run {
    pid: i32,
    running_at: Instant,
    started_at: Timestamp,
    ends: Option<End>,
}

#[derive(Debug, Clone, Copy)]
struct End {
    at: Instant,
    code: i32,
    cause: ExitCause,
}

enum Phase {
    Prepared,
    Starting(Instant),
    Running(Started, Option<Instant>),
    Ended(Exit),
}

impl Record {
    fn phase(&self, id: TaskId, now: Instant) -> Phase {
        let Some(run) = &self.run else {
            return Phase::Prepared;
        };
        let container = ContainerStatus {
            container_id: format!("sim-{id}"),
            pid: run.pid,
            exit_code: 0,
        };
        match run.ends {
            Some(end) if end.at <= now => Phase::Ended(Exit {
                code: end.code,
                cause: end.cause,
                detail: String::new(),
                at: run.started_at.plus(end.at.duration_since(run.running_at)),
                container: ContainerStatus {
                    exit_code: end.code,
                    ..container
                },
            }),
            _ if now < run.running_at => Phase::Starting(run.running_at),
            ends => Phase::Running(
                Started {
                    container,
                    ports: published(&self.host_ports, run.pid),
                },
                ends.map(|end| end.at),
            ),
        }
    }

    /// Moves the end to `at`, unless it already is earlier.
    fn end_by(&mut self, at: Instant, code: i32, cause: ExitCause) {
        let Some(run) = &mut self.run else {
            return;
        };
        if run.ends.is_none_or(|end| end.at > at) {
            run.ends = Some(End { at, code, cause });
            self.changed.notify_waiters();
        }
    }
}

/// Host-mode ports, with numbers for those that left the choice open.
fn published(ports: &[PortConfig], pid: i32) -> Vec<PortConfig> {
    let pick = |(index, port): (usize, &PortConfig)| {
        let mut port = port.clone();
        if port.published_port == 0 {
            let offset = u32::try_from(pid).unwrap_or(0) + u32::try_from(index).unwrap_or(0);
            port.published_port = EPHEMERAL_PORT_FIRST + offset % EPHEMERAL_PORT_FIRST;
        }
        port
    };
    ports.iter().enumerate().map(pick).collect()
}

fn wall_clock() -> Timestamp {
    let age = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::ZERO.plus(age)
}

impl SimEngine {
    /// An engine without tasks.
    pub fn new(config: SimConfig) -> Self {
        Self {
            default_script: Arc::new(config.script.clone()),
            config,
            tasks: Mutex::default(),
        }
    }

    /// What the node is.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// How many tasks run.
    pub fn running_count(&self) -> usize {
        let now = Instant::now();
        let tasks = self.lock();
        let runs = |(id, record): &(&TaskId, &Record)| {
            matches!(record.phase(**id, now), Phase::Running(..))
        };
        tasks.by_id.iter().filter(runs).count()
    }

    /// Ends every task at once, as a power cut of the node does.
    pub fn power_cut(&self) {
        let now = Instant::now();
        for record in self.lock().by_id.values_mut() {
            record.end_by(now, KILLED_CODE, ExitCause::Lost);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        // A panic elsewhere cannot leave a record half-written: each change is one assignment.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn found(&self, node: NodeId) -> Vec<Found> {
        let now = Instant::now();
        let tasks = self.lock();
        let ours = tasks
            .by_id
            .iter()
            .filter(|(_, record)| record.node == Some(node));
        ours.map(|(id, record)| Found {
            task_id: *id,
            state: match record.phase(*id, now) {
                Phase::Prepared | Phase::Starting(_) => FoundState::Prepared,
                Phase::Running(started, _) => FoundState::Running(started),
                Phase::Ended(exit) => FoundState::Exited(exit),
            },
        })
        .collect()
    }

    pub(crate) async fn prepare(&self, run: &TaskRun) -> Result<(), ExecError> {
        if self.lock().by_id.contains_key(&run.id()) {
            return Ok(());
        }
        let script = self.config.script.of(run)?;
        if !script.prepare_delay.is_zero() {
            tokio::time::sleep(script.prepare_delay).await;
        }
        if let Some(reason) = &script.fail_prepare {
            return Err(ExecError::rejected(reason.clone()));
        }
        let script = self.shared(script);
        let grace = run.container()?.stop_grace_period;
        let record = Record {
            node: run.node.id,
            script,
            stop_grace: grace.unwrap_or(types::defaults::STOP_GRACE_PERIOD),
            host_ports: host_ports(run),
            run: None,
            changed: Arc::default(),
        };
        self.lock().by_id.entry(run.id()).or_insert(record);
        Ok(())
    }

    pub(crate) async fn start(&self, id: TaskId) -> Result<Started, ExecError> {
        self.begin(id)?;
        loop {
            let now = Instant::now();
            let (phase, changed) = self.look(id, now)?;
            let changed = changed.notified();
            match phase {
                Phase::Running(started, _) => return Ok(started),
                Phase::Ended(exit) => return Err(ExecError::Exited(exit)),
                Phase::Starting(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = changed => {}
                    }
                }
                // Removed and prepared again in between: that one was not asked to start.
                Phase::Prepared => return Err(ExecError::NotFound(id)),
            }
        }
    }

    fn shared(&self, script: Script) -> Arc<Script> {
        if script == *self.default_script {
            Arc::clone(&self.default_script)
        } else {
            Arc::new(script)
        }
    }

    /// Sets the task's moments, unless it was started before.
    fn begin(&self, id: TaskId) -> Result<(), ExecError> {
        let mut tasks = self.lock();
        let pid = tasks.next_pid + 1;
        let record = tasks.by_id.get_mut(&id).ok_or(ExecError::NotFound(id))?;
        if record.run.is_some() {
            return Ok(());
        }
        if let Some(reason) = &record.script.fail_start {
            return Err(ExecError::rejected(reason.clone()));
        }
        if draw(self.config.seed, id) < record.script.fail_rate {
            return Err(ExecError::rejected("the simulated start failed by chance"));
        }
        let script = &record.script;
        let running_at = Instant::now() + script.start_delay;
        record.run = Some(Run {
            pid,
            running_at,
            started_at: wall_clock().plus(script.start_delay),
            ends: script.run.map(|run| End {
                at: running_at + run,
                code: script.exit_code,
                cause: ExitCause::Ended,
            }),
        });
        tasks.next_pid = pid;
        Ok(())
    }

    fn look(&self, id: TaskId, now: Instant) -> Result<(Phase, Arc<Notify>), ExecError> {
        let tasks = self.lock();
        let record = tasks.by_id.get(&id).ok_or(ExecError::NotFound(id))?;
        Ok((record.phase(id, now), Arc::clone(&record.changed)))
    }

    pub(crate) async fn wait(&self, id: TaskId) -> Result<Exit, ExecError> {
        let mut known = None;
        loop {
            let (phase, changed) = match self.look(id, Instant::now()) {
                Ok(seen) => seen,
                Err(error) => return known.map(lost).ok_or(error),
            };
            let changed = changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            // Between the look and the registration the end may have moved: look again.
            let end = match self.look(id, Instant::now()) {
                Ok((Phase::Ended(exit), _)) => return Ok(exit),
                Ok((Phase::Running(_, end), _)) => end,
                Ok((Phase::Starting(at), _)) => Some(at),
                Ok((Phase::Prepared, _)) => None,
                Err(error) => return known.map(lost).ok_or(error),
            };
            if let Phase::Running(started, _) = phase {
                known = Some(started.container);
            }
            match end {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    pub(crate) async fn stop(&self, id: TaskId) {
        {
            let mut tasks = self.lock();
            let Some(record) = tasks.by_id.get_mut(&id) else {
                return;
            };
            let now = Instant::now();
            let (stop_delay, grace) = (record.script.stop_delay, record.stop_grace);
            if stop_delay <= grace {
                record.end_by(now + stop_delay, 0, ExitCause::Ended);
            } else {
                record.end_by(now + grace, KILLED_CODE, ExitCause::Ended);
            }
            if record.run.is_none() {
                return;
            }
        }
        // Whether it ended or was removed meanwhile: it does not run any more.
        let _ = self.wait(id).await;
    }

    pub(crate) fn kill(&self, id: TaskId) {
        if let Some(record) = self.lock().by_id.get_mut(&id) {
            record.end_by(Instant::now(), KILLED_CODE, ExitCause::Ended);
        }
    }

    pub(crate) fn remove(&self, id: TaskId) {
        if let Some(record) = self.lock().by_id.remove(&id) {
            record.changed.notify_waiters();
        }
    }

    /// The lines of a task; following, the stream stays open until the task ends.
    pub(crate) async fn logs(
        self: Arc<Self>,
        id: TaskId,
        options: LogOptions,
    ) -> Result<LogStream, ExecError> {
        if options.follow && self.lock().by_id.get(&id).is_none_or(|r| r.run.is_none()) {
            return Err(ExecError::NotFound(id));
        }
        let chunks = self.log_chunks(id, &options)?;
        let (sender, stream) = LogStream::channel();
        tokio::spawn(async move {
            for chunk in chunks {
                if sender.send(Ok(chunk)).await.is_err() {
                    return;
                }
            }
            if options.follow {
                tokio::select! {
                    // However it ended, nothing more comes.
                    _ended = self.wait(id) => {}
                    () = sender.closed() => {}
                }
            }
        });
        Ok(stream)
    }

    fn log_chunks(&self, id: TaskId, options: &LogOptions) -> Result<Vec<LogChunk>, ExecError> {
        let tasks = self.lock();
        let record = tasks.by_id.get(&id).ok_or(ExecError::NotFound(id))?;
        let Some(run) = record
            .run
            .as_ref()
            .filter(|_| options.wants(Output::Stdout))
        else {
            return Ok(Vec::new());
        };
        let chunk = |line: &str| LogChunk {
            timestamp: run.started_at,
            output: Output::Stdout,
            data: format!("{line}\n").into(),
        };
        let mut chunks: Vec<_> = record.script.log.lines().map(chunk).collect();
        chunks.retain(|chunk| chunk.timestamp >= options.since);
        let wanted = options.tail.and_then(|tail| usize::try_from(tail).ok());
        let skip = chunks.len().saturating_sub(wanted.unwrap_or(usize::MAX));
        Ok(chunks.split_off(skip))
    }
}

fn lost(container: ContainerStatus) -> Exit {
    Exit {
        code: KILLED_CODE,
        cause: ExitCause::Lost,
        container,
        ..Exit::default()
    }
}

/// A number in 0–1 that follows from the seed and the task.
fn draw(seed: u64, id: TaskId) -> f64 {
    let low_half = id.get() as u64;
    let word = SeededEntropy::new(seed ^ low_half).next_u64();
    // 53 bits are what an f64 holds exactly.
    (word >> 11) as f64 / (1u64 << 53) as f64
}

fn host_ports(run: &TaskRun) -> Vec<PortConfig> {
    let Some(endpoint) = &run.task.endpoint else {
        return Vec::new();
    };
    let host = |port: &&PortConfig| port.publish_mode == PublishMode::Host;
    endpoint.ports.iter().filter(host).cloned().collect()
}
