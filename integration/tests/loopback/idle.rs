//! A cluster in which nothing happens writes nothing.

use std::time::{Duration, Instant};

use anyhow::Context;
use integration::Cluster;

use crate::support::sleepers;

/// Several heartbeats of every node, and more than the period of any housekeeping.
const QUIET: Duration = Duration::from_secs(12);

/// Enough for what a new cluster still has to write, and for one quiet period after it.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_cluster_in_which_nothing_happens_writes_nothing_to_the_log() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 2)?;
    sleepers(&cluster, 0, "still", 10)?;
    let mut seen = (0, Instant::now());
    cluster.wait("the log to stay as it is", LIMIT, |cluster| {
        let last = last_index(cluster)?;
        if last != seen.0 {
            seen = (last, Instant::now());
        }
        Ok((seen.1.elapsed() >= QUIET).then_some(()))
    })
}

fn last_index(cluster: &Cluster) -> anyhow::Result<u64> {
    let status = cluster.ctl_ok(0, &["cluster", "status", "--format", "json"])?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let index = status["CommitIndex"].as_u64();
    index.with_context(|| format!("no commit index in {status}"))
}
