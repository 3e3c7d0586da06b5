//! After the faults: the cluster must converge, hold what it acknowledged, and its clients must
//! have seen one object that does one thing at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use integration::TaskProcess;
use invariants::{as_desired, history_is_bounded};
use store::State;
use tokio::time::timeout;
use types::TaskState;

use crate::scene::Scene;
use crate::stage::Stage;

/// After the last fault every node is ready and knows the same leader by then.
const TOGETHER_TIME_MAX: Duration = Duration::from_secs(90);
/// Everything runs as desired by then: waiting times for tasks of lost nodes are part of it.
const CONVERGED_TIME_MAX: Duration = Duration::from_secs(180);
/// One question for all tables takes no longer.
const ASK_TIME_MAX: Duration = Duration::from_secs(10);

/// Waits until all nodes are ready and all managers name the same leader.
pub(crate) fn wait_together(stage: &Stage) -> anyhow::Result<()> {
    let managers = stage.reach.managers;
    let all = managers + stage.reach.workers;
    stage
        .cluster
        .wait("all nodes to be together", TOGETHER_TIME_MAX, |cluster| {
            let leaders: BTreeSet<_> = (0..managers).map(|m| stage.leader_by(m)).collect();
            ensure!(
                leaders.len() == 1 && !leaders.contains(&None),
                "leaders: {leaders:?}"
            );
            for manager in 0..managers {
                let nodes = cluster.list_nodes(manager)?;
                let ready = nodes.iter().filter(|n| n.status == "Ready").count();
                ensure!(ready == all, "ready: {ready} of {all}");
            }
            Ok(Some(()))
        })
}

/// Waits until every service is as desired, on paper and as processes.
pub(crate) fn wait_converged(stage: &Stage, scene: &Scene) -> anyhow::Result<State> {
    stage.cluster.wait(
        "everything to be as desired",
        CONVERGED_TIME_MAX,
        |cluster| {
            let state = state(stage, scene, 0)?;
            as_desired(&state)?;
            history_is_bounded(&state)?;
            truthful(&state, &cluster.task_processes(&stage.mark()))?;
            Ok(Some(state))
        },
    )
}

/// The tables as a manager tells them.
fn state(stage: &Stage, scene: &Scene, via: usize) -> anyhow::Result<State> {
    let asked = async {
        let caller = scene.doors.open(via).await;
        caller.context("nobody answers")?.tables().await
    };
    let asked = stage
        .runtime()
        .block_on(async { timeout(ASK_TIME_MAX, asked).await });
    asked.context("no answer in time")?
}

/// The processes are the tasks that run, each once.
fn truthful(state: &State, processes: &[TaskProcess]) -> anyhow::Result<()> {
    let running = state
        .tasks()
        .iter()
        .filter(|t| t.status.state == TaskState::Running);
    let listed: BTreeSet<String> = running.map(|t| t.id.to_string()).collect();
    let found: Vec<String> = processes
        .iter()
        .filter_map(|p| p.variable("TASK"))
        .collect();
    let seen: BTreeSet<String> = found.iter().cloned().collect();
    ensure!(
        seen.len() == found.len(),
        "a task has two processes: {processes:?}"
    );
    ensure!(
        seen == listed,
        "processes without running tasks {:?}, running tasks without processes {:?}",
        seen.difference(&listed).collect::<Vec<_>>(),
        listed.difference(&seen).collect::<Vec<_>>()
    );
    Ok(())
}

/// Tasks with more than one process; there must be none at any time.
pub(crate) fn doubled(processes: &[TaskProcess]) -> Vec<String> {
    let mut by_task: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for process in processes {
        if let Some(task) = process.variable("TASK") {
            by_task.entry(task).or_default().push(process.pid);
        }
    }
    let twice = by_task.into_iter().filter(|(_, pids)| pids.len() > 1);
    twice
        .map(|(task, pids)| format!("task {task} has processes {pids:?}"))
        .collect()
}

/// Reads everything through every manager.
pub(crate) fn read_all(stage: &Stage, scene: &Scene) -> anyhow::Result<()> {
    (0..stage.reach.managers).try_for_each(|via| {
        let read = scene.read_all(via);
        stage
            .runtime()
            .block_on(async { timeout(CONVERGED_TIME_MAX, read).await })
            .context("no answer in time")?
    })
}
