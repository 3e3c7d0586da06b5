//! How a member begins: a new cluster, a restart, or a cluster rebuilt from one survivor.
//!
//! Never touches the disk: what must be written first is returned as a [`Persist`].

use bytes::Bytes;
use std::collections::VecDeque;

use crate::codec;
use crate::config::{Limits, MEMBER_TEXT_BYTES_MAX};
use crate::convert;
use crate::log::MemLog;
use crate::types::{
    Entry, EntryKind, HardState, Member, MemberChange, Membership, Persist, RaftId, Restored,
};
use crate::validate;

/// Why a member cannot start from what its disk holds. It must not take part in any vote: set the
/// log aside and let the node join again as a new member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The log has a hole.
    #[error("cannot start the raft member: its log has entry {found} where {expected} belongs")]
    Gap {
        /// Index that should follow.
        expected: u64,
        /// Index that follows.
        found: u64,
    },
    /// A committed entry is missing.
    #[error("cannot start the raft member: entry {commit} is committed, its log ends at {last}")]
    CommittedMissing {
        /// Index known to be committed.
        commit: u64,
        /// Last index of the log.
        last: u64,
    },
    /// An entry cannot be right.
    #[error("cannot start the raft member: entry {index} of its log is {problem}")]
    BadEntry {
        /// Its index.
        index: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// The snapshot cannot be right.
    #[error("cannot start the raft member: its snapshot at {index} is {problem}")]
    BadSnapshot {
        /// Its index.
        index: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// The raft library refuses the state.
    #[error("cannot start the raft member: {0}")]
    Library(String),
}

/// Why a cluster cannot be rebuilt from this member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForceError {
    /// The state is damaged.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The member does not belong to the cluster any more.
    #[error("cannot make a cluster of raft member {0} alone: its log says it is not a member")]
    NotMember(RaftId),
    /// The address cannot be stored.
    #[error("cannot make a cluster at this address: it must have 1 to {max} bytes")]
    BadAddr {
        /// The limit, in bytes.
        max: usize,
    },
}

/// The state of the very first member of a cluster. `Persist` is made durable before the member
/// starts from `Restored`.
pub fn bootstrap(founder: &Member) -> (Restored, Persist) {
    let change = MemberChange::AddLearner(founder.clone());
    let entry = change_entry(1, 1, &change);
    let hard_state = HardState {
        term: 1,
        vote: None,
        commit: 1,
    };
    let persist = Persist {
        number: 0,
        snapshot: None,
        entries: vec![entry.clone()],
        hard_state: Some(hard_state),
    };
    (
        Restored {
            hard_state,
            snapshot: None,
            entries: vec![entry],
        },
        persist,
    )
}

/// Rebuilds a cluster from one member that lost all others for good: every other member is removed
/// and everything in this member's log is kept, also what was not known to be committed (it may
/// have been acknowledged). `Persist` is made durable before the member starts from `Restored`.
///
/// Only an operator may decide this: if another member is still alive, both go on separately.
pub fn force_new_cluster(
    raft_id: RaftId,
    addr: &str,
    restored: Restored,
) -> Result<(Restored, Persist), ForceError> {
    if addr.is_empty() || addr.len() > MEMBER_TEXT_BYTES_MAX {
        return Err(ForceError::BadAddr {
            max: MEMBER_TEXT_BYTES_MAX,
        });
    }
    let log = checked_log(restored.clone(), &Limits::default())?;
    let membership = last_membership(&restored);
    let me = membership
        .members
        .get(&raft_id)
        .ok_or(ForceError::NotMember(raft_id))?;

    let mut changes = Vec::new();
    if membership.learners.contains(&raft_id) {
        changes.push(MemberChange::Promote(raft_id));
    }
    let others = membership.members.keys().filter(|id| **id != raft_id);
    changes.extend(others.map(|id| MemberChange::Remove(*id)));
    if me.addr != addr {
        changes.push(MemberChange::UpdateAddr(Member {
            addr: addr.to_owned(),
            ..me.clone()
        }));
    }

    let term = restored.hard_state.term + 1;
    let entries: Vec<Entry> = changes
        .iter()
        .zip(log.last() + 1..)
        .map(|(change, index)| change_entry(term, index, change))
        .collect();
    let commit = log.last() + entries.len() as u64;
    let hard_state = HardState {
        term,
        vote: Some(raft_id),
        commit,
    };
    let mut restored = Restored {
        hard_state,
        ..restored
    };
    restored.entries.extend(entries.iter().cloned());
    let persist = Persist {
        number: 0,
        snapshot: None,
        entries,
        hard_state: Some(hard_state),
    };
    Ok((restored, persist))
}

