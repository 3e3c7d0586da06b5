//! The raft log on raft-engine.
//!
//! What the engine does not promise is added here: it drops a damaged tail silently, so the last
//! file is searched for later batches before the engine may truncate it; it panics on a failed sync
//! and on broken files, so syncs are watched and calls are fenced; it writes until the disk is
//! full, so free space is checked first.
//!
//! Never keeps entries in memory: reading happens once, at open.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use protobuf::well_known_types::BytesValue;
use raft_engine::{Command, Config, Engine, LogBatch as EngineBatch, MessageExt, ReadableSize};

use super::codec::{self, BadRecord, StateRecord};
use super::guarded_fs::{DiskFaults, GuardedFs};
use super::tail::{self, NewestFile, Tail};
use super::{AppendError, LoadedLog, LogBatch, LogStore, OpenLogError, SnapshotMark, check_order};
use crate::disk;

/// The engine serves many raft groups; a manager has one.
const GROUP: u64 = 1;
const STATE_KEY: &[u8] = b"state";
/// Size at which the engine starts a new file, and so the unit in which it gives space back.
const FILE_BYTES: u64 = 16 << 20;
/// Files are given back once the log is larger than this. With a snapshot every 10,000 entries of
/// about 1 KiB the log stays near it.
const PURGE_BYTES: u64 = 32 << 20;
/// The engine allocates files ahead in steps of this size.
const ALLOCATE_BYTES: u64 = 2 << 20;
/// The engine's own framing of a batch and its state record, generously.
const BATCH_OVERHEAD_BYTES: u64 = 4 << 10;

/// How much of the disk the log leaves alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskBudget {
    /// Entries are refused when less than this stays free. The reserve lets hard state be written
    /// (a member that can record its vote keeps the cluster electing) and leaves room for the
    /// snapshot that will shrink the log.
    pub reserve_bytes: u64,
    /// Nothing at all is written when less than this stays free, so that the system's own
    /// out-of-space error in the middle of a write is the exception.
    pub floor_bytes: u64,
}

impl Default for DiskBudget {
    fn default() -> Self {
        Self {
            reserve_bytes: 64 << 20,
            floor_bytes: 8 << 20,
        }
    }
}

/// Where and how a log is kept.
#[derive(Debug, Clone)]
pub struct EngineLogConfig {
    /// Its directory, made when absent.
    pub dir: PathBuf,
    /// How much of the disk to leave alone.
    pub budget: DiskBudget,
    /// For tests: failures of the disk.
    pub faults: DiskFaults,
}

impl EngineLogConfig {
    /// A log in `dir` with the default budget.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            budget: DiskBudget::default(),
            faults: DiskFaults::default(),
        }
    }
}

/// The raft log of one member, on disk.
pub struct EngineLog {
    engine: Engine<GuardedFs>,
    fs: GuardedFs,
    config: EngineLogConfig,
    state: StateRecord,
    first_index: u64,
    /// A write failed in a way that leaves the files in an unknown state.
    failed: bool,
}

impl std::fmt::Debug for EngineLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineLog")
            .field("dir", &self.config.dir)
            .field("state", &self.state)
            .field("first_index", &self.first_index)
            .finish_non_exhaustive()
    }
}

/// Tells the engine how an entry's index is found in its bytes.
struct Record;

impl MessageExt for Record {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        codec::entry_index(&entry.value)
    }
}

// === impl EngineLog ===

