//! `cargo xtask sim`: runs the cluster simulator, optimised, with the options given.

use std::process::{Command, ExitCode};

/// What a batch is when nobody says otherwise: 139 simulated hours of faults.
const BATCH: [&str; 4] = ["--seeds", "500", "--ticks", "10000"];

/// Builds and runs the simulator.
pub fn run(args: &[String]) -> ExitCode {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--release", "--quiet", "-p", "swarm-sim", "--"]);
    command.args(args);
    if args.is_empty() {
        command.args(BATCH);
    }
    match command.status() {
        Ok(status) => match status.code() {
            Some(0) => ExitCode::SUCCESS,
            Some(2) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        },
        Err(why) => {
            eprintln!("cargo run -p swarm-sim: {why}");
            ExitCode::FAILURE
        }
    }
}
