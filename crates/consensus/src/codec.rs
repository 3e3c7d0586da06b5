//! Bytes of a membership change in a log entry, and of a membership inside a snapshot that the raft
//! library holds.
//!
//! ```text
//! change      version u8 | tag u8 | member or id
//! membership  version u8 | members u32 | (role u8 | member)* | removed u32 | id*
//! member      id | node id text | address text
//! text        length u16 | UTF-8
//! id          u64, not zero
//! ```
//!
//! Integers are big-endian. An unknown version or tag is an error: a member that does not
//! understand an entry must not go on.

use bytes::{BufMut, Bytes, BytesMut};

use crate::config::MEMBER_TEXT_BYTES_MAX;
use crate::types::{Member, MemberChange, Membership, RaftId};

const VERSION: u8 = 1;
const ADD_LEARNER: u8 = 1;
const PROMOTE: u8 = 2;
const UPDATE_ADDR: u8 = 3;
const REMOVE: u8 = 4;
const VOTER: u8 = 1;
const LEARNER: u8 = 2;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

pub(crate) fn encode_change(change: &MemberChange) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(VERSION);
    match change {
        MemberChange::AddLearner(member) => put_member(&mut bytes, ADD_LEARNER, member),
        MemberChange::UpdateAddr(member) => put_member(&mut bytes, UPDATE_ADDR, member),
        MemberChange::Promote(id) => put_id(&mut bytes, PROMOTE, *id),
        MemberChange::Remove(id) => put_id(&mut bytes, REMOVE, *id),
    }
    bytes.freeze()
}

pub(crate) fn decode_change(bytes: &[u8]) -> Result<MemberChange, Unreadable> {
    let mut reader = Reader { rest: bytes };
    reader.version()?;
    let change = match reader.u8()? {
        ADD_LEARNER => MemberChange::AddLearner(reader.member()?),
        UPDATE_ADDR => MemberChange::UpdateAddr(reader.member()?),
        PROMOTE => MemberChange::Promote(reader.id()?),
        REMOVE => MemberChange::Remove(reader.id()?),
        _ => return Err(Unreadable),
    };
    reader.end()?;
    Ok(change)
}

pub(crate) fn encode_membership(membership: &Membership) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(VERSION);
    bytes.put_u32(membership.members.len() as u32);
    for member in membership.members.values() {
        let role = if membership.voters.contains(&member.raft_id) {
            VOTER
        } else {
            LEARNER
        };
        put_member(&mut bytes, role, member);
    }
    bytes.put_u32(membership.removed.len() as u32);
    for id in &membership.removed {
        bytes.put_u64(id.get());
    }
    bytes.freeze()
}

pub(crate) fn decode_membership(bytes: &[u8]) -> Result<Membership, Unreadable> {
    let mut reader = Reader { rest: bytes };
    let mut membership = Membership::default();
    reader.version()?;
    for _ in 0..reader.u32()? {
        let role = reader.u8()?;
        let member = reader.member()?;
        match role {
            VOTER => membership.voters.insert(member.raft_id),
            LEARNER => membership.learners.insert(member.raft_id),
            _ => return Err(Unreadable),
        };
        membership.members.insert(member.raft_id, member);
    }
    for _ in 0..reader.u32()? {
        membership.removed.insert(reader.id()?);
    }
    reader.end()?;
    Ok(membership)
}

fn put_member(bytes: &mut BytesMut, tag: u8, member: &Member) {
    put_id(bytes, tag, member.raft_id);
    put_text(bytes, &member.node_id);
    put_text(bytes, &member.addr);
}

fn put_id(bytes: &mut BytesMut, tag: u8, id: RaftId) {
    bytes.put_u8(tag);
    bytes.put_u64(id.get());
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    debug_assert!(
        text.len() <= MEMBER_TEXT_BYTES_MAX,
        "texts are checked before they are logged"
    );
    bytes.put_u16(text.len() as u16);
    bytes.put_slice(text.as_bytes());
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Unreadable)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, Unreadable> {
        self.take::<1>().map(|b| b[0])
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        self.take().map(u32::from_be_bytes)
    }

    fn version(&mut self) -> Result<(), Unreadable> {
        if self.u8()? == VERSION {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }

    fn id(&mut self) -> Result<RaftId, Unreadable> {
        RaftId::new(self.take().map(u64::from_be_bytes)?).ok_or(Unreadable)
    }

    fn text(&mut self) -> Result<String, Unreadable> {
        let length = usize::from(self.take().map(u16::from_be_bytes)?);
        if length > MEMBER_TEXT_BYTES_MAX || length > self.rest.len() {
            return Err(Unreadable);
        }
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| Unreadable)
    }

    fn member(&mut self) -> Result<Member, Unreadable> {
        Ok(Member {
            raft_id: self.id()?,
            node_id: self.text()?,
            addr: self.text()?,
        })
    }

    fn end(&self) -> Result<(), Unreadable> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> impl Strategy<Value = RaftId> {
        (1..=u64::MAX).prop_map(|id| RaftId::new(id).unwrap())
    }

    fn member() -> impl Strategy<Value = Member> {
        (id(), ".{0,20}", ".{0,20}").prop_map(|(raft_id, node_id, addr)| Member {
            raft_id,
            node_id,
            addr,
        })
    }

    fn change() -> impl Strategy<Value = MemberChange> {
        prop_oneof![
            member().prop_map(MemberChange::AddLearner),
            member().prop_map(MemberChange::UpdateAddr),
            id().prop_map(MemberChange::Promote),
            id().prop_map(MemberChange::Remove),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_change_is_read_back_as_written(change in change()) {
            prop_assert_eq!(decode_change(&encode_change(&change)), Ok(change));
        }

        #[test]
        fn a_cut_change_is_unreadable(change in change(), cut in 1usize..60) {
            let bytes = encode_change(&change);
            let end = bytes.len().saturating_sub(cut);
            prop_assert_eq!(decode_change(&bytes[..end]), Err(Unreadable));
        }

        #[test]
        fn a_membership_is_read_back_as_written(
            members in proptest::collection::vec((member(), any::<bool>()), 0..6),
            removed in proptest::collection::btree_set(id(), 0..6),
        ) {
            let mut membership = Membership { removed, ..Membership::default() };
            for (member, voter) in members {
                if membership.members.contains_key(&member.raft_id) {
                    continue;
                }
                if voter {
                    membership.voters.insert(member.raft_id);
                } else {
                    membership.learners.insert(member.raft_id);
                }
                membership.members.insert(member.raft_id, member);
            }
            let bytes = encode_membership(&membership);
            prop_assert_eq!(decode_membership(&bytes), Ok(membership));
        }

        #[test]
        fn reading_garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_change(&bytes);
            let _ = decode_membership(&bytes);
        }
    }
}
