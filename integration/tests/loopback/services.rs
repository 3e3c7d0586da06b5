//! The life of a service on three managers and two workers.

use std::collections::BTreeSet;
use std::time::Duration;

use integration::Cluster;

use crate::support::{SOON, ids, processes, sleepers, wait_true};

const SERVICE: &str = "web";

#[test]
fn a_service_is_made_scaled_updated_and_removed_through_any_manager() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 2)?;
    let follower = (cluster.leader(0)? + 1) % 3;

    sleepers(&cluster, follower, SERVICE, 5)?;
    let five = cluster.wait_running(0, SERVICE, 5, SOON)?;
    let nodes: BTreeSet<_> = five.iter().map(|task| &task.node).collect();
    assert_eq!(nodes.len(), 5, "one on each node: {five:?}");
    wait_true(&cluster, SERVICE, &five)?;

    cluster.ctl_ok(
        follower,
        &["service", "scale", "--quiet", "--timeout=30s", "web=8"],
    )?;
    let eight = cluster.wait_running(follower, SERVICE, 8, SOON)?;
    assert!(
        ids(&five).is_subset(&ids(&eight)),
        "scaling up replaced tasks"
    );
    cluster.ctl_ok(
        follower,
        &["service", "scale", "--quiet", "--timeout=30s", "web=4"],
    )?;
    let four = cluster.wait_running(follower, SERVICE, 4, SOON)?;
    assert!(
        ids(&four).is_subset(&ids(&eight)),
        "scaling down replaced tasks"
    );
    wait_true(&cluster, SERVICE, &four)?;

    let update = [
        "service",
        "update",
        "--quiet",
        "--timeout=60s",
        "--env-add",
        "COLOUR=blue",
        "--update-monitor=200ms",
        "--update-parallelism=2",
        SERVICE,
    ];
    cluster.ctl_ok(follower, &update)?;
    let blue = cluster.wait_running(follower, SERVICE, 4, SOON)?;
    assert!(
        ids(&blue).is_disjoint(&ids(&four)),
        "the update left old tasks"
    );
    wait_true(&cluster, SERVICE, &blue)?;
    for process in processes(&cluster, SERVICE) {
        assert_eq!(process.variable("COLOUR").as_deref(), Some("blue"));
    }

    cluster.ctl_ok(follower, &["service", "rm", SERVICE])?;
    cluster.wait("all processes to be gone", SOON, |cluster| {
        Ok(processes(cluster, SERVICE).is_empty().then_some(()))
    })?;
    assert_eq!(cluster.list_services(0)?, []);
    Ok(())
}

#[test]
fn logs_of_all_tasks_come_with_their_names() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    let script = "echo one; echo two >&2; exec sleep 900";
    let line = [
        "service",
        "create",
        "--quiet",
        "--timeout=30s",
        "--name",
        "talker",
        "--replicas=4",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    cluster.ctl_ok(0, &line)?;
    let lines = cluster.wait("two lines of each task", SOON, |cluster| {
        let said = cluster.ctl(0, &["service", "logs", "talker"])?;
        let lines: Vec<_> = said
            .out
            .lines()
            .chain(said.err.lines())
            .map(str::to_owned)
            .collect();
        Ok((lines.len() == 8).then_some(lines))
    })?;
    for slot in 1..=4 {
        let own = |l: &&String| l.starts_with(&format!("talker.{slot}."));
        let said: Vec<_> = lines.iter().filter(own).collect();
        assert_eq!(said.len(), 2, "slot {slot}: {lines:#?}");
        assert!(said.iter().any(|l| l.ends_with("one")), "{said:?}");
        assert!(said.iter().any(|l| l.ends_with("two")), "{said:?}");
    }
    let raw = cluster.ctl(0, &["service", "logs", "--raw", "talker"])?;
    let mut ones: Vec<_> = raw.out.lines().collect();
    ones.dedup();
    assert_eq!(ones, ["one"], "{raw:?}");
    Ok(())
}

#[test]
fn a_task_that_cannot_be_placed_says_why_and_the_command_ends_with_its_own_code()
-> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 0)?;
    let line = [
        "service",
        "create",
        "--quiet",
        "--timeout=1s",
        "--name",
        "nowhere",
        "--constraint",
        "node.hostname==n9",
        "busybox",
        "sleep",
        "900",
    ];
    let late = cluster.ctl(0, &line)?;
    assert_eq!(late.code, 3, "{late:?}");
    cluster.wait("the reason", SOON, |cluster| {
        let tasks = cluster.list_tasks(0, "nowhere")?;
        let told =
            |t: &integration::TaskRow| t.state == "pending" && t.error.contains("constraint");
        Ok(tasks.iter().any(told).then_some(()))
    })
}

#[test]
fn a_task_that_ends_at_once_is_tried_again_at_its_pace() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 0)?;
    let starts = cluster.dir().join("starts");
    let script = format!("echo x >> {}; exit 3", starts.display());
    let line = [
        "service",
        "create",
        "--detach",
        "--name",
        "flaky",
        "--restart-delay=500ms",
        "busybox",
        "sh",
        "-c",
        &script,
    ];
    cluster.ctl_ok(0, &line)?;
    let count = || {
        std::fs::read_to_string(&starts)
            .unwrap_or_default()
            .lines()
            .count()
    };
    let begun = std::time::Instant::now();
    cluster.wait("four starts", SOON, |_| Ok((count() >= 4).then_some(())))?;
    // Four starts have three pauses between them.
    assert!(
        begun.elapsed() >= Duration::from_millis(1_400),
        "after {:?}",
        begun.elapsed()
    );
    cluster.wait("a task that says its exit code", SOON, |cluster| {
        let tasks = cluster.list_tasks(0, "flaky")?;
        Ok(tasks
            .iter()
            .any(|t| t.state == "failed" && t.error.contains('3'))
            .then_some(()))
    })
}
