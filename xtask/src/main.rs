//! Tasks of the project: `cargo xtask tidy` checks the house rules that the compiler cannot;
//! `cargo xtask callgrind` counts the instructions of hot paths; `cargo xtask sim` runs whole
//! clusters in simulated time; `cargo xtask torture` torments real ones.

mod callgrind;
mod rings;
mod sim;
mod source;
mod tidy;
mod torture;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("tidy") => tidy::run(),
        Some("callgrind") => callgrind::run(),
        Some("sim") => sim::run(&args[1..]),
        Some("torture") => torture::run(&args[1..]),
        _ => {
            eprintln!(
                "usage: cargo xtask tidy | callgrind | sim [--seeds N] [--seed S] [--show] \
                 [--until SECS] [--bug NAME] [--keep-going] | torture [--minutes N] [--seed S] \
                 [--ground loopback|hosts] [--faults-secs N]"
            );
            ExitCode::from(2)
        }
    }
}
