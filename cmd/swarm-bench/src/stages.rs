//! `swarm-bench orchestrator` and `leader-start`: what one death costs in a huge service, and how
//! long a new leader takes until every stage of its pipeline has looked at everything.
//!
//! The stages run on the tables alone: nothing is logged or sent.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use manager::{pipeline::Stage, stages};
use orchestrator::Orchestrator;
use serde::Serialize;
use store::{Action, Draft, Image, ImageItem, Plan, State, Step};
use types::entropy::SeededEntropy;
use types::{
    Entropy, NodeId, Service, ServiceId, ServiceMode, ServiceSpec, Task, TaskId, TaskState,
    Timestamp,
};

use crate::Format;
use crate::figures::{self, Times};
use crate::scheduler::{cpu_time, node, peak_rss_mib, service, task};

/// When it all happens.
const NOW: Timestamp = Timestamp(1_000_000_000_000_000);

/// Arguments of `orchestrator`.
#[derive(Debug, clap::Args)]
pub struct OrchestratorArgs {
    /// Slots of the service.
    #[arg(long, default_value_t = 100_000)]
    slots: u64,
    /// Tasks that die, one after the other.
    #[arg(long, default_value_t = 200)]
    deaths: u64,
    /// Nodes of the cluster.
    #[arg(long, default_value_t = 1_000)]
    nodes: u64,
}

/// Arguments of `leader-start`.
#[derive(Debug, clap::Args)]
pub struct LeaderArgs {
    /// Tasks of the cluster, all running.
    #[arg(long, default_value_t = 1_000_000)]
    tasks: u64,
    /// Services that they belong to.
    #[arg(long, default_value_t = 1_000)]
    services: u64,
    /// Nodes that they run on.
    #[arg(long, default_value_t = 10_000)]
    nodes: u64,
}

/// What a death costs. Times are wall time, but for the CPU time of all deaths together.
#[derive(Debug, Serialize)]
struct Deaths {
    slots: u64,
    deaths: u64,
    first_look_ms: f64,
    reconcile: Times,
    reconcile_cpu_ms_mean: f64,
    peak_rss_mib: f64,
}

/// What the start of a leader costs.
#[derive(Debug, Serialize)]
struct Start {
    tasks: u64,
    services: u64,
    nodes: u64,
    make_secs: f64,
    first_pass_secs: f64,
    slowest_stage: String,
    slowest_stage_secs: f64,
    ready_secs: f64,
    cpu_secs: f64,
    peak_rss_mib: f64,
}

/// Measures the orchestrator.
///
/// # Errors
/// If a death is not answered by one step.
pub fn orchestrator(args: &OrchestratorArgs, format: Format) -> anyhow::Result<()> {
    let mut state = cluster(1, args.slots, args.nodes)?;
    let mut entropy = SeededEntropy::new(1);
    let began = Instant::now();
    let mut stage = Orchestrator::new(&state, NOW);
    let plan = stage.plan(&state, NOW, &mut entropy);
    let first_look = began.elapsed();
    ensure!(plan.steps.is_empty(), "a settled service needs nothing");
    let mut times = Vec::new();
    let mut cpu = Duration::ZERO;
    let victims: Vec<TaskId> = victims(&state, args.deaths, &mut entropy);
    for victim in victims {
        let death = fail(&state, victim)?;
        let commit = apply(&mut state, vec![death])?;
        let (cpu_before, began) = (cpu_time()?, Instant::now());
        commit.changes.iter().for_each(|c| stage.observe(c));
        let plan = stage.plan(&state, NOW, &mut entropy);
        times.push(began.elapsed());
        cpu += cpu_time()?.saturating_sub(cpu_before);
        ensure!(plan.steps.len() == 1, "a death concerns one slot");
        let commit = apply(&mut state, plan.steps)?;
        commit.changes.iter().for_each(|c| stage.observe(c));
        let rest = stage.plan(&state, NOW, &mut entropy);
        ensure!(rest.steps.is_empty(), "and is dealt with in one step");
    }
    let deaths = times.len() as f64;
    let report = Deaths {
        slots: args.slots,
        deaths: args.deaths,
        first_look_ms: first_look.as_secs_f64() * 1e3,
        reconcile: Times::of(times),
        reconcile_cpu_ms_mean: cpu.as_secs_f64() * 1e3 / deaths,
        peak_rss_mib: peak_rss_mib()?,
    };
    figures::print(&report, format, |r| {
        println!("one service of {} slots, {} deaths", r.slots, r.deaths);
        println!("first look    {:>10.3} ms", r.first_look_ms);
        println!(
            "reconcile     {:>10.4} ms (p50)  {:.4} ms (p99)  {:.4} ms (max)  CPU {:.4} ms (mean)",
            r.reconcile.p50_ms, r.reconcile.p99_ms, r.reconcile.max_ms, r.reconcile_cpu_ms_mean
        );
        println!("peak memory   {:>10.0} MiB", r.peak_rss_mib);
    })
}

