//! Order, schedules, affinities, rehearsals and moves, with containers.

use std::time::Duration;

use anyhow::ensure;
use integration::{Cluster, Role, TaskRow};

use crate::support::{IMAGE, SOON, cluster, count_on, prepared, sleepers, wait_true};

/// A schedule by the minute is due after one minute at most.
const NEXT_MINUTE: Duration = Duration::from_secs(90);

fn create(cluster: &Cluster, name: &str, flags: &[&str], command: &[&str]) -> anyhow::Result<()> {
    let mut line = vec![
        "service",
        "create",
        "--detach",
        "--stop-signal=KILL",
        "--name",
        name,
    ];
    line.extend(flags);
    line.push(IMAGE);
    line.extend(command);
    cluster.ctl_ok(0, &line).map(drop)
}

fn live(cluster: &Cluster, service: &str) -> anyhow::Result<Vec<TaskRow>> {
    let tasks = cluster.list_tasks(0, service)?;
    Ok(tasks.into_iter().filter(TaskRow::is_running).collect())
}

fn containers(cluster: &Cluster, service: &str) -> anyhow::Result<usize> {
    let rig = cluster.rig()?;
    let hosts = 1..=cluster.nodes().len();
    let counts = hosts.map(|host| Ok(rig.containers(host, service)?.len()));
    counts.sum()
}

#[test]
fn containers_of_a_start_first_service_are_never_fewer_while_a_node_drains() -> anyhow::Result<()> {
    let Some(cluster) = cluster(1, 2)? else {
        return Ok(());
    };
    sleepers(&cluster, 0, "web", 3)?;
    let line = [
        "service",
        "update",
        "--quiet",
        "--timeout=60s",
        "--update-order=start-first",
        "--update-monitor=200ms",
        "web",
    ];
    cluster.ctl_ok(0, &line)?;
    cluster.ctl_ok(0, &["node", "update", "--availability", "drain", "n3"])?;
    let moved = cluster.wait("the task to have moved", SOON, |cluster| {
        ensure!(containers(cluster, "web")? >= 3, "a container is missing");
        let tasks = live(cluster, "web")?;
        Ok((tasks.len() == 3 && count_on(&tasks, "n3") == 0).then_some(tasks))
    })?;
    wait_true(&cluster, "web", &moved)
}

#[test]
fn a_rollback_brings_the_old_containers_back() -> anyhow::Result<()> {
    let Some(cluster) = cluster(1, 1)? else {
        return Ok(());
    };
    sleepers(&cluster, 0, "web", 2)?;
    let fails = [
        "service",
        "update",
        "--quiet",
        "--timeout=60s",
        "--update-failure-action=rollback",
        "--update-monitor=5s",
        "--rollback-monitor=200ms",
        "--restart-condition=none",
        "--args",
        "sh -c 'exit 3'",
        "web",
    ];
    let said = cluster.ctl(0, &fails)?.refused(1)?;
    ensure!(said.contains("rolled back"), "{said}");
    let tasks = cluster.wait_running(0, "web", 2, SOON)?;
    wait_true(&cluster, "web", &tasks)
}

#[test]
fn jobs_and_schedules_run_containers_to_their_end() -> anyhow::Result<()> {
    let Some(cluster) = cluster(1, 1)? else {
        return Ok(());
    };
    let flags = [
        "--mode=replicated-job",
        "--replicas=4",
        "--max-concurrent=2",
    ];
    create(&cluster, "job", &flags, &["true"])?;
    create(
        &cluster,
        "cron",
        &["--mode=replicated-job", "--schedule=* * * * *"],
        &["true"],
    )?;
    let complete = |cluster: &Cluster, name: &str, wanted: usize| {
        let tasks = cluster.list_tasks(0, name)?;
        let done = tasks.iter().filter(|t| t.state == "complete").count();
        Ok((done >= wanted).then_some(done))
    };
    let done = cluster.wait("four completions", SOON, |c| complete(c, "job", 4))?;
    assert_eq!(done, 4);
    cluster
        .wait("the schedule to be due", NEXT_MINUTE, |c| {
            complete(c, "cron", 1)
        })
        .map(drop)
}

