//! Carries the settings of the replicated log from the cluster object to this manager's replica.
//!
//! Every manager does so for itself, from what it has applied.

use std::sync::Arc;

use replica::{Handle, Retention};
use store::{Change, State};
use tokio_util::sync::CancellationToken;
use types::cluster::RaftConfig;
use types::defaults;

use crate::ledger::Ledger;

/// What a replica keeps by these settings. One older snapshot always stays: it serves when the
/// newest turns out damaged.
fn retention(raft: &RaftConfig) -> Retention {
    let interval = match raft.snapshot_interval {
        0 => defaults::RAFT.snapshot_interval,
        given => given,
    };
    let old = usize::try_from(raft.keep_old_snapshots).unwrap_or(usize::MAX);
    Retention {
        snapshot_entries: interval,
        keep_entries: raft.log_entries_for_slow_followers,
        keep_snapshots: old.max(1).saturating_add(1),
    }
}

fn wanted(state: &State) -> Option<Retention> {
    state.cluster().map(|cluster| retention(&cluster.spec.raft))
}

/// Tells the replica what to keep, and every change of it, until told to stop.
pub async fn follow_retention(ledger: Arc<Ledger>, handle: Handle, stop: CancellationToken) {
    let (state, mut cursor) = ledger.subscribe();
    let mut told = None;
    let mut newest = wanted(&state);
    loop {
        if let Some(retention) = newest.filter(|_| newest != told) {
            handle.retain(retention).await;
            told = newest;
        }
        let state = tokio::select! {
            state = cursor.next_where(|c| matches!(c, Change::Cluster(_))) => state,
            () = stop.cancelled() => return,
        };
        let Some(state) = state else { return };
        newest = wanted(&state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_older_snapshot_stays_whatever_is_asked_for() {
        for (old, files) in [(0, 2), (1, 2), (5, 6), (u64::MAX, usize::MAX)] {
            let raft = RaftConfig {
                keep_old_snapshots: old,
                ..defaults::RAFT
            };
            assert_eq!(retention(&raft).keep_snapshots, files);
        }
        let unset = retention(&RaftConfig::default());
        assert_eq!(unset.snapshot_entries, defaults::RAFT.snapshot_interval);
        assert_eq!(retention(&defaults::RAFT), Retention::default());
    }
}
