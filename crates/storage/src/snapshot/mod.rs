//! Snapshot files: written under a temporary name, checked by chunk and as a whole, made visible by
//! a rename.
//!
//! A file is named after the last entry it contains, `snapshot-<term>-<index>` in hexadecimal, so
//! that names sort by age. A damaged file is renamed and reported, never deleted and never read.
//!
//! Never knows what a snapshot contains.

mod format;
mod receive;
mod write;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consensus::SnapshotMeta;

use crate::disk;
use format::{Trailer, read_trailer};

pub use format::SnapshotPayload;
pub use receive::SnapshotReceiver;
pub use write::SnapshotWriter;

/// Why a snapshot could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refused.
    #[error("cannot {action} snapshot {}: {source}", path.display())]
    Io {
        /// `read`, `write`, `list`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk is full. Nothing was changed; try again when there is room.
    #[error("cannot write snapshot {}: the disk is full; free some space", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The content fails its checks.
    #[error("snapshot {} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which check failed.
        detail: String,
    },
    /// Bytes of a transfer do not continue what is there.
    #[error("cannot accept snapshot bytes at offset {offset}: the next expected is {expected}")]
    WrongOffset {
        /// Where the sender wants to write.
        offset: u64,
        /// Where the receiver is.
        expected: u64,
    },
}

/// What makes a snapshot file unique: two files with the same id have the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// Term of the last contained entry.
    pub term: u64,
    /// Index of the last contained entry.
    pub index: u64,
    /// Length of the whole file in bytes.
    pub file_bytes: u64,
    /// CRC-32C of the payload.
    pub checksum: u32,
}

/// A snapshot file that is complete by its trailer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Identity of the file.
    pub id: SnapshotId,
    /// What the log must know about it.
    pub meta: SnapshotMeta,
    /// Where it is.
    pub path: PathBuf,
}

/// A file that failed its checks and was kept under another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// Where it is now.
    pub kept: PathBuf,
    /// Which check failed.
    pub detail: String,
}

/// The directory of snapshot files. Clones are cheap; files are immutable once they have their
/// name, so that clones may be used from several threads.
#[derive(Debug, Clone)]
pub struct SnapshotStore {
    dir: Arc<Path>,
}

/// An open snapshot file, to be sent by offset. It stays readable when the file is pruned.
#[derive(Debug)]
pub struct SnapshotFile {
    file: File,
    id: SnapshotId,
}

const PREFIX: &str = "snapshot-";
const TEMPORARY_PREFIX: &str = ".writing-";
const PARTIAL_PREFIX: &str = ".partial-";

// === impl SnapshotError ===

impl SnapshotError {
    /// The error for a failed system call, with a full disk told apart.
    pub fn from_io(action: &'static str, path: &Path, source: io::Error) -> Self {
        io_error(action, path, source)
    }
}

// === impl SnapshotStore ===

