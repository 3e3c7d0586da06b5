//! What a message of a peer must satisfy before the raft library sees it.
//!
//! The library panics when its own assumptions are broken, and a peer with a damaged log or of
//! another make could break them. Everything that could is refused here.

use raft::Storage;

use crate::codec;
use crate::config::{Limits, NUMBER_MAX};
use crate::log::MemLog;
use crate::types::{Entry, EntryKind, Message, MessageKind, MessageRefused, RaftId, SnapshotMeta};

/// What of this member a message is checked against.
pub(crate) struct Receiver<'a> {
    pub(crate) raft_id: RaftId,
    pub(crate) term: u64,
    pub(crate) is_leader: bool,
    pub(crate) log: &'a raft::RaftLog<MemLog>,
    pub(crate) limits: &'a Limits,
}

/// Whether the library may see a message.
pub(crate) fn check(message: &Message, me: &Receiver<'_>) -> Result<(), MessageRefused> {
    if message.to != me.raft_id {
        return Err(MessageRefused::NotForMe(message.to));
    }
    if message.from == me.raft_id {
        return Err(MessageRefused::FromMyself);
    }
    check_numbers(message)?;
    check_parts(message)?;
    if message.term < me.term {
        return Ok(()); // The library answers or drops it without looking further.
    }
    match message.kind {
        MessageKind::Append => check_append(message, me),
        MessageKind::Heartbeat if message.commit > me.log.last_index() => {
            Err(MessageRefused::LogLost(message.commit))
        }
        MessageKind::AppendResponse => check_append_response(message, me),
        MessageKind::Snapshot => check_snapshot(message, me),
        _ => Ok(()),
    }
}

fn check_numbers(message: &Message) -> Result<(), MessageRefused> {
    let numbers = [
        ("term", message.term),
        ("log term", message.log_term),
        ("index", message.index),
        ("commit index", message.commit),
        ("commit term", message.commit_term),
        ("reject hint", message.reject_hint),
    ];
    if let Some((name, _)) = numbers.iter().find(|(_, n)| *n > NUMBER_MAX) {
        return Err(MessageRefused::Impossible(name));
    }
    // Only messages inside one member have no term.
    if message.term == 0 {
        return Err(MessageRefused::Impossible("term"));
    }
    if message.kind == MessageKind::Append && (message.index == 0) != (message.log_term == 0) {
        return Err(MessageRefused::Impossible("log term"));
    }
    Ok(())
}

fn check_parts(message: &Message) -> Result<(), MessageRefused> {
    if message.kind != MessageKind::Append && !message.entries.is_empty() {
        return Err(MessageRefused::Impossible("list of entries"));
    }
    if (message.kind == MessageKind::Snapshot) != message.snapshot.is_some() {
        return Err(MessageRefused::Impossible("snapshot"));
    }
    Ok(())
}

fn check_append(message: &Message, me: &Receiver<'_>) -> Result<(), MessageRefused> {
    if me.is_leader && message.term == me.term {
        return Err(MessageRefused::Impossible("term"));
    }
    let mut before = (message.index, message.log_term);
    for entry in &message.entries {
        check_entry(entry, before, message.term, me.limits.entry_bytes_max)?;
        if entry.index <= me.log.committed && contradicts(entry, me.log) {
            return Err(MessageRefused::ContradictsCommitted(entry.index));
        }
        before = (entry.index, entry.term);
    }
    Ok(())
}

/// Whether an entry in the committed part differs from ours. What was compacted is not compared.
fn contradicts(entry: &Entry, log: &raft::RaftLog<MemLog>) -> bool {
    entry.index >= log.store.first() && log.term(entry.index).is_ok_and(|t| t != entry.term)
}

fn check_entry(
    entry: &Entry,
    before: (u64, u64),
    term: u64,
    bytes_max: usize,
) -> Result<(), MessageRefused> {
    let problem = if entry.index != before.0 + 1 {
        Some("not the next one")
    } else if entry.term < before.1 || entry.term > term || entry.term == 0 {
        Some("of an impossible term")
    } else {
        content_problem(entry, bytes_max)
    };
    problem.map_or(Ok(()), |problem| {
        Err(MessageRefused::BadEntry {
            index: entry.index,
            problem,
        })
    })
}

/// What is wrong with the content of an entry.
pub(crate) fn content_problem(entry: &Entry, bytes_max: usize) -> Option<&'static str> {
    if entry.data.len() > bytes_max {
        return Some("too large");
    }
    let unreadable =
        entry.kind == EntryKind::ConfChange && codec::decode_change(&entry.data).is_err();
    unreadable.then_some("an unreadable membership change")
}

fn check_append_response(message: &Message, me: &Receiver<'_>) -> Result<(), MessageRefused> {
    let claims_too_much = message.index > me.log.last_index();
    if me.is_leader && message.term == me.term && !message.reject && claims_too_much {
        return Err(MessageRefused::Impossible("index"));
    }
    Ok(())
}

fn check_snapshot(message: &Message, me: &Receiver<'_>) -> Result<(), MessageRefused> {
    let Some(SnapshotMeta {
        index,
        term,
        membership,
    }) = &message.snapshot
    else {
        return Err(MessageRefused::Impossible("snapshot"));
    };
    let numbers_fit = (1..=NUMBER_MAX).contains(index) && (1..=message.term).contains(term);
    if !numbers_fit || (me.is_leader && message.term == me.term) {
        return Err(MessageRefused::Impossible("snapshot"));
    }
    if !membership.is_consistent() {
        return Err(MessageRefused::Impossible("membership"));
    }
    let store = &me.log.store;
    let is_committed = *index <= me.log.committed && *index >= store.first();
    if is_committed && store.term(*index).is_ok_and(|ours| ours != *term) {
        return Err(MessageRefused::ContradictsCommitted(*index));
    }
    Ok(())
}
