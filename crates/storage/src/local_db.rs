//! The node-local database: sled 0.34 under rules that make it safe for state that can be rebuilt.
//!
//! What sled does not do by itself is done here: its `flush` does not reach the device (we sync its
//! files), its values carry no usable checksum (ours do, over tree, key and value), and it panics
//! on damage (we catch that and set the database aside). Use it only for what can be rebuilt from
//! elsewhere: damage to the newest records can lose them without a trace.
//!
//! Never holds raft state, and never repairs a damaged database in place.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::disk;

/// Largest value. A gRPC message is at most this large, so no task can be larger.
const VALUE_BYTES_MAX: usize = 4 << 20;
/// sled's page cache. The databases kept here are a few megabytes.
const CACHE_BYTES: u64 = 16 << 20;
/// sled releases its file lock on a background thread after the last handle is dropped; this is how
/// long an open waits for that (and for an agent that is just ending).
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(10);

const VALUE_VERSION: u8 = 1;
/// Version byte and CRC-32C.
const VALUE_HEADER_BYTES: usize = 5;

/// Why an operation on the local database failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalDbError {
    /// Another handle or process holds the database.
    #[error(
        "cannot open local database {}: it is locked by another process; stop that process",
        path.display()
    )]
    Locked {
        /// The database directory.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot use local database {}: {source}; check the disk", path.display())]
    Io {
        /// The database directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record does not match its checksum, or sled failed on its files. Reopen the database: the
    /// damaged one is then set aside.
    #[error("local database {} is damaged: {detail}; restart the node to rebuild it",
        path.display())]
    Damaged {
        /// The database directory.
        path: PathBuf,
        /// Which record, or what sled said.
        detail: String,
    },
    /// The value is larger than this database takes.
    #[error("cannot store {bytes} bytes in the local database: the limit is {VALUE_BYTES_MAX}")]
    TooLarge {
        /// Size of the refused value.
        bytes: usize,
    },
    /// An earlier sync failed: what is durable is unknown.
    #[error("local database {} failed to sync earlier; restart the node", path.display())]
    SyncFailed {
        /// The database directory.
        path: PathBuf,
    },
}

/// What [`LocalDb::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenOutcome {
    /// An intact database.
    Existing,
    /// None; a new one was made.
    Fresh,
    /// A damaged one, now kept at `kept`; a new one was made and must be filled again.
    Replaced {
        /// Where the damaged database is.
        kept: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
}

/// The database. Clones share one handle.
#[derive(Clone)]
pub struct LocalDb {
    shared: Arc<Shared>,
}

struct Shared {
    db: sled::Db,
    path: PathBuf,
    /// sled's data file, opened by ourselves because sled never syncs it. The flag says whether a
    /// sync failed: after that the kernel may have dropped the dirty pages, so a retry that
    /// succeeds would prove nothing.
    sync: Mutex<SyncState>,
}

struct SyncState {
    data_file: File,
    failed: bool,
}

/// A named set of key-value pairs.
#[derive(Clone)]
pub struct Tree {
    shared: Arc<Shared>,
    name: Arc<str>,
    tree: sled::Tree,
}

/// Changes to one tree that appear together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl std::fmt::Debug for LocalDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalDb")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

// === impl LocalDb ===

impl LocalDb {
    /// Opens the database below `path`, checking every record. A damaged one is renamed beside it
    /// and a fresh one is opened; the caller must then rebuild the content.
    pub fn open(path: &Path) -> Result<(Self, OpenOutcome), LocalDbError> {
        let fresh = !path.join("db").exists();
        match Self::open_checked(path) {
            Ok(db) if fresh => Ok((db, OpenOutcome::Fresh)),
            Ok(db) => Ok((db, OpenOutcome::Existing)),
            Err(LocalDbError::Damaged { detail: reason, .. }) => {
                let kept = disk::unused_name(path, "damaged");
                fs::rename(path, &kept)
                    .and_then(|()| disk::sync_dir(disk::parent(path)))
                    .map_err(|source| LocalDbError::Io {
                        path: path.to_owned(),
                        source,
                    })?;
                let db = Self::open_checked(path)?;
                Ok((db, OpenOutcome::Replaced { kept, reason }))
            }
            Err(e) => Err(e),
        }
    }

