//! Services of sleeping containers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use integration::{Cluster, TaskRow, rig_or_skip};

/// Enough for some container starts on a busy machine; times that are promised have own limits.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// An image that every engine of a rig has.
pub(crate) const IMAGE: &str = "busybox:latest";

/// A cluster on as many hosts, or `None` where there can be none.
pub(crate) fn cluster(managers: usize, workers: usize) -> anyhow::Result<Option<Cluster>> {
    let Some(mut cluster) = prepared(managers + workers)? else {
        return Ok(None);
    };
    cluster.form(managers, workers)?;
    Ok(Some(cluster))
}

/// Hosts without nodes.
pub(crate) fn prepared(hosts: usize) -> anyhow::Result<Option<Cluster>> {
    rig_or_skip(hosts)?.map(Cluster::on_rig).transpose()
}

/// Makes a service of containers that sleep and end at once when asked, and waits for it.
pub(crate) fn sleepers(
    cluster: &Cluster,
    via: usize,
    name: &str,
    replicas: usize,
) -> anyhow::Result<Vec<TaskRow>> {
    let count = replicas.to_string();
    let line = [
        "service",
        "create",
        "--quiet",
        "--timeout=60s",
        "--name",
        name,
        "--replicas",
        &count,
        "--stop-signal=KILL",
        IMAGE,
        "sleep",
        "900",
    ];
    cluster.ctl_ok(via, &line)?;
    cluster.wait_running(via, name, replicas, SOON)
}

/// How many containers of a service run on each host, by its node's name.
fn containers(cluster: &Cluster, service: &str) -> anyhow::Result<BTreeMap<String, usize>> {
    let rig = cluster.rig()?;
    let mut found = BTreeMap::new();
    for (index, node) in cluster.nodes().iter().enumerate() {
        let count = rig.containers(index + 1, service)?.len();
        if count > 0 {
            found.insert(node.name.clone(), count);
        }
    }
    Ok(found)
}

/// Waits until the engines run exactly the containers that the cluster speaks of.
pub(crate) fn wait_true(cluster: &Cluster, service: &str, tasks: &[TaskRow]) -> anyhow::Result<()> {
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    for task in tasks {
        *listed.entry(task.node.clone()).or_default() += 1;
    }
    cluster.wait(
        "the containers to be those that are listed",
        SOON,
        |cluster| {
            let found = containers(cluster, service)?;
            ensure!(found == listed, "{found:?} instead of {listed:?}");
            Ok(Some(()))
        },
    )
}

/// How many tasks run on a node.
pub(crate) fn count_on(tasks: &[TaskRow], node: &str) -> usize {
    tasks.iter().filter(|task| task.node == node).count()
}
