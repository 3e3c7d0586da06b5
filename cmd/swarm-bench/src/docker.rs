//! `swarm-bench docker`: containers of a service against the engine's own pace.
//!
//! The floor is what the same engine takes to create and start as many containers through its API
//! with nothing around it. Nothing that starts containers through that API can be faster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    StartContainerOptions,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::cluster::until;
use crate::figures;
use crate::{Format, cluster};

/// Starts in flight at the floor; more gain nothing on the machines that were measured.
const IN_FLIGHT: usize = 8;

/// Name of the service.
const SERVICE: &str = "bench-docker";

/// Longest wait for all containers.
const TIME_MAX: Duration = Duration::from_secs(300);

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Containers.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    containers: u16,
    /// An image with a `sleep` that the engine has.
    #[arg(long, default_value = "busybox:latest")]
    image: String,
    /// How often floor and service take turns.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
}

/// One turn of each.
#[derive(Debug, Clone, Copy, Serialize)]
struct Round {
    floor_secs: f64,
    service_secs: f64,
    ratio: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    containers: u16,
    in_flight: usize,
    rounds: Vec<Round>,
    ratio_median: f64,
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// If there is no engine or no image, or containers do not start.
pub(crate) async fn run(args: &Args, format: Format) -> anyhow::Result<()> {
    let engine = Docker::connect_with_local_defaults()?
        .negotiate_version()
        .await?;
    let image = engine.inspect_image(&args.image).await;
    image.with_context(|| format!("find image {}; name one with --image", args.image))?;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        let floor = floor(&engine, args).await?.as_secs_f64();
        let service = service(&engine, args).await?.as_secs_f64();
        rounds.push(Round {
            floor_secs: floor,
            service_secs: service,
            ratio: service / floor,
        });
    }
    let mut ratios: Vec<_> = rounds.iter().map(|round| round.ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let report = Report {
        containers: args.containers,
        in_flight: IN_FLIGHT,
        ratio_median: ratios[ratios.len() / 2],
        rounds,
    };
    figures::print(&report, format, print_table)
}

/// Time of plain create and start calls.
async fn floor(engine: &Docker, args: &Args) -> anyhow::Result<Duration> {
    let ids = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    let start = Instant::now();
    let started = stream::iter(0..args.containers)
        .map(|_| start_one(engine, &args.image, ids.clone()))
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<Vec<_>>()
        .await;
    let took = start.elapsed();
    // Removed also when some did not start.
    let ids = ids.lock().await.clone();
    remove(engine, ids).await?;
    started?;
    Ok(took)
}

async fn start_one(
    engine: &Docker,
    image: &str,
    ids: Arc<tokio::sync::Mutex<Vec<String>>>,
) -> anyhow::Result<()> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec!["sleep".into(), "100000".into()]),
        stop_signal: Some("SIGKILL".into()),
        host_config: Some(HostConfig::default()),
        ..Default::default()
    };
    let made = engine
        .create_container(None::<CreateContainerOptions>, body)
        .await?;
    ids.lock().await.push(made.id.clone());
    engine
        .start_container(&made.id, None::<StartContainerOptions>)
        .await?;
    Ok(())
}

async fn remove(engine: &Docker, ids: Vec<String>) -> anyhow::Result<()> {
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    stream::iter(ids)
        .map(|id| {
            let options = options.clone();
            async move { engine.remove_container(&id, Some(options)).await }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<Vec<_>>()
        .await
        .context("remove containers")?;
    Ok(())
}

/// Time from the call that makes a service until all its containers run.
async fn service(engine: &Docker, args: &Args) -> anyhow::Result<Duration> {
    let mut ground = cluster::with_executor("docker")?;
    ground.form(1, 0)?;
    let mut client = cluster::control(ground.node(0)).await?;
    let count = u64::from(args.containers);
    let start = Instant::now();
    let id = cluster::create(&mut client, cluster::sleepers(SERVICE, &args.image, count)).await?;
    let all = until("all containers to run", TIME_MAX, async || {
        Ok((cluster::running(&mut client, &id).await? == count).then_some(start.elapsed()))
    })
    .await;
    // The engine, not the cluster, says what runs; and what is left is removed in any case.
    let found = of_service(engine).await?;
    let logs = ground.node(0).log_tail(20);
    drop(ground);
    remove(engine, of_service(engine).await?).await?;
    let took = all.with_context(|| logs)?;
    ensure!(
        found.len() == usize::from(args.containers),
        "{} containers run",
        found.len()
    );
    Ok(took)
}

async fn of_service(engine: &Docker) -> anyhow::Result<Vec<String>> {
    let label = format!("com.docker.swarm.service.name={SERVICE}");
    let filters = [("label", vec![label])].into();
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let listed = engine.list_containers(Some(options)).await?;
    Ok(listed
        .into_iter()
        .filter_map(|container| container.id)
        .collect())
}

fn print_table(r: &Report) {
    println!("{} containers on one engine", r.containers);
    for round in &r.rounds {
        println!(
            "floor {:>7.2} s ({} at a time)   service {:>7.2} s   ratio {:.3}",
            round.floor_secs, r.in_flight, round.service_secs, round.ratio
        );
    }
    println!("ratio        {:>10.3} (median)", r.ratio_median);
}
