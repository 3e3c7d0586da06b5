//! `cargo xtask sim`: runs seeds of the cluster simulator in release, with the options given.

use std::process::{Command, ExitCode};

/// Seeds when none are asked for: some hundred simulated hours, in a few minutes.
const SEEDS: &str = "500";

/// Builds and runs the simulator.
pub fn run(args: &[String]) -> ExitCode {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--release", "--quiet", "-p", "sim", "--"]);
    command.args(args);
    if args.is_empty() {
        command.args(["--seeds", SEEDS]);
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("cargo run -p sim: {why}");
            ExitCode::FAILURE
        }
    }
}
