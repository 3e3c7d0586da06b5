//! Writing a snapshot of this node.
//!
//! Never makes a file visible before every byte of it is on the device.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use consensus::SnapshotMeta;

use super::format::{self, CHUNK_BYTES, HEADER};
use super::{SnapshotError, SnapshotInfo, TEMPORARY_PREFIX, file_name, inspect, io_error};
use crate::disk;

/// Takes the payload in any portions. Dropped without [`finish`](Self::finish), it leaves nothing.
#[derive(Debug)]
pub struct SnapshotWriter {
    dir: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    meta: SnapshotMeta,
    chunk: Vec<u8>,
    chunks: u64,
    payload_bytes: u64,
    checksum: u32,
    finished: bool,
}

impl SnapshotWriter {
    pub(super) fn create(dir: &Path, meta: SnapshotMeta) -> Result<Self, SnapshotError> {
        let name = file_name(meta.term, meta.index);
        let temporary = dir.join(format!("{TEMPORARY_PREFIX}{name}"));
        let open = || -> io::Result<BufWriter<File>> {
            let mut file = BufWriter::new(disk::private_file(&temporary)?);
            file.write_all(&HEADER)?;
            Ok(file)
        };
        let file = open().map_err(|e| io_error("write", &temporary, e))?;
        Ok(Self {
            dir: dir.to_owned(),
            temporary,
            file,
            meta,
            chunk: Vec::with_capacity(CHUNK_BYTES),
            chunks: 0,
            payload_bytes: 0,
            checksum: 0,
            finished: false,
        })
    }

    /// Syncs the file, gives it its name and syncs the directory.
    pub fn finish(mut self) -> Result<SnapshotInfo, SnapshotError> {
        let path = self.dir.join(file_name(self.meta.term, self.meta.index));
        let done = self.complete(&path);
        done.map_err(|e| io_error("write", &path, e))?;
        self.finished = true;
        inspect(&path)
    }

    fn complete(&mut self, path: &Path) -> io::Result<()> {
        self.end_chunk()?;
        let tail = format::encode_tail(self.payload_bytes, self.chunks, self.checksum, &self.meta);
        self.file.write_all(&tail)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.temporary, path)?;
        disk::sync_dir(&self.dir)
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.file
            .write_all(&format::chunk_header(self.chunks, &self.chunk))?;
        self.file.write_all(&self.chunk)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.chunk);
        self.payload_bytes += self.chunk.len() as u64;
        self.chunks += 1;
        self.chunk.clear();
        Ok(())
    }
}

impl Write for SnapshotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK_BYTES {
            self.end_chunk()?;
        }
        let count = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: what stays is removed by the next open of the store.
            let _removed = fs::remove_file(&self.temporary);
        }
    }
}
