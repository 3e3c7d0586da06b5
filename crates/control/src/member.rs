//! Members of the replicated log, and what removing one would mean.

use types::NodeId;

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
