//! `init`, `join` and `run`: one node in the foreground.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use node::{Node, NodeConfig, Ready, Start};
use tokio::signal::unix::{SignalKind, signal};
use types::node::Availability;

use crate::cli::{AvailabilityArg, Common, NodeArgs};
use crate::executors::Chosen;
use crate::{detach, executors, exit, logging};

/// Everything must have ended by then; SIGTERM promises ten seconds.
const STOP_MAX: Duration = Duration::from_secs(9);

/// Runs a node until it is told to stop or cannot go on.
pub fn node(common: Common, args: NodeArgs, start: Start) -> anyhow::Result<ExitCode> {
    if common.detach && !detach::is_child() {
        return detach::detach(&args.state_dir);
    }
    logging::start(&common)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let code = runtime.block_on(serve(args, start));
    // What still runs (a blocked call of an engine, say) must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

fn config(args: NodeArgs, start: Start, chosen: Chosen) -> NodeConfig {
    NodeConfig {
        state_dir: args.state_dir,
        listen_addr: args.listen_addr,
        advertise_addr: args.advertise_addr,
        control_socket: args.control_socket,
        executor: chosen.executor,
        runner: chosen.runner,
        hostname: args.hostname,
        labels: args.labels.into_iter().collect(),
        availability: match args.availability {
            AvailabilityArg::Active => Availability::Active,
            AvailabilityArg::Pause => Availability::Pause,
            AvailabilityArg::Drain => Availability::Drain,
        },
        start,
        metrics_addr: args.metrics_addr,
    }
}

async fn serve(args: NodeArgs, start: Start) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let chosen = executors::choose(&args, &start).await?;
    let mut node = Node::start(config(args, start, chosen)).await?;
    let told = tokio::select! {
        ready = node.ready() => {
            announce(&ready?);
            false
        }
        _ = terminate.recv() => true,
        _ = interrupt.recv() => true,
    };
    if !told {
        tokio::select! {
            ended = node.ended() => {
                ended?;
                return Ok(exit::DONE);
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    tracing::info!("stopping; tasks keep running");
    match tokio::time::timeout(STOP_MAX, node.stop()).await {
        Ok(stopped) => stopped?,
        Err(_) => tracing::warn!("not everything ended in time"),
    }
    Ok(exit::DONE)
}

/// Tells whoever started the node that it serves. They may have gone, which changes nothing.
fn announce(ready: &Ready) {
    let _unread = write_ready(&mut std::io::stdout(), ready);
}

fn write_ready(out: &mut impl Write, ready: &Ready) -> std::io::Result<()> {
    let addr = &ready.advertise_addr;
    if let Some((worker, manager)) = &ready.join_tokens {
        writeln!(out, "to add a worker:  swarmd join --token {worker} {addr}")?;
        writeln!(
            out,
            "to add a manager: swarmd join --token {manager} {addr}"
        )?;
    }
    let Ready {
        node_id,
        cluster_id,
        role,
        ..
    } = ready;
    let role = role.name();
    writeln!(
        out,
        "node ready id={node_id} role={role} cluster={cluster_id} addr={addr}"
    )?;
    out.flush()
}
