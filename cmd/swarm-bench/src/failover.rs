//! `swarm-bench failover`: the leader is killed again and again under steady writes.
//!
//! With `--power-cut` every node is a host of its own on this machine, with its own network link,
//! and the leader's host loses power: the link falls silent and no connection is closed. That is
//! the harder case, for nobody is told.
//!
//! Each manager gets a write every few milliseconds whether the one before was answered or not,
//! as many independent clients would send them. Every write has a name of its own, so that at the
//! end each acknowledged one can be looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use integration::{Cluster, Node};
use serde::Serialize;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use wire::api::{self, control_client::ControlClient};

use crate::cluster::until;
use crate::figures;
use crate::{Format, cluster};

/// Managers; all of them run tasks too.
const MANAGERS: usize = 3;

/// Tasks of the service whose life is watched.
const TASKS: u64 = 12;

/// Time between two writes through one manager.
const WRITE_PERIOD: Duration = Duration::from_millis(20);

/// A write that is not answered by then is given up; it may still be done.
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest wait for anything in a round; far above every promise, so that misses are measured.
const ROUND_TIME_MAX: Duration = Duration::from_secs(60);

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often the leader is killed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Cut the power of the leader's host instead of killing its process. Needs root, network
    /// namespaces and cgroups of version 1
    #[arg(long)]
    power_cut: bool,
}

/// One death of a leader.
#[derive(Debug, Clone, Copy, Serialize)]
struct Round {
    /// Until a write that was sent after the death was acknowledged.
    write_secs: f64,
    /// Until the tasks of the dead node ran elsewhere.
    moved_secs: f64,
    /// How many those were.
    moved_tasks: usize,
    /// Until the node served again, from its restart.
    back_secs: f64,
    /// Tasks of other nodes that did not live on; must be 0.
    disturbed_tasks: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    power_cut: bool,
    rounds: Vec<Round>,
    write_secs_median: f64,
    write_secs_max: f64,
    moved_secs_median: f64,
    moved_secs_max: f64,
    acknowledged: usize,
    /// Acknowledged writes that are not there at the end; must be 0.
    lost: usize,
    disturbed_tasks: usize,
}

/// A write that was acknowledged.
#[derive(Debug, Clone)]
struct Acknowledged {
    name: String,
    sent: Instant,
    answered: Instant,
}

type Journal = Arc<Mutex<Vec<Acknowledged>>>;

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// If the cluster does not recover from a death, or lost a write, or disturbed a task.
pub(crate) async fn run(args: &Args, format: Format) -> anyhow::Result<()> {
    let mut ground = match args.power_cut {
        true => cluster::on_hosts(MANAGERS)?,
        false => cluster::with_executor("sim")?,
    };
    ground.form(MANAGERS, 0)?;
    let mut client = cluster::control(ground.node(0)).await?;
    let spec = cluster::sleepers("watched", "pretended", TASKS);
    let service = cluster::create(&mut client, spec).await?;
    until("the tasks to run", ROUND_TIME_MAX, async || {
        Ok((cluster::running(&mut client, &service).await? == TASKS).then_some(()))
    })
    .await?;
    let journal = Journal::default();
    let mut writers = JoinSet::new();
    for node in ground.nodes() {
        let client = cluster::control(node).await?;
        writers.spawn(write(client, node.name.clone(), journal.clone()));
    }
    let mut rounds = Vec::new();
    for n in 0..args.rounds {
        let round = round(&mut ground, &service, &journal).await;
        let round = round.with_context(|| format!("round {}", n + 1))?;
        eprintln!("round {:>2}: {round:?}", n + 1);
        rounds.push(round);
    }
    writers.shutdown().await;
    let mut report = report(rounds, &ground, &journal).await?;
    report.power_cut = args.power_cut;
    figures::print(&report, format, print_table)?;
    ensure!(
        report.lost == 0,
        "{} acknowledged writes were lost",
        report.lost
    );
    ensure!(
        report.disturbed_tasks == 0,
        "{} tasks were disturbed",
        report.disturbed_tasks
    );
    Ok(())
}

/// Sends a write every now and then, until the task is aborted.
async fn write(client: ControlClient<Channel>, writer: String, journal: Journal) {
    let mut ticks = tokio::time::interval(WRITE_PERIOD);
    let mut in_flight = JoinSet::new();
    for number in 0_u64.. {
        ticks.tick().await;
        while in_flight.try_join_next().is_some() {}
        let name = format!("{writer}-{number}");
        in_flight.spawn(write_one(client.clone(), name, journal.clone()));
    }
}

async fn write_one(mut client: ControlClient<Channel>, name: String, journal: Journal) {
    let annotations = api::Annotations {
        name: name.clone(),
        ..Default::default()
    };
    let spec = api::ConfigSpec {
        annotations: Some(annotations),
        data: vec![7; 256].into(),
        ..Default::default()
    };
    let sent = Instant::now();
    let request = client.create_config(api::CreateConfigRequest { spec: Some(spec) });
    if let Ok(Ok(_)) = tokio::time::timeout(WRITE_TIME_MAX, request).await {
        let done = Acknowledged {
            name,
            sent,
            answered: Instant::now(),
        };
        lock(&journal).push(done);
    }
}

