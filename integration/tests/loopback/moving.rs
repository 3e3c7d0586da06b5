//! Managers that come back at another address.

use std::collections::BTreeSet;
use std::time::Duration;

use integration::{Cluster, Role};

use crate::support::{SOON, sleepers};

/// Gives a node, which does not run, another address of its network.
fn readdress(cluster: &mut Cluster, node: usize) {
    let node = cluster.node_mut(node);
    let (network, host) = node.address.rsplit_once('.').expect("an IPv4 address");
    let host: u8 = host.parse().expect("a number");
    node.address = format!("{network}.{}", host + 100);
}

/// Stops a node and starts it again at another address.
fn move_away(cluster: &mut Cluster, node: usize) -> anyhow::Result<()> {
    cluster.stop(node)?;
    readdress(cluster, node);
    cluster.resume(node)
}

/// The addresses of managers, as this one shows them.
fn named(cluster: &Cluster, via: usize) -> anyhow::Result<BTreeSet<String>> {
    let said = cluster.ctl_ok(via, &["cluster", "status"])?;
    let is_address = |word: &&str| word.starts_with("127.") && word.ends_with(":2377");
    let words = said.split_whitespace().filter(is_address);
    Ok(words.map(str::to_owned).collect())
}

/// Waits until these managers name the addresses that all of them have by now.
fn wait_named(cluster: &Cluster, managers: &[usize], all: usize) -> anyhow::Result<()> {
    let there: BTreeSet<_> = (0..all).map(|node| cluster.node(node).endpoint()).collect();
    for &via in managers {
        let what = format!("{} to name the new addresses", cluster.node(via).name);
        cluster.wait(&what, SOON, |cluster| {
            Ok((named(cluster, via)? == there).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn a_manager_that_comes_back_at_another_address_is_found_there() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 1)?;
    let leader = cluster.leader(0)?;
    let (moved, other) = ((leader + 1) % 3, (leader + 2) % 3);
    move_away(&mut cluster, moved)?;
    wait_named(&cluster, &[0, 1, 2], 3)?;
    let (name, endpoint) = (
        cluster.node(moved).name.clone(),
        cluster.node(moved).endpoint(),
    );
    let shown = cluster.ctl_ok(other, &["node", "inspect", &name])?;
    assert!(shown.contains(&endpoint), "{shown}");
    assert_eq!(cluster.row(other, moved)?.manager_status, "Reachable");

    // With the third one away nothing is written without the one that moved.
    cluster.kill(other)?;
    sleepers(&cluster, moved, "after", 2)?;
    cluster.resume(other)?;
    wait_named(&cluster, &[0, 1, 2], 3)
}

#[test]
fn all_managers_move_one_after_another_and_agents_follow() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 1)?;
    sleepers(&cluster, 0, "steady", 3)?;
    let before = cluster.wait_running(0, "steady", 3, SOON)?;
    // The leader is the hardest case; it goes last, wherever it is by then.
    let mut left = vec![0, 1, 2];
    while let Some(&some) = left.first() {
        let leader = cluster.leader(some)?;
        let follower = left.iter().copied().find(|&m| m != leader);
        let next = follower.unwrap_or(some);
        move_away(&mut cluster, next)?;
        wait_named(&cluster, &[0, 1, 2], 3)?;
        left.retain(|&m| m != next);
    }
    // Nobody is where the worker first found the cluster.
    cluster.stop(3)?;
    cluster.resume(3)?;
    let leader = cluster.leader(0)?;
    cluster.kill(leader)?;
    let via = (leader + 1) % 3;
    cluster.wait("another manager to lead", SOON, |cluster| {
        Ok(cluster.leader(via).ok().filter(|&m| m != leader))
    })?;
    sleepers(&cluster, via, "after", 1)?;
    cluster.resume(leader)?;
    cluster.wait_voters(via, 3)?;
    cluster.join(via, Role::Worker, &[])?;
    let after = cluster.wait_running(via, "steady", 3, SOON)?;
    assert_eq!(before.len(), after.len());
    Ok(())
}

#[test]
fn two_of_three_managers_that_move_at_once_find_the_third_and_are_found() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(3, 0)?;
    for node in [1, 2] {
        cluster.kill(node)?;
        readdress(&mut cluster, node);
    }
    for node in [1, 2] {
        cluster.start(node, &["run"])?;
    }
    // One of the two may lead where the other does not know it to be: that one hears of it by the
    // third, through which its agent finds the leader.
    for node in [1, 2] {
        let what = format!("{} to be ready", cluster.node(node).name);
        cluster.wait(&what, Duration::from_secs(90), |cluster| {
            let said = cluster.node(node).said();
            Ok(said.contains("node ready").then_some(()))
        })?;
    }
    wait_named(&cluster, &[0, 1, 2], 3)
}
