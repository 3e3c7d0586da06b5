//! What the gate in front of a manager's services needs to know of the cluster.

use std::sync::Arc;

use consensus::Role;
use replica::{Disk, Status};
use store::Change;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport::{ClusterView, Leader, LeaderAddress, Standing};
use types::{ClusterId, NodeId};

use crate::ledger::Ledger;

/// A manager's view of its cluster.
pub struct View {
    cluster_id: ClusterId,
    ledger: Arc<Ledger>,
    leader: watch::Receiver<Leader>,
    standings: watch::Receiver<u64>,
}

impl View {
    /// The view over a manager's tables, with the leader as [`follow_leader`] tells it and the
    /// standings of nodes as [`follow_standings`] does.
    pub fn new(
        cluster_id: ClusterId,
        ledger: Arc<Ledger>,
        leader: watch::Receiver<Leader>,
        standings: watch::Receiver<u64>,
    ) -> Self {
        Self {
            cluster_id,
            ledger,
            leader,
            standings,
        }
    }
}

impl ClusterView for View {
    fn cluster_id(&self) -> ClusterId {
        self.cluster_id
    }

    fn standing(&self, node_id: NodeId) -> Standing {
        control::node::standing(&self.ledger.state(), node_id)
    }

    fn standings(&self) -> watch::Receiver<u64> {
        self.standings.clone()
    }

    fn leader(&self) -> watch::Receiver<Leader> {
        self.leader.clone()
    }
}

fn leader(status: &Status, ready: bool) -> Leader {
    if status.role == Role::Leader {
        // Without room on its disk a leader whom nobody can relieve does not reign: it takes no
        // writes, says why, and goes on answering reads.
        let reads = status.disk == Disk::Full && status.ready_term == Some(status.term);
        return match ready || reads {
            true => Leader::Here,
            false => Leader::Unknown,
        };
    }
    let member = status.leader.as_ref();
    let found = member.and_then(|m| Some((m.node_id.parse().ok()?, m.addr.clone())));
    found.map_or(Leader::Unknown, |(node_id, addr)| {
        Leader::Elsewhere(LeaderAddress {
            node_id,
            addr,
            term: status.term,
        })
    })
}

/// Keeps `leader` at what the replica and the reign say, until told to stop.
pub async fn follow_leader(
    mut status: watch::Receiver<Arc<Status>>,
    mut ready: watch::Receiver<bool>,
    out: watch::Sender<Leader>,
    stop: CancellationToken,
) {
    loop {
        let newest = leader(&status.borrow_and_update(), *ready.borrow_and_update());
        out.send_if_modified(|have| {
            let changed = *have != newest;
            have.clone_from(&newest);
            changed
        });
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            changed = ready.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Counts in `out` the changes of what nodes may do, until told to stop.
pub async fn follow_standings(
    ledger: Arc<Ledger>,
    out: watch::Sender<u64>,
    stop: CancellationToken,
) {
    let (_, mut cursor) = ledger.subscribe();
    loop {
        let changed = tokio::select! {
            state = cursor.next_where(changes_standing) => state.is_some(),
            () = stop.cancelled() => false,
        };
        if !changed {
            return;
        }
        out.send_modify(|version| *version += 1);
    }
}

fn changes_standing(change: &Change) -> bool {
    let Change::Node(diff) = change else {
        return false;
    };
    let role = |node: &Option<Arc<types::Node>>| node.as_ref().map(|node| node.role);
    role(&diff.old) != role(&diff.new)
}
