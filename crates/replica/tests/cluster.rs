//! Three replicas in one process: elections, restarts, snapshots, membership, failing disks.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail")]

mod harness;
mod machine;

use consensus::{ChangeRefused, Rejected, Removal, Role};
use harness::{Begin, Cluster};
use machine::{PATIENCE, Recorder, Seen, TICK, member, raft_id, wait};
use replica::{
    ChangeError, Config, Disk, ProposeError, ReadError, Replica, StartError, Stopped, Storage,
};

fn plain(_: &mut Config) {}

fn many_snapshots(config: &mut Config) {
    config.retention.snapshot_entries = 50;
    config.retention.keep_entries = 5;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_concurrent_proposals_are_applied_everywhere_in_the_order_of_the_calls() {
    let cluster = Cluster::of(3, plain).await;
    let leader = cluster.leader().await;
    let term = leader.status_now().term;
    let calls: Vec<_> = (0..1000u32)
        .map(|n| leader.propose(term, n.to_be_bytes().to_vec().into()))
        .collect();
    let mut indexes = Vec::new();
    for call in calls {
        indexes.push(call.await.unwrap());
    }
    assert!(indexes.is_sorted_by(|a, b| a < b));
    let entries = cluster.agree_on(*indexes.last().unwrap()).await;
    let seen: Vec<_> = entries.iter().map(|(_, d)| d.to_vec()).collect();
    let sent: Vec<_> = (0..1000u32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(seen, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_of_another_term_or_at_a_follower_is_refused() {
    let cluster = Cluster::of(3, plain).await;
    let leader = cluster.leader().await;
    let term = leader.status_now().term;
    let error = leader.propose(term - 1, "x".into()).await.unwrap_err();
    assert_eq!(
        error,
        ProposeError::Rejected(Rejected::StaleTerm { current: term })
    );
    let follower = cluster
        .nodes
        .values()
        .find(|n| n.handle.id() != leader.id())
        .unwrap();
    let error = follower.handle.propose(term, "x".into()).await.unwrap_err();
    assert!(
        matches!(error, ProposeError::Rejected(Rejected::NotLeader { .. })),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_goes_on_without_its_leader_which_comes_back_from_its_directory() {
    let mut cluster = Cluster::of(3, plain).await;
    let leader = cluster.leader().await.id().get();
    cluster.propose("before").await;
    cluster.stop(leader).await;
    let without = cluster.propose("without").await;
    cluster.begin(leader, Begin::Start);
    let entries = cluster.agree_on(without).await;
    assert_eq!(
        entries.iter().map(|(_, d)| &d[..]).collect::<Vec<_>>(),
        [&b"before"[..], b"without"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_all_members_stopped() {
    let mut cluster = Cluster::of(3, many_snapshots).await;
    for n in 0..120 {
        cluster.propose(format!("{n}")).await;
    }
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    for id in 1..=3 {
        cluster.begin(id, Begin::Start);
    }
    let last = cluster.propose("after").await;
    assert_eq!(cluster.agree_on(last).await.len(), 121);
    assert!(
        cluster.nodes.values().any(|n| n.seen.restored() > 0),
        "no snapshot was used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lags_behind_the_log_receives_a_snapshot() {
    let mut cluster = Cluster::of(3, many_snapshots).await;
    let leader = cluster.leader().await.id().get();
    let away = if leader == 3 { 2 } else { 3 };
    cluster.stop(away).await;
    let mut last = 0;
    for n in 0..200 {
        last = cluster.propose(vec![n as u8; 1000]).await;
    }
    let store = cluster.handle(leader).snapshots();
    let newest = tokio::time::timeout(PATIENCE, async {
        loop {
            let list = tokio::task::spawn_blocking({
                let store = store.clone();
                move || store.list().unwrap()
            });
            if let Some(info) = list.await.unwrap().pop().filter(|i| i.id.index > last - 60) {
                return info;
            }
        }
    });
    newest.await.unwrap();
    cluster.begin(away, Begin::Start);
    assert_eq!(cluster.agree_on(last).await.len(), 200);
    assert!(cluster.nodes[&away].seen.restored() > 0);
    // It goes on from there, also across a restart.
    cluster.stop(away).await;
    cluster.begin(away, Begin::Start);
    let last = cluster.propose("more").await;
    assert_eq!(cluster.agree_on(last).await.len(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over() {
    let cluster = Cluster::of(3, plain).await;
    let leader = cluster.leader().await;
    let heir = cluster
        .nodes
        .values()
        .map(|n| n.handle.id())
        .find(|id| *id != leader.id());
    leader.transfer_leadership(heir, PATIENCE).await.unwrap();
    let status = wait(&leader, |s| s.leader_id.is_some()).await;
    assert_eq!(status.leader_id, heir);
    let error = leader
        .transfer_leadership(None, PATIENCE)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChangeError::Rejected(Rejected::NotLeader { .. })),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_added_promoted_and_removed() {
    let mut cluster = Cluster::of(3, plain).await;
    let leader = cluster.leader().await;
    // A learner that does not answer never becomes a voter.
    leader.add_learner(member(4, "memory")).await.unwrap();
    let error = leader
        .promote_when_caught_up(raft_id(4), 5 * TICK)
        .await
        .unwrap_err();
    assert!(matches!(error, ChangeError::Timeout { .. }), "{error}");
    cluster.begin(4, Begin::Start);
    leader
        .promote_when_caught_up(raft_id(4), PATIENCE)
        .await
        .unwrap();
    leader.update_addr(member(4, "elsewhere")).await.unwrap();
    let status = wait(&leader, |s| s.membership.voters.len() == 4).await;
    assert_eq!(status.membership.members[&raft_id(4)].addr, "elsewhere");
    assert!(status.progress[&raft_id(4)].active);

    let leaving = cluster.handle(4);
    leader.remove(raft_id(4)).await.unwrap();
    let status = wait(&leaving, |s| s.removal == Removal::Done).await;
    assert!(status.membership.voters.len() <= 4);
    let error = leader.add_learner(member(4, "memory")).await.unwrap_err();
    let removed = Rejected::Change(ChangeRefused::WasRemoved(raft_id(4)));
    assert_eq!(error, ChangeError::Rejected(removed));
    cluster.stop(4).await;
    let last = cluster.propose("after").await;
    cluster.agree_on(last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_barrier_sees_every_acknowledged_write_and_only_the_leader_answers() {
    let cluster = Cluster::of(3, plain).await;
    let written = cluster.propose("x").await;
    let leader = cluster.leader().await;
    let barriers: Vec<_> = (0..100).map(|_| leader.read_barrier()).collect();
    for barrier in barriers {
        assert!(barrier.await.unwrap() >= written);
    }
    assert!(leader.status_now().applied >= written);
    let follower = cluster
        .nodes
        .values()
        .find(|n| n.handle.id() != leader.id())
        .unwrap();
    let error = follower.handle.read_barrier().await.unwrap_err();
    assert!(
        matches!(error, ReadError::Rejected(Rejected::NotLeader { .. })),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_answers_no_read_and_no_write() {
    let cluster = Cluster::of(3, plain).await;
    cluster.propose("x").await;
    let leader = cluster.leader().await;
    let term = leader.status_now().term;
    cluster.net.set_cut(leader.id().get(), true);
    let (read, write) = (leader.read_barrier(), leader.propose(term, "lost".into()));
    let wait_both = async { (read.await, write.await) };
    let (read, write) = tokio::time::timeout(PATIENCE, wait_both).await.unwrap();
    assert!(read.is_err());
    let unknown = matches!(
        write,
        Err(ProposeError::Rejected(Rejected::LostLeadership { .. }))
    );
    assert!(unknown, "{write:?}");
    cluster.net.set_cut(leader.id().get(), false);
    let last = cluster.propose("y").await;
    let entries = cluster.agree_on(last).await;
    assert_eq!(
        entries.iter().map(|(_, d)| &d[..]).collect::<Vec<_>>(),
        [b"x", b"y"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_a_full_disk_hands_over_and_comes_back_when_there_is_room() {
    let cluster = Cluster::of(3, plain).await;
    cluster.propose("before").await;
    let leader = cluster.leader().await;
    let id = leader.id().get();
    cluster.nodes[&id].faults.set_full(true);
    // The disk is noticed with the next write, at the latest.
    let term = leader.status_now().term;
    let unanswered = leader.propose(term, "maybe".into());
    wait(&leader, |s| s.disk == Disk::Full).await;
    let error = leader.propose(term, "x".into()).await.unwrap_err();
    assert_eq!(error, ProposeError::DiskFull);
    wait(&leader, |s| s.role != Role::Leader && s.leader_id.is_some()).await;
    drop(unanswered);
    let during = cluster.propose("during").await;
    assert!(leader.status_now().applied < during);
    cluster.nodes[&id].faults.set_full(false);
    wait(&leader, |s| s.disk == Disk::Ok && s.applied >= during).await;
    cluster.agree_on(during).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_manager_with_a_full_disk_refuses_writes_and_goes_on_when_there_is_room() {
    let cluster = Cluster::of(1, plain).await;
    cluster.propose("before").await;
    let leader = cluster.leader().await;
    let term = leader.status_now().term;
    cluster.nodes[&1].faults.set_full(true);
    let waiting = leader.propose(term, "waiting".into());
    wait(&leader, |s| s.disk == Disk::Full).await;
    assert_eq!(
        leader.propose(term, "x".into()).await.unwrap_err(),
        ProposeError::DiskFull
    );
    cluster.nodes[&1].faults.set_full(false);
    wait(&leader, |s| s.disk == Disk::Ok).await;
    // It was taken in before the disk was noticed, or refused; it is never lost in between.
    let kept = match waiting.await {
        Ok(_) => 1,
        Err(error) => {
            assert_eq!(error, ProposeError::DiskFull);
            0
        }
    };
    cluster.propose("after").await;
    assert_eq!(cluster.nodes[&1].seen.entries().len(), 2 + kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_proposal_takes_the_later_ones_of_its_chain_with_it() {
    let cluster = Cluster::of(1, plain).await;
    let leader = cluster.leader().await;
    let term = leader.status_now().term;
    let stale = leader.propose_chained(term + 1, 7, "stale".into());
    let built_on_it = leader.propose_chained(term, 7, "lost ground".into());
    let next_chain = leader.propose_chained(term, 8, "afresh".into());
    assert!(stale.await.is_err());
    assert_eq!(built_on_it.await, Err(ProposeError::ChainBroken));
    let index = next_chain.await.unwrap();
    let entries = cluster.agree_on(index).await;
    assert_eq!(entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_stops_the_replica_and_nothing_is_acknowledged() {
    let cluster = Cluster::of(1, plain).await;
    let leader = cluster.leader().await;
    cluster.nodes[&1].faults.fail_syncs();
    let term = leader.status_now().term;
    let error = leader.propose(term, "x".into()).await.unwrap_err();
    assert_eq!(error, ProposeError::Stopped);
    let status = wait(&leader, |s| s.stopped.is_some()).await;
    assert!(matches!(&status.disk, Disk::Failed(text) if text.contains("cannot sync")));
    assert!(cluster.nodes[&1].seen.entries().is_empty());
    assert_eq!(
        leader.propose(term, "x".into()).await.unwrap_err(),
        ProposeError::Stopped
    );
    assert_eq!(leader.read_barrier().await.unwrap_err(), ReadError::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_state_machine_stops_the_replica() {
    let cluster = Cluster::of(1, plain).await;
    let leader = cluster.leader().await;
    let term = leader.status_now().term;
    assert!(leader.propose(term, "panic".into()).await.is_err());
    let status = wait(&leader, |s| s.stopped.is_some()).await;
    let failed = matches!(&status.stopped, Some(Stopped::Failed(t)) if t.contains("raft-apply"));
    assert!(failed, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_becomes_a_cluster_of_its_own_with_everything_it_had() {
    let mut cluster = Cluster::of(3, many_snapshots).await;
    let mut last = 0;
    for n in 0..70 {
        last = cluster.propose(format!("{n}")).await;
    }
    cluster.agree_on(last).await;
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    cluster.begin(2, Begin::ForceNewCluster);
    cluster.propose("alone").await;
    let status = cluster.leader().await.status_now();
    assert_eq!(status.membership.voters, [raft_id(2)].into());
    assert_eq!(cluster.nodes[&2].seen.entries().len(), 71);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_or_emptied_directory_is_refused() {
    let mut cluster = Cluster::of(1, plain).await;
    cluster.propose("x").await;
    cluster.stop(1).await;
    let dir = cluster.raft_dir(1);
    let error = Storage::open(&dir, raft_id(9)).err().unwrap();
    assert!(matches!(error, StartError::OtherMember { .. }), "{error}");

    let (storage, _) = cluster.storage(1);
    let machine = Recorder(Seen::default());
    let founder = member(1, "memory");
    let peers = cluster.net.peers(1);
    let error = Replica::bootstrap(cluster.config(1), machine, storage, peers, &founder);
    assert!(matches!(error.err().unwrap(), StartError::NotEmpty));

    std::fs::remove_dir_all(dir.join("log")).unwrap();
    let error = Storage::open(&dir, raft_id(1)).err().unwrap();
    assert!(matches!(error, StartError::LogMissing(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_state_was_restored_from_an_old_copy_stops_when_its_leader_knows_better() {
    let mut cluster = Cluster::of(3, plain).await;
    let leader = cluster.leader().await.id().get();
    let member = (1..=3).find(|id| *id != leader).unwrap();
    cluster.propose("in the copy").await;
    cluster.stop(member).await;
    let (dir, copies) = (cluster.raft_dir(member), tempfile::tempdir().unwrap());
    let copy = copies.path().join("raft");
    copy_dir(&dir, &copy);
    cluster.begin(member, Begin::Start);
    let last = cluster.propose("not in the copy").await;
    cluster.agree_on(last).await;
    cluster.stop(member).await;
    std::fs::remove_dir_all(&dir).unwrap();
    copy_dir(&copy, &dir);

    cluster.begin(member, Begin::Start);
    let status = wait(&cluster.handle(member), |s| s.stopped.is_some()).await;
    let told = matches!(&status.stopped, Some(Stopped::Failed(t)) if t.contains("from a copy"));
    assert!(told, "{status:?}");
    cluster.propose("the others go on").await;
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let into = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &into);
        } else {
            std::fs::copy(&path, &into).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_its_snapshot_is_refused() {
    let mut cluster = Cluster::of(1, many_snapshots).await;
    for n in 0..120 {
        cluster.propose(format!("{n}")).await;
    }
    cluster.stop(1).await;
    let snapshots = cluster.raft_dir(1).join("snapshots");
    std::fs::remove_dir_all(&snapshots).unwrap();
    let (storage, _) = cluster.storage(1);
    let (machine, peers) = (Recorder(Seen::default()), cluster.net.peers(1));
    let error = Replica::start(cluster.config(1), machine, storage, peers)
        .err()
        .unwrap();
    assert!(
        matches!(error, StartError::SnapshotMissing { .. }),
        "{error}"
    );
}
