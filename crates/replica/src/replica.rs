//! Starting a replica: what its disk holds, its threads, and its end.
//!
//! Never starts a member whose disk has lost something that it may have promised.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::{Builder, JoinHandle};

use consensus::{Consensus, Member, Persist, RaftId, Restored};
use storage::{
    AppendError, DamagedSnapshot, EngineLog, EngineLogConfig, LoadedLog, LogBatch, LogStore,
    OpenLogError, SmallFileError, SnapshotError, SnapshotInfo, SnapshotStore,
};
use tokio::sync::{mpsc, watch};

use crate::api::{Config, Disk, RestoreError, StateMachine, Status, Threads};
use crate::apply_thread::{self, ApplyThread};
use crate::driver::{Driver, Failure, Inbox};
use crate::events::{self, Event, EventSender};
use crate::handle::{CONTROLS, Handle, MESSAGES, PROPOSALS, PeerReports, READS};
use crate::log_thread::{DiskGauge, LogThread};
use crate::peers::Peers;
use crate::requests::Requests;
use crate::snapshotter::SnapshotPolicy;

/// Why a replica cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// The first write to the log failed.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Snapshots cannot be read.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// What was read does not fit together.
    #[error(transparent)]
    State(#[from] consensus::StartError),
    /// A cluster cannot be made of this member alone.
    #[error(transparent)]
    Force(#[from] consensus::ForceError),
    /// The log continues a snapshot that is not there.
    #[error(
        "cannot start the raft member: its log needs a snapshot up to entry {index} at least and \
         none is readable ({damaged} damaged); remove this manager and let it join again"
    )]
    SnapshotMissing {
        /// Last entry that is not in the log any more.
        index: u64,
        /// Snapshot files that failed their checks.
        damaged: usize,
    },
    /// The directory says that this member has run before, and its log is gone.
    #[error(
        "cannot start raft member {0}: its log is gone; remove this manager and let it join again"
    )]
    LogMissing(RaftId),
    /// The directory belongs to another member.
    #[error(
        "cannot start raft member {wanted} in {}: it holds the log of member {found}",
        path.display()
    )]
    OtherMember {
        /// The directory.
        path: PathBuf,
        /// Whose log it is.
        found: RaftId,
        /// Who wants to start.
        wanted: RaftId,
    },
    /// There is a log already where a new cluster should begin.
    #[error("cannot make a new cluster: this directory holds a raft log already")]
    NotEmpty,
    /// The state machine refused its snapshot.
    #[error("cannot restore snapshot {index}: {source}")]
    Restore {
        /// Its last entry.
        index: u64,
        /// Why.
        source: RestoreError,
    },
    /// The file that names the member cannot be read.
    #[error(transparent)]
    MemberFile(#[from] SmallFileError),
    /// The file system or the system refused.
    #[error("cannot start the raft member: {0}")]
    Io(#[from] io::Error),
}

/// What a member keeps on disk, opened and checked.
pub struct Storage {
    log: Box<dyn LogStore>,
    loaded: LoadedLog,
    snapshots: SnapshotStore,
    is_new: bool,
}

/// What it needs from disk to start, with the snapshot already chosen.
struct Recovered {
    restored: Restored,
    newest: Option<SnapshotInfo>,
}

/// A running replica is used through [`Handle`]; this is how it starts.
#[derive(Debug)]
pub struct Replica;

// === impl Storage ===

impl Storage {
    /// Opens the raft directory of member `id`: `log/`, `snapshots/` and the file `member`.
    pub fn open(dir: &Path, id: RaftId) -> Result<Self, StartError> {
        Self::open_with(dir, id, EngineLogConfig::new(dir.join("log")))
    }

    /// The same with settings of the log; its directory must be `dir/log`.
    pub fn open_with(dir: &Path, id: RaftId, log: EngineLogConfig) -> Result<Self, StartError> {
        fs::create_dir_all(dir)?;
        let marker = dir.join("member");
        let known = storage::read_small_file(&marker)?.and_then(|b| b.try_into().ok());
        let found = known.map(u64::from_be_bytes).and_then(RaftId::new);
        if let Some(found) = found.filter(|found| *found != id) {
            return Err(StartError::OtherMember {
                path: dir.to_owned(),
                found,
                wanted: id,
            });
        }
        let (mut log, loaded) = EngineLog::open(log)?;
        let is_new = log.is_new();
        if is_new && found.is_some() {
            return Err(StartError::LogMissing(id));
        }
        if found.is_none() {
            // From here on an empty log is a lost one: a member that forgot its vote must not vote.
            log.append(LogBatch {
                hard_state: Some(loaded.hard_state),
                ..LogBatch::default()
            })?;
            storage::write_atomic(&marker, &id.get().to_be_bytes())?;
        }
        let snapshots = SnapshotStore::open(&dir.join("snapshots"))?;
        Ok(Self {
            log: Box::new(log),
            loaded,
            snapshots,
            is_new,
        })
    }

    /// Storage on a log of the caller's, for tests.
    pub fn from_parts(log: Box<dyn LogStore>, loaded: LoadedLog, snapshots: SnapshotStore) -> Self {
        let is_new = loaded == LoadedLog::default();
        Self {
            log,
            loaded,
            snapshots,
            is_new,
        }
    }

    /// Whether nothing was ever kept here.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    fn write(&mut self, persist: &Persist) -> Result<(), AppendError> {
        let Persist {
            entries,
            hard_state,
            ..
        } = persist;
        self.log.append(LogBatch {
            installed: None,
            entries,
            hard_state: *hard_state,
        })
    }

    /// Chooses the snapshot to start from. A file newer than what is known to be committed is left
    /// alone: it was received and not yet accepted.
    fn recover(&mut self) -> Result<Recovered, StartError> {
        let LoadedLog {
            hard_state,
            snapshot: mark,
            entries,
        } = std::mem::take(&mut self.loaded);
        let usable = hard_state.commit.max(mark.index);
        let (newest, damaged) = self.snapshots.newest_valid(usable)?;
        for DamagedSnapshot { kept, detail } in &damaged {
            tracing::error!(file = %kept.display(), %detail, "a damaged snapshot was set aside");
        }
        let covered = newest.as_ref().map_or(0, |info| info.id.index);
        let first = entries.first().map_or(mark.index + 1, |e| e.index);
        if first > covered + 1 {
            return Err(StartError::SnapshotMissing {
                index: first - 1,
                damaged: damaged.len(),
            });
        }
        let snapshot = newest.as_ref().map(|info| info.meta.clone());
        Ok(Recovered {
            restored: Restored {
                hard_state,
                snapshot,
                entries,
            },
            newest,
        })
    }
}

