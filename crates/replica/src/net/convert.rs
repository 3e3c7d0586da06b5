//! Consensus messages as they travel.
//!
//! The only place where wire types become consensus types: what a peer may not send is refused
//! here, before it reaches consensus.

use std::collections::BTreeSet;

use consensus::{Entry, EntryKind, Member, Membership, Message, MessageKind, RaftId, SnapshotMeta};
use storage::SnapshotId;
use wire::swarm::v1 as proto;

/// Why a message of a peer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A kind this release does not know, or none.
    #[error("cannot accept a raft message of unknown kind {0}: update this manager")]
    UnknownMessageKind(i32),
    /// An entry kind this release does not know, or none.
    #[error("cannot accept a log entry of unknown kind {0}: update this manager")]
    UnknownEntryKind(i32),
    /// An id is zero.
    #[error("cannot accept a raft message: its {0} is missing")]
    Missing(&'static str),
    /// A member is named twice.
    #[error("cannot accept a snapshot: it names raft member {0} twice")]
    Twice(RaftId),
}

/// Bytes of the entries in a message, to bound what travels together.
pub fn payload_bytes(message: &Message) -> usize {
    message.entries.iter().map(|e| e.data.len()).sum()
}

/// A message for the wire. Payloads are shared, not copied.
pub fn to_wire(message: Message) -> proto::RaftMessage {
    proto::RaftMessage {
        kind: kind_to_wire(message.kind).into(),
        to: message.to.get(),
        from: message.from.get(),
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: message.entries.into_iter().map(entry_to_wire).collect(),
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot: message.snapshot.map(snapshot_to_wire),
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context,
    }
}

/// A message from the wire.
pub fn from_wire(message: proto::RaftMessage) -> Result<Message, ConvertError> {
    let entries = message.entries.into_iter().map(entry_from_wire);
    Ok(Message {
        kind: kind_from_wire(message.kind)?,
        to: id(message.to, "receiver")?,
        from: id(message.from, "sender")?,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: entries.collect::<Result<_, _>>()?,
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot: message.snapshot.map(snapshot_from_wire).transpose()?,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context,
    })
}

/// The identity of a snapshot file for the wire.
pub fn snapshot_id_to_wire(id: SnapshotId) -> proto::RaftSnapshotId {
    let SnapshotId {
        term,
        index,
        file_bytes,
        checksum,
    } = id;
    proto::RaftSnapshotId {
        term,
        index,
        file_bytes,
        checksum,
    }
}

/// The identity of a snapshot file from the wire.
pub fn snapshot_id_from_wire(id: &proto::RaftSnapshotId) -> SnapshotId {
    let proto::RaftSnapshotId {
        term,
        index,
        file_bytes,
        checksum,
    } = *id;
    SnapshotId {
        term,
        index,
        file_bytes,
        checksum,
    }
}

fn kind_to_wire(kind: MessageKind) -> proto::RaftMessageKind {
    match kind {
        MessageKind::Append => proto::RaftMessageKind::Append,
        MessageKind::AppendResponse => proto::RaftMessageKind::AppendResponse,
        MessageKind::RequestVote => proto::RaftMessageKind::RequestVote,
        MessageKind::RequestVoteResponse => proto::RaftMessageKind::RequestVoteResponse,
        MessageKind::RequestPreVote => proto::RaftMessageKind::RequestPreVote,
        MessageKind::RequestPreVoteResponse => proto::RaftMessageKind::RequestPreVoteResponse,
        MessageKind::Heartbeat => proto::RaftMessageKind::Heartbeat,
        MessageKind::HeartbeatResponse => proto::RaftMessageKind::HeartbeatResponse,
        MessageKind::Snapshot => proto::RaftMessageKind::Snapshot,
        MessageKind::TimeoutNow => proto::RaftMessageKind::TimeoutNow,
    }
}

fn kind_from_wire(kind: i32) -> Result<MessageKind, ConvertError> {
    use proto::RaftMessageKind as Wire;
    match Wire::try_from(kind) {
        Ok(Wire::Append) => Ok(MessageKind::Append),
        Ok(Wire::AppendResponse) => Ok(MessageKind::AppendResponse),
        Ok(Wire::RequestVote) => Ok(MessageKind::RequestVote),
        Ok(Wire::RequestVoteResponse) => Ok(MessageKind::RequestVoteResponse),
        Ok(Wire::RequestPreVote) => Ok(MessageKind::RequestPreVote),
        Ok(Wire::RequestPreVoteResponse) => Ok(MessageKind::RequestPreVoteResponse),
        Ok(Wire::Heartbeat) => Ok(MessageKind::Heartbeat),
        Ok(Wire::HeartbeatResponse) => Ok(MessageKind::HeartbeatResponse),
        Ok(Wire::Snapshot) => Ok(MessageKind::Snapshot),
        Ok(Wire::TimeoutNow) => Ok(MessageKind::TimeoutNow),
        Ok(Wire::Unspecified) | Err(_) => Err(ConvertError::UnknownMessageKind(kind)),
    }
}

fn entry_to_wire(entry: Entry) -> proto::RaftEntry {
    let kind = match entry.kind {
        EntryKind::Normal => proto::RaftEntryKind::Normal,
        EntryKind::ConfChange => proto::RaftEntryKind::ConfChange,
    };
    proto::RaftEntry {
        term: entry.term,
        index: entry.index,
        kind: kind.into(),
        data: entry.data,
    }
}

