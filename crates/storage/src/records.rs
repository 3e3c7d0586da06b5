//! Encoding of membership in snapshot trailers.
//!
//! Protocol buffers behind a version byte: fields may be added, and a change that old releases must
//! not misread raises the version.
//!
//! Never used for log entries, whose bytes are fixed by hand.

use consensus::{Member, Membership, RaftId, SnapshotMeta};
use prost::Message;

const META_VERSION: u8 = 1;

/// Why a snapshot's description cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeMetaError {
    #[error("its description was written by a newer release")]
    Newer,
    #[error("its description is not readable: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("its description names a member without an id or twice")]
    BadMember,
}

#[derive(Clone, PartialEq, Message)]
struct MetaRecord {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(message, repeated, tag = "3")]
    members: Vec<MemberRecord>,
    #[prost(uint64, repeated, tag = "4")]
    removed: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct MemberRecord {
    #[prost(uint64, tag = "1")]
    raft_id: u64,
    #[prost(string, tag = "2")]
    node_id: String,
    #[prost(string, tag = "3")]
    addr: String,
    #[prost(bool, tag = "4")]
    voter: bool,
}

pub(crate) fn encode_snapshot_meta(meta: &SnapshotMeta) -> Vec<u8> {
    let Membership {
        voters,
        learners: _,
        members,
        removed,
    } = &meta.membership;
    let member_record = |member: &Member| MemberRecord {
        raft_id: member.raft_id.get(),
        node_id: member.node_id.clone(),
        addr: member.addr.clone(),
        voter: voters.contains(&member.raft_id),
    };
    let record = MetaRecord {
        index: meta.index,
        term: meta.term,
        members: members.values().map(member_record).collect(),
        removed: removed.iter().map(|id| id.get()).collect(),
    };
    let mut bytes = vec![META_VERSION];
    bytes.extend(record.encode_to_vec());
    bytes
}

pub(crate) fn decode_snapshot_meta(bytes: &[u8]) -> Result<SnapshotMeta, DecodeMetaError> {
    let Some((&META_VERSION, bytes)) = bytes.split_first() else {
        return Err(DecodeMetaError::Newer);
    };
    let record = MetaRecord::decode(bytes)?;
    let mut membership = Membership::default();
    for member in record.members {
        let raft_id = raft_id(member.raft_id)?;
        let kind = if member.voter {
            &mut membership.voters
        } else {
            &mut membership.learners
        };
        kind.insert(raft_id);
        let MemberRecord { node_id, addr, .. } = member;
        let known = membership.members.insert(
            raft_id,
            Member {
                raft_id,
                node_id,
                addr,
            },
        );
        if known.is_some() {
            return Err(DecodeMetaError::BadMember);
        }
    }
    membership.removed = record
        .removed
        .into_iter()
        .map(raft_id)
        .collect::<Result<_, _>>()?;
    Ok(SnapshotMeta {
        index: record.index,
        term: record.term,
        membership,
    })
}

fn raft_id(id: u64) -> Result<RaftId, DecodeMetaError> {
    RaftId::new(id).ok_or(DecodeMetaError::BadMember)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn a_description_round_trips() {
        let id = |n| RaftId::new(n).unwrap();
        let member = |n| Member {
            raft_id: id(n),
            node_id: format!("node{n}"),
            addr: format!("10.0.0.{n}:2377"),
        };
        let meta = SnapshotMeta {
            index: 7,
            term: 3,
            membership: Membership {
                voters: BTreeSet::from([id(1), id(2)]),
                learners: BTreeSet::from([id(5)]),
                members: [1, 2, 5].map(|n| (id(n), member(n))).into_iter().collect(),
                removed: BTreeSet::from([id(4)]),
            },
        };
        let bytes = encode_snapshot_meta(&meta);
        assert_eq!(decode_snapshot_meta(&bytes).unwrap(), meta);
        assert!(matches!(
            decode_snapshot_meta(&[2]),
            Err(DecodeMetaError::Newer)
        ));
        assert!(matches!(
            decode_snapshot_meta(&[1, 0xff]),
            Err(DecodeMetaError::Malformed(_))
        ));
        let empty = SnapshotMeta {
            index: 0,
            term: 0,
            membership: Membership::default(),
        };
        assert_eq!(empty.membership.members, BTreeMap::new());
        assert_eq!(
            decode_snapshot_meta(&encode_snapshot_meta(&empty)).unwrap(),
            empty
        );
    }
}
