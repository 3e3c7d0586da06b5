//! Changing roles while everything runs.

use integration::{Cluster, Role};

use crate::support::{SOON, ids, processes, sleepers, wait_true};

/// Waits until a node is a manager that the others reach, or is none.
fn wait_role(cluster: &Cluster, via: usize, node: usize, role: Role) -> anyhow::Result<()> {
    let what = format!("{} to be a {role:?}", cluster.node(node).name);
    cluster.wait(&what, SOON, |cluster| {
        let row = cluster.row(via, node)?;
        let is_there = match role {
            Role::Manager => ["Leader", "Reachable"].contains(&row.manager_status.as_str()),
            Role::Worker => row.manager_status.is_empty() && row.status == "Ready",
        };
        Ok(is_there.then_some(()))
    })
}

#[test]
fn every_node_is_promoted_and_demoted_in_a_ring_and_no_task_notices() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 2)?;
    sleepers(&cluster, 0, "steady", 5)?;
    let before = cluster.wait_running(0, "steady", 5, SOON)?;
    let pids = processes(&cluster, "steady");

    // The leader is demoted each time: that is the hardest case.
    let mut managers = vec![0, 1, 2];
    let mut workers = vec![3, 4];
    for _ in 0..5 {
        let leader = cluster.leader(managers[0])?;
        let via = managers
            .iter()
            .copied()
            .find(|&m| m != leader)
            .unwrap_or(leader);
        let promoted = workers.remove(0);
        cluster.ctl_ok(via, &["node", "promote", &cluster.node(promoted).name])?;
        wait_role(&cluster, via, promoted, Role::Manager)?;
        cluster.ctl_ok(via, &["node", "demote", &cluster.node(leader).name])?;
        wait_role(&cluster, via, leader, Role::Worker)?;
        managers.retain(|&m| m != leader);
        managers.push(promoted);
        workers.push(leader);
        // The new manager answers itself.
        cluster.wait("the promoted node to answer", SOON, |cluster| {
            Ok((cluster.list_nodes(promoted)?.len() == 5).then_some(()))
        })?;
    }
    let after = cluster.wait_running(managers[0], "steady", 5, SOON)?;
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(processes(&cluster, "steady"), pids);
    wait_true(&cluster, "steady", &after)
}

#[test]
fn a_manager_can_demote_itself_and_says_what_to_do_from_then_on() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(3, 0)?;
    let leader = cluster.leader(0)?;
    // First one that follows, then the one that leads.
    let follower = (leader + 1) % 3;
    cluster.join(leader, Role::Manager, &[])?;
    cluster.wait_voters(leader, 4)?;
    for node in [follower, leader] {
        let name = cluster.node(node).name.clone();
        let said = cluster.ctl_ok(node, &["node", "demote", &name])?;
        assert_eq!(said, format!("Node {name} is now a worker.\n"));
        let other = (leader + 2) % 3;
        wait_role(&cluster, other, node, Role::Worker)?;
        cluster.wait("the socket to say where to go", SOON, |cluster| {
            let said = cluster.ctl(node, &["node", "ls"])?.refused(1)?;
            let told = said.contains("run this command on a manager: 127.");
            Ok(told.then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn the_last_manager_cannot_be_demoted() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 1)?;
    let said = cluster.ctl(0, &["node", "demote", "n1"])?.refused(1)?;
    assert!(said.contains("last manager"), "{said}");
    assert_eq!(cluster.row(0, 0)?.manager_status, "Leader");
    Ok(())
}

#[test]
fn a_node_that_left_is_removed_and_joins_again() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 1)?;
    cluster.stop(1)?;
    cluster.swarmd(1, &["leave"])?.ok()?;
    cluster.wait("the node to be down", SOON, |cluster| {
        Ok((cluster.row(0, 1)?.status == "Down").then_some(()))
    })?;
    let gone = cluster.row(0, 1)?.id;
    cluster.ctl_ok(0, &["node", "rm", &gone])?;

    let (token, seed) = (cluster.token(0, Role::Worker)?, cluster.node(0).endpoint());
    cluster.start(1, &["join", "--token", &token, &seed])?;
    cluster.ready(1)?;
    let again = cluster.row(0, 1)?.id;
    assert_ne!(again, gone);
    assert_eq!(cluster.list_nodes(0)?.len(), 2);
    Ok(())
}
