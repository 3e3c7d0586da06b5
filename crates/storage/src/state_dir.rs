//! Layout of a node's state directory, and the guards that keep the wrong process out of it.
//!
//! ```text
//! <root>/VERSION        format of everything below
//! <root>/lock           held by the running process; its content is the pid
//! <root>/cluster        id of the cluster this directory belongs to
//! <root>/certificates/  keys and certificates of the node
//! <root>/raft/log/      raft log and hard state
//! <root>/raft/snapshots/
//! <root>/worker/        the agent's task database
//! <root>/<name>         small files, written atomically
//! ```
//!
//! Never reads what the small files mean and never removes anything that a person may still need:
//! what is retired is renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::disk::{self, SmallFileError};

/// Format of the state directory written by this release.
pub const FORMAT_VERSION: u32 = 1;

const VERSION_FILE: &str = "VERSION";
const LOCK_FILE: &str = "lock";
const CLUSTER_FILE: &str = "cluster";

/// Why a state directory cannot be used. Each text says what, why and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another process holds the lock.
    #[error(
        "state directory {} is in use by process {pid}: stop that process or choose another \
         directory with --state-dir", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Pid of the holder, `unknown` when it could not be read.
        pid: String,
    },
    /// The file system is read-only or the user may not write.
    #[error(
        "state directory {} cannot be written: {source}; make it writable for this user or choose \
         another with --state-dir", path.display()
    )]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer release wrote the directory.
    #[error(
        "state directory {} has format {found}, this release knows up to {FORMAT_VERSION}: start \
         the newer release again", path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
    /// The directory belongs to another cluster.
    #[error(
        "state directory {} belongs to cluster {found}, not to {expected}: choose another \
         directory with --state-dir or leave the old cluster first", path.display()
    )]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Cluster id in the directory.
        found: String,
        /// Cluster id that was asked for.
        expected: String,
    },
    /// A marker file is not readable as what it should be.
    #[error(
        "state directory {} has a damaged {file} file: restore it from a backup or start with an \
         empty directory", path.display()
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// The marker.
        file: String,
    },
    /// Any other failure of the file system.
    #[error("cannot use state directory {}: {source}; check the disk and its permissions",
        path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An open state directory. The lock is held until this is dropped (or the process ends).
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    _lock: Flock<File>,
}

// === impl StateDir ===

impl StateDir {
    /// Opens or creates the directory, takes its lock and checks its format.
    pub fn open(root: &Path) -> Result<Self, StateDirError> {
        create_private_dir(root)?;
        let root = root
            .canonicalize()
            .map_err(|source| io_error(root, source))?;
        let lock = take_lock(&root)?;
        check_version(&root)?;
        for dir in ["certificates", "raft", "raft/snapshots", "worker"] {
            create_private_dir(&root.join(dir))?;
        }
        disk::sync_dir(&root).map_err(|source| io_error(&root, source))?;
        Ok(Self { root, _lock: lock })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keys and certificates.
    pub fn certificates(&self) -> PathBuf {
        self.root.join("certificates")
    }

    /// Raft log and hard state.
    pub fn raft_log(&self) -> PathBuf {
        self.root.join("raft/log")
    }

    /// Snapshot files.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("raft/snapshots")
    }

    /// The agent's task database.
    pub fn worker(&self) -> PathBuf {
        self.root.join("worker")
    }

    /// Whether this directory already belongs to a cluster.
    pub fn cluster_id(&self) -> Result<Option<String>, StateDirError> {
        let Some(bytes) = self.read_small(CLUSTER_FILE)? else {
            return Ok(None);
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| self.damaged(CLUSTER_FILE))
    }

    /// Ties the directory to a cluster; refused when it already belongs to another one.
    pub fn bind_cluster(&self, cluster_id: &str) -> Result<(), StateDirError> {
        match self.cluster_id()? {
            None => self.write_small(CLUSTER_FILE, cluster_id.as_bytes()),
            Some(found) if found == cluster_id => Ok(()),
            Some(found) => Err(StateDirError::OtherCluster {
                path: self.root.clone(),
                found,
                expected: cluster_id.to_owned(),
            }),
        }
    }

    /// Forgets the cluster (after the node left it).
    pub fn unbind_cluster(&self) -> Result<(), StateDirError> {
        self.remove_small(CLUSTER_FILE)
    }

    /// Reads a small file of the directory; `None` when there is none.
    pub fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>, StateDirError> {
        disk::read_small_file(&self.root.join(name)).map_err(|e| match e {
            SmallFileError::Io { path, source } => StateDirError::Io { path, source },
            SmallFileError::Damaged { .. } => self.damaged(name),
        })
    }

