//! `cargo xtask torture`: runs clusters under faults until the time is up or something is found.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use integration::{Binaries, Rig};
use torture::{Ground, Options};

/// Torments a real cluster and judges what its clients saw.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask torture")]
struct Args {
    /// How long, clusters that come up and converge included.
    #[arg(long, default_value_t = 3)]
    minutes: u64,
    /// First seed; without one, the time of day.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this ground; both in turn otherwise, where hosts can be made.
    #[arg(long)]
    ground: Option<Ground>,
    /// How long the faults of one cluster last, in seconds.
    #[arg(long, default_value_t = 60)]
    faults_secs: u64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(60 * args.minutes);
    let mut seed = args.seed.unwrap_or_else(seed_of_the_day);
    let mut grounds = vec![Ground::Loopback];
    match Rig::missing() {
        None => grounds.push(Ground::Hosts),
        Some(why) => eprintln!("no hosts on this machine, so no cut links: {why}"),
    }
    while Instant::now() < end {
        let ground = args
            .ground
            .unwrap_or(grounds[usize::try_from(seed).unwrap_or(0) % grounds.len()]);
        let options = Options {
            seed,
            ground,
            faults: Duration::from_secs(args.faults_secs),
        };
        let report = torture::run(&options, Binaries::beside_this_program()?)?;
        println!("{report}");
        seed += 1;
    }
    Ok(())
}

fn seed_of_the_day() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |s| s.as_secs())
}