    /// The tree of that name, made when it does not exist.
    pub fn tree(&self, name: &str) -> Result<Tree, LocalDbError> {
        let tree = self.shared.guard(|| self.shared.db.open_tree(name))?;
        Ok(Tree {
            shared: self.shared.clone(),
            name: name.into(),
            tree,
        })
    }

    /// Makes everything written so far durable. A failure is final: every later call fails too.
    pub fn sync(&self) -> Result<(), LocalDbError> {
        self.shared.sync()
    }

    /// Removes the database's files, because what they hold is out of date and cannot be brought up
    /// to date: the next open makes a fresh one. Of no use are this handle and its clones then.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn discard(&self) -> Result<(), LocalDbError> {
        let path = &self.shared.path;
        let removed = fs::remove_dir_all(path);
        let removed = removed.and_then(|()| disk::sync_dir(disk::parent(path)));
        removed.map_err(|source| LocalDbError::Io {
            path: path.clone(),
            source,
        })
    }

    fn open_checked(path: &Path) -> Result<Self, LocalDbError> {
        fs::create_dir_all(path).map_err(|source| LocalDbError::Io {
            path: path.to_owned(),
            source,
        })?;
        let db = open_sled(path)?;
        let io_error = |source| LocalDbError::Io {
            path: path.to_owned(),
            source,
        };
        let data_file = File::open(path.join("db")).map_err(io_error)?;
        let sync = Mutex::new(SyncState {
            data_file,
            failed: false,
        });
        let shared = Arc::new(Shared {
            db,
            path: path.to_owned(),
            sync,
        });
        let db = Self { shared };
        db.check_every_record()?;
        db.sync()?;
        disk::sync_dir(path).map_err(io_error)?;
        disk::sync_dir(disk::parent(path)).map_err(io_error)?;
        Ok(db)
    }

    fn check_every_record(&self) -> Result<(), LocalDbError> {
        let names = self.shared.guard(|| Ok(self.shared.db.tree_names()))?;
        for name in names {
            let Ok(name) = std::str::from_utf8(&name) else {
                return Err(self.shared.damaged("a tree name is not text"));
            };
            for record in self.tree(name)?.iter() {
                record?;
            }
        }
        Ok(())
    }
}

/// Opens sled, waiting a moment for a lock that is being released.
fn open_sled(path: &Path) -> Result<sled::Db, LocalDbError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        // No flusher thread: it would sync at times of its own and only log a failure.
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .print_profile_on_drop(false);
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(e)) if is_lock_error(&e) => {
                if Instant::now() >= deadline {
                    return Err(LocalDbError::Locked {
                        path: path.to_owned(),
                    });
                }
                std::thread::park_timeout(LOCK_POLL);
            }
            Ok(Err(e)) => return Err(translate(path, e)),
            Err(panic) => {
                let detail = panic_text(panic.as_ref());
                return Err(LocalDbError::Damaged {
                    path: path.to_owned(),
                    detail,
                });
            }
        }
    }
}

/// sled reports a held lock as an I/O error of kind `Other` with this text.
fn is_lock_error(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(e) if e.to_string().contains("could not acquire lock"))
}

fn translate(path: &Path, error: sled::Error) -> LocalDbError {
    let path = path.to_owned();
    match error {
        // Damage shows up as a short or invalid read as well; those kinds have no other cause here.
        sled::Error::Io(source)
            if !matches!(
                source.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::Other
            ) =>
        {
            LocalDbError::Io { path, source }
        }
        other => LocalDbError::Damaged {
            path,
            detail: other.to_string(),
        },
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "the database engine panicked".to_owned())
}

// === impl Shared ===

