//! A short torment of each kind with every change: 3 minutes where `CI` is set, one otherwise.
//! `TORTURE_SEED=n` chooses other faults than those of the day's first seed.

use std::time::Duration;

use integration::{Binaries, Rig};
use torture::{Ground, Options};

/// Seed where none is given. Every run does the same faults, at moments of its own.
const SEED: u64 = 1;

fn options(ground: Ground) -> Options {
    let given = std::env::var("TORTURE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(SEED);
    let secs = match std::env::var_os("CI") {
        Some(_) => 75,
        None => 20,
    };
    Options {
        seed,
        ground,
        faults: Duration::from_secs(secs),
    }
}

#[test]
fn tormented_clusters_do_what_they_promise() -> anyhow::Result<()> {
    let report = torture::run(&options(Ground::Loopback), Binaries::built()?)?;
    eprintln!("{report}");
    match Rig::missing() {
        None => {
            let report = torture::run(&options(Ground::Hosts), Binaries::built()?)?;
            eprintln!("{report}");
            Ok(())
        }
        Some(why) if std::env::var_os("CI").is_some() => {
            anyhow::bail!("no hosts on this machine: {why}")
        }
        Some(why) => {
            eprintln!("skipped: hosts on this machine: {why}");
            Ok(())
        }
    }
}
