//! Bytes of the log's records.
//!
//! ```text
//! entry  index u64 | version u8 | kind u8 | term u64 | CRC-32C u32 | data
//! state  "SWLOGSTA" | version u8 | log id u64 | batch number u64 | last index u64
//!        | term u64 | vote u64 | commit u64 | snapshot index u64 | snapshot term u64 | CRC-32C u32
//! ```
//!
//! Integers are big-endian. The checksum of an entry covers index, version, kind, term, the length
//! of the data and the data, so that an entry cannot pass for another one. Every batch carries one
//! state record; its number makes a hole between two batches visible.

use bytes::Bytes;
use consensus::{Entry, EntryKind, HardState, RaftId};

use super::SnapshotMark;

const ENTRY_VERSION: u8 = 1;
const STATE_VERSION: u8 = 1;
const STATE_MAGIC: [u8; 8] = *b"SWLOGSTA";
/// Bytes of an encoded entry before its data.
const ENTRY_HEADER_BYTES: usize = 22;
const STATE_BYTES: usize = 77;

/// A record that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadRecord {
    /// Its check fails.
    Damaged,
    /// Its version or entry kind is unknown.
    Newer,
}

/// The state record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StateRecord {
    /// Drawn once for each log, so that bytes of another log are never taken for this one's.
    pub(super) log_id: u64,
    /// Counts the batches of the log from 1.
    pub(super) batch: u64,
    pub(super) last_index: u64,
    pub(super) hard_state: HardState,
    pub(super) snapshot: SnapshotMark,
}

/// Index of an encoded entry; 0 when it is too short to have one.
pub(super) fn entry_index(bytes: &[u8]) -> u64 {
    bytes.get(..8).map_or(0, be_u64)
}

pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRY_HEADER_BYTES + entry.data.len());
    bytes.extend_from_slice(&entry.index.to_be_bytes());
    bytes.push(ENTRY_VERSION);
    bytes.push(encode_kind(entry.kind));
    bytes.extend_from_slice(&entry.term.to_be_bytes());
    let crc = entry_checksum(&bytes, &entry.data);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes.extend_from_slice(&entry.data);
    bytes
}

/// Decodes the entry that should have `index`.
pub(super) fn decode_entry(index: u64, bytes: &[u8]) -> Result<Entry, BadRecord> {
    if bytes.len() < ENTRY_HEADER_BYTES {
        return Err(BadRecord::Damaged);
    }
    let (header, data) = bytes.split_at(ENTRY_HEADER_BYTES);
    let (fields, crc) = header.split_at(ENTRY_HEADER_BYTES - 4);
    if entry_checksum(fields, data).to_be_bytes() != crc || be_u64(&fields[..8]) != index {
        return Err(BadRecord::Damaged);
    }
    if fields[8] != ENTRY_VERSION {
        return Err(BadRecord::Newer);
    }
    let kind = decode_kind(fields[9]).ok_or(BadRecord::Newer)?;
    let term = be_u64(&fields[10..18]);
    Ok(Entry {
        term,
        index,
        kind,
        data: Bytes::copy_from_slice(data),
    })
}

fn entry_checksum(fields: &[u8], data: &[u8]) -> u32 {
    let crc = crc32c::crc32c(fields);
    let crc = crc32c::crc32c_append(crc, &(data.len() as u64).to_be_bytes());
    crc32c::crc32c_append(crc, data)
}

// === impl StateRecord ===

impl StateRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(STATE_BYTES);
        bytes.extend_from_slice(&STATE_MAGIC);
        bytes.push(STATE_VERSION);
        for field in [
            self.log_id,
            self.batch,
            self.last_index,
            self.hard_state.term,
            self.hard_state.vote.map_or(0, RaftId::get),
            self.hard_state.commit,
            self.snapshot.index,
            self.snapshot.term,
        ] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        debug_assert_eq!(bytes.len(), STATE_BYTES);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        if bytes.len() != STATE_BYTES || bytes[..8] != STATE_MAGIC {
            return Err(BadRecord::Damaged);
        }
        let (fields, crc) = bytes.split_at(STATE_BYTES - 4);
        if crc32c::crc32c(fields).to_be_bytes() != crc {
            return Err(BadRecord::Damaged);
        }
        if fields[8] != STATE_VERSION {
            return Err(BadRecord::Newer);
        }
        let field = |n: usize| be_u64(&fields[9 + 8 * n..17 + 8 * n]);
        Ok(Self {
            log_id: field(0),
            batch: field(1),
            last_index: field(2),
            hard_state: HardState {
                term: field(3),
                vote: RaftId::new(field(4)),
                commit: field(5),
            },
            snapshot: SnapshotMark {
                index: field(6),
                term: field(7),
            },
        })
    }
}

/// Every valid state record that occurs anywhere in `bytes`, with the offset behind it.
pub(super) fn find_state_records(bytes: &[u8]) -> Vec<(usize, StateRecord)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(step) = bytes[at..].iter().position(|b| *b == STATE_MAGIC[0]) {
        at += step;
        match bytes.get(at..at + STATE_BYTES).map(StateRecord::decode) {
            Some(Ok(record)) => {
                at += STATE_BYTES;
                found.push((at, record));
            }
            _ => at += 1,
        }
    }
    found
}

fn encode_kind(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::Normal => 1,
        EntryKind::ConfChange => 2,
    }
}

fn decode_kind(kind: u8) -> Option<EntryKind> {
    match kind {
        1 => Some(EntryKind::Normal),
        2 => Some(EntryKind::ConfChange),
        _ => None,
    }
}

fn be_u64(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}