/// The journal is only ever appended to, so a writer that panicked left it whole.
fn lock(journal: &Journal) -> std::sync::MutexGuard<'_, Vec<Acknowledged>> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn round(ground: &mut Cluster, service: &str, journal: &Journal) -> anyhow::Result<Round> {
    let dead = until("a leader that all agree on", ROUND_TIME_MAX, async || {
        let leader = cluster::leader(ground, 0).await?;
        let agree = cluster::leader(ground, 1).await? == leader;
        Ok((agree && cluster::leader(ground, 2).await? == leader).then_some(leader))
    })
    .await?;
    let witness = (dead + 1) % MANAGERS;
    let before = tasks(ground.node(witness), service).await?;
    let dead_id = node_id(ground, dead).await?;
    let killed = Instant::now();
    ground.cut_power(dead)?;
    // What was sent before may have been answered by the dying leader.
    let is_dead = Instant::now();

    let written = until("a write after the death", ROUND_TIME_MAX, async || {
        let after = |a: &&Acknowledged| a.sent > is_dead;
        let answers = lock(journal)
            .iter()
            .rev()
            .take(1_000)
            .filter(after)
            .map(|a| a.answered)
            .min();
        Ok(answers)
    })
    .await?;
    let moved = until(
        "the dead node's tasks to run elsewhere",
        ROUND_TIME_MAX,
        async || {
            let now = tasks(ground.node(witness), service).await?;
            let elsewhere = now.values().filter(|node| **node != dead_id).count() as u64;
            Ok((elsewhere == TASKS).then_some((killed.elapsed(), now)))
        },
    )
    .await?;
    let (moved_after, now) = moved;
    let lives_on = |(id, node): &(&String, &String)| **node == dead_id || now.contains_key(*id);
    let disturbed = before.iter().filter(|pair| !lives_on(pair)).count();

    let restart = Instant::now();
    ground.power_on(dead)?;
    Ok(Round {
        write_secs: (written - killed).as_secs_f64(),
        moved_secs: moved_after.as_secs_f64(),
        moved_tasks: before.values().filter(|node| **node == dead_id).count(),
        back_secs: restart.elapsed().as_secs_f64(),
        disturbed_tasks: disturbed,
    })
}

async fn node_id(ground: &Cluster, node: usize) -> anyhow::Result<String> {
    let status = cluster::status(ground.node((node + 1) % MANAGERS)).await?;
    let name = &ground.node(node).name;
    let member = status.members.into_iter().find(|m| m.hostname == *name);
    Ok(member.context("find the leader among the members")?.node_id)
}

/// The running tasks that should run, with their nodes.
async fn tasks(via: &Node, service: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let filters = api::list_tasks_request::Filters {
        service_ids: vec![service.to_owned()],
        desired_states: vec![api::TaskState::Running.into()],
        ..Default::default()
    };
    let request = api::ListTasksRequest {
        filters: Some(filters),
    };
    let mut client = cluster::control(via).await?;
    let listed = client.list_tasks(request).await?.into_inner().tasks;
    let runs = |task: &api::Task| {
        task.status
            .as_ref()
            .is_some_and(|status| status.state() == api::TaskState::Running)
    };
    Ok(listed
        .into_iter()
        .filter(runs)
        .map(|task| (task.id, task.node_id))
        .collect())
}

async fn report(rounds: Vec<Round>, ground: &Cluster, journal: &Journal) -> anyhow::Result<Report> {
    let acknowledged: BTreeSet<_> = lock(journal).iter().map(|a| a.name.clone()).collect();
    let stored = until("the list of all writes", ROUND_TIME_MAX, async || {
        let mut client = cluster::control(ground.node(0)).await?;
        let listed = client
            .list_configs(api::ListConfigsRequest::default())
            .await?
            .into_inner();
        let names = listed
            .configs
            .into_iter()
            .filter_map(|c| Some(c.spec?.annotations?.name));
        Ok(Some(names.collect::<BTreeSet<_>>()))
    })
    .await?;
    let writes = spread(rounds.iter().map(|r| r.write_secs));
    // A leader without tasks has none to move: it had just come back.
    let moving = rounds.iter().filter(|r| r.moved_tasks > 0);
    let moves = spread(moving.map(|r| r.moved_secs));
    Ok(Report {
        power_cut: false,
        write_secs_median: writes.0,
        write_secs_max: writes.1,
        moved_secs_median: moves.0,
        moved_secs_max: moves.1,
        acknowledged: acknowledged.len(),
        lost: acknowledged.difference(&stored).count(),
        disturbed_tasks: rounds.iter().map(|r| r.disturbed_tasks).sum(),
        rounds,
    })
}

/// Median and longest.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |n: usize| values.get(n).copied().unwrap_or_default();
    (at(values.len() / 2), at(values.len().saturating_sub(1)))
}

fn print_table(r: &Report) {
    let death = match r.power_cut {
        true => "the power of the leader's host cut",
        false => "the leader killed",
    };
    println!("{MANAGERS} managers, {death} {} times", r.rounds.len());
    println!(
        "next acknowledged write  {:>7.2} s median, {:.2} s longest",
        r.write_secs_median, r.write_secs_max
    );
    println!(
        "tasks run elsewhere      {:>7.2} s median, {:.2} s longest",
        r.moved_secs_median, r.moved_secs_max
    );
    println!(
        "acknowledged writes      {:>7}, {} of them lost",
        r.acknowledged, r.lost
    );
    println!("other tasks disturbed    {:>7}", r.disturbed_tasks);
}
