//! Deaths, pauses and power cuts.

use std::time::{Duration, Instant};

use integration::{Cluster, TaskProcess};

use crate::support::{SOON, count_on, ids, none_doubled, processes, sleepers, wait_true};

const SERVICE: &str = "steady";

/// A dead worker's tasks run elsewhere by then.
const MOVED_TIME_MAX: Duration = Duration::from_secs(8);

/// An answer that there is no leader comes by then; the rest is the start of the command.
const NO_LEADER_TIME_MAX: Duration = Duration::from_secs(6);

fn pids(processes: &[TaskProcess]) -> Vec<i32> {
    let mut pids: Vec<_> = processes.iter().map(|p| p.pid).collect();
    pids.sort_unstable();
    pids
}

#[test]
fn tasks_of_a_worker_without_power_run_elsewhere_in_seconds() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 2)?;
    sleepers(&cluster, 0, SERVICE, 10)?;
    let before = cluster.wait_running(0, SERVICE, 10, SOON)?;
    let dead = cluster.node(4).name.clone();
    assert_eq!(count_on(&before, &dead), 2, "{before:?}");

    let start = Instant::now();
    cluster.cut_power(4)?;
    let after = cluster.wait("ten tasks elsewhere", MOVED_TIME_MAX, |cluster| {
        let tasks = cluster.wait_running(0, SERVICE, 10, Duration::ZERO)?;
        Ok((count_on(&tasks, &dead) == 0).then_some(tasks))
    })?;
    eprintln!(
        "the dead worker's tasks moved after {:.2} s",
        start.elapsed().as_secs_f64()
    );
    assert_eq!(
        ids(&before).intersection(&ids(&after)).count(),
        8,
        "other tasks were restarted"
    );
    assert_eq!(cluster.row(0, 4)?.status, "Down");

    cluster.power_on(4)?;
    cluster.wait("the worker to be back", SOON, |cluster| {
        Ok((cluster.row(0, 4)?.status == "Ready").then_some(()))
    })?;
    wait_true(
        &cluster,
        SERVICE,
        &cluster.wait_running(0, SERVICE, 10, SOON)?,
    )
}

#[test]
fn an_agent_that_is_killed_and_started_again_finds_its_tasks() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    sleepers(&cluster, 0, SERVICE, 6)?;
    let before = cluster.wait_running(0, SERVICE, 6, SOON)?;
    let running = pids(&processes(&cluster, SERVICE));
    cluster.kill(1)?;
    cluster.resume(1)?;
    cluster.wait("the worker to be ready", SOON, |cluster| {
        Ok((cluster.row(0, 1)?.status == "Ready").then_some(()))
    })?;
    let after = cluster.wait_running(0, SERVICE, 6, SOON)?;
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(pids(&processes(&cluster, SERVICE)), running);
    // A change reaches it as before.
    cluster.ctl_ok(
        0,
        &["service", "scale", "--quiet", "--timeout=30s", "steady=8"],
    )?;
    wait_true(
        &cluster,
        SERVICE,
        &cluster.wait_running(0, SERVICE, 8, SOON)?,
    )
}

#[test]
fn all_daemons_killed_and_started_again_keep_every_task() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 2)?;
    sleepers(&cluster, 0, SERVICE, 10)?;
    let before = cluster.wait_running(0, SERVICE, 10, SOON)?;
    let running = pids(&processes(&cluster, SERVICE));
    (0..5).try_for_each(|node| cluster.kill(node))?;
    assert_eq!(
        pids(&processes(&cluster, SERVICE)),
        running,
        "tasks died with the daemons"
    );

    start_all(&mut cluster)?;
    let after = cluster.wait_running(0, SERVICE, 10, SOON)?;
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(pids(&processes(&cluster, SERVICE)), running);
    Ok(())
}

#[test]
fn a_power_cut_of_everything_brings_everything_back_and_doubles_nothing() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 2)?;
    sleepers(&cluster, 0, SERVICE, 10)?;
    cluster.wait_running(0, SERVICE, 10, SOON)?;
    (0..5).try_for_each(|node| cluster.cut_power(node))?;
    assert_eq!(processes(&cluster, SERVICE), []);

    start_all(&mut cluster)?;
    let after = cluster.wait("ten tasks again", Duration::from_secs(30), |cluster| {
        none_doubled(&processes(cluster, SERVICE))?;
        let tasks = cluster.wait_running(0, SERVICE, 10, Duration::ZERO)?;
        Ok((processes(cluster, SERVICE).len() == 10).then_some(tasks))
    })?;
    wait_true(&cluster, SERVICE, &after)?;
    assert_eq!(cluster.list_services(1)?[0].replicas, "10/10");
    Ok(())
}