impl EngineLog {
    /// Opens the log, reads all of it and checks it.
    pub fn open(config: EngineLogConfig) -> Result<(Self, LoadedLog), OpenLogError> {
        let dir = config.dir.clone();
        let io_error = |source| OpenLogError::Io {
            path: dir.clone(),
            source,
        };
        fs::create_dir_all(&dir).map_err(io_error)?;
        if let Some(file) = tail::aligned_file(&dir).map_err(io_error)? {
            let name = file.file_name().unwrap_or_default().display();
            return Err(damaged(&dir, &format!("the header of {name} is garbled")));
        }
        let newest = NewestFile::read(&dir).map_err(io_error)?;
        let fs = GuardedFs::new(config.faults.clone());
        let engine = open_engine(&dir, &fs)?;
        // The engine syncs files, but not the name of the first file it makes.
        disk::sync_dir(&dir).map_err(io_error)?;
        disk::sync_dir(disk::parent(&dir)).map_err(io_error)?;
        let (state, loaded) = read_all(&engine, &dir)?;
        check_tail(&dir, &newest, &state)?;
        check_loaded(&dir, &state, &loaded)?;
        let first_index = loaded
            .entries
            .first()
            .map_or(state.last_index + 1, |e| e.index);
        let failed = fs.sync_failed();
        Ok((
            Self {
                engine,
                fs,
                config,
                state,
                first_index,
                failed,
            },
            loaded,
        ))
    }

    /// Whether nothing was ever written to this log.
    pub fn is_new(&self) -> bool {
        self.state.batch == 0
    }

    /// Bytes of the log's files.
    pub fn size_bytes(&self) -> u64 {
        self.engine.get_used_size() as u64
    }

    fn free_bytes(&self) -> u64 {
        if self.config.faults.is_full() {
            return 0;
        }
        // A file system that cannot say how full it is will say so when it is written to.
        disk::available_bytes(&self.config.dir).unwrap_or(u64::MAX)
    }

    fn check_room(&self, bytes: u64, has_entries: bool) -> Result<(), AppendError> {
        let DiskBudget {
            reserve_bytes,
            floor_bytes,
        } = self.config.budget;
        let keep = if has_entries {
            reserve_bytes
        } else {
            floor_bytes
        };
        let needed = bytes
            .saturating_add(BATCH_OVERHEAD_BYTES)
            .saturating_add(keep);
        if self.free_bytes() < needed {
            Err(AppendError::Full)
        } else {
            Ok(())
        }
    }

    fn check_usable(&self) -> Result<(), AppendError> {
        if self.fs.sync_failed() {
            return Err(AppendError::SyncFailed {
                path: self.config.dir.clone(),
            });
        }
        if self.failed {
            return Err(self.failure("an earlier write failed"));
        }
        Ok(())
    }

    fn failure(&self, detail: &str) -> AppendError {
        AppendError::Failed {
            path: self.config.dir.clone(),
            detail: detail.to_owned(),
        }
    }

    /// Writes and syncs one batch whose state record is `next`.
    fn write(&mut self, mut batch: EngineBatch, next: StateRecord) -> Result<(), AppendError> {
        if let Err(e) = batch.put(GROUP, STATE_KEY.to_vec(), next.encode()) {
            return Err(self.failure(&e.to_string()));
        }
        let written = catch_unwind(AssertUnwindSafe(|| self.engine.write(&mut batch, true)));
        self.check_usable().inspect_err(|_| self.failed = true)?;
        match written {
            Ok(Ok(_)) => {
                self.state = next;
                Ok(())
            }
            Ok(Err(e)) if is_full(&e) => Err(AppendError::Full),
            Ok(Err(e)) => {
                self.failed = true;
                Err(self.failure(&e.to_string()))
            }
            Err(_) => {
                self.failed = true;
                Err(self.failure("the log engine panicked"))
            }
        }
    }

    /// Gives the space of dropped entries back. Failing to is not a failure of the log.
    fn purge(&mut self) -> Result<(), AppendError> {
        let purged = catch_unwind(AssertUnwindSafe(|| self.engine.purge_expired_files()));
        self.check_usable()?;
        match purged {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => {
                tracing::warn!(error = %e, "raft log could not give space back");
                Ok(())
            }
            Err(_) => {
                self.failed = true;
                Err(self.failure("the log engine panicked"))
            }
        }
    }
}

