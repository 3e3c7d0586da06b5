//! The replica as the rest of the manager sees it: a log for the ledger, a quorum for everyone.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use consensus::{ChangeRefused, RaftId, Rejected, Role};
use replica::{ChangeError, Disk, Handle, ProposeError, Status};
use types::{Entropy, NodeId};

use crate::entropy::SystemEntropy;
use crate::ledger::{Log, Proposal, ProposeFailure, Reign};
use crate::quorum::{BoxFuture, Quorum, Standing};
use control::Member;

/// How long giving leadership away may take: a few elections.
const TRANSFER_MAX: Duration = Duration::from_secs(5);

/// How often a membership change is tried while another one is in flight.
const CHANGE_RETRY: Duration = Duration::from_millis(50);

/// How long a membership change may take before the caller is told that it did not happen.
const CHANGE_MAX: Duration = Duration::from_secs(5);

/// The replica of this manager. It is installed once it has started; until then nothing can be
/// proposed and there are no members.
#[derive(Debug, Default)]
pub struct Raft {
    handle: OnceLock<Handle>,
}

impl Raft {
    /// Puts the running replica in its place.
    pub fn install(&self, handle: Handle) {
        // A manager starts one replica; a second one would be ignored.
        let _first_wins = self.handle.set(handle);
    }

    fn handle(&self) -> Result<&Handle, String> {
        self.handle
            .get()
            .ok_or_else(|| "this manager is starting; try again".to_owned())
    }
}

fn failure(error: ProposeError) -> ProposeFailure {
    match error {
        ProposeError::Rejected(Rejected::LostLeadership { .. }) | ProposeError::Stopped => {
            ProposeFailure::Unknown
        }
        other => ProposeFailure::Refused(other.to_string()),
    }
}

impl Log for std::sync::Arc<Raft> {
    fn propose(&self, reign: Reign, data: Bytes) -> Proposal {
        match self.handle.get() {
            None => {
                let text = "this manager is starting; try again".to_owned();
                Box::pin(std::future::ready(Err(ProposeFailure::Refused(text))))
            }
            Some(handle) => {
                let outcome = handle.propose_chained(reign.term, reign.epoch, data);
                Box::pin(async move { outcome.await.map(drop).map_err(failure) })
            }
        }
    }
}

fn member(status: &Status, id: RaftId, of: &consensus::Member) -> Option<Member> {
    let own = id == status.id;
    let leads = status.leader_id == Some(id);
    let progress = status.progress.get(&id);
    // Only the leader knows of everybody; a follower vouches for itself and its leader.
    let reachable = match status.role {
        Role::Leader => own || progress.is_some_and(|p| p.active),
        _ => own || leads,
    };
    Some(Member {
        raft_id: id.get(),
        node_id: of.node_id.parse().ok()?,
        addr: of.addr.clone(),
        leader: leads,
        voter: status.membership.voters.contains(&id),
        reachable,
        match_index: match own {
            true => status.last,
            false => progress.map_or(0, |p| p.matched),
        },
    })
}

/// The members as a status shows them.
pub fn members(status: &Status) -> Vec<Member> {
    let all = status.membership.members.iter();
    all.filter_map(|(id, of)| member(status, *id, of)).collect()
}

/// A fresh identity in the log: 63 random bits, never zero, as in SwarmKit.
pub fn fresh_raft_id() -> RaftId {
    loop {
        if let Some(id) = RaftId::new(SystemEntropy.next_u64() >> 1) {
            return id;
        }
    }
}

fn in_flight(error: &ChangeError) -> bool {
    let passing = |r: &Rejected| matches!(r, Rejected::Change(ChangeRefused::InFlight));
    matches!(error, ChangeError::Rejected(r) if passing(r) || matches!(r, Rejected::NotReady))
}

/// Repeats a membership change while another one is in flight.
async fn change<F>(mut attempt: impl FnMut() -> F) -> Result<(), String>
where
    F: Future<Output = Result<u64, ChangeError>>,
{
    let deadline = tokio::time::Instant::now() + CHANGE_MAX;
    loop {
        match attempt().await {
            Ok(_) => return Ok(()),
            Err(e) if in_flight(&e) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(CHANGE_RETRY).await;
            }
            Err(e) => return Err(e.to_string()),
        }
    }
}

impl Raft {
    async fn let_in(&self, node: NodeId, addr: String) -> Result<u64, String> {
        let handle = self.handle()?;
        let known = members(&handle.status_now())
            .into_iter()
            .find(|m| m.node_id == node);
        // A node that asks again has lost its log or never got the answer: its old identity may
        // have voted, so it must not be used again.
        if let Some(old) = known.and_then(|m| RaftId::new(m.raft_id)) {
            change(|| handle.remove(old)).await?;
        }
        let raft_id = fresh_raft_id();
        let member = consensus::Member {
            raft_id,
            node_id: node.to_string(),
            addr,
        };
        change(|| handle.add_learner(member.clone())).await?;
        Ok(raft_id.get())
    }
}

impl Quorum for Raft {
    fn members(&self) -> Vec<Member> {
        self.handle
            .get()
            .map(|h| members(&h.status_now()))
            .unwrap_or_default()
    }

    fn standing(&self) -> Standing {
        let Some(handle) = self.handle.get() else {
            return Standing::default();
        };
        let status = handle.status_now();
        Standing {
            term: status.term,
            committed: status.committed,
            applied: status.applied,
            disk_trouble: match &status.disk {
                Disk::Ok => None,
                Disk::Full => {
                    Some("the disk of this manager is full: free some space on it".into())
                }
                Disk::Failed(why) => Some(why.clone()),
            },
        }
    }

    fn join(&self, node: NodeId, addr: String) -> BoxFuture<'_, Result<u64, String>> {
        Box::pin(self.let_in(node, addr))
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            let barrier = self.handle()?.read_barrier();
            barrier.await.map(drop).map_err(|e| e.to_string())
        })
    }

    fn remove(&self, raft_id: u64) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let id = RaftId::new(raft_id).ok_or("0 is not a member of the log")?;
            let handle = self.handle()?;
            change(|| handle.remove(id)).await
        })
    }

    fn transfer(&self, to: Option<u64>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let to = to.and_then(RaftId::new);
            let transfer = self.handle()?.transfer_leadership(to, TRANSFER_MAX);
            transfer.await.map_err(|e| e.to_string())
        })
    }
}
