//! What the gate in front of a manager's services needs to know of the cluster.

use std::sync::Arc;

use consensus::Role;
use replica::Status;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport::{ClusterView, Leader, LeaderAddress};
use types::{ClusterId, NodeId};

use crate::ledger::Ledger;

/// A manager's view of its cluster.
pub struct View {
    cluster_id: ClusterId,
    ledger: Arc<Ledger>,
    leader: watch::Receiver<Leader>,
}

impl View {
    /// The view over a manager's tables, with the leader as [`follow_leader`] tells it.
    pub fn new(
        cluster_id: ClusterId,
        ledger: Arc<Ledger>,
        leader: watch::Receiver<Leader>,
    ) -> Self {
        Self {
            cluster_id,
            ledger,
            leader,
        }
    }
}

impl ClusterView for View {
    fn cluster_id(&self) -> ClusterId {
        self.cluster_id
    }

    fn is_removed(&self, node_id: NodeId) -> bool {
        let state = self.ledger.state();
        let Some(cluster) = state.cluster() else {
            return false;
        };
        !cluster.blacklisted_certificates.is_empty()
            && cluster
                .blacklisted_certificates
                .contains_key(&node_id.to_string())
    }

    fn leader(&self) -> watch::Receiver<Leader> {
        self.leader.clone()
    }
}

fn leader(status: &Status, ready: bool) -> Leader {
    if status.role == Role::Leader {
        return if ready { Leader::Here } else { Leader::Unknown };
    }
    let member = status.leader.as_ref();
    let found = member.and_then(|m| Some((m.node_id.parse().ok()?, m.addr.clone())));
    found.map_or(Leader::Unknown, |(node_id, addr)| {
        Leader::Elsewhere(LeaderAddress { node_id, addr })
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