impl LogStore for EngineLog {
    fn append(&mut self, batch: LogBatch<'_>) -> Result<(), AppendError> {
        self.check_usable()?;
        check_order(&batch, self.state.snapshot.index + 1, self.state.last_index)?;
        let bytes: u64 = batch.entries.iter().map(|e| e.data.len() as u64).sum();
        self.check_room(bytes, !batch.entries.is_empty())?;

        let mut next = self.state.clone();
        next.batch += 1;
        let mut first_index = self.first_index;
        let mut records = EngineBatch::default();
        if let Some(mark) = batch.installed {
            records.add_command(
                GROUP,
                Command::Compact {
                    index: next.last_index + 1,
                },
            );
            next.snapshot = mark;
            next.last_index = mark.index;
            first_index = mark.index + 1;
        }
        let values: Vec<BytesValue> = batch.entries.iter().map(entry_value).collect();
        if let Err(e) = records.add_entries::<Record>(GROUP, &values) {
            return Err(self.failure(&e.to_string()));
        }
        next.last_index = batch.entries.last().map_or(next.last_index, |e| e.index);
        next.hard_state = batch.hard_state.unwrap_or(next.hard_state);
        self.write(records, next)?;
        self.first_index = first_index;
        Ok(())
    }

    fn truncate_prefix(&mut self, mark: SnapshotMark, keep_from: u64) -> Result<(), AppendError> {
        self.check_usable()?;
        let keep_from = keep_from.min(mark.index + 1).min(self.state.last_index + 1);
        self.check_room(0, false)?;
        let mut next = self.state.clone();
        next.batch += 1;
        next.snapshot = mark;
        let mut records = EngineBatch::default();
        records.add_command(GROUP, Command::Compact { index: keep_from });
        self.write(records, next)?;
        self.first_index = self.first_index.max(keep_from);
        self.purge()
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.check_room(bytes.saturating_add(ALLOCATE_BYTES), true)
            .is_ok()
    }

    fn first_index(&self) -> u64 {
        self.first_index
    }

    fn last_index(&self) -> u64 {
        self.state.last_index
    }
}

fn entry_value(entry: &consensus::Entry) -> BytesValue {
    BytesValue {
        value: codec::encode_entry(entry),
        ..BytesValue::default()
    }
}

/// The engine answers a full disk in two ways: after it failed to move to a new file as well, or
/// while it wrote the head of that file.
fn is_full(error: &raft_engine::Error) -> bool {
    match error {
        raft_engine::Error::TryAgain(_) => true,
        raft_engine::Error::Io(e) => {
            matches!(
                e.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        }
        _ => false,
    }
}

fn open_engine(dir: &Path, fs: &GuardedFs) -> Result<Engine<GuardedFs>, OpenLogError> {
    let config = Config {
        dir: dir.to_string_lossy().into_owned(),
        // One thread replays the files in order; several would merge parts that were replayed
        // without the compactions of the other parts.
        recovery_threads: 1,
        // A batch stays readable by eye and its state record can be found by search.
        batch_compression_threshold: ReadableSize(0),
        target_file_size: ReadableSize(FILE_BYTES),
        purge_threshold: ReadableSize(PURGE_BYTES),
        // A recycled file holds old batches behind the new ones.
        enable_log_recycle: false,
        ..Config::default()
    };
    let fs = std::sync::Arc::new(fs.clone());
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Engine::open_with_file_system(config, fs)
    }));
    let path = dir.to_owned();
    match opened {
        Ok(Ok(engine)) => Ok(engine),
        Ok(Err(raft_engine::Error::Io(source))) => Err(OpenLogError::Io { path, source }),
        Ok(Err(raft_engine::Error::Other(e))) if e.to_string().contains("Failed to lock file") => {
            Err(OpenLogError::Locked { path })
        }
        Ok(Err(e)) => Err(OpenLogError::Damaged {
            path,
            detail: e.to_string(),
        }),
        Err(_) => Err(damaged(dir, "the log engine panicked while reading it")),
    }
}

/// Reads state and entries on a thread of its own: the engine caches the last block it read in a
/// thread-local that it finds by file position only, so that two logs read on one thread could see
/// each other's bytes.
fn read_all(
    engine: &Engine<GuardedFs>,
    dir: &Path,
) -> Result<(StateRecord, LoadedLog), OpenLogError> {
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_all_here(engine, dir));
        reader
            .join()
            .unwrap_or_else(|_| Err(damaged(dir, "the log engine panicked")))
    })
}

