//! Receiving a snapshot from another member, resumable after a broken stream or a restart.
//!
//! The file is received byte for byte, framing included. On a resume only whole chunks whose check
//! passes count as received.
//!
//! Never gives the file its name before the whole of it has been checked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::format::{CHUNK_HEADER_BYTES, ChunkRead, HEADER, read_chunk};
use super::{
    PARTIAL_PREFIX, SnapshotError, SnapshotId, SnapshotInfo, damaged, file_name, file_names,
    inspect, io_error, verify,
};
use crate::disk;

/// A partly received snapshot. Dropped without [`finish`](Self::finish), what was received stays
/// for a resume.
#[derive(Debug)]
pub struct SnapshotReceiver {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    id: SnapshotId,
    offset: u64,
}

impl SnapshotReceiver {
    pub(super) fn open(dir: &Path, id: SnapshotId) -> Result<Self, SnapshotError> {
        // One transfer at a time: whatever else was begun is outdated.
        drop_partials(dir, |other| *other != id)?;
        let path = dir.join(partial_name(&id));
        let open = || -> io::Result<(File, u64)> {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            let good = good_bytes(&file)?;
            file.set_len(good)?;
            Ok((file, good))
        };
        let (file, offset) = open().map_err(|e| io_error("receive", &path, e))?;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            file,
            id,
            offset,
        })
    }

    /// Identity of the snapshot being received.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Bytes received so far: where the sender must continue.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether every byte is here.
    pub fn is_complete(&self) -> bool {
        self.offset == self.id.file_bytes
    }

    /// Appends bytes of the file. Bytes that are already here are skipped; a gap is refused.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), SnapshotError> {
        let expected = self.offset;
        let end = offset.saturating_add(bytes.len() as u64);
        if offset > expected || end > self.id.file_bytes {
            return Err(SnapshotError::WrongOffset { offset, expected });
        }
        let known = usize::try_from(expected - offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let new = &bytes[known..];
        self.file
            .write_all_at(new, expected)
            .map_err(|e| io_error("receive", &self.path, e))?;
        self.offset += new.len() as u64;
        Ok(())
    }

    /// Checks the whole file and makes it visible. A file that fails is removed: the transfer has
    /// to start again.
    pub fn finish(self) -> Result<SnapshotInfo, SnapshotError> {
        if !self.is_complete() {
            return Err(damaged(&self.path, "it is incomplete"));
        }
        let failed = |e| io_error("receive", &self.path, e);
        self.file.sync_all().map_err(failed)?;
        let checked = inspect(&self.path).and_then(|info| verify(&info).map(|()| info));
        let info = match checked {
            Ok(info) if info.id == self.id => info,
            Ok(_) => return Err(self.discard("it is not the announced snapshot")),
            Err(SnapshotError::Damaged { detail, .. }) => return Err(self.discard(&detail)),
            Err(e) => return Err(e),
        };
        let path = self.dir.join(file_name(self.id.term, self.id.index));
        fs::rename(&self.path, &path).map_err(failed)?;
        disk::sync_dir(&self.dir).map_err(failed)?;
        Ok(SnapshotInfo { path, ..info })
    }

    fn discard(&self, detail: &str) -> SnapshotError {
        match fs::remove_file(&self.path) {
            Ok(()) => damaged(&self.path, detail),
            Err(e) => io_error("remove", &self.path, e),
        }
    }
}

/// Length of the longest prefix made of the header and whole valid chunks. What stands behind the
/// last chunk is short and simply sent again.
fn good_bytes(file: &File) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    let mut header = [0; HEADER.len()];
    if disk::read_full(&mut reader, &mut header)? < HEADER.len() || header != HEADER {
        return Ok(0);
    }
    let mut good = HEADER.len() as u64;
    let mut chunk = Vec::new();
    for number in 0.. {
        match read_chunk(&mut reader.by_ref(), number, &mut chunk)? {
            ChunkRead::Chunk => good += (CHUNK_HEADER_BYTES + chunk.len()) as u64,
            ChunkRead::End | ChunkRead::Bad => break,
        }
    }
    Ok(good)
}

fn partial_name(id: &SnapshotId) -> String {
    let SnapshotId {
        term,
        index,
        file_bytes,
        checksum,
    } = id;
    format!("{PARTIAL_PREFIX}{term:016x}-{index:016x}-{file_bytes:016x}-{checksum:08x}")
}

fn parse_partial(name: &str) -> Option<SnapshotId> {
    let mut parts = name.strip_prefix(PARTIAL_PREFIX)?.split('-');
    let mut next = || u64::from_str_radix(parts.next()?, 16).ok();
    let (term, index, file_bytes) = (next()?, next()?, next()?);
    let checksum = u32::try_from(next()?).ok()?;
    Some(SnapshotId {
        term,
        index,
        file_bytes,
        checksum,
    })
}

pub(super) fn drop_partials(
    dir: &Path,
    stale: impl Fn(&SnapshotId) -> bool,
) -> Result<(), SnapshotError> {
    for name in file_names(dir).map_err(|e| io_error("list", dir, e))? {
        let is_partial = name.starts_with(PARTIAL_PREFIX);
        if is_partial && parse_partial(&name).is_none_or(|id| stale(&id)) {
            let path = dir.join(name);
            fs::remove_file(&path).map_err(|e| io_error("remove", &path, e))?;
        }
    }
    Ok(())
}