impl SnapshotStore {
    /// Opens the directory, made when absent. Files that a crash left half-written by this node are
    /// removed; partly received ones are kept for a resume.
    pub fn open(dir: &Path) -> Result<Self, SnapshotError> {
        let failed = |source| io_error("list", dir, source);
        fs::create_dir_all(dir).map_err(failed)?;
        disk::sync_dir(disk::parent(dir)).map_err(failed)?;
        for name in file_names(dir).map_err(failed)? {
            if name.starts_with(TEMPORARY_PREFIX) {
                fs::remove_file(dir.join(name)).map_err(failed)?;
            }
        }
        Ok(Self { dir: dir.into() })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts a new snapshot. It does not exist until [`SnapshotWriter::finish`] returns.
    pub fn create(&self, meta: SnapshotMeta) -> Result<SnapshotWriter, SnapshotError> {
        SnapshotWriter::create(&self.dir, meta)
    }

    /// Starts or resumes receiving a snapshot; see [`SnapshotReceiver::offset`].
    pub fn receive(&self, id: SnapshotId) -> Result<SnapshotReceiver, SnapshotError> {
        SnapshotReceiver::open(&self.dir, id)
    }

    /// Every file with a readable trailer, oldest first. The payload is not checked.
    pub fn list(&self) -> Result<Vec<SnapshotInfo>, SnapshotError> {
        let mut found = Vec::new();
        for path in self.paths()? {
            if let Ok(info) = inspect(&path) {
                found.push(info);
            }
        }
        Ok(found)
    }

    /// The newest file up to `index_max` whose every byte passes its checks. Damaged newer ones are
    /// renamed and returned beside it.
    pub fn newest_valid(
        &self,
        index_max: u64,
    ) -> Result<(Option<SnapshotInfo>, Vec<DamagedSnapshot>), SnapshotError> {
        let mut damaged = Vec::new();
        let mut newest = None;
        for path in self.paths()?.into_iter().rev() {
            if named(&path).is_none_or(|(_, index)| index > index_max) {
                continue;
            }
            match inspect(&path).and_then(|info| verify(&info).map(|()| info)) {
                Ok(info) => {
                    newest = Some(info);
                    break;
                }
                Err(SnapshotError::Damaged { detail, .. }) => {
                    let kept = disk::unused_name(&path, "damaged");
                    fs::rename(&path, &kept).map_err(|e| io_error("set aside", &path, e))?;
                    damaged.push(DamagedSnapshot { kept, detail });
                }
                Err(e) => return Err(e),
            }
        }
        if !damaged.is_empty() {
            disk::sync_dir(&self.dir).map_err(|e| io_error("set aside", &self.dir, e))?;
        }
        Ok((newest, damaged))
    }

    /// The payload, checked while it is read: damage is an error of kind `InvalidData`.
    pub fn payload(&self, info: &SnapshotInfo) -> Result<SnapshotPayload, SnapshotError> {
        SnapshotPayload::open(&info.path)
    }

    /// Opens a file for sending.
    pub fn file(&self, info: &SnapshotInfo) -> Result<SnapshotFile, SnapshotError> {
        let file = File::open(&info.path).map_err(|e| io_error("read", &info.path, e))?;
        Ok(SnapshotFile { file, id: info.id })
    }

    /// Removes all but the newest `keep` files (at least one), and transfers that can no longer be
    /// of use. A file older than the newest valid one is never needed for recovery, and the newest
    /// valid one is never removed.
    pub fn prune(&self, keep: usize) -> Result<(), SnapshotError> {
        let paths = self.paths()?;
        let mut kept = 0;
        let mut newest_index = 0;
        for path in paths.iter().rev() {
            if kept >= keep.max(1) {
                fs::remove_file(path).map_err(|e| io_error("remove", path, e))?;
                continue;
            }
            // Only a file that could be read back counts as kept.
            if let Ok(info) = inspect(path).and_then(|info| verify(&info).map(|()| info)) {
                newest_index = newest_index.max(info.id.index);
                kept += 1;
            }
        }
        receive::drop_partials(&self.dir, |id| id.index <= newest_index)?;
        disk::sync_dir(&self.dir).map_err(|e| io_error("remove", &self.dir, e))
    }

    /// Finished files, oldest first (names sort by term, then index).
    fn paths(&self) -> Result<Vec<PathBuf>, SnapshotError> {
        let mut names =
            file_names(&self.dir).map_err(|source| io_error("list", &self.dir, source))?;
        names.retain(|name| parse_name(name).is_some());
        names.sort_by_key(|name| parse_name(name).map(|(term, index)| (index, term)));
        Ok(names.into_iter().map(|name| self.dir.join(name)).collect())
    }
}

// === impl SnapshotFile ===

impl SnapshotFile {
    /// Identity of the file.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Up to `bytes_max` bytes of the file from `offset`; empty at the end.
    pub fn read_at(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let left = self.id.file_bytes.saturating_sub(offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(bytes_max);
        let mut bytes = vec![0; wanted];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

fn file_name(term: u64, index: u64) -> String {
    format!("{PREFIX}{term:016x}-{index:016x}")
}

fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (term, index) = name.strip_prefix(PREFIX)?.split_once('-')?;
    if term.len() != 16 || index.len() != 16 {
        return None;
    }
    Some((
        u64::from_str_radix(term, 16).ok()?,
        u64::from_str_radix(index, 16).ok()?,
    ))
}

/// Term and index in the name of a finished file.
fn named(path: &Path) -> Option<(u64, u64)> {
    parse_name(path.file_name()?.to_str()?)
}

fn file_names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Reads the trailer and compares it with the name.
fn inspect(path: &Path) -> Result<SnapshotInfo, SnapshotError> {
    let Trailer {
        meta,
        checksum,
        file_bytes,
        ..
    } = read_trailer(path)?;
    if named(path).is_some_and(|named| named != (meta.term, meta.index)) {
        return Err(damaged(path, "its name belongs to another snapshot"));
    }
    let id = SnapshotId {
        term: meta.term,
        index: meta.index,
        file_bytes,
        checksum,
    };
    Ok(SnapshotInfo {
        id,
        meta,
        path: path.to_owned(),
    })
}

/// Reads the whole payload.
fn verify(info: &SnapshotInfo) -> Result<(), SnapshotError> {
    let mut payload = SnapshotPayload::open(&info.path)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match payload.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(damaged(&info.path, &e.to_string()));
            }
            Err(e) => return Err(io_error("read", &info.path, e)),
        }
    }
}

fn damaged(path: &Path, detail: &str) -> SnapshotError {
    SnapshotError::Damaged {
        path: path.to_owned(),
        detail: detail.to_owned(),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> SnapshotError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SnapshotError::Full {
            path: path.to_owned(),
        },
        _ => SnapshotError::Io {
            action,
            path: path.to_owned(),
            source,
        },
    }
}

#[cfg(test)]
mod tests;
