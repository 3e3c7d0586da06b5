//! `swarm-bench converge`: from `service create` until all tasks run.
//!
//! Managers and agents are processes of their own; the agents' containers are pretended, so that
//! what is measured is the cluster's own work. Managers take no tasks.

use std::time::{Duration, Instant};

use integration::{Cluster, resident_bytes};
use serde::Serialize;
use tonic::transport::Channel;
use wire::api::control_client::ControlClient;

use crate::figures;
use crate::{Format, cluster};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Managers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    managers: u8,
    /// Agents that run the tasks.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=200))]
    agents: u8,
    /// Tasks of each service, one service after the other, such as 10000,10000.
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    tasks: Vec<u64>,
    /// Longest time for one service, in seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
}

/// One service.
#[derive(Debug, Serialize)]
struct Step {
    tasks: u64,
    /// Until the call returned.
    created_secs: f64,
    /// Until all tasks ran.
    running_secs: f64,
    tasks_per_sec: f64,
    /// CPU time of all managers and agents.
    cpu_secs: f64,
    leader_rss_mib: f64,
    log_entries: u64,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    managers: u8,
    agents: u8,
    steps: Vec<Step>,
    idle_leader_rss_mib: f64,
    idle_agent_rss_mib: f64,
    /// What the leader's memory grew by, for each task of all steps.
    leader_bytes_per_task: f64,
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// If the cluster does not form, or a service does not converge in time.
pub(crate) async fn run(args: &Args, format: Format) -> anyhow::Result<()> {
    let mut ground = cluster::with_executor("sim")?;
    let (managers, agents) = (usize::from(args.managers), usize::from(args.agents));
    ground.form_with(managers, agents, &["--availability", "drain"])?;
    let leader = cluster::leader(&ground, 0).await?;
    let idle = resident_bytes(ground.pid(leader)?)?;
    let idle_agent = resident_bytes(ground.pid(managers)?)?;
    let mut client = cluster::control(ground.node(leader)).await?;
    let mut steps = Vec::new();
    for (n, tasks) in args.tasks.iter().enumerate() {
        let limit = Duration::from_secs(args.timeout);
        let name = format!("converge-{n}");
        steps.push(step(&ground, &mut client, leader, &name, *tasks, limit).await?);
    }
    let grown = resident_bytes(ground.pid(leader)?)?.saturating_sub(idle);
    let report = Report {
        managers: args.managers,
        agents: args.agents,
        steps,
        idle_leader_rss_mib: mib(idle),
        idle_agent_rss_mib: mib(idle_agent),
        leader_bytes_per_task: grown as f64 / args.tasks.iter().sum::<u64>().max(1) as f64,
    };
    figures::print(&report, format, print_table)
}

async fn step(
    ground: &Cluster,
    client: &mut ControlClient<Channel>,
    leader: usize,
    name: &str,
    tasks: u64,
    limit: Duration,
) -> anyhow::Result<Step> {
    let entries = cluster::status(ground.node(leader)).await?.commit_index;
    let cpu = cpu_secs(ground)?;
    let start = Instant::now();
    let service = cluster::create(client, cluster::sleepers(name, "pretended", tasks)).await?;
    let created = start.elapsed();
    let what = format!("{tasks} running tasks of {name}");
    let all = cluster::until(&what, limit, async || {
        Ok((cluster::running(client, &service).await? == tasks).then_some(()))
    });
    all.await
        .map_err(|late| anyhow::anyhow!("{late}\n{}", ground.node(leader).log_tail(20)))?;
    let running = start.elapsed();
    Ok(Step {
        tasks,
        created_secs: created.as_secs_f64(),
        running_secs: running.as_secs_f64(),
        tasks_per_sec: tasks as f64 / running.as_secs_f64(),
        cpu_secs: cpu_secs(ground)? - cpu,
        leader_rss_mib: mib(resident_bytes(ground.pid(leader)?)?),
        log_entries: cluster::status(ground.node(leader)).await?.commit_index - entries,
    })
}

/// CPU time of all nodes so far.
fn cpu_secs(ground: &Cluster) -> anyhow::Result<f64> {
    let pids = (0..ground.nodes().len()).map(|node| ground.pid(node));
    pids.map(|pid| integration::cpu_secs(pid?)).sum()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn print_table(r: &Report) {
    println!("{} managers, {} agents", r.managers, r.agents);
    println!(
        "idle         {:>10.1} MiB leader, {:.1} MiB agent",
        r.idle_leader_rss_mib, r.idle_agent_rss_mib
    );
    for s in &r.steps {
        println!(
            "{:>7} tasks {:>10.3} s   {:.0} tasks/s, create returned after {:.3} s",
            s.tasks, s.running_secs, s.tasks_per_sec, s.created_secs
        );
        println!(
            "              {:>8.2} s   CPU of all nodes, leader {:.0} MiB, {} log entries",
            s.cpu_secs, s.leader_rss_mib, s.log_entries
        );
    }
    println!(
        "leader       {:>10.0} bytes per task",
        r.leader_bytes_per_task
    );
}
