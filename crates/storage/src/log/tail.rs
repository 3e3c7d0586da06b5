//! What the log files hold that the engine must not see first: the end of the newest one, looked at
//! before the engine may cut it off, and a header that it would follow to its death.
//!
//! The engine truncates whatever it cannot read at the end of its newest file. That is right for a
//! torn write and wrong for damage, so this module tells them apart by two facts. A batch is begun
//! only after the one before it was acknowledged: an unreadable batch with a later one behind it is
//! damage. And a disk writes sectors whole: a torn write lacks at least one sector, which then
//! reads as zeros or lies beyond the end of the file, so an unreadable last batch of which every
//! sector is there is damage too.
//!
//! What stays undecided is damage to the very last batch when that batch itself contains a sector
//! of zeros; it is taken for a torn write.
//!
//! Never changes a file.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::codec::{self, StateRecord};

/// Extension of the files that batches are appended to.
const APPENDED: &str = "raftlog";
/// Extension of those to which the engine moves what it keeps of files that it gives back.
const REWRITTEN: &str = "rewrite";
/// The engine's file header.
const FILE_HEADER_BYTES: usize = 69;
/// Where in it the alignment of batches stands, to its end.
const ALIGNMENT_AT: usize = FILE_HEADER_BYTES - 8;
/// The engine's batch header: length and compression type in 8 bytes, offset of its index in 8.
const BATCH_HEADER_BYTES: usize = 16;
/// The engine's checksum behind the state record, which is always the last item of a batch.
const BATCH_CHECKSUM_BYTES: usize = 4;
/// The unit that every disk writes whole.
const SECTOR_BYTES: usize = 512;

/// The newest file as it was before the engine opened it.
#[derive(Debug, Default)]
pub(super) struct NewestFile {
    bytes: Vec<u8>,
    /// Every valid state record and the offset behind it.
    states: Vec<(usize, StateRecord)>,
}

/// What stands behind the last batch that the engine can read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    Clean,
    /// A batch that was never acknowledged.
    Torn,
    /// A batch that was acknowledged and cannot be read.
    Damaged(String),
}

// === impl NewestFile ===

impl NewestFile {
    /// Reads the newest log file below `dir`; empty when there is none.
    pub(super) fn read(dir: &Path) -> io::Result<Self> {
        let Some(path) = numbered(dir, &[APPENDED])?.pop() else {
            return Ok(Self::default());
        };
        let bytes = fs::read(path)?;
        let states = codec::find_state_records(&bytes);
        Ok(Self { bytes, states })
    }

    /// Judges what stands behind the batch whose state record is `readable`, the last one that the
    /// engine returned.
    pub(super) fn tail(&self, readable: &StateRecord) -> Tail {
        // A log without a readable batch has an identity of no meaning.
        let same_log = |r: &StateRecord| readable.batch == 0 || r.log_id == readable.log_id;
        let mine = || self.states.iter().filter(|(_, r)| same_log(r));
        let newest = mine().map(|(_, r)| r.batch).max().unwrap_or(0);
        let next = readable.batch + 1;
        if newest > next {
            let text = format!("batch {next} is unreadable although batch {newest} follows it");
            return Tail::Damaged(text);
        }
        let end_of = |batch: u64| {
            let found = mine().rfind(|(_, r)| r.batch == batch);
            found.map(|(end, _)| end + BATCH_CHECKSUM_BYTES)
        };
        let start = end_of(readable.batch).unwrap_or(FILE_HEADER_BYTES);
        let rest = self.bytes.get(start..).unwrap_or_default();
        if rest.iter().all(|b| *b == 0) {
            return Tail::Clean;
        }
        let end = end_of(next).or_else(|| announced_end(start, rest));
        match end {
            Some(end) if end <= self.bytes.len() && !self.lacks_sector(start, end) => {
                Tail::Damaged(format!(
                    "batch {next} fails its check although it is all there"
                ))
            }
            _ => Tail::Torn,
        }
    }

    /// Whether the part of any sector between the two offsets is all zeros.
    fn lacks_sector(&self, start: usize, end: usize) -> bool {
        let mut at = start;
        while at < end {
            let next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
            if self.bytes[at..next.min(end)].iter().all(|b| *b == 0) {
                return true;
            }
            at = next;
        }
        false
    }
}

/// The files below `dir` with one of these extensions, by number: that is how they are named.
fn numbered(dir: &Path, extensions: &[&str]) -> io::Result<Vec<PathBuf>> {
    let paths: io::Result<Vec<PathBuf>> = fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect();
    let mut files = paths?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|e| extensions.iter().any(|x| e == *x))
    });
    files.sort();
    Ok(files)
}

/// The first file that says that its batches are aligned, which none is. The engine believes
/// it, and ends the process when it cannot have as much memory as a flipped bit asks for.
pub(super) fn aligned_file(dir: &Path) -> io::Result<Option<PathBuf>> {
    for path in numbered(dir, &[APPENDED, REWRITTEN])? {
        let mut header = Vec::with_capacity(FILE_HEADER_BYTES);
        let file = fs::File::open(&path)?;
        file.take(FILE_HEADER_BYTES as u64)
            .read_to_end(&mut header)?;
        let alignment = header.get(ALIGNMENT_AT..).unwrap_or_default();
        if alignment.iter().any(|b| *b != 0) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Where the batch at `start` says that it ends.
fn announced_end(start: usize, batch: &[u8]) -> Option<usize> {
    let header: [u8; 8] = batch.get(..8)?.try_into().ok()?;
    let length = usize::try_from(u64::from_be_bytes(header) >> 8).ok()?;
    if length < BATCH_HEADER_BYTES + BATCH_CHECKSUM_BYTES {
        return None;
    }
    start.checked_add(length)
}
