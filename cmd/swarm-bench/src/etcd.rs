//! etcd as the yardstick of writes: three members on loopback, measured by etcd's own tool.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Serialize;

use crate::cluster::until;

/// Members.
const MEMBERS: usize = 3;

/// What etcd's tool measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: String,
    pub(crate) writes_per_sec: f64,
    /// The tool's own lines.
    said: Vec<String>,
}

/// Members that are killed when this is dropped.
struct Members(Vec<Child>);

impl Drop for Members {
    fn drop(&mut self) {
        for member in &mut self.0 {
            drop(member.kill());
            drop(member.wait());
        }
    }
}

/// Runs `etcdctl check perf --load=xl`, which takes a minute, against the leader of three members.
///
/// # Errors
/// If etcd is not installed or does not start.
pub(crate) async fn check_perf() -> anyhow::Result<Report> {
    let dir = tempfile::Builder::new()
        .prefix("swarm-etcd-")
        .tempdir_in("/tmp")?;
    let ports = free_ports(2 * MEMBERS)?;
    let (clients, peers) = ports.split_at(MEMBERS);
    let urls: Vec<_> = peers
        .iter()
        .map(|port| format!("http://127.0.0.1:{port}"))
        .collect();
    let named = urls
        .iter()
        .enumerate()
        .map(|(n, url)| format!("m{n}={url}"));
    let all = named.collect::<Vec<_>>().join(",");
    let mut members = Members(Vec::new());
    for n in 0..MEMBERS {
        members
            .0
            .push(start(n, dir.path(), clients[n], &urls[n], &all)?);
    }
    let endpoints: Vec<_> = clients
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let limit = Duration::from_secs(20);
    let leader = until("a leader of etcd", limit, async || leader_of(&endpoints)).await?;
    let said = etcdctl(&["--endpoints", &leader, "check", "perf", "--load=xl"])?;
    let lines: Vec<_> = said
        .lines()
        .filter(|l| l.contains("PASS") || l.contains("FAIL"))
        .collect();
    let rate = lines
        .iter()
        .find_map(|line| rate(line))
        .with_context(|| said.clone())?;
    Ok(Report {
        version: version()?,
        writes_per_sec: rate,
        said: lines.into_iter().map(str::to_owned).collect(),
    })
}

fn start(n: usize, dir: &Path, client: u16, peer: &str, all: &str) -> anyhow::Result<Child> {
    let client = format!("http://127.0.0.1:{client}");
    let log = std::fs::File::create(dir.join(format!("m{n}.log")))?;
    Command::new("etcd")
        .args(["--name", &format!("m{n}"), "--data-dir"])
        .arg(dir.join(format!("m{n}")))
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
        ])
        .args(["--initial-cluster", all, "--initial-cluster-state", "new"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("start etcd (Debian: etcd-server and etcd-client)")
}

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let bound = (0..count).map(|_| TcpListener::bind("127.0.0.1:0"));
    let listeners = bound.collect::<Result<Vec<_>, _>>()?;
    listeners
        .iter()
        .map(|l| Ok(l.local_addr()?.port()))
        .collect()
}

/// The endpoint whose member leads.
fn leader_of(endpoints: &[String]) -> anyhow::Result<Option<String>> {
    for endpoint in endpoints {
        let text = etcdctl(&["--endpoints", endpoint, "endpoint", "status", "-w", "json"])?;
        let status: serde_json::Value = serde_json::from_str(&text)?;
        let status = &status[0]["Status"];
        if status["leader"].is_u64() && status["leader"] == status["header"]["member_id"] {
            return Ok(Some(endpoint.clone()));
        }
    }
    Ok(None)
}

/// The figure in "PASS: Throughput is 5040 writes/s" or "FAIL: Throughput too low: 5040 writes/s".
fn rate(line: &str) -> Option<f64> {
    let words = line
        .split_whitespace()
        .filter(|_| line.contains("Throughput"));
    words.filter_map(|word| word.parse().ok()).next()
}

fn version() -> anyhow::Result<String> {
    let text = etcdctl(&["version"])?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("etcdctl version: "));
    Ok(version.context("read the version of etcdctl")?.to_owned())
}

/// What `etcdctl` writes to standard output; its exit code is 1 also when a check is not passed.
fn etcdctl(args: &[&str]) -> anyhow::Result<String> {
    let done = Command::new("timeout")
        .args(["180", "etcdctl"])
        .args(args)
        .env("ETCDCTL_API", "3")
        .output()
        .context("run etcdctl")?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&done.stderr);
    if said.is_empty() {
        bail!("etcdctl {args:?} said nothing: {complaint}");
    }
    ensure!(done.status.code() != Some(124), "etcdctl {args:?} hung");
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_a_pass_and_from_a_failure() {
        assert_eq!(rate("PASS: Throughput is 14872 writes/s"), Some(14_872.0));
        assert_eq!(
            rate("FAIL: Throughput too low: 5040 writes/s"),
            Some(5_040.0)
        );
        assert_eq!(rate("PASS: Slowest request took 0.3 s"), None);
    }
}