impl Shared {
    /// Runs one sled call; a panic inside it is damage, not a crash of the node.
    fn guard<T>(&self, call: impl FnOnce() -> sled::Result<T>) -> Result<T, LocalDbError> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => Err(translate(&self.path, e)),
            Err(panic) => Err(self.damaged(&panic_text(panic.as_ref()))),
        }
    }

    fn damaged(&self, detail: &str) -> LocalDbError {
        LocalDbError::Damaged {
            path: self.path.clone(),
            detail: detail.to_owned(),
        }
    }

    fn sync(&self) -> Result<(), LocalDbError> {
        let mut state = self.sync.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed {
            return Err(LocalDbError::SyncFailed {
                path: self.path.clone(),
            });
        }
        self.guard(|| self.db.flush())?;
        let synced = state.data_file.sync_data().and_then(|()| self.sync_blobs());
        synced.map_err(|source| {
            state.failed = true;
            LocalDbError::Io {
                path: self.path.clone(),
                source,
            }
        })
    }

    /// Values larger than a segment live in files of their own, which sled does not sync either.
    fn sync_blobs(&self) -> io::Result<()> {
        let dir = self.path.join("blobs");
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        let mut any = false;
        for entry in entries {
            match File::open(entry?.path()) {
                Ok(file) => file.sync_all()?,
                // sled removes a blob as soon as nothing points to it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
            any = true;
        }
        if any { disk::sync_dir(&dir) } else { Ok(()) }
    }
}

// === impl Tree ===

impl Tree {
    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LocalDbError> {
        match self.shared.guard(|| self.tree.get(key))? {
            Some(stored) => self.decode(key, &stored).map(Some),
            None => Ok(None),
        }
    }

    /// Sets `key`. Durable only after [`LocalDb::sync`].
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), LocalDbError> {
        let stored = self.encode(key, value)?;
        self.shared
            .guard(|| self.tree.insert(key, stored))
            .map(drop)
    }

    /// Removes `key`; absent is fine.
    pub fn remove(&self, key: &[u8]) -> Result<(), LocalDbError> {
        self.shared.guard(|| self.tree.remove(key)).map(drop)
    }

    /// Applies all changes of `batch` or, after a crash, none.
    pub fn apply(&self, batch: Batch) -> Result<(), LocalDbError> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch.changes {
            match value {
                Some(value) => changes.insert(&key[..], self.encode(&key, &value)?),
                None => changes.remove(key),
            }
        }
        self.shared.guard(|| self.tree.apply_batch(changes))
    }

    /// Every pair in key order. Ends after the first error.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), LocalDbError>> + '_ {
        let mut records = self.tree.iter();
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let record = match self.shared.guard(|| records.next().transpose()) {
                Ok(Some((key, stored))) => self
                    .decode(&key, &stored)
                    .map(|value| (key.to_vec(), value)),
                Ok(None) => return None,
                Err(e) => Err(e),
            };
            failed = record.is_err();
            Some(record)
        })
    }

    /// Makes everything written to the database so far durable.
    pub fn sync(&self) -> Result<(), LocalDbError> {
        self.shared.sync()
    }

    fn checksum(&self, key: &[u8], value: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&(self.name.len() as u64).to_be_bytes());
        let crc = crc32c::crc32c_append(crc, self.name.as_bytes());
        let crc = crc32c::crc32c_append(crc, &(key.len() as u64).to_be_bytes());
        let crc = crc32c::crc32c_append(crc, key);
        crc32c::crc32c_append(crc, value)
    }

    fn encode(&self, key: &[u8], value: &[u8]) -> Result<Vec<u8>, LocalDbError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(LocalDbError::TooLarge { bytes: value.len() });
        }
        let mut stored = Vec::with_capacity(VALUE_HEADER_BYTES + value.len());
        stored.push(VALUE_VERSION);
        stored.extend_from_slice(&self.checksum(key, value).to_be_bytes());
        stored.extend_from_slice(value);
        Ok(stored)
    }

    fn decode(&self, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, LocalDbError> {
        let bad = || {
            let key = String::from_utf8_lossy(key);
            self.shared.damaged(&format!(
                "record {key:?} of tree {:?} fails its check",
                self.name
            ))
        };
        if stored.len() < VALUE_HEADER_BYTES || stored[0] != VALUE_VERSION {
            return Err(bad());
        }
        let (header, value) = stored.split_at(VALUE_HEADER_BYTES);
        if header[1..] != self.checksum(key, value).to_be_bytes() {
            return Err(bad());
        }
        Ok(value.to_vec())
    }
}

// === impl Batch ===

