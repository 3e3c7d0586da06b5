//! Choosing the executor.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use executor::Executor;
use executor_docker::{DockerConfig, DockerExecutor, EngineAddress, PatientDocker};
use executor_process::{ProcessConfig, ProcessExecutor};
use executor_sim::{SimConfig, SimExecutor};
use node::{Memory, Runner, Start};

use crate::cli::{ExecutorKind, NodeArgs};

/// The hidden subcommand under which a task of the process executor runs.
const SHIM: &str = "task-shim";

/// The directory of the task whose shim this process is, if it is one.
pub fn shim_dir() -> Option<PathBuf> {
    let args: Vec<OsString> = std::env::args_os().collect();
    match &args[..] {
        [_, command, dir] if command == SHIM => Some(PathBuf::from(dir)),
        _ => None,
    }
}

/// What runs a node's tasks, and what it is called.
pub struct Chosen {
    pub executor: Arc<dyn Executor>,
    pub runner: Runner,
}

/// The executor that the arguments ask for; with `auto`, the one from before, or else what there is
/// on this machine. A node that goes on with Docker waits for it: its tasks are there.
pub async fn choose(args: &NodeArgs, start: &Start) -> anyhow::Result<Chosen> {
    let before = match start {
        Start::Run { .. } => Memory::runner_of(&args.state_dir),
        Start::Init | Start::Join { .. } => None,
    };
    let host = args.docker_host.clone();
    let host = host.or_else(|| before.as_ref()?.docker_host.clone());
    let host = host.as_deref();
    let executor: Arc<dyn Executor> = match kind(args, before.as_ref()) {
        ExecutorKind::Docker => match start {
            Start::Run { .. } => Arc::new(PatientDocker::new(docker(host)?)),
            _ => Arc::new(DockerExecutor::connect(docker(host)?).await?),
        },
        ExecutorKind::Process => Arc::new(process(&args.state_dir)?),
        ExecutorKind::Sim => Arc::new(sim(args)),
        ExecutorKind::Auto => match DockerExecutor::connect(docker(host)?).await {
            Ok(docker) => Arc::new(docker),
            Err(error) if args.docker_host.is_some() => return Err(error.into()),
            Err(error) => {
                tracing::warn!("{error}; tasks run as processes, now and after a restart");
                Arc::new(process(&args.state_dir)?)
            }
        },
    };
    if let Some(before) = before.filter(|before| before.executor != executor.name()) {
        let (before, now) = (before.executor, executor.name());
        tracing::warn!(
            "this node ran its tasks by {before} and goes on with {now}: what runs by {before} is \
             not stopped"
        );
    }
    let runner = Runner {
        executor: executor.name().to_owned(),
        docker_host: host.map(str::to_owned),
    };
    Ok(Chosen { executor, runner })
}

/// What `auto` means for a node that was here before.
fn kind(args: &NodeArgs, before: Option<&Runner>) -> ExecutorKind {
    let same = |kind: &ExecutorKind| before.is_some_and(|b| b.executor == kind.name());
    match args.executor {
        ExecutorKind::Auto => {
            let known = [
                ExecutorKind::Docker,
                ExecutorKind::Process,
                ExecutorKind::Sim,
            ];
            known.into_iter().find(same).unwrap_or(ExecutorKind::Auto)
        }
        asked => asked,
    }
}

/// What ran the tasks of a node that is stopped, as far as it answers.
pub async fn of_stopped(state_dir: &Path, host: Option<&str>) -> anyhow::Result<Arc<dyn Executor>> {
    let before = Memory::runner_of(state_dir).unwrap_or_default();
    let host = host.or(before.docker_host.as_deref());
    Ok(match before.executor.as_str() {
        "docker" => Arc::new(DockerExecutor::connect(docker(host)?).await?),
        "sim" => Arc::new(SimExecutor::new(SimConfig::default())),
        _ => Arc::new(process(state_dir)?),
    })
}

fn docker(host: Option<&str>) -> anyhow::Result<DockerConfig> {
    let mut config = DockerConfig::default();
    if let Some(host) = host {
        config.address = host
            .parse::<EngineAddress>()
            .with_context(|| format!("--docker-host {host:?}"))?;
    }
    Ok(config)
}

fn process(state_dir: &Path) -> anyhow::Result<ProcessExecutor> {
    let dir = state_dir.join("worker").join("processes");
    let shown = dir.display().to_string();
    ProcessExecutor::open(ProcessConfig::new(dir))
        .with_context(|| format!("cannot keep tasks as processes in {shown}"))
}

fn sim(args: &NodeArgs) -> SimExecutor {
    let mut config = SimConfig::default();
    if let Some(hostname) = &args.hostname {
        config.hostname.clone_from(hostname);
    }
    SimExecutor::new(config)
}