fn read_all_here(
    engine: &Engine<GuardedFs>,
    dir: &Path,
) -> Result<(StateRecord, LoadedLog), OpenLogError> {
    let bounds = engine.first_index(GROUP).zip(engine.last_index(GROUP));
    let state = match engine.get(GROUP, STATE_KEY) {
        Some(bytes) => {
            StateRecord::decode(&bytes).map_err(|e| bad_record(dir, "state record", e))?
        }
        None if bounds.is_some() => return Err(damaged(dir, "the state record is missing")),
        None => new_state(),
    };
    let mut entries = Vec::new();
    if let Some((first, last)) = bounds {
        for index in first..=last {
            let found = engine.get_entry::<Record>(GROUP, index);
            let value = found.map_err(|e| damaged(dir, &format!("entry {index}: {e}")))?;
            let value = value.ok_or_else(|| damaged(dir, &format!("entry {index} is missing")))?;
            let entry = codec::decode_entry(index, &value.value)
                .map_err(|e| bad_record(dir, &format!("entry {index}"), e))?;
            entries.push(entry);
        }
    }
    let loaded = LoadedLog {
        hard_state: state.hard_state,
        snapshot: state.snapshot,
        entries,
    };
    Ok((state, loaded))
}

fn new_state() -> StateRecord {
    // The standard library's only source of randomness; nothing depends on its quality.
    let log_id = RandomState::new().hash_one("raft log");
    StateRecord {
        log_id,
        batch: 0,
        last_index: 0,
        hard_state: Default::default(),
        snapshot: SnapshotMark::default(),
    }
}

fn check_tail(dir: &Path, newest: &NewestFile, state: &StateRecord) -> Result<(), OpenLogError> {
    match newest.tail(state) {
        Tail::Clean => Ok(()),
        Tail::Torn => {
            let dir = dir.display();
            tracing::info!(
                %dir, batch = state.batch + 1,
                "the raft log ends in a write that the last stop of this node cut off; it was \
                 never acknowledged, so nothing is lost"
            );
            Ok(())
        }
        Tail::Damaged(detail) => Err(damaged(dir, &detail)),
    }
}

fn check_loaded(dir: &Path, state: &StateRecord, loaded: &LoadedLog) -> Result<(), OpenLogError> {
    let first = loaded
        .entries
        .first()
        .map_or(state.last_index + 1, |e| e.index);
    let last = loaded
        .entries
        .last()
        .map_or(state.snapshot.index, |e| e.index);
    let SnapshotMark {
        index: snapshot, ..
    } = state.snapshot;
    if last.max(snapshot) != state.last_index {
        let wanted = state.last_index;
        return Err(damaged(
            dir,
            &format!("it ends at entry {last} and should end at {wanted}"),
        ));
    }
    if state.last_index < state.hard_state.commit {
        let commit = state.hard_state.commit;
        return Err(damaged(
            dir,
            &format!("entry {commit} is committed and missing"),
        ));
    }
    if first > snapshot + 1 {
        return Err(damaged(
            dir,
            &format!("entries {} to {} are missing", snapshot + 1, first - 1),
        ));
    }
    let terms = loaded.entries.iter().map(|e| e.term);
    if !terms.is_sorted() {
        return Err(damaged(dir, "terms of its entries go backwards"));
    }
    Ok(())
}

fn bad_record(dir: &Path, what: &str, bad: BadRecord) -> OpenLogError {
    match bad {
        BadRecord::Damaged => damaged(dir, &format!("{what} fails its check")),
        BadRecord::Newer => OpenLogError::Newer {
            path: dir.to_owned(),
        },
    }
}

fn damaged(dir: &Path, detail: &str) -> OpenLogError {
    OpenLogError::Damaged {
        path: dir.to_owned(),
        detail: detail.to_owned(),
    }
}
