//! Managers that cannot reach each other.

use std::time::Duration;

use crate::support::{SOON, cluster, sleepers, wait_true};

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_learns_what_it_missed() -> anyhow::Result<()> {
    let Some(cluster) = cluster(3, 0)? else {
        return Ok(());
    };
    sleepers(&cluster, 0, "before", 3)?;
    let cut = cluster.leader(0)?;
    let witness = (cut + 1) % 3;
    cluster.rig()?.isolate(cut + 1)?;
    cluster.wait("another leader", Duration::from_secs(6), |cluster| {
        Ok((cluster.leader(witness)? != cut).then_some(()))
    })?;
    // It must not take a write that nobody else would ever see.
    let alone = [
        "service",
        "create",
        "--detach",
        "--name=alone",
        "busybox",
        "sleep",
        "900",
    ];
    let said = cluster.ctl(cut, &alone)?.refused(1)?;
    eprintln!("{said}");
    let after = sleepers(&cluster, witness, "after", 2)?;
    let away = &cluster.node(cut).name;
    assert!(after.iter().all(|task| task.node != *away), "{after:?}");

    cluster.rig()?.heal()?;
    cluster.wait("the cut-off manager to follow", SOON, |cluster| {
        let row = cluster.row(witness, cut)?;
        let names: Vec<_> = cluster
            .list_services(cut)?
            .into_iter()
            .map(|s| s.name)
            .collect();
        let follows = row.status == "Ready" && row.manager_status == "Reachable";
        Ok((follows && names == ["after", "before"]).then_some(()))
    })?;
    assert_eq!(cluster.leader(cut)?, cluster.leader(witness)?);
    for service in ["before", "after"] {
        let count = if service == "before" { 3 } else { 2 };
        let tasks = cluster.wait_running(cut, service, count, SOON)?;
        wait_true(&cluster, service, &tasks)?;
    }
    Ok(())
}