#[test]
fn affinities_read_services_and_images_of_real_engines() -> anyhow::Result<()> {
    let Some(cluster) = cluster(1, 2)? else {
        return Ok(());
    };
    let sleep = ["sleep", "900"];
    create(&cluster, "db", &["--replicas=1"], &sleep)?;
    let db = cluster.wait_running(0, "db", 1, SOON)?[0].node.clone();
    create(
        &cluster,
        "near",
        &["--replicas=2", "--affinity", "service==db"],
        &sleep,
    )?;
    create(
        &cluster,
        "image",
        &["--replicas=2", "--affinity", "image==busybox*"],
        &sleep,
    )?;
    create(&cluster, "none", &["--affinity", "image==no/such"], &sleep)?;
    let near = cluster.wait_running(0, "near", 2, SOON)?;
    assert_eq!(count_on(&near, &db), 2, "{near:?}");
    wait_true(&cluster, "near", &near)?;
    cluster.wait_running(0, "image", 2, SOON)?;
    cluster.wait("the reason", SOON, |cluster| {
        let said = cluster.ctl(0, &["task", "explain", "none.1"])?.out;
        Ok((said.contains("0 of 3 fit") && said.contains("image==no/such")).then_some(()))
    })
}

#[test]
fn a_container_of_higher_priority_takes_the_place_of_another_which_says_so_and_comes_back()
-> anyhow::Result<()> {
    let Some(cluster) = cluster(1, 1)? else {
        return Ok(());
    };
    // All processors of a host: engines of the rig have those of the machine.
    let whole = format!("--reserve-cpu={}", std::thread::available_parallelism()?);
    let sleep = ["sleep", "900"];
    let batch = ["--replicas=2", "--priority=10", &whole];
    create(&cluster, "batch", &batch, &sleep)?;
    cluster.wait_running(0, "batch", 2, SOON)?;
    create(&cluster, "urgent", &["--priority=90", &whole], &sleep)?;
    cluster.wait("the reason", SOON, |cluster| {
        let tasks = cluster.list_tasks(0, "urgent")?;
        let waits = |t: &TaskRow| t.error.contains("insufficient resources on 2 nodes");
        Ok(tasks.iter().any(waits).then_some(()))
    })?;
    assert_eq!(containers(&cluster, "batch")?, 2);

    cluster.ctl_ok(0, &["cluster", "update", "--preemption=on"])?;
    let urgent = cluster.wait_running(0, "urgent", 1, SOON)?;
    wait_true(&cluster, "urgent", &urgent)?;
    assert_eq!(containers(&cluster, "batch")?, 1, "no more than needed");
    let told = ["service", "ps", "--no-trunc", "batch"];
    let told = cluster.ctl_ok(0, &told)?;
    ensure!(
        told.contains("displaced by task") && told.contains("urgent (priority 90 over 10)"),
        "{told}"
    );
    cluster.ctl_ok(0, &["service", "rm", "urgent"])?;
    let batch = cluster.wait_running(0, "batch", 2, SOON)?;
    wait_true(&cluster, "batch", &batch)
}

#[test]
fn containers_move_to_a_host_that_joined_and_a_rehearsal_moves_none() -> anyhow::Result<()> {
    let Some(mut cluster) = prepared(3)? else {
        return Ok(());
    };
    cluster.form(1, 1)?;
    sleepers(&cluster, 0, "web", 6)?;
    let quick = [
        "service",
        "update",
        "--quiet",
        "--timeout=60s",
        "--update-monitor=200ms",
        "web",
    ];
    cluster.ctl_ok(0, &quick)?;
    let rehearsed = cluster.ctl_ok(0, &["service", "plan", "--env-add", "A=b", "web"])?;
    ensure!(rehearsed.contains("Tasks: 6 replaced"), "{rehearsed}");
    let late = cluster.join(0, Role::Worker, &[])?;
    let late = cluster.row(0, late)?.hostname;
    let plan = cluster.ctl_ok(0, &["cluster", "rebalance", "--plan"])?;
    ensure!(
        plan.contains(&format!("3 of 6 tasks of web, {late}, joined ")),
        "{plan}"
    );
    assert_eq!(count_on(&live(&cluster, "web")?, &late), 0);
    cluster.ctl_ok(0, &["cluster", "rebalance", "--timeout=90s"])?;
    let after = cluster.wait_running(0, "web", 6, SOON)?;
    assert_eq!(count_on(&after, &late), 2, "{after:?}");
    wait_true(&cluster, "web", &after)
}