    /// Replaces a small file of the directory atomically and durably.
    pub fn write_small(&self, name: &str, content: &[u8]) -> Result<(), StateDirError> {
        let path = self.root.join(name);
        disk::write_atomic(&path, content).map_err(|source| write_error(&path, source))
    }

    /// Removes a small file; absent is fine.
    pub fn remove_small(&self, name: &str) -> Result<(), StateDirError> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error(&path, e)),
            _ => disk::sync_dir(&self.root).map_err(|source| io_error(&self.root, source)),
        }
    }

    /// Sets the raft log and the snapshots aside (a removed or demoted manager) and leaves an empty
    /// raft directory. Returns where the old one is.
    pub fn retire_raft(&self) -> Result<PathBuf, StateDirError> {
        let raft = self.root.join("raft");
        let kept = disk::unused_name(&raft, "retired");
        fs::rename(&raft, &kept).map_err(|source| io_error(&raft, source))?;
        create_private_dir(&raft.join("snapshots"))?;
        disk::sync_dir(&self.root).map_err(|source| io_error(&self.root, source))?;
        Ok(kept)
    }

    fn damaged(&self, file: &str) -> StateDirError {
        StateDirError::Damaged {
            path: self.root.clone(),
            file: file.to_owned(),
        }
    }
}

fn io_error(path: &Path, source: io::Error) -> StateDirError {
    StateDirError::Io {
        path: path.to_owned(),
        source,
    }
}

fn write_error(path: &Path, source: io::Error) -> StateDirError {
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            StateDirError::ReadOnly {
                path: path.to_owned(),
                source,
            }
        }
        _ => io_error(path, source),
    }
}

fn create_private_dir(path: &Path) -> Result<(), StateDirError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| write_error(path, source))
}

fn take_lock(root: &Path) -> Result<Flock<File>, StateDirError> {
    let path = root.join(LOCK_FILE);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| write_error(root, source))?;
    let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut pid = String::new();
            let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            let pid = if known {
                pid.trim().to_owned()
            } else {
                "unknown".to_owned()
            };
            return Err(StateDirError::InUse {
                path: root.to_owned(),
                pid,
            });
        }
        Err((_, errno)) => return Err(io_error(root, errno.into())),
    };
    let written = lock
        .set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| writeln!(lock, "{}", std::process::id()));
    written.map_err(|source| write_error(root, source))?;
    Ok(lock)
}

/// The version file is plain text, so that any later release and any person can read it.
fn check_version(root: &Path) -> Result<(), StateDirError> {
    let path = root.join(VERSION_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return disk::replace_file(&path, format!("{FORMAT_VERSION}\n").as_bytes())
                .map_err(|source| write_error(root, source));
        }
        Err(source) => return Err(io_error(&path, source)),
    };
    let found: u32 = text.trim().parse().map_err(|_| StateDirError::Damaged {
        path: root.to_owned(),
        file: VERSION_FILE.to_owned(),
    })?;
    if found > FORMAT_VERSION {
        return Err(StateDirError::Newer {
            path: root.to_owned(),
            found,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        let error = StateDir::open(dir.path()).unwrap_err();
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(first);
        StateDir::open(dir.path()).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_and_a_garbled_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        drop(StateDir::open(dir.path()).unwrap());
        fs::write(dir.path().join(VERSION_FILE), "999\n").unwrap();
        let error = StateDir::open(dir.path()).unwrap_err();
        assert!(
            matches!(error, StateDirError::Newer { found: 999, .. }),
            "{error}"
        );
        fs::write(dir.path().join(VERSION_FILE), "x\n").unwrap();
        assert!(matches!(
            StateDir::open(dir.path()),
            Err(StateDirError::Damaged { .. })
        ));
    }

    #[test]
    fn the_directory_of_another_cluster_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        assert_eq!(state.cluster_id().unwrap(), None);
        state.bind_cluster("one").unwrap();
        state.bind_cluster("one").unwrap();
        let error = state.bind_cluster("two").unwrap_err();
        assert!(
            matches!(error, StateDirError::OtherCluster { .. }),
            "{error}"
        );
        state.unbind_cluster().unwrap();
        state.bind_cluster("two").unwrap();
    }

    #[test]
    fn small_files_and_retired_raft_state_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        state.write_small("state.json", b"{}").unwrap();
        assert_eq!(state.read_small("state.json").unwrap().unwrap(), b"{}");
        fs::create_dir_all(state.raft_log()).unwrap();
        fs::write(state.raft_log().join("x"), b"log").unwrap();
        let kept = state.retire_raft().unwrap();
        assert!(kept.join("log/x").exists());
        assert!(state.snapshots().exists() && !state.raft_log().exists());
    }

    #[test]
    fn a_path_that_is_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"").unwrap();
        assert!(StateDir::open(&path).is_err());
    }
}
