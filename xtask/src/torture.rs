//! `cargo xtask torture`: builds the programs and torments clusters of them.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// What is built: the programs under test and the one that torments them.
const PACKAGES: [&str; 6] = ["-p", "swarmd", "-p", "swarmctl", "-p", "torture"];

/// Builds and runs.
pub fn run(args: &[String]) -> ExitCode {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet"])
        .args(PACKAGES)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        eprintln!("building swarmd, swarmctl and torture failed");
        return ExitCode::FAILURE;
    }
    let program = target_dir().join("torture");
    match Command::new(&program).args(args).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("run {}: {why}", program.display());
            ExitCode::FAILURE
        }
    }
}

/// Where this program is, and therefore the others with its profile.
fn target_dir() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().map(PathBuf::from).unwrap_or_default()
}
