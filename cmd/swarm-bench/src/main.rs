//! `swarm-bench`: measures the parts of a cluster and the whole of it.

mod scheduler;

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
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.benchmark {
        Benchmark::Scheduler(args) => scheduler::run(&args, cli.format),
    }
}