fn entry_from_wire(entry: proto::RaftEntry) -> Result<Entry, ConvertError> {
    let kind = match proto::RaftEntryKind::try_from(entry.kind) {
        Ok(proto::RaftEntryKind::Normal) => EntryKind::Normal,
        Ok(proto::RaftEntryKind::ConfChange) => EntryKind::ConfChange,
        Ok(proto::RaftEntryKind::Unspecified) | Err(_) => {
            return Err(ConvertError::UnknownEntryKind(entry.kind));
        }
    };
    Ok(Entry {
        term: entry.term,
        index: entry.index,
        kind,
        data: entry.data,
    })
}

fn snapshot_to_wire(meta: SnapshotMeta) -> proto::RaftSnapshotMeta {
    let Membership {
        voters,
        learners,
        members,
        removed,
    } = meta.membership;
    let wire_members = |ids: &BTreeSet<RaftId>| {
        ids.iter()
            .filter_map(|id| members.get(id))
            .cloned()
            .map(member_to_wire)
            .collect()
    };
    let group = proto::RaftGroup {
        voters: wire_members(&voters),
        learners: wire_members(&learners),
        removed: removed.into_iter().map(RaftId::get).collect(),
    };
    proto::RaftSnapshotMeta {
        index: meta.index,
        term: meta.term,
        membership: Some(group),
    }
}

fn snapshot_from_wire(meta: proto::RaftSnapshotMeta) -> Result<SnapshotMeta, ConvertError> {
    let group = meta.membership.ok_or(ConvertError::Missing("membership"))?;
    let mut membership = Membership::default();
    let voters = group.voters.into_iter().map(|member| (member, true));
    let learners = group.learners.into_iter().map(|member| (member, false));
    for (member, votes) in voters.chain(learners) {
        let raft_id = id(member.raft_id, "member")?;
        let ids = if votes {
            &mut membership.voters
        } else {
            &mut membership.learners
        };
        ids.insert(raft_id);
        let member = Member {
            raft_id,
            node_id: member.node_id,
            addr: member.addr,
        };
        if membership.members.insert(raft_id, member).is_some() {
            return Err(ConvertError::Twice(raft_id));
        }
    }
    let removed = group
        .removed
        .into_iter()
        .map(|removed| id(removed, "removed member"));
    membership.removed = removed.collect::<Result<_, _>>()?;
    Ok(SnapshotMeta {
        index: meta.index,
        term: meta.term,
        membership,
    })
}

fn member_to_wire(member: Member) -> proto::RaftMember {
    proto::RaftMember {
        raft_id: member.raft_id.get(),
        node_id: member.node_id,
        addr: member.addr,
    }
}

fn id(id: u64, what: &'static str) -> Result<RaftId, ConvertError> {
    RaftId::new(id).ok_or(ConvertError::Missing(what))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const KINDS: [MessageKind; 10] = [
        MessageKind::Append,
        MessageKind::AppendResponse,
        MessageKind::RequestVote,
        MessageKind::RequestVoteResponse,
        MessageKind::RequestPreVote,
        MessageKind::RequestPreVoteResponse,
        MessageKind::Heartbeat,
        MessageKind::HeartbeatResponse,
        MessageKind::Snapshot,
        MessageKind::TimeoutNow,
    ];

    fn raft_id(n: u64) -> RaftId {
        RaftId::new(n).unwrap()
    }

    fn message(kind: MessageKind) -> Message {
        let entry = |index, kind| Entry {
            term: 2,
            index,
            kind,
            data: Bytes::from("data"),
        };
        let member = Member {
            raft_id: raft_id(9),
            node_id: "node".to_owned(),
            addr: "host:1".to_owned(),
        };
        let membership = Membership {
            voters: BTreeSet::from([raft_id(9)]),
            removed: BTreeSet::from([raft_id(4)]),
            members: [(raft_id(9), member)].into(),
            ..Membership::default()
        };
        Message {
            kind,
            to: raft_id(1),
            from: raft_id(2),
            term: 3,
            log_term: 4,
            index: 5,
            entries: vec![entry(6, EntryKind::Normal), entry(7, EntryKind::ConfChange)],
            commit: 8,
            commit_term: 9,
            snapshot: Some(SnapshotMeta {
                index: 10,
                term: 11,
                membership,
            }),
            reject: true,
            reject_hint: 12,
            context: Bytes::from("context"),
        }
    }

    #[test]
    fn every_kind_round_trips() {
        for kind in KINDS {
            assert_eq!(from_wire(to_wire(message(kind))), Ok(message(kind)));
        }
    }

    #[test]
    fn unknown_kinds_missing_ids_and_doubled_members_are_refused() {
        let good = || to_wire(message(MessageKind::Snapshot));
        for kind in [0, 11, 99, -1] {
            let bad = proto::RaftMessage { kind, ..good() };
            assert_eq!(from_wire(bad), Err(ConvertError::UnknownMessageKind(kind)));
        }
        let mut bad = good();
        bad.entries[0].kind = 7;
        assert_eq!(from_wire(bad), Err(ConvertError::UnknownEntryKind(7)));
        let bad = proto::RaftMessage { from: 0, ..good() };
        assert_eq!(from_wire(bad), Err(ConvertError::Missing("sender")));
        let mut bad = good();
        let group = bad.snapshot.as_mut().unwrap().membership.as_mut().unwrap();
        group.learners = group.voters.clone();
        assert_eq!(from_wire(bad), Err(ConvertError::Twice(raft_id(9))));
    }
}
