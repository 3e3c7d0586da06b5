//! A stock Docker Engine as a worker.

use std::time::Duration;

use integration::Role;

use crate::support::{IMAGE, SOON, count_on, prepared, sleepers};

#[test]
fn an_engine_joins_with_its_own_command_and_works() -> anyhow::Result<()> {
    let Some(mut cluster) = prepared(3)? else {
        return Ok(());
    };
    // Hosts 1 and 2 run swarmd; host 3 is the engine alone.
    cluster.form(1, 1)?;
    let token = cluster.token(0, Role::Worker)?;
    let seed = cluster.node(0).endpoint();
    let own = cluster.rig()?.address(3);
    let join = [
        "swarm",
        "join",
        "--token",
        &token,
        "--advertise-addr",
        &own,
        &seed,
    ];
    cluster.rig()?.docker(3, &join)?.ok()?;
    let engine = cluster.wait("the engine to be ready", SOON, |cluster| {
        let nodes = cluster.list_nodes(0)?;
        let known = |name: &str| ["n1", "n2"].contains(&name);
        Ok(nodes
            .into_iter()
            .find(|n| !known(&n.hostname) && n.status == "Ready"))
    })?;

    let tasks = sleepers(&cluster, 0, "web", 6)?;
    assert_eq!(count_on(&tasks, &engine.hostname), 2, "{tasks:?}");
    assert_eq!(cluster.rig()?.containers(3, "web")?.len(), 2);

    let constraint = format!("node.hostname=={}", engine.hostname);
    let line = [
        "service",
        "create",
        "--quiet",
        "--timeout=60s",
        "--name=talker",
        "--constraint",
        &constraint,
        "--stop-signal=KILL",
        IMAGE,
        "sh",
        "-c",
        "echo hello; exec sleep 900",
    ];
    cluster.ctl_ok(0, &line)?;
    cluster.wait("the engine's logs", SOON, |cluster| {
        let said = cluster.ctl(0, &["service", "logs", "talker"])?.ok()?;
        Ok(said.contains("hello").then_some(()))
    })?;

    let said = cluster
        .ctl(0, &["node", "promote", &engine.id])?
        .refused(1)?;
    eprintln!("{said}");
    assert!(said.to_lowercase().contains("docker"), "{said}");

    cluster.ctl_ok(
        0,
        &["node", "update", "--availability", "drain", &engine.id],
    )?;
    cluster.wait("the engine to be empty", SOON, |cluster| {
        let tasks = cluster.wait_running(0, "web", 6, Duration::ZERO)?;
        let left = cluster.rig()?.containers(3, "web")?;
        Ok((count_on(&tasks, &engine.hostname) == 0 && left.is_empty()).then_some(()))
    })?;

    cluster
        .rig()?
        .docker(3, &["swarm", "leave", "--force"])?
        .ok()?;
    cluster.wait("the engine to be down", SOON, |cluster| {
        let nodes = cluster.list_nodes(0)?;
        Ok(nodes
            .iter()
            .any(|n| n.id == engine.id && n.status == "Down")
            .then_some(()))
    })?;
    cluster.ctl_ok(0, &["node", "rm", &engine.id])?;
    assert_eq!(cluster.list_nodes(0)?.len(), 2);
    Ok(())
}
