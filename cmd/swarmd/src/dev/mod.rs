//! `dev`: a throw-away cluster on loopback, as child processes, with a demo service.

mod demo;
mod nodes;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::DevArgs;
use crate::exit;
use demo::Outcome;
use nodes::Nodes;

/// Starts the cluster, shows it converge, and takes it down again.
pub fn dev(args: &DevArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime
        .context("cannot start the runtime")?
        .block_on(run(args))
}

async fn run(args: &DevArgs) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut nodes = Nodes::new(args)?;
    let result = tokio::select! {
        result = show(args, &mut nodes) => result,
        _ = tokio::signal::ctrl_c() => Ok(exit::DONE),
        _ = terminate.recv() => Ok(exit::DONE),
    };
    println!("taking the cluster down");
    let removed = tokio::time::timeout(Duration::from_secs(20), demo::remove(&nodes)).await;
    if !matches!(removed, Ok(Ok(()))) {
        println!("the demo service could not be removed in time; its tasks may still run");
    }
    nodes.stop().await?;
    result
}

async fn show(args: &DevArgs, nodes: &mut Nodes) -> anyhow::Result<ExitCode> {
    nodes.start().await?;
    println!("deploying {}: {} replicas", demo::NAME, demo::REPLICAS);
    let outcome = demo::deploy(nodes, args).await?;
    match &outcome {
        Outcome::Converged => println!("{}: {} of {1} running", demo::NAME, demo::REPLICAS),
        Outcome::TimedOut(why) => {
            println!(
                "{} did not converge within {} s: {why}",
                demo::NAME,
                args.timeout
            );
        }
    }
    if args.exit {
        let converged = matches!(outcome, Outcome::Converged);
        return Ok(if converged {
            exit::DONE
        } else {
            exit::not_converged()
        });
    }
    println!();
    println!("type next, in another terminal:");
    println!("  export SWARM_SOCKET={}", nodes.control_socket().display());
    println!("  swarmctl node ls");
    println!("  swarmctl service ps {}", demo::NAME);
    println!("  swarmctl service scale {}=20", demo::NAME);
    println!("  swarmctl service logs {}", demo::NAME);
    println!("end with Ctrl-C");
    nodes.watch().await
}
