//! What nodes do whose clocks are wrong, or become wrong.

use std::time::Duration;

use integration::{Cluster, Faketime, Role};

use crate::support::{SOON, processes, sleepers};

/// The library, or `None` where there is none, which only a machine of a developer may lack.
fn faketime() -> anyhow::Result<Option<Faketime>> {
    let found = Faketime::find();
    if found.is_none() {
        let lacking = "needs the Debian package faketime";
        anyhow::ensure!(std::env::var_os("CI").is_none(), lacking);
        eprintln!("skipped: {lacking}");
    }
    Ok(found)
}

/// That a sentence names two times and what to do.
fn names_both_times(said: &str) -> anyhow::Result<()> {
    let last = said.lines().last().unwrap_or_default();
    eprintln!("{last}");
    anyhow::ensure!(
        last.starts_with("swarmd: the clock of this machine says ")
            && last.matches(" UTC").count() == 2
            && last.contains("NTP"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_node_whose_clock_is_hours_off_is_refused_before_it_is_in_the_cluster() -> anyhow::Result<()> {
    let Some(clock) = faketime()? else {
        return Ok(());
    };
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    let seed = cluster.node(0).endpoint();
    let joiner = cluster.add(&[]);
    for (role, by) in [(Role::Worker, "+5h"), (Role::Manager, "-5h")] {
        let token = cluster.token(0, role)?;
        clock.set(&mut cluster, joiner, by)?;
        let line = ["join", "--token", &token, &seed];
        names_both_times(&cluster.swarmd(joiner, &line)?.refused(1)?)?;
        assert_eq!(cluster.list_nodes(0)?.len(), 1, "it was left behind");
    }
    // With the clock set, the same command works. Minutes do not matter.
    clock.set(&mut cluster, joiner, "+10m")?;
    let token = cluster.token(0, Role::Manager)?;
    cluster.start(joiner, &["join", "--token", &token, &seed])?;
    cluster.ready(joiner)?;
    cluster.wait_voters(0, 2)
}

#[test]
fn a_manager_does_not_start_again_with_a_clock_that_the_others_contradict() -> anyhow::Result<()> {
    let Some(clock) = faketime()? else {
        return Ok(());
    };
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(3, 0)?;
    cluster.stop(2)?;
    clock.set(&mut cluster, 2, "+7h")?;
    names_both_times(&cluster.swarmd(2, &["run"])?.refused(1)?)?;
    clock.set(&mut cluster, 2, "+0")?;
    cluster.resume(2)?;
    cluster.wait_voters(0, 3)
}

/// Makes a service whose tasks end at once, and returns when it has restarted some.
fn restarts(cluster: &Cluster, via: usize, name: &str) -> anyhow::Result<()> {
    let line = [
        "service",
        "create",
        "--detach",
        "--quiet",
        "--name",
        name,
        "--restart-delay=500ms",
        "busybox",
        "true",
    ];
    cluster.ctl_ok(via, &line)?;
    cluster.wait("tasks to be restarted", SOON, |cluster| {
        Ok((cluster.list_tasks(via, name)?.len() >= 4).then_some(()))
    })?;
    cluster.ctl_ok(via, &["service", "rm", name]).map(drop)
}

#[test]
fn a_leader_whose_clock_is_turned_goes_on_and_so_does_the_next_one() -> anyhow::Result<()> {
    let Some(clock) = faketime()? else {
        return Ok(());
    };
    let mut cluster = Cluster::loopback("process")?;
    let first = cluster.add(&[]);
    clock.set(&mut cluster, first, "+0")?;
    cluster.start(first, &["init"])?;
    cluster.ready(first)?;
    for _ in 0..2 {
        cluster.join(first, Role::Manager, &[])?;
    }
    cluster.wait_voters(first, 3)?;
    assert_eq!(cluster.leader(first)?, first);
    sleepers(&cluster, first, "steady", 3)?;
    let before = processes(&cluster, "steady");

    for by in ["+5h", "-5h"] {
        cluster.turn_clock(first, by)?;
        cluster.wait(
            "the node to say that its clock was turned",
            SOON,
            |cluster| {
                let log = cluster.node(first).log_tail(40);
                Ok(log
                    .contains("the clock of this machine was turned")
                    .then_some(()))
            },
        )?;
        restarts(&cluster, first, "hasty")?;
        let nodes = cluster.list_nodes(first)?;
        assert!(nodes.iter().all(|n| n.status == "Ready"), "{by}: {nodes:?}");
        assert_eq!(cluster.leader(first)?, first, "{by}");
    }
    // The next leader has the right time, hours away from that of the one before.
    cluster.kill(first)?;
    cluster.wait("another leader", Duration::from_secs(6), |cluster| {
        Ok((cluster.leader(1)? != first).then_some(()))
    })?;
    restarts(&cluster, 1, "hastier")?;
    let now = processes(&cluster, "steady");
    assert!(
        before
            .iter()
            .all(|task| task.node == "n1" || now.contains(task))
    );
    Ok(())
}

#[test]
fn a_node_that_was_away_beyond_its_certificates_end_says_so_and_what_to_do() -> anyhow::Result<()> {
    let Some(clock) = faketime()? else {
        return Ok(());
    };
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 1)?;
    cluster.stop(1)?;
    clock.set(&mut cluster, 1, "+100d")?;
    let said = cluster.swarmd(1, &["run"])?.refused(1)?;
    let last = said.lines().last().unwrap_or_default();
    eprintln!("{last}");
    for part in ["expired at", "clock says", "swarmd leave", "join` again"] {
        assert!(last.contains(part), "{part:?} is not in {last:?}");
    }
    clock.set(&mut cluster, 1, "-3d")?;
    let said = cluster.swarmd(1, &["run"])?.refused(1)?;
    let last = said.lines().last().unwrap_or_default();
    eprintln!("{last}");
    assert!(
        last.contains("is valid from") && last.contains("NTP"),
        "{last}"
    );
    // What it says works, once the clock is right again or it joins anew.
    clock.set(&mut cluster, 1, "+0")?;
    cluster.swarmd(1, &["leave"])?.ok()?;
    let (token, seed) = (cluster.token(0, Role::Worker)?, cluster.node(0).endpoint());
    cluster.start(1, &["join", "--token", &token, &seed])?;
    cluster.ready(1).map(drop)
}
