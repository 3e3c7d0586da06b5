//! Bytes of a snapshot file.
//!
//! ```text
//! header   "SWSNAP" version 0
//! chunk*   length u32 > 0 | CRC-32C over (number u64, length, data) u32 | data
//! end      0 u32
//! trailer  payload length u64 | chunks u64 | CRC-32C of the payload u32 | meta length u32 | meta
//! foot     CRC-32C of the trailer u32 | trailer length u32 | "SWSNAPEN"
//! ```
//!
//! Integers are big-endian. The foot lets the trailer be found from the end, so that listing a
//! directory does not read payloads; the chunk checks let a transfer resume at a chunk whose bytes
//! are known to be good.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use consensus::SnapshotMeta;

use super::{SnapshotError, damaged, io_error};
use crate::disk::read_full;
use crate::records;

pub(super) const HEADER: [u8; 8] = *b"SWSNAP\x01\x00";
const FOOT_MAGIC: [u8; 8] = *b"SWSNAPEN";
const FOOT_BYTES: u64 = 16;
pub(super) const CHUNK_HEADER_BYTES: usize = 8;
/// Payload bytes in one chunk: large enough that the framing costs nothing, small enough that a
/// resumed transfer repeats little.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// A trailer holds the membership; a hundred managers take a few kilobytes.
const TRAILER_BYTES_MAX: u64 = 1 << 20;
const TRAILER_FIXED_BYTES: usize = 24;

/// What stands behind the last chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) payload_bytes: u64,
    pub(super) chunks: u64,
    pub(super) checksum: u32,
    pub(super) meta: SnapshotMeta,
    pub(super) file_bytes: u64,
}

pub(super) fn chunk_header(number: u64, data: &[u8]) -> [u8; CHUNK_HEADER_BYTES] {
    let length = (data.len() as u32).to_be_bytes();
    let mut header = [0; CHUNK_HEADER_BYTES];
    header[..4].copy_from_slice(&length);
    header[4..].copy_from_slice(&chunk_checksum(number, data).to_be_bytes());
    header
}

pub(super) fn chunk_checksum(number: u64, data: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&number.to_be_bytes());
    let crc = crc32c::crc32c_append(crc, &(data.len() as u32).to_be_bytes());
    crc32c::crc32c_append(crc, data)
}

/// Everything behind the last chunk, end marker included.
pub(super) fn encode_tail(
    payload_bytes: u64,
    chunks: u64,
    checksum: u32,
    meta: &SnapshotMeta,
) -> Vec<u8> {
    let meta = records::encode_snapshot_meta(meta);
    let mut trailer = Vec::with_capacity(TRAILER_FIXED_BYTES + meta.len());
    trailer.extend_from_slice(&payload_bytes.to_be_bytes());
    trailer.extend_from_slice(&chunks.to_be_bytes());
    trailer.extend_from_slice(&checksum.to_be_bytes());
    trailer.extend_from_slice(&(meta.len() as u32).to_be_bytes());
    trailer.extend_from_slice(&meta);
    let mut tail = 0u32.to_be_bytes().to_vec();
    tail.extend_from_slice(&trailer);
    tail.extend_from_slice(&crc32c::crc32c(&trailer).to_be_bytes());
    tail.extend_from_slice(&(trailer.len() as u32).to_be_bytes());
    tail.extend_from_slice(&FOOT_MAGIC);
    tail
}

/// Finds, checks and decodes the trailer.
pub(super) fn read_trailer(path: &Path) -> Result<Trailer, SnapshotError> {
    let read = |e| io_error("read", path, e);
    let file = File::open(path).map_err(read)?;
    let file_bytes = file.metadata().map_err(read)?.len();
    let fixed = HEADER.len() as u64 + 4 + FOOT_BYTES;
    if file_bytes < fixed {
        return Err(damaged(path, "it is too short"));
    }
    let mut foot = [0; FOOT_BYTES as usize];
    file.read_exact_at(&mut foot, file_bytes - FOOT_BYTES)
        .map_err(read)?;
    let trailer_bytes = u64::from(be_u32(&foot[4..8]));
    if foot[8..] != FOOT_MAGIC
        || trailer_bytes > TRAILER_BYTES_MAX
        || trailer_bytes < TRAILER_FIXED_BYTES as u64
        || file_bytes < fixed + trailer_bytes
    {
        return Err(damaged(path, "its end is missing"));
    }
    let mut trailer = vec![0; trailer_bytes as usize];
    file.read_exact_at(&mut trailer, file_bytes - FOOT_BYTES - trailer_bytes)
        .map_err(read)?;
    if crc32c::crc32c(&trailer) != be_u32(&foot[..4]) {
        return Err(damaged(path, "its trailer fails its check"));
    }
    let meta_bytes = be_u32(&trailer[20..24]) as usize;
    if trailer.len() != TRAILER_FIXED_BYTES + meta_bytes {
        return Err(damaged(path, "its trailer has the wrong length"));
    }
    let meta = records::decode_snapshot_meta(&trailer[TRAILER_FIXED_BYTES..])
        .map_err(|e| damaged(path, &e.to_string()))?;
    Ok(Trailer {
        payload_bytes: be_u64(&trailer[..8]),
        chunks: be_u64(&trailer[8..16]),
        checksum: be_u32(&trailer[16..20]),
        meta,
        file_bytes,
    })
}

