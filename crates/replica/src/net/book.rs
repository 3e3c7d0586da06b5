//! Where each member is, as far as this one knows.
//!
//! The membership names an address for every member. A member that came back at another one says so
//! with each call and is answered there from then on, before the log has recorded it: without that
//! two managers of which one has moved could never agree on anything again. A member that has just
//! joined, or was restarted before it knew the membership, learns addresses from its callers.
//!
//! Never judges who calls: that is proven before anything is written here.

use std::collections::BTreeMap;

use consensus::{Membership, RaftId};

/// Callers remembered beyond the membership. They are managers with a certificate of the cluster;
/// the bound only stops a bug from growing the table.
const LEARNED_MAX: usize = 256;

/// Addresses by member.
pub type Addresses = BTreeMap<RaftId, String>;

/// What is known of addresses, and from whom.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By the membership.
    members: Addresses,
    /// Members by their own word, where it differs from the membership.
    moved: Addresses,
    /// Members by the word of others, for one that nobody answers.
    heard: Addresses,
    /// Callers that the membership does not name.
    learned: Addresses,
}

impl Book {
    /// Where a member is.
    pub(super) fn find(&self, member: RaftId) -> Option<&String> {
        let known = [&self.moved, &self.heard, &self.members, &self.learned];
        known.into_iter().find_map(|addrs| addrs.get(&member))
    }

    /// Members that say that they are elsewhere than the membership has them.
    pub(super) fn moved(&self) -> &Addresses {
        &self.moved
    }

    /// Whether anything is known of a member.
    pub(super) fn knows(&self, member: RaftId) -> bool {
        self.find(member).is_some()
    }

    /// Remembers where a member is that the membership may not name yet.
    pub(super) fn learn(&mut self, member: RaftId, addr: &str) {
        let known = self.learned.contains_key(&member);
        if known || self.learned.len() < LEARNED_MAX {
            self.learned.insert(member, addr.to_owned());
        }
    }

    /// A member of the log says itself where it is.
    pub(super) fn told(&mut self, member: RaftId, addr: &str) {
        match self.members.get(&member) {
            Some(known) if known == addr => drop(self.moved.remove(&member)),
            Some(_) => drop(self.moved.insert(member, addr.to_owned())),
            None => {}
        }
    }

    /// Others say where a member of the log is.
    pub(super) fn heard(&mut self, member: RaftId, addr: &str) {
        if self.members.contains_key(&member) {
            self.heard.insert(member, addr.to_owned());
        }
    }

    /// The membership from here on. A new address in it is newer than what its member said before,
    /// and whoever hears of a new membership is answered.
    pub(super) fn follow(&mut self, membership: &Membership) {
        let addr_of = |(id, member): (&RaftId, &consensus::Member)| (*id, member.addr.clone());
        let members: Addresses = membership.members.iter().map(addr_of).collect();
        let before = std::mem::replace(&mut self.members, members);
        let members = &self.members;
        self.moved
            .retain(|id, _| members.contains_key(id) && members.get(id) == before.get(id));
        self.heard.clear();
        self.learned
            .retain(|id, _| !membership.removed.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use consensus::Member;

    use super::*;

    fn id(n: u64) -> RaftId {
        RaftId::new(n).unwrap()
    }

    fn membership(members: &[(u64, &str)]) -> Membership {
        let member = |(n, addr): &(u64, &str)| {
            let member = Member {
                raft_id: id(*n),
                node_id: format!("n{n}"),
                addr: (*addr).to_owned(),
            };
            (id(*n), member)
        };
        Membership {
            members: members.iter().map(member).collect(),
            ..Membership::default()
        }
    }

    fn found(book: &Book, n: u64) -> Option<&str> {
        book.find(id(n)).map(String::as_str)
    }

    #[test]
    fn a_member_is_where_it_says_until_the_membership_says_something_new() {
        let mut book = Book::default();
        book.follow(&membership(&[(1, "a"), (2, "b")]));
        book.told(id(2), "c");
        assert_eq!(found(&book, 2), Some("c"));
        // A change of others says nothing of this one.
        book.follow(&membership(&[(1, "x"), (2, "b")]));
        assert_eq!(found(&book, 2), Some("c"));
        assert_eq!(book.moved().len(), 1);
        book.follow(&membership(&[(1, "x"), (2, "d")]));
        assert_eq!((found(&book, 2), book.moved().len()), (Some("d"), 0));
    }

    #[test]
    fn what_others_say_of_a_member_counts_until_the_log_is_heard_again() {
        let mut book = Book::default();
        book.follow(&membership(&[(1, "a")]));
        book.heard(id(1), "b");
        book.heard(id(2), "b");
        assert_eq!((found(&book, 1), found(&book, 2)), (Some("b"), None));
        book.told(id(1), "c");
        assert_eq!(found(&book, 1), Some("c"), "its own word comes first");
        book.follow(&membership(&[(1, "d")]));
        assert_eq!(found(&book, 1), Some("d"));
    }

    #[test]
    fn a_member_that_is_back_where_it_was_has_not_moved() {
        let mut book = Book::default();
        book.follow(&membership(&[(1, "a")]));
        book.told(id(1), "b");
        book.told(id(1), "a");
        assert_eq!((found(&book, 1), book.moved().len()), (Some("a"), 0));
    }

    #[test]
    fn only_members_move_and_who_is_removed_is_forgotten() {
        let mut book = Book::default();
        book.follow(&membership(&[(1, "a")]));
        book.told(id(2), "b");
        assert!(!book.knows(id(2)));
        book.learn(id(2), "b");
        assert_eq!(found(&book, 2), Some("b"));
        book.told(id(1), "c");
        let mut without = membership(&[]);
        without.removed = [id(1), id(2)].into();
        book.follow(&without);
        assert!(!book.knows(id(1)) && !book.knows(id(2)));
    }
}