impl Batch {
    /// Sets `key`.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> (LocalDb, OpenOutcome) {
        LocalDb::open(path).unwrap()
    }

    #[test]
    fn what_was_written_and_synced_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker");
        let (db, outcome) = open(&path);
        assert_eq!(outcome, OpenOutcome::Fresh);
        let tree = db.tree("tasks").unwrap();
        tree.put(b"a", b"1").unwrap();
        let mut batch = Batch::default();
        batch.put(b"b", vec![7u8; 700_000]);
        batch.remove(b"a");
        batch.put(b"c", b"3");
        tree.apply(batch).unwrap();
        db.sync().unwrap();
        drop((tree, db));

        let (db, outcome) = open(&path);
        assert_eq!(outcome, OpenOutcome::Existing);
        let tree = db.tree("tasks").unwrap();
        assert_eq!(tree.get(b"a").unwrap(), None);
        assert_eq!(tree.get(b"b").unwrap().unwrap(), vec![7u8; 700_000]);
        let keys: Vec<_> = tree.iter().map(|r| r.unwrap().0).collect();
        assert_eq!(keys, [b"b".to_vec(), b"c".to_vec()]);
    }

    #[test]
    fn a_second_handle_is_refused_while_the_first_lives() {
        let dir = tempfile::tempdir().unwrap();
        let (_db, _) = open(dir.path());
        assert!(matches!(
            LocalDb::open(dir.path()),
            Err(LocalDbError::Locked { .. })
        ));
    }

    #[test]
    fn a_value_under_another_key_or_tree_fails_its_check() {
        let dir = tempfile::tempdir().unwrap();
        let (db, _) = open(dir.path());
        let tree = db.tree("tasks").unwrap();
        tree.put(b"a", b"1").unwrap();
        let stored = tree.tree.get(b"a").unwrap().unwrap();
        tree.tree.insert(b"b", stored.clone()).unwrap();
        assert!(matches!(tree.get(b"b"), Err(LocalDbError::Damaged { .. })));
        let other = db.tree("nodes").unwrap();
        other.tree.insert(b"a", stored).unwrap();
        assert!(matches!(other.get(b"a"), Err(LocalDbError::Damaged { .. })));
    }

    #[test]
    fn a_damaged_database_is_set_aside_and_the_caller_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker");
        let (db, _) = open(&path);
        let tree = db.tree("tasks").unwrap();
        for n in 0u32..200 {
            tree.put(&n.to_be_bytes(), &[n as u8; 500]).unwrap();
        }
        db.sync().unwrap();
        // A record whose checksum is wrong: the plainest damage, and the one sled cannot see.
        tree.tree
            .insert(7u32.to_be_bytes(), &b"garbage"[..])
            .unwrap();
        db.sync().unwrap();
        drop((tree, db));

        let (db, outcome) = open(&path);
        let OpenOutcome::Replaced { kept, reason } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(kept.join("db").exists());
        assert!(reason.contains("fails its check"), "{reason}");
        assert_eq!(db.tree("tasks").unwrap().iter().count(), 0);
        drop(db);
        assert_eq!(open(&path).1, OpenOutcome::Existing);
    }

    #[test]
    fn flipped_bytes_never_give_a_wrong_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker");
        let (db, _) = open(&path);
        let tree = db.tree("tasks").unwrap();
        for n in 0u32..100 {
            tree.put(&n.to_be_bytes(), &[n as u8; 300]).unwrap();
        }
        db.sync().unwrap();
        drop((tree, db));
        let good = fs::read(path.join("db")).unwrap();
        let used = good.iter().rposition(|b| *b != 0).unwrap();
        for step in 0..12 {
            let trial = dir.path().join(format!("trial-{step}"));
            copy_tree(&path, &trial);
            let mut bad = good.clone();
            bad[used * step / 12] ^= 0x10;
            fs::write(trial.join("db"), &bad).unwrap();
            let (db, _) = open(&trial);
            for record in db.tree("tasks").unwrap().iter() {
                let (key, value) = record.unwrap();
                let n = u32::from_be_bytes(key.try_into().unwrap());
                assert_eq!(value, vec![n as u8; 300]);
            }
        }
    }

    fn copy_tree(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy_tree(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}