/// Measures the start of a leader's pipeline.
///
/// # Errors
/// If the pipeline wants to change a cluster that is settled.
pub fn leader_start(args: &LeaderArgs, format: Format) -> anyhow::Result<()> {
    let per_service = args.tasks / args.services.max(1);
    let state = cluster(args.services, per_service, args.nodes)?;
    let mut entropy = SeededEntropy::new(1);
    let cpu_before = cpu_time()?;
    let began = Instant::now();
    let mut stages = stages::make(&state, NOW);
    let make = began.elapsed();
    let (mut slowest, mut slowest_time) = ("", Duration::ZERO);
    for stage in &mut stages {
        let began = Instant::now();
        let steps = look_at_everything(stage.as_mut(), &state, &mut entropy);
        ensure!(
            steps == 0,
            "{} wants to change a settled cluster",
            stage.name()
        );
        if began.elapsed() > slowest_time {
            (slowest, slowest_time) = (stage.name(), began.elapsed());
        }
    }
    let ready = began.elapsed();
    let report = Start {
        tasks: per_service * args.services,
        services: args.services,
        nodes: args.nodes,
        make_secs: make.as_secs_f64(),
        first_pass_secs: ready.saturating_sub(make).as_secs_f64(),
        slowest_stage: slowest.to_owned(),
        slowest_stage_secs: slowest_time.as_secs_f64(),
        ready_secs: ready.as_secs_f64(),
        cpu_secs: cpu_time()?.saturating_sub(cpu_before).as_secs_f64(),
        peak_rss_mib: peak_rss_mib()?,
    };
    figures::print(&report, format, |r| {
        println!(
            "{} tasks of {} services on {} nodes",
            r.tasks, r.services, r.nodes
        );
        println!("stages made   {:>10.3} s", r.make_secs);
        println!(
            "first pass    {:>10.3} s  slowest: {}, {:.3} s",
            r.first_pass_secs, r.slowest_stage, r.slowest_stage_secs
        );
        println!(
            "ready         {:>10.3} s  of which CPU {:.3} s",
            r.ready_secs, r.cpu_secs
        );
        println!("peak memory   {:>10.0} MiB", r.peak_rss_mib);
    })
}

/// Lets a stage plan until it is done; how many steps it planned.
fn look_at_everything(stage: &mut dyn Stage, state: &State, entropy: &mut dyn Entropy) -> usize {
    let mut steps = 0;
    loop {
        let plan: Plan = stage.plan(state, NOW, entropy);
        steps += plan.steps.len();
        if plan.wake_at.is_none_or(|at| at > NOW) || steps > 0 {
            return steps;
        }
    }
}

fn victims(state: &State, count: u64, entropy: &mut SeededEntropy) -> Vec<TaskId> {
    let ids: Vec<TaskId> = state.tasks().iter().map(|t| t.id).collect();
    let all = ids.len() as u64;
    let mut chosen: Vec<TaskId> = (0..count)
        .filter_map(|_| ids.get(usize::try_from(entropy.below(all)).ok()?).copied())
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

fn fail(state: &State, id: TaskId) -> anyhow::Result<Step> {
    let task = state.tasks().get(id).context("the victim is there")?;
    let mut status = task.status.clone();
    status.state = TaskState::Failed;
    status.timestamp = NOW;
    status.applied_at = NOW;
    Ok(Step::unguarded(Action::Report {
        task: id,
        status: Box::new(status),
    }))
}

fn apply(state: &mut State, steps: Vec<Step>) -> anyhow::Result<store::Commit> {
    let mut draft = Draft::new(state, NOW);
    for step in steps {
        draft.add(step).context("apply a step of the plan")?;
    }
    let (_, commit, next) = draft.finish();
    *state = next;
    Ok(commit)
}

/// Services of so many running tasks each, spread over nodes.
fn cluster(services: u64, slots: u64, nodes: u64) -> anyhow::Result<State> {
    let mut entropy = SeededEntropy::new(7);
    let mut image = Image::new();
    let mut ids = Vec::new();
    for n in 0..nodes.max(1) {
        let id = NodeId::random(&mut entropy);
        ids.push(id);
        image.add(ImageItem::Object(node(id, n, false).into()))?;
    }
    let mut on = ids.iter().cycle();
    for n in 0..services {
        let service = replicated(ServiceId::random(&mut entropy), n, slots);
        image.add(ImageItem::Object(service.clone().into()))?;
        for slot in 0..slots {
            let id = TaskId::random(&mut entropy);
            let task = running(id, slot, &service, on.next().copied());
            image.add(ImageItem::Object(task.into()))?;
        }
    }
    Ok(image.finish(1))
}

fn replicated(id: ServiceId, n: u64, replicas: u64) -> Service {
    let mut service = service(id, n);
    let spec = ServiceSpec::clone(&service.spec);
    service.spec = std::sync::Arc::new(ServiceSpec {
        mode: ServiceMode::Replicated { replicas },
        ..spec
    });
    service
}

fn running(id: TaskId, slot: u64, service: &Service, node: Option<NodeId>) -> Task {
    let mut task = task(id, slot, Some(service), None);
    task.node_id = node;
    task.status.state = TaskState::Running;
    task
}