/// Reader of a payload. Errors of kind `InvalidData` mean damage.
#[derive(Debug)]
pub struct SnapshotPayload {
    path: PathBuf,
    file: BufReader<File>,
    trailer: Trailer,
    number: u64,
    payload_bytes: u64,
    checksum: u32,
    chunk: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl SnapshotPayload {
    pub(super) fn open(path: &Path) -> Result<Self, SnapshotError> {
        let trailer = read_trailer(path)?;
        let read = |e| io_error("read", path, e);
        let mut file = BufReader::new(File::open(path).map_err(read)?);
        let mut header = [0; HEADER.len()];
        file.read_exact(&mut header).map_err(read)?;
        if header != HEADER {
            return Err(damaged(path, "it has an unknown header"));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            trailer,
            number: 0,
            payload_bytes: 0,
            checksum: 0,
            chunk: Vec::new(),
            taken: 0,
            ended: false,
        })
    }

    /// Length of the payload in bytes.
    pub fn len(&self) -> u64 {
        self.trailer.payload_bytes
    }

    /// Whether there is no payload.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        match read_chunk(&mut self.file, self.number, &mut self.chunk)? {
            ChunkRead::Chunk => {
                self.number += 1;
                self.taken = 0;
                self.payload_bytes += self.chunk.len() as u64;
                self.checksum = crc32c::crc32c_append(self.checksum, &self.chunk);
                Ok(())
            }
            ChunkRead::End => self.check_totals(),
            ChunkRead::Bad => Err(self.invalid(&format!("chunk {} fails its check", self.number))),
        }
    }

    fn check_totals(&mut self) -> io::Result<()> {
        self.ended = true;
        let Trailer {
            payload_bytes,
            chunks,
            checksum,
            ..
        } = self.trailer;
        if (self.payload_bytes, self.number, self.checksum) != (payload_bytes, chunks, checksum) {
            return Err(self.invalid("the whole does not match its trailer"));
        }
        Ok(())
    }

    fn invalid(&self, detail: &str) -> io::Error {
        let text = format!("snapshot {}: {detail}", self.path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

impl Read for SnapshotPayload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.chunk.len() {
            if self.ended || buffer.is_empty() {
                return Ok(0);
            }
            self.chunk.clear();
            self.taken = 0;
            self.next_chunk()?;
        }
        let count = buffer.len().min(self.chunk.len() - self.taken);
        buffer[..count].copy_from_slice(&self.chunk[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// What stands at the present position of a file.
pub(super) enum ChunkRead {
    /// A whole chunk, now in the buffer.
    Chunk,
    /// The end marker.
    End,
    /// Something that is not a valid chunk.
    Bad,
}

/// Reads chunk `number` into `chunk`.
pub(super) fn read_chunk(
    file: &mut impl Read,
    number: u64,
    chunk: &mut Vec<u8>,
) -> io::Result<ChunkRead> {
    let mut header = [0; CHUNK_HEADER_BYTES];
    if read_full(file, &mut header[..4])? < 4 {
        return Ok(ChunkRead::Bad);
    }
    let length = be_u32(&header[..4]) as usize;
    if length == 0 {
        return Ok(ChunkRead::End);
    }
    if length > CHUNK_BYTES || read_full(file, &mut header[4..])? < 4 {
        return Ok(ChunkRead::Bad);
    }
    chunk.resize(length, 0);
    let whole = read_full(file, chunk)? == length;
    if !whole || chunk_checksum(number, chunk) != be_u32(&header[4..]) {
        chunk.clear();
        return Ok(ChunkRead::Bad);
    }
    Ok(ChunkRead::Chunk)
}

fn be_u32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

fn be_u64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}
