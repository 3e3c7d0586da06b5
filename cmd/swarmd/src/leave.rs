//! `leave`: a stopped machine ends its tasks and forgets its cluster.

use std::process::ExitCode;

use anyhow::Context;

use crate::cli::LeaveArgs;
use crate::{executors, exit};

/// Ends the tasks, forgets the cluster and says what was left.
pub fn leave(args: &LeaveArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let left = runtime.block_on(async {
        // An executor may keep files in the directory; a mistyped one is not made for it.
        let executor = match args.state_dir.exists() {
            true => executors::of_stopped(&args.state_dir, args.docker_host.as_deref()).await,
            false => Err(anyhow::anyhow!("there is no such directory")),
        };
        let executor = executor.map_err(|error| format!("{error:#}"));
        node::leave(&args.state_dir, args.force, executor).await
    })?;
    println!("left cluster {}", left.cluster);
    match (left.tasks_removed, &left.tasks_left) {
        (_, Some(why)) => println!("its tasks may run on: {why}"),
        (0, None) => {}
        (1, None) => println!("1 task was stopped and removed"),
        (n, None) => println!("{n} tasks were stopped and removed"),
    }
    if let Some(path) = left.log_set_aside {
        println!("the replicated log was set aside in {path}");
    }
    println!("a manager still lists this node; remove it there with `swarmctl node rm`");
    Ok(exit::DONE)
}