// === impl Replica ===

impl Replica {
    /// Starts a member from what its disk holds; from an empty one it waits to be added to a
    /// cluster.
    pub fn start<S: StateMachine>(
        config: Config,
        machine: S,
        mut storage: Storage,
        peers: Arc<dyn Peers>,
    ) -> Result<Handle, StartError> {
        let recovered = storage.recover()?;
        run(config, machine, storage, recovered, peers)
    }

    /// Makes a new cluster with `founder` as its only member, on an empty disk.
    pub fn bootstrap<S: StateMachine>(
        config: Config,
        machine: S,
        mut storage: Storage,
        peers: Arc<dyn Peers>,
        founder: &Member,
    ) -> Result<Handle, StartError> {
        if !storage.is_new {
            return Err(StartError::NotEmpty);
        }
        let (restored, persist) = consensus::bootstrap(founder);
        storage.write(&persist)?;
        run(
            config,
            machine,
            storage,
            Recovered {
                restored,
                newest: None,
            },
            peers,
        )
    }

    /// Rebuilds a cluster from this member alone, which keeps everything in its log and removes all
    /// others. Only an operator may decide this.
    pub fn force_new_cluster<S: StateMachine>(
        config: Config,
        machine: S,
        mut storage: Storage,
        peers: Arc<dyn Peers>,
        addr: &str,
    ) -> Result<Handle, StartError> {
        let Recovered { restored, newest } = storage.recover()?;
        let (restored, persist) = consensus::force_new_cluster(config.id, addr, restored)?;
        storage.write(&persist)?;
        run(
            config,
            machine,
            storage,
            Recovered { restored, newest },
            peers,
        )
    }
}

fn run<S: StateMachine>(
    config: Config,
    mut machine: S,
    storage: Storage,
    recovered: Recovered,
    peers: Arc<dyn Peers>,
) -> Result<Handle, StartError> {
    let Storage { log, snapshots, .. } = storage;
    let Recovered { restored, newest } = recovered;
    if let Some(info) = &newest {
        apply_thread::restore(&mut machine, &snapshots, info).map_err(|source| {
            StartError::Restore {
                index: info.id.index,
                source,
            }
        })?;
    }
    let mut consensus_config = consensus::Config::new(config.id, config.seed);
    consensus_config.log = Some(Arc::new(forward_log_line));
    let consensus = Consensus::new(consensus_config, restored)?;
    let applied = newest.as_ref().map_or(0, |info| info.id.index);

    let (events, event_queue) = events::channel();
    let status = watch::Sender::new(Arc::new(first_status(&config, &consensus, applied)));
    let (handle, inbox) = entrance(
        config.id,
        status.subscribe(),
        snapshots.clone(),
        event_queue,
    );
    peers.attach(PeerReports {
        events: events.clone(),
    });

    let gauge = DiskGauge::default();
    let (log_tasks, tasks) = std_mpsc::channel();
    let log_thread = LogThread {
        log,
        tasks,
        events: events.clone(),
        gauge: gauge.clone(),
    };
    let (apply_tasks, tasks) = std_mpsc::channel();
    let apply_thread = ApplyThread {
        machine,
        applied,
        tasks,
        events: events.clone(),
        snapshots: snapshots.clone(),
    };
    let (threads, inline) = put_to_work(config.threads, log_thread, apply_thread)?;
    let driver = Driver {
        policy: SnapshotPolicy::new(&config),
        requests: Requests::default(),
        broken_chain: None,
        log: log_tasks,
        apply: apply_tasks,
        handed_out: applied,
        ticks: 0,
        inline,
        config,
        consensus,
        peers,
        snapshots,
        events,
        gauge,
        status,
        newest,
        applied,
    };
    drive(driver, inbox, threads)?;
    Ok(handle)
}

