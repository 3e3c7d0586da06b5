//! `swarm-bench`: measures the parts of a cluster and the whole of it.
//!
//! Everything but `scheduler`, `orchestrator` and `leader-start` runs real `swarmd` processes of
//! the directory where `swarm-bench` is, on loopback, in bounded time, and leaves nothing behind.

mod cluster;
mod converge;
mod docker;
mod etcd;
mod failover;
mod figures;
mod scheduler;
mod stages;
mod writes;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures a cluster.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(subcommand)]
    benchmark: Benchmark,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people.
    Table,
    /// One JSON object.
    Json,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Places tasks on nodes: the scheduler and the tables alone, without a log.
    Scheduler(scheduler::Args),
    /// Lets tasks of one huge service die one by one: what each costs the orchestrator.
    Orchestrator(stages::OrchestratorArgs),
    /// Starts the stages of a new leader and lets each look at everything once.
    LeaderStart(stages::LeaderArgs),
    /// Writes small objects through mTLS, each acknowledged once it is durable on a majority.
    Writes(writes::Args),
    /// Creates services and waits until all their tasks run, with pretended containers.
    Converge(converge::Args),
    /// Kills the leader again and again under steady writes.
    Failover(failover::Args),
    /// Starts containers through a service, and through the engine's API alone.
    Docker(docker::Args),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match cli.benchmark {
        Benchmark::Scheduler(args) => scheduler::run(&args, cli.format),
        Benchmark::Orchestrator(args) => stages::orchestrator(&args, cli.format),
        Benchmark::LeaderStart(args) => stages::leader_start(&args, cli.format),
        Benchmark::Writes(args) => runtime.block_on(Box::pin(writes::run(&args, cli.format))),
        Benchmark::Converge(args) => runtime.block_on(Box::pin(converge::run(&args, cli.format))),
        Benchmark::Failover(args) => runtime.block_on(Box::pin(failover::run(&args, cli.format))),
        Benchmark::Docker(args) => runtime.block_on(Box::pin(docker::run(&args, cli.format))),
    }
}
