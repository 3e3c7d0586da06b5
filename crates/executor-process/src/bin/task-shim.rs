//! The shim as a program of its own, for tests and for nodes that want it small. `swarmd` has the
//! same as a hidden subcommand.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(dir) => executor_process::shim::main(Path::new(&dir)),
        None => ExitCode::FAILURE,
    }
}
