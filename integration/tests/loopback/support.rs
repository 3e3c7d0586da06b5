//! Services whose tasks are sleeping processes, and what is true of those processes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use integration::{Cluster, TaskProcess, TaskRow};

/// Enough for a few process starts on a busy machine; times that are promised have own limits.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Value of `MARK` of a service's tasks, unlike that of any other cluster.
pub(crate) fn mark(cluster: &Cluster, service: &str) -> String {
    format!("{}:{service}", cluster.dir().display())
}

/// Makes a service of sleeping processes and waits until it has converged.
pub(crate) fn sleepers(
    cluster: &Cluster,
    via: usize,
    name: &str,
    replicas: usize,
) -> anyhow::Result<()> {
    let mark = format!("MARK={}", mark(cluster, name));
    let replicas = replicas.to_string();
    // The sleep ends by itself should a test be killed before it can clean up.
    let line = [
        "service",
        "create",
        "--quiet",
        "--timeout",
        "30s",
        "--name",
        name,
        "--replicas",
        &replicas,
        "--env",
        &mark,
        "--env",
        "SLOT={{.Task.Slot}}",
        "--env",
        "NODE={{.Node.Hostname}}",
        "busybox",
        "sleep",
        "900",
    ];
    cluster.ctl_ok(via, &line).map(drop)
}

/// The processes that are a service's tasks.
pub(crate) fn processes(cluster: &Cluster, service: &str) -> Vec<TaskProcess> {
    cluster.task_processes(&mark(cluster, service))
}

/// That no slot runs twice.
pub(crate) fn none_doubled(processes: &[TaskProcess]) -> anyhow::Result<()> {
    let slots: BTreeSet<_> = processes.iter().map(|p| &p.slot).collect();
    ensure!(
        slots.len() == processes.len(),
        "a slot runs twice: {processes:?}"
    );
    Ok(())
}

/// Waits until the processes are those that the cluster speaks of: every slot once, on the nodes
/// that the list says.
pub(crate) fn wait_true(cluster: &Cluster, service: &str, tasks: &[TaskRow]) -> anyhow::Result<()> {
    let listed: BTreeSet<_> = tasks.iter().map(|t| (slot(t), t.node.clone())).collect();
    cluster.wait(
        "the processes to be those that are listed",
        SOON,
        |cluster| {
            let found = processes(cluster, service);
            let seen: BTreeSet<_> = found
                .iter()
                .map(|p| (p.slot.clone(), p.node.clone()))
                .collect();
            ensure!(
                seen == listed && found.len() == tasks.len(),
                "{found:?} instead of {listed:?}"
            );
            Ok(Some(()))
        },
    )
}

fn slot(task: &TaskRow) -> String {
    task.name.rsplit('.').next().unwrap_or_default().to_owned()
}

/// How many tasks run on a node.
pub(crate) fn count_on(tasks: &[TaskRow], node: &str) -> usize {
    tasks.iter().filter(|task| task.node == node).count()
}

/// Ids in order, to compare two lists.
pub(crate) fn ids(tasks: &[TaskRow]) -> BTreeSet<String> {
    tasks.iter().map(|task| task.id.clone()).collect()
}
