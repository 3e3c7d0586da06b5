//! The life of a service of containers.

use std::collections::BTreeSet;

use crate::support::{IMAGE, SOON, cluster, count_on, sleepers, wait_true};

#[test]
fn containers_are_made_scaled_updated_drained_and_removed() -> anyhow::Result<()> {
    let Some(cluster) = cluster(3, 2)? else {
        return Ok(());
    };
    let five = sleepers(&cluster, 1, "web", 5)?;
    let nodes: BTreeSet<_> = five.iter().map(|task| &task.node).collect();
    assert_eq!(nodes.len(), 5, "one on each node: {five:?}");
    wait_true(&cluster, "web", &five)?;

    cluster.ctl_ok(
        1,
        &["service", "scale", "--quiet", "--timeout=60s", "web=8"],
    )?;
    let eight = cluster.wait_running(1, "web", 8, SOON)?;
    cluster.ctl_ok(2, &["node", "update", "--availability", "drain", "n5"])?;
    let moved = cluster.wait("the drained node's tasks to move", SOON, |cluster| {
        let tasks = cluster.wait_running(1, "web", 8, std::time::Duration::ZERO)?;
        Ok((count_on(&tasks, "n5") == 0).then_some(tasks))
    })?;
    assert!(count_on(&eight, "n5") > 0);
    wait_true(&cluster, "web", &moved)?;

    cluster.ctl_ok(
        2,
        &["service", "scale", "--quiet", "--timeout=60s", "web=3"],
    )?;
    let update = [
        "service",
        "update",
        "--quiet",
        "--timeout=60s",
        "--env-add",
        "COLOUR=blue",
        "--update-monitor=200ms",
        "--update-parallelism=3",
        "web",
    ];
    cluster.ctl_ok(0, &update)?;
    let blue = cluster.wait_running(0, "web", 3, SOON)?;
    wait_true(&cluster, "web", &blue)?;
    for task in &blue {
        let host = cluster.named(&task.node)? + 1;
        let name = cluster.rig()?.containers(host, "web")?.remove(0);
        let env = cluster.rig()?.docker(host, &["exec", &name, "env"])?.ok()?;
        assert!(env.lines().any(|line| line == "COLOUR=blue"), "{env}");
    }

    cluster.ctl_ok(0, &["service", "rm", "web"])?;
    wait_true(&cluster, "web", &[])
}

#[test]
fn logs_of_containers_on_all_nodes_come_with_their_names() -> anyhow::Result<()> {
    let Some(cluster) = cluster(1, 2)? else {
        return Ok(());
    };
    let line = [
        "service",
        "create",
        "--quiet",
        "--timeout=60s",
        "--name=talker",
        "--replicas=3",
        "--stop-signal=KILL",
        IMAGE,
        "sh",
        "-c",
        "echo one; echo two >&2; exec sleep 900",
    ];
    cluster.ctl_ok(0, &line)?;
    cluster.wait("two lines of each task", SOON, |cluster| {
        let said = cluster.ctl(0, &["service", "logs", "talker"])?;
        let lines: Vec<_> = said.out.lines().chain(said.err.lines()).collect();
        let from = |slot: usize| {
            let prefix = format!("talker.{slot}.");
            lines.iter().filter(move |l| l.starts_with(&prefix)).count()
        };
        Ok((1..=3).all(|slot| from(slot) == 2).then_some(()))
    })
}

#[test]
fn images_and_commands_that_do_not_exist_are_told_in_the_tasks_error() -> anyhow::Result<()> {
    let Some(cluster) = cluster(1, 0)? else {
        return Ok(());
    };
    let create = |name: &str, image: &str, command: &str| {
        let line = [
            "service", "create", "--detach", "--name", name, image, command,
        ];
        cluster.ctl_ok(0, &line)
    };
    create("noimage", "no.such.registry.invalid/thing:1", "x")?;
    create("nocommand", IMAGE, "/no/such/program")?;
    for (service, word) in [
        ("noimage", "no.such.registry.invalid"),
        ("nocommand", "/no/such/"),
    ] {
        cluster.wait(&format!("the reason of {service}"), SOON, |cluster| {
            let tasks = cluster.list_tasks(0, service)?;
            Ok(tasks.iter().any(|t| t.error.contains(word)).then_some(()))
        })?;
    }
    Ok(())
}
