//! What the rest of the manager needs to know of, and ask from, the replicated log.

use std::future::Future;
use std::pin::Pin;

use types::NodeId;

/// A future that a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A member of the replicated log as this manager sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id in the log.
    pub raft_id: u64,
    /// Its node.
    pub node_id: NodeId,
    /// Address where other managers and agents reach it.
    pub addr: String,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it votes; a learner does not yet.
    pub voter: bool,
    /// Whether it answered lately, as far as this manager knows.
    pub reachable: bool,
    /// Highest index known to be in its log; 0 where only the leader knows.
    pub match_index: u64,
}

/// Where this manager stands in the replicated log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Newest term it knows.
    pub term: u64,
    /// Highest index it knows to be committed.
    pub committed: u64,
    /// Highest index in its tables.
    pub applied: u64,
    /// What is wrong with its disk, in words.
    pub disk_trouble: Option<String>,
}

/// The managers of a cluster and their agreement.
pub trait Quorum: Send + Sync + 'static {
    /// All members.
    fn members(&self) -> Vec<Member>;

    /// Where this manager stands.
    fn standing(&self) -> Standing;

    /// Lets a node's manager in at `addr` and returns its id in the log. It receives the log at
    /// once and votes when it has caught up.
    ///
    /// # Errors
    /// In words, if it is refused or does not happen in time.
    fn join(&self, node: NodeId, addr: String) -> BoxFuture<'_, Result<u64, String>>;

    /// Waits until this manager's tables hold every write that was acknowledged before the call.
    ///
    /// # Errors
    /// In words, if this manager cannot find that out.
    fn read_barrier(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Removes a member.
    ///
    /// # Errors
    /// In words, if it is refused or does not happen in time.
    fn remove(&self, raft_id: u64) -> BoxFuture<'_, Result<(), String>>;

    /// Hands leadership to another member, to `to` if it is given.
    ///
    /// # Errors
    /// In words, if nobody takes it in time.
    fn transfer(&self, to: Option<u64>) -> BoxFuture<'_, Result<(), String>>;
}

/// The member that belongs to a node.
pub fn member_of(members: &[Member], node: NodeId) -> Option<&Member> {
    members.iter().find(|m| m.node_id == node)
}

/// Whether the voters that remain after `node` has left can still decide: a majority of them
/// answers.
pub fn survives_without(members: &[Member], node: NodeId) -> bool {
    let rest: Vec<_> = members
        .iter()
        .filter(|m| m.voter && m.node_id != node)
        .collect();
    let reachable = rest.iter().filter(|m| m.reachable).count();
    !rest.is_empty() && reachable > rest.len() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(reachable: &[bool]) -> Vec<Member> {
        let member = |(i, reachable): (usize, &bool)| Member {
            raft_id: i as u64 + 1,
            node_id: NodeId::from_u128(i as u128 + 1).unwrap(),
            addr: String::new(),
            leader: i == 0,
            voter: true,
            reachable: *reachable,
            match_index: 0,
        };
        reachable.iter().enumerate().map(member).collect()
    }

    #[test]
    fn a_removal_that_leaves_no_reachable_majority_is_seen() {
        let id = |n| NodeId::from_u128(n).unwrap();
        assert!(survives_without(&members(&[true, true, true]), id(3)));
        assert!(survives_without(&members(&[true, true, false]), id(3)));
        assert!(!survives_without(&members(&[true, true, false]), id(2)));
        assert!(survives_without(&members(&[true, true]), id(2)));
        assert!(!survives_without(&members(&[true, false]), id(1)));
        assert!(!survives_without(&members(&[true]), id(1)));
    }
}