fn change_entry(term: u64, index: u64, change: &MemberChange) -> Entry {
    let data: Bytes = codec::encode_change(change);
    Entry {
        term,
        index,
        kind: EntryKind::ConfChange,
        data,
    }
}

/// Membership after every entry of a checked log.
fn last_membership(restored: &Restored) -> Membership {
    let start = restored.snapshot.as_ref();
    let mut membership = start.map_or_else(Membership::default, |s| s.membership.clone());
    let covered = start.map_or(0, |s| s.index);
    let later = restored.entries.iter().filter(|e| e.index > covered);
    for entry in later.filter(|e| e.kind == EntryKind::ConfChange) {
        let change = codec::decode_change(&entry.data).expect("checked_log has read every change");
        membership.apply(&change);
    }
    membership
}

/// The log of a restored member, if all of it fits together.
pub(crate) fn checked_log(restored: Restored, limits: &Limits) -> Result<MemLog, StartError> {
    let Restored {
        mut hard_state,
        snapshot,
        mut entries,
    } = restored;
    let mark = snapshot.as_ref().map_or((0, 0), |s| (s.index, s.term));
    if let Some(meta) = &snapshot {
        let problem = if meta.index == 0 || meta.term == 0 {
            Some("empty")
        } else if !meta.membership.is_consistent() {
            Some("without a consistent membership")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(StartError::BadSnapshot {
                index: meta.index,
                problem,
            });
        }
    }
    check_entries(&entries, mark, hard_state.term, limits)?;
    // A log that ends before the snapshot is covered by it entirely.
    if entries.last().is_some_and(|e| e.index < mark.0) {
        entries.clear();
    }
    let mut entries: VecDeque<_> = entries.into_iter().map(convert::entry_to_raft).collect();
    // The library needs the term before the first entry. Unless that is where the snapshot ends,
    // the first entry has to serve.
    let base = match entries.front() {
        Some(first) if first.index <= mark.0 => {
            let base = (first.index, first.term);
            entries.pop_front();
            base
        }
        _ => mark,
    };
    let last = base.0 + entries.len() as u64;
    if hard_state.commit > last {
        return Err(StartError::CommittedMissing {
            commit: hard_state.commit,
            last,
        });
    }
    // The commit index is written lazily; a snapshot contains only what was committed.
    hard_state.commit = hard_state.commit.max(mark.0);
    Ok(MemLog::new(hard_state, snapshot, base, entries))
}

fn check_entries(
    entries: &[Entry],
    mark: (u64, u64),
    term: u64,
    limits: &Limits,
) -> Result<(), StartError> {
    let Some(first) = entries.first() else {
        return if term < mark.1 {
            Err(StartError::BadSnapshot {
                index: mark.0,
                problem: "of a later term than the vote",
            })
        } else {
            Ok(())
        };
    };
    if first.index == 0 || first.index > mark.0 + 1 {
        return Err(StartError::Gap {
            expected: mark.0 + 1,
            found: first.index,
        });
    }
    let mut before = (
        first.index - 1,
        if first.index == mark.0 + 1 { mark.1 } else { 0 },
    );
    for entry in entries {
        if entry.index != before.0 + 1 {
            return Err(StartError::Gap {
                expected: before.0 + 1,
                found: entry.index,
            });
        }
        let problem = if entry.term < before.1 || entry.term > term || entry.term == 0 {
            Some("of an impossible term")
        } else if entry.index == mark.0 && entry.term != mark.1 {
            Some("not the one its snapshot ends with")
        } else {
            validate::content_problem(entry, limits.entry_bytes_max)
        };
        if let Some(problem) = problem {
            return Err(StartError::BadEntry {
                index: entry.index,
                problem,
            });
        }
        before = (entry.index, entry.term);
    }
    Ok(())
}
