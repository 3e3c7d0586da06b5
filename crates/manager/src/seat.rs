//! How far a manager is on its way to a vote.

use std::sync::Arc;

use replica::Status;
use tokio::sync::watch;

/// A manager's place among the voters. A new manager receives the log first and votes once it has
/// caught up; until then it serves nobody reliably.
#[derive(Debug, Clone)]
pub struct Seat {
    status: watch::Receiver<Arc<Status>>,
}

fn votes(status: &Arc<Status>) -> bool {
    status.membership.voters.contains(&status.id)
}

impl Seat {
    /// The seat of the manager with this status.
    pub fn new(status: watch::Receiver<Arc<Status>>) -> Self {
        Self { status }
    }

    /// Waits until the manager votes. Never returns if it ends before.
    pub async fn taken(&mut self) {
        if self.status.wait_for(votes).await.is_err() {
            // Its end is noticed elsewhere.
            std::future::pending::<()>().await;
        }
    }

    /// Entries of the log that are applied here: a number that rises shows progress.
    pub fn applied(&self) -> u64 {
        self.status.borrow().applied
    }

    /// What it waits for, in words; `None` once it votes.
    pub fn waits_for(&self, own_addr: &str) -> Option<String> {
        let status = self.status.borrow();
        if votes(&status) {
            return None;
        }
        let (applied, committed) = (status.applied, status.committed);
        Some(match status.leader_id {
            None => format!(
                "no manager has sent this one the replicated log yet: they must reach it at \
                 {own_addr} (--advertise-addr), and a majority of them must run"
            ),
            Some(_) if applied < committed => format!(
                "this manager receives the replicated log and has {applied} of {committed} \
                 entries; it votes when it has caught up"
            ),
            Some(_) => format!(
                "this manager has the replicated log up to entry {applied} and is about to vote"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use consensus::{Member, Membership, RaftId, Removal, Role};
    use replica::Disk;

    use super::*;

    fn status(voter: bool, leader: bool, applied: u64, committed: u64) -> Arc<Status> {
        let id = RaftId::new(7).unwrap();
        let mut membership = Membership::default();
        let member = Member {
            raft_id: id,
            node_id: "n".into(),
            addr: "m:1".into(),
        };
        membership.members.insert(id, member);
        let seats = match voter {
            true => &mut membership.voters,
            false => &mut membership.learners,
        };
        seats.insert(id);
        Arc::new(Status {
            id,
            role: Role::Follower,
            term: 1,
            leader_id: leader.then(|| RaftId::new(1).unwrap()),
            leader: None,
            ready_term: None,
            applied,
            committed,
            last: committed,
            membership: Arc::new(membership),
            progress: BTreeMap::new(),
            removal: Removal::No,
            disk: Disk::Ok,
            stopped: None,
        })
    }

    #[test]
    fn a_learner_says_what_it_waits_for_and_a_voter_waits_for_nothing() {
        let says = |status| {
            let (_keep, status) = watch::channel(status);
            Seat::new(status).waits_for("m:1")
        };
        assert!(says(status(false, false, 0, 0)).unwrap().contains("m:1"));
        let behind = says(status(false, true, 10, 90)).unwrap();
        assert!(behind.contains("10 of 90"), "{behind}");
        assert_eq!(says(status(true, true, 90, 90)), None);
    }
}