/// Starts all nodes at once, as after a power cut of a whole room, and waits until all are there.
fn start_all(cluster: &mut Cluster) -> anyhow::Result<()> {
    let all = cluster.nodes().len();
    (0..all).try_for_each(|node| cluster.start(node, &["run"]))?;
    (0..all).try_for_each(|node| cluster.ready(node).map(drop))?;
    cluster.wait("all nodes to be ready again", SOON, |cluster| {
        let ready = cluster
            .list_nodes(0)?
            .iter()
            .filter(|n| n.status == "Ready")
            .count();
        Ok((ready == all).then_some(()))
    })
}

#[test]
fn without_a_majority_a_write_is_refused_in_time_with_the_reason() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 0)?;
    sleepers(&cluster, 0, SERVICE, 3)?;
    let running = pids(&processes(&cluster, SERVICE));
    cluster.kill(1)?;
    cluster.kill(2)?;
    let start = Instant::now();
    let line = [
        "service", "create", "--detach", "--name", "late", "busybox", "sleep", "900",
    ];
    let said = cluster.ctl(0, &line)?.refused(1)?;
    assert!(
        start.elapsed() < NO_LEADER_TIME_MAX,
        "after {:?}: {said}",
        start.elapsed()
    );
    assert!(
        said.contains("leader") || said.contains("majority"),
        "{said}"
    );
    // The managers' state is told also without a leader, and tasks go on.
    cluster.ctl_ok(0, &["cluster", "status"])?;
    assert_eq!(pids(&processes(&cluster, SERVICE)), running);

    // The refused write is in this manager's log and may be done after all; that is not an error.
    cluster.resume(1)?;
    cluster.wait("the service to be made at last", SOON, |cluster| {
        let done = cluster.ctl(0, &line)?;
        Ok((done.code == 0 || done.err.contains("exist")).then_some(()))
    })?;
    cluster.resume(2)?;
    cluster.wait_running(2, "late", 1, SOON)?;
    assert_eq!(cluster.wait_running(2, SERVICE, 3, SOON)?.len(), 3);
    Ok(())
}

#[test]
fn a_leader_that_stands_still_is_replaced_and_follows_when_it_wakes() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 0)?;
    let frozen = cluster.leader(0)?;
    let witness = (frozen + 1) % 3;
    cluster.freeze(frozen, true)?;
    cluster.wait("another leader", Duration::from_secs(6), |cluster| {
        Ok((cluster.leader(witness)? != frozen).then_some(()))
    })?;
    sleepers(&cluster, witness, SERVICE, 4)?;
    cluster.freeze(frozen, false)?;
    // It learns what it missed and answers with it.
    let tasks = cluster.wait_running(frozen, SERVICE, 4, SOON)?;
    assert_eq!(cluster.leader(frozen)?, cluster.leader(witness)?);
    wait_true(&cluster, SERVICE, &tasks)
}

#[test]
fn a_node_that_is_asked_to_stop_stops_in_time_and_leaves_its_tasks() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 0)?;
    sleepers(&cluster, 0, SERVICE, 3)?;
    let running = pids(&processes(&cluster, SERVICE));
    let leader = cluster.leader(0)?;
    let start = Instant::now();
    assert!(cluster.stop(leader)?.success());
    eprintln!(
        "the leader stopped after {:.2} s",
        start.elapsed().as_secs_f64()
    );
    let witness = (leader + 1) % 3;
    cluster.wait("another leader", Duration::from_secs(3), |cluster| {
        Ok((cluster.leader(witness)? != leader).then_some(()))
    })?;
    assert_eq!(pids(&processes(&cluster, SERVICE)), running);
    let said = cluster.node(leader).said();
    let ready = said
        .lines()
        .filter(|line| line.starts_with("node ready"))
        .count();
    assert_eq!(ready, 1, "{said}");
    cluster.resume(leader)
}
