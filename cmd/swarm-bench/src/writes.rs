//! `swarm-bench writes`: durable writes per second.
//!
//! Every client writes one config after the other over its own mTLS connection to the leader, with
//! a manager's certificate, and waits for each acknowledgement: the config is then durable on a
//! majority of the managers. Names are random, contents too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use integration::Cluster;
use serde::Serialize;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use wire::api::{self, control_client::ControlClient};

use crate::figures::{self, Times};
use crate::{Format, cluster, etcd};

/// Time before measuring: connections are made, caches and threads are warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Managers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    managers: u8,
    /// Clients, each with one write in flight.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: u16,
    /// Connections that the clients share; by default each has its own.
    #[arg(long)]
    connections: Option<u16>,
    /// Bytes of a write, at most 500 KiB.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=512_000))]
    size: u32,
    /// Seconds of measuring.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Measure this beside it, in the same run on the same disk.
    #[arg(long, value_enum)]
    peer: Option<Peer>,
}

/// What is measured beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// Three members of etcd without TLS, by its own `etcdctl check perf`.
    Etcd,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    managers: u8,
    clients: u16,
    connections: u16,
    size_bytes: u32,
    seconds: f64,
    writes: u64,
    failed: u64,
    writes_per_sec: f64,
    #[serde(flatten)]
    times: Times,
    leader_rss_mib: f64,
    /// Log entries that the writes took: fewer than writes if they were grouped.
    log_entries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    etcd: Option<etcd::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times_etcd: Option<f64>,
}

/// What all clients share.
struct Shared {
    size: usize,
    measuring: AtomicBool,
    ended: AtomicBool,
    next: AtomicU64,
    failed: AtomicU64,
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// If the cluster does not form or a client loses its connection.
pub(crate) async fn run(args: &Args, format: Format) -> anyhow::Result<()> {
    let mut report = measure(args).await?;
    if args.peer == Some(Peer::Etcd) {
        let etcd = etcd::check_perf().await?;
        report.times_etcd = Some(report.writes_per_sec / etcd.writes_per_sec);
        report.etcd = Some(etcd);
    }
    figures::print(&report, format, print_table)
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let mut ground = cluster::with_executor("sim")?;
    ground.form_with(args.managers.into(), 0, &["--availability", "drain"])?;
    let leader = cluster::leader(&ground, 0).await?;
    let connections = args
        .connections
        .unwrap_or(args.clients)
        .clamp(1, args.clients);
    let channels = connect(&ground, leader, connections).await?;
    let shared = Arc::new(Shared {
        size: args.size as usize,
        measuring: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        next: AtomicU64::new(0),
        failed: AtomicU64::new(0),
    });
    let mut clients = JoinSet::new();
    for client in 0..args.clients {
        let channel = channels[usize::from(client) % channels.len()].clone();
        clients.spawn(write(ControlClient::new(channel), shared.clone()));
    }
    tokio::time::sleep(WARM_UP).await;
    let before = cluster::status(ground.node(leader)).await?.commit_index;
    let start = Instant::now();
    shared.measuring.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(args.seconds.into())).await;
    shared.measuring.store(false, Ordering::Relaxed);
    let took = start.elapsed();
    let after = cluster::status(ground.node(leader)).await?.commit_index;
    shared.ended.store(true, Ordering::Relaxed);
    let leader_rss = integration::resident_bytes(ground.pid(leader)?)?;
    let times: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    ensure!(!times.is_empty(), "no write was acknowledged");
    Ok(Report {
        managers: args.managers,
        clients: args.clients,
        connections,
        size_bytes: args.size,
        seconds: took.as_secs_f64(),
        writes: times.len() as u64,
        failed: shared.failed.load(Ordering::Relaxed),
        writes_per_sec: times.len() as f64 / took.as_secs_f64(),
        times: Times::of(times),
        leader_rss_mib: leader_rss as f64 / f64::from(1 << 20),
        log_entries: after.saturating_sub(before),
        etcd: None,
        times_etcd: None,
    })
}

/// Channels to the leader that show its own certificate.
async fn connect(ground: &Cluster, leader: usize, count: u16) -> anyhow::Result<Vec<Channel>> {
    let node = ground.node(leader);
    let dialer = node.dialer()?;
    let mut channels = Vec::new();
    for _ in 0..count {
        let channel = dialer.connect(&node.endpoint()).await;
        channels.push(channel.context("connect to the leader")?);
    }
    Ok(channels)
}

/// Writes until the end; times of what was acknowledged while measuring.
async fn write(mut client: ControlClient<Channel>, shared: Arc<Shared>) -> Vec<Duration> {
    let mut times = Vec::new();
    while !shared.ended.load(Ordering::Relaxed) {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let request = config(number, shared.size);
        let start = Instant::now();
        let done = client.create_config(request).await;
        let took = start.elapsed();
        if !shared.measuring.load(Ordering::Relaxed) {
            continue;
        }
        match done {
            Ok(_) => times.push(took),
            Err(status) => {
                if shared.failed.fetch_add(1, Ordering::Relaxed) == 0 {
                    eprintln!("a write failed: {status}");
                }
            }
        }
    }
    times
}

/// A config that does not compress and whose name is far from that of the one before it.
fn config(number: u64, size: usize) -> api::CreateConfigRequest {
    let mut word = number;
    let mut mix = || {
        word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = word;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let name = format!("{:016x}-{number}", mix());
    let mut data: Vec<u8> = Vec::with_capacity(size + 8);
    while data.len() < size {
        data.extend(mix().to_le_bytes());
    }
    data.truncate(size);
    let annotations = api::Annotations {
        name,
        ..Default::default()
    };
    let spec = api::ConfigSpec {
        annotations: Some(annotations),
        data: data.into(),
        ..Default::default()
    };
    api::CreateConfigRequest { spec: Some(spec) }
}

fn print_table(r: &Report) {
    println!(
        "{} managers, {} clients on {} mTLS connections, {} bytes, {:.1} s",
        r.managers, r.clients, r.connections, r.size_bytes, r.seconds
    );
    println!(
        "writes       {:>10.0} /s   ({} acknowledged, {} failed)",
        r.writes_per_sec, r.writes, r.failed
    );
    println!(
        "latency      {:>10.2} ms  median, {:.2} ms p99, {:.2} ms longest",
        r.times.p50_ms, r.times.p99_ms, r.times.max_ms
    );
    println!("log entries  {:>10}", r.log_entries);
    println!("leader       {:>10.0} MiB resident", r.leader_rss_mib);
    if let (Some(etcd), Some(times)) = (&r.etcd, r.times_etcd) {
        println!(
            "etcd {}  {:>10.0} /s   (etcdctl check perf --load=xl, no TLS)",
            etcd.version, etcd.writes_per_sec
        );
        println!("ratio        {times:>10.2}");
    }
}
