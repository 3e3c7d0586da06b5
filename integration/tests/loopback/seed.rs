//! What the project promised first.

use std::time::{Duration, Instant};

use integration::Cluster;

use crate::support::{SOON, count_on, processes, sleepers, wait_true};

/// A dead leader's tasks run elsewhere by then.
const MOVED_TIME_MAX: Duration = Duration::from_secs(10);

#[test]
fn ten_replicas_survive_a_drain_and_the_death_of_the_leader() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 0)?;
    sleepers(&cluster, 0, "helloworld", 10)?;
    let tasks = cluster.wait_running(1, "helloworld", 10, SOON)?;
    for node in cluster.nodes() {
        assert!(
            (3..=4).contains(&count_on(&tasks, &node.name)),
            "not spread: {tasks:?}"
        );
    }
    wait_true(&cluster, "helloworld", &tasks)?;

    let leader = cluster.leader(0)?;
    let drained = (leader + 1) % 3;
    let name = cluster.node(drained).name.clone();
    cluster.ctl_ok(0, &["node", "update", "--availability", "drain", &name])?;
    let tasks = cluster.wait("the drained node's tasks to move", SOON, |cluster| {
        let tasks = cluster.wait_running(0, "helloworld", 10, Duration::ZERO)?;
        Ok((count_on(&tasks, &name) == 0).then_some(tasks))
    })?;
    wait_true(&cluster, "helloworld", &tasks)?;

    cluster.ctl_ok(0, &["node", "update", "--availability", "active", &name])?;
    assert_eq!(cluster.row(0, drained)?.availability, "Active");

    let dead = cluster.leader(0)?;
    let witness = (dead + 1) % 3;
    let start = Instant::now();
    cluster.cut_power(dead)?;
    let dead_name = cluster.node(dead).name.clone();
    cluster.wait("another leader", Duration::from_secs(5), |cluster| {
        Ok((cluster.leader(witness)? != dead).then_some(()))
    })?;
    eprintln!(
        "another leader after {:.2} s",
        start.elapsed().as_secs_f64()
    );
    let tasks = cluster.wait(
        "ten tasks without the dead node",
        MOVED_TIME_MAX,
        |cluster| {
            let tasks = cluster.wait_running(witness, "helloworld", 10, Duration::ZERO)?;
            Ok((count_on(&tasks, &dead_name) == 0).then_some(tasks))
        },
    )?;
    eprintln!(
        "ten of ten again after {:.2} s",
        start.elapsed().as_secs_f64()
    );
    wait_true(&cluster, "helloworld", &tasks)?;

    cluster.power_on(dead)?;
    cluster.wait("the dead manager to be back", SOON, |cluster| {
        let row = cluster.row(witness, dead)?;
        Ok((row.status == "Ready" && row.manager_status == "Reachable").then_some(()))
    })?;
    let tasks = cluster.wait_running(dead, "helloworld", 10, SOON)?;
    wait_true(&cluster, "helloworld", &tasks)?;
    assert_eq!(processes(&cluster, "helloworld").len(), 10);
    Ok(())
}
