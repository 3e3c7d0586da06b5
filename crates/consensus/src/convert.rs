//! Between our types and those of the raft library.
//!
//! A membership change travels in the library's entries as context beside empty data, which the
//! library takes for a valid change without reading ours: bytes of a peer never reach its parser.

use bytes::Bytes;
use raft::eraftpb;
use raft::eraftpb::MessageType;

use crate::codec;
use crate::types::{Entry, EntryKind, HardState, Message, MessageKind, RaftId, SnapshotMeta};

/// Cost of an entry beside its content: generous, so that a limit is never exceeded.
const ENTRY_OVERHEAD_BYTES: u64 = 32;

pub(crate) fn entry_to_raft(entry: Entry) -> eraftpb::Entry {
    let mut raft = eraftpb::Entry {
        term: entry.term,
        index: entry.index,
        ..Default::default()
    };
    match entry.kind {
        EntryKind::Normal => raft.data = entry.data,
        EntryKind::ConfChange => {
            raft.set_entry_type(eraftpb::EntryType::EntryConfChange);
            raft.context = entry.data;
        }
    }
    raft
}

pub(crate) fn entry_from_raft(raft: &eraftpb::Entry) -> Entry {
    let (kind, data) = match raft.get_entry_type() {
        eraftpb::EntryType::EntryNormal => (EntryKind::Normal, raft.data.clone()),
        eraftpb::EntryType::EntryConfChange | eraftpb::EntryType::EntryConfChangeV2 => {
            (EntryKind::ConfChange, raft.context.clone())
        }
    };
    Entry {
        term: raft.term,
        index: raft.index,
        kind,
        data,
    }
}

/// Size of an entry for limits.
pub(crate) fn entry_bytes(raft: &eraftpb::Entry) -> u64 {
    raft.data.len() as u64 + raft.context.len() as u64 + ENTRY_OVERHEAD_BYTES
}

pub(crate) fn hard_state_from_raft(raft: &eraftpb::HardState) -> HardState {
    HardState {
        term: raft.term,
        vote: RaftId::new(raft.vote),
        commit: raft.commit,
    }
}

pub(crate) fn hard_state_to_raft(state: HardState) -> eraftpb::HardState {
    eraftpb::HardState {
        term: state.term,
        vote: state.vote.map_or(0, RaftId::get),
        commit: state.commit,
        ..Default::default()
    }
}

pub(crate) fn snapshot_to_raft(meta: &SnapshotMeta) -> eraftpb::Snapshot {
    let mut raft = eraftpb::Snapshot {
        data: codec::encode_membership(&meta.membership),
        ..Default::default()
    };
    let metadata = raft.mut_metadata();
    metadata.index = meta.index;
    metadata.term = meta.term;
    metadata.set_conf_state(meta.membership.conf_state());
    raft
}

/// The snapshot that [`snapshot_to_raft`] made.
pub(crate) fn snapshot_from_raft(raft: &eraftpb::Snapshot) -> SnapshotMeta {
    let membership = codec::decode_membership(&raft.data)
        .expect("every snapshot the library holds was encoded by snapshot_to_raft");
    let metadata = raft.get_metadata();
    SnapshotMeta {
        index: metadata.index,
        term: metadata.term,
        membership,
    }
}

pub(crate) fn message_to_raft(message: Message) -> eraftpb::Message {
    let mut raft = eraftpb::Message {
        to: message.to.get(),
        from: message.from.get(),
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        commit: message.commit,
        commit_term: message.commit_term,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context,
        ..Default::default()
    };
    raft.set_msg_type(kind_to_raft(message.kind));
    raft.set_entries(message.entries.into_iter().map(entry_to_raft).collect());
    if let Some(meta) = &message.snapshot {
        raft.set_snapshot(snapshot_to_raft(meta));
    }
    raft
}

/// Our form of a message that the library wants to send, in parts of at most `bytes_max`, each
/// handed to `post`.
pub(crate) fn message_from_raft(
    raft: &eraftpb::Message,
    bytes_max: u64,
    post: impl FnMut(Message),
) {
    let mut message = Message {
        kind: kind_from_raft(raft.get_msg_type()),
        to: raft_id(raft.to),
        from: raft_id(raft.from),
        term: raft.term,
        log_term: raft.log_term,
        index: raft.index,
        entries: Vec::new(),
        commit: raft.commit,
        commit_term: raft.commit_term,
        snapshot: None,
        reject: raft.reject,
        reject_hint: raft.reject_hint,
        context: Bytes::clone(&raft.context),
    };
    if message.kind == MessageKind::Snapshot {
        message.snapshot = Some(snapshot_from_raft(raft.get_snapshot()));
    }
    split(message, &raft.entries, bytes_max, post);
}

/// The library joins appends to one member without bound; a message must stay within one.
fn split(head: Message, entries: &[eraftpb::Entry], bytes_max: u64, mut post: impl FnMut(Message)) {
    let mut part = head;
    let mut bytes = 0;
    for entry in entries {
        bytes += entry_bytes(entry);
        if let (true, Some(last)) = (bytes > bytes_max, part.entries.last()) {
            let (index, log_term) = (last.index, last.term);
            let next = Message {
                index,
                log_term,
                entries: Vec::new(),
                ..part.clone_head()
            };
            post(std::mem::replace(&mut part, next));
            bytes = entry_bytes(entry);
        }
        part.entries.push(entry_from_raft(entry));
    }
    post(part);
}

fn raft_id(id: u64) -> RaftId {
    RaftId::new(id).expect("the library addresses members only, and members have ids")
}

fn kind_to_raft(kind: MessageKind) -> MessageType {
    match kind {
        MessageKind::Append => MessageType::MsgAppend,
        MessageKind::AppendResponse => MessageType::MsgAppendResponse,
        MessageKind::RequestVote => MessageType::MsgRequestVote,
        MessageKind::RequestVoteResponse => MessageType::MsgRequestVoteResponse,
        MessageKind::RequestPreVote => MessageType::MsgRequestPreVote,
        MessageKind::RequestPreVoteResponse => MessageType::MsgRequestPreVoteResponse,
        MessageKind::Heartbeat => MessageType::MsgHeartbeat,
        MessageKind::HeartbeatResponse => MessageType::MsgHeartbeatResponse,
        MessageKind::Snapshot => MessageType::MsgSnapshot,
        MessageKind::TimeoutNow => MessageType::MsgTimeoutNow,
    }
}

fn kind_from_raft(kind: MessageType) -> MessageKind {
    match kind {
        MessageType::MsgAppend => MessageKind::Append,
        MessageType::MsgAppendResponse => MessageKind::AppendResponse,
        MessageType::MsgRequestVote => MessageKind::RequestVote,
        MessageType::MsgRequestVoteResponse => MessageKind::RequestVoteResponse,
        MessageType::MsgRequestPreVote => MessageKind::RequestPreVote,
        MessageType::MsgRequestPreVoteResponse => MessageKind::RequestPreVoteResponse,
        MessageType::MsgHeartbeat => MessageKind::Heartbeat,
        MessageType::MsgHeartbeatResponse => MessageKind::HeartbeatResponse,
        MessageType::MsgSnapshot => MessageKind::Snapshot,
        MessageType::MsgTimeoutNow => MessageKind::TimeoutNow,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => unreachable!(
            "the library sends {kind:?} only to forward requests, which a follower never takes"
        ),
    }
}

impl Message {
    /// This message without its entries.
    fn clone_head(&self) -> Message {
        Message {
            entries: Vec::new(),
            context: self.context.clone(),
            snapshot: None,
            ..*self
        }
    }
}
