//! `swarmd dev`: the first thing that a new user runs.

use std::process::{Command, Stdio};
use std::time::Duration;

use integration::{Binaries, wait_for};

#[test]
fn the_throw_away_cluster_converges_and_ends_with_its_result() -> anyhow::Result<()> {
    let mut dev = Command::new(Binaries::built()?.swarmd())
        .args([
            "dev",
            "--managers=1",
            "--workers=1",
            "--exit",
            "--timeout=60",
        ])
        .stdin(Stdio::null())
        .spawn()?;
    let limit = Duration::from_secs(90);
    let status = wait_for("swarmd dev --exit to end", limit, || Ok(dev.try_wait()?));
    if status.is_err() {
        dev.kill()?;
    }
    assert!(status?.success());
    Ok(())
}
