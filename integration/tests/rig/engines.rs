//! Docker Engines that are late, are restarted under their node, or stay away.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use integration::{Cluster, TaskRow};

use crate::support::{SOON, cluster, count_on, sleepers, wait_true};

/// The node whose engine is troubled, and its host.
const NODE: usize = 1;
const HOST: usize = 2;

/// An engine that stays away is given up after 30 s; the rest is what it takes to notice.
const GIVEN_UP_TIME_MAX: Duration = Duration::from_secs(75);

fn on_node(cluster: &Cluster, tasks: &[TaskRow]) -> BTreeSet<String> {
    let name = &cluster.node(NODE).name;
    let own = tasks.iter().filter(|task| task.node == *name);
    own.map(|task| task.id.clone()).collect()
}

fn containers(cluster: &Cluster) -> anyhow::Result<BTreeSet<String>> {
    let line = ["ps", "-q", "--no-trunc"];
    let ids = cluster.rig()?.docker(HOST, &line)?.ok()?;
    Ok(ids.lines().map(str::to_owned).collect())
}

/// Waits until the node is listed as down because of its engine, and says so to whoever looks.
fn wait_for_trouble(cluster: &Cluster, limit: Duration) -> anyhow::Result<()> {
    cluster.wait("the node to be down for its engine", limit, |cluster| {
        let row = cluster.row(0, NODE)?;
        let told = cluster.ctl_ok(0, &["node", "inspect", "--pretty", &row.id])?;
        let told = told.contains("docker.sock does not answer");
        Ok((row.status == "Down" && told).then_some(()))
    })
}

fn wait_until_ready(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.wait("the node to be ready again", SOON, |cluster| {
        Ok((cluster.row(0, NODE)?.status == "Ready").then_some(()))
    })
}

#[test]
fn a_node_that_had_docker_waits_for_it_instead_of_running_processes() -> anyhow::Result<()> {
    let Some(mut cluster) = crate::support::prepared(2)? else {
        return Ok(());
    };
    cluster.form_with(1, 0, &["--executor", "auto"])?;
    let worker = cluster.join(0, integration::Role::Worker, &["--executor", "auto"])?;
    ensure!(worker == NODE);
    sleepers(&cluster, 0, "web", 4)?;
    cluster.stop(NODE)?;
    cluster.rig()?.kill_engine(HOST)?;
    cluster.start(NODE, &["run"])?;
    wait_for_trouble(&cluster, SOON)?;
    let log = cluster.node(NODE).log_tail(20);
    ensure!(log.contains("waits for its executor"), "{log}");
    ensure!(cluster.node(NODE).said().is_empty(), "it is not ready");
    // Its tasks run where there is an engine.
    cluster.wait("the tasks to run elsewhere", SOON, |cluster| {
        let tasks = cluster.wait_running(0, "web", 4, Duration::ZERO)?;
        Ok((count_on(&tasks, "n1") == 4).then_some(()))
    })?;

    cluster.rig()?.start_engine(HOST)?;
    cluster.ready(NODE)?;
    wait_until_ready(&cluster)?;
    // Nothing of before runs there twice, and it takes tasks again.
    cluster.ctl_ok(
        0,
        &["service", "scale", "--quiet", "--timeout=60s", "web=6"],
    )?;
    let tasks = cluster.wait_running(0, "web", 6, SOON)?;
    ensure!(count_on(&tasks, "n2") == 2, "{tasks:?}");
    wait_true(&cluster, "web", &tasks)?;
    // A node that leaves needs its engine for that as well.
    cluster.stop(NODE)?;
    let said = cluster.swarmd(NODE, &["leave"])?.ok()?;
    ensure!(said.contains("tasks were stopped and removed"), "{said}");
    ensure!(containers(&cluster)?.is_empty());
    Ok(())
}

#[test]
fn tasks_of_a_restarted_engine_are_replaced_or_live_on_with_live_restore() -> anyhow::Result<()> {
    let Some(cluster) = cluster(1, 1)? else {
        return Ok(());
    };
    let before = sleepers(&cluster, 0, "web", 4)?;
    let died = on_node(&cluster, &before);
    ensure!(died.len() == 2, "{before:?}");
    // This engine ends what it finds running from before.
    cluster.rig()?.kill_engine(HOST)?;
    cluster.rig()?.start_engine_with(HOST, "")?;
    let after = cluster.wait("the tasks to be replaced", SOON, |cluster| {
        let tasks = cluster.wait_running(0, "web", 4, Duration::ZERO)?;
        let is_gone = tasks.iter().all(|task| !died.contains(&task.id));
        Ok(is_gone.then_some(tasks))
    })?;
    wait_true(&cluster, "web", &after)?;
    let kept = before.iter().filter(|task| !died.contains(&task.id));
    for task in kept {
        ensure!(
            after.iter().any(|t| t.id == task.id),
            "{task:?} was replaced"
        );
    }

    // This one leaves it running; the node adopts it.
    cluster.rig()?.kill_engine(HOST)?;
    cluster.rig()?.start_engine_with(HOST, "--live-restore")?;
    let (alive, running) = (on_node(&cluster, &after), containers(&cluster)?);
    cluster.rig()?.kill_engine(HOST)?;
    cluster.rig()?.start_engine_with(HOST, "--live-restore")?;
    wait_until_ready(&cluster)?;
    let line = ["service", "scale", "--quiet", "--timeout=60s", "web=5"];
    cluster.ctl_ok(0, &line)?;
    let tasks = cluster.wait_running(0, "web", 5, SOON)?;
    ensure!(on_node(&cluster, &tasks).is_superset(&alive), "{tasks:?}");
    ensure!(containers(&cluster)?.is_superset(&running));
    wait_true(&cluster, "web", &tasks)
}

#[test]
fn an_engine_that_stays_away_costs_its_node_the_tasks_until_it_is_back() -> anyhow::Result<()> {
    let Some(cluster) = cluster(1, 1)? else {
        return Ok(());
    };
    sleepers(&cluster, 0, "web", 4)?;
    cluster.rig()?.kill_engine(HOST)?;
    wait_for_trouble(&cluster, GIVEN_UP_TIME_MAX)?;
    let tasks = cluster.wait("the tasks to run elsewhere", SOON, |cluster| {
        let tasks = cluster.wait_running(0, "web", 4, Duration::ZERO)?;
        Ok((count_on(&tasks, "n1") == 4).then_some(tasks))
    })?;
    cluster.rig()?.start_engine_with(HOST, "--live-restore")?;
    wait_until_ready(&cluster)?;
    // What its containers were doing is done elsewhere by now.
    wait_true(&cluster, "web", &tasks)
}
