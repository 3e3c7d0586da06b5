//! Hosts that lose power.

use std::time::{Duration, Instant};

use integration::Cluster;

use crate::support::{SOON, cluster, count_on, sleepers, wait_true};

/// A write is acknowledged by then after the leader lost power; what is promised, and measured by
/// `swarm-bench failover --power-cut`, is 2 s.
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// Waits until all tasks run without a node, and says after how long.
fn moved(cluster: &Cluster, via: usize, away: &str, limit: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    let tasks = cluster.wait("the dead node's tasks to run elsewhere", limit, |cluster| {
        let tasks = cluster.wait_running(via, "web", 10, Duration::ZERO)?;
        Ok((count_on(&tasks, away) == 0).then_some(tasks))
    })?;
    eprintln!(
        "tasks of {away} run elsewhere {:.2} s after",
        start.elapsed().as_secs_f64()
    );
    assert_eq!(tasks.len(), 10);
    Ok(())
}

#[test]
fn leader_worker_and_then_everything_lose_power_and_the_service_comes_back() -> anyhow::Result<()> {
    let Some(mut cluster) = cluster(3, 2)? else {
        return Ok(());
    };
    sleepers(&cluster, 0, "web", 10)?;

    cluster.cut_power(4)?;
    moved(&cluster, 0, "n5", Duration::from_secs(8))?;

    let leader = cluster.leader(0)?;
    let witness = (leader + 1) % 3;
    let start = Instant::now();
    cluster.cut_power(leader)?;
    let label = format!("cut={}", cluster.node(leader).name);
    let write = ["node", "update", "--label-add", &label, "n5"];
    // Each try is a client of its own; one that is told of no leader, or that its write may be
    // lost, tries again, as people do.
    cluster.wait("an acknowledged write", WRITE_TIME_MAX, |cluster| {
        cluster.ctl(witness, &write)?.ok().map(Some)
    })?;
    eprintln!(
        "the next write was acknowledged {:.2} s after",
        start.elapsed().as_secs_f64()
    );
    assert_ne!(cluster.leader(witness)?, leader);
    let name = cluster.node(leader).name.clone();
    moved(&cluster, witness, &name, Duration::from_secs(10))?;

    for node in [4, leader] {
        cluster.power_on(node)?;
    }
    cluster.wait("all nodes to be ready", SOON, |cluster| {
        let ready = cluster
            .list_nodes(witness)?
            .iter()
            .filter(|n| n.status == "Ready")
            .count();
        Ok((ready == 5).then_some(()))
    })?;

    for node in 0..5 {
        cluster.cut_power(node)?;
    }
    for host in 1..=5 {
        cluster.rig()?.boot(host)?;
    }
    for node in 0..5 {
        cluster.start(node, &["run"])?;
    }
    for node in 0..5 {
        cluster.ready(node)?;
    }
    let tasks = cluster.wait_running(0, "web", 10, Duration::from_secs(60))?;
    wait_true(&cluster, "web", &tasks)
}
