//! `leave`: a stopped machine forgets its cluster.

use std::process::ExitCode;

use crate::cli::LeaveArgs;
use crate::exit;

/// Forgets the cluster and says what was left.
pub fn leave(args: &LeaveArgs) -> anyhow::Result<ExitCode> {
    let left = node::leave(&args.state_dir, args.force)?;
    println!("left cluster {}", left.cluster);
    if let Some(path) = left.log_set_aside {
        println!("the replicated log was set aside in {path}");
    }
    println!("a manager still lists this node; remove it there with `swarmctl node rm`");
    Ok(exit::DONE)
}