/// Work that a replica without threads does itself.
type Inline = Option<Box<dyn FnMut() + Send>>;

/// Starts the threads of the log and the state machine, or says how to do their work without.
fn put_to_work<S: StateMachine>(
    threads: Threads,
    mut log: LogThread,
    mut apply: ApplyThread<S>,
) -> Result<(Vec<JoinHandle<()>>, Inline), StartError> {
    match threads {
        Threads::Own => {
            let (for_log, for_apply) = (log.events.clone(), apply.events.clone());
            let log = spawn("raft-log", &for_log, move || log.run())?;
            let apply = spawn("raft-apply", &for_apply, move || apply.run())?;
            Ok((vec![log, apply], None))
        }
        Threads::Callers => {
            let work = move || {
                log.run_waiting();
                apply.run_waiting();
            };
            Ok((Vec::new(), Some(Box::new(work))))
        }
    }
}

/// The queues into the raft thread, both ends.
fn entrance(
    id: RaftId,
    status: watch::Receiver<Arc<Status>>,
    snapshots: SnapshotStore,
    events: mpsc::UnboundedReceiver<Event>,
) -> (Handle, Inbox) {
    let (proposals, proposal_queue) = mpsc::channel(PROPOSALS);
    let (reads, read_queue) = mpsc::channel(READS);
    let (controls, control_queue) = mpsc::channel(CONTROLS);
    let (messages, message_queue) = mpsc::channel(MESSAGES);
    let handle = Handle {
        id,
        proposals,
        reads,
        controls,
        messages,
        status,
        snapshots,
    };
    let inbox = Inbox {
        events,
        messages: message_queue,
        controls: control_queue,
        proposals: proposal_queue,
        reads: read_queue,
    };
    (handle, inbox)
}

/// Starts the raft thread, or a task where there are no threads.
fn drive(driver: Driver, inbox: Inbox, threads: Vec<JoinHandle<()>>) -> Result<(), StartError> {
    if driver.config.threads == Threads::Callers {
        let (mut driver, mut inbox) = (driver, inbox);
        tokio::spawn(async move {
            let ended = driver.run(&mut inbox).await;
            drop(inbox);
            driver.finish(ended, threads);
        });
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let body = move || {
        let (mut driver, mut inbox) = (driver, inbox);
        let run = || runtime.block_on(driver.run(&mut inbox));
        let ended = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            Err(Failure {
                disk: false,
                detail: panic_text("raft", panic.as_ref()),
            })
        });
        // Everybody who waits is answered by the end of their channels.
        drop(inbox);
        driver.finish(ended, threads);
    };
    Builder::new().name("raft".to_owned()).spawn(body)?;
    Ok(())
}

/// Starts a helper thread whose panic ends the replica.
fn spawn(
    name: &'static str,
    events: &EventSender,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let events = events.clone();
    Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
            let detail = panic_text(name, panic.as_ref());
            events.send(Event::Failed {
                disk: false,
                detail,
            });
        }
    })
}

fn panic_text(thread: &str, panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "thread {thread} panicked: {}",
        text.unwrap_or("without a message")
    )
}

fn forward_log_line(level: consensus::LogLevel, line: &str) {
    match level {
        consensus::LogLevel::Error => tracing::error!(target: "raft", "{line}"),
        consensus::LogLevel::Warn => tracing::warn!(target: "raft", "{line}"),
        consensus::LogLevel::Info => tracing::info!(target: "raft", "{line}"),
    }
}

fn first_status(config: &Config, consensus: &Consensus, applied: u64) -> Status {
    let raft = consensus.status();
    Status {
        id: config.id,
        role: raft.role,
        term: raft.term,
        leader_id: raft.leader,
        leader: None,
        ready_term: raft.ready_term,
        applied,
        committed: consensus.commit_index(),
        last: consensus.last_index(),
        membership: raft.membership,
        progress: Default::default(),
        removal: raft.removal,
        disk: Disk::Ok,
        stopped: None,
    }
}
