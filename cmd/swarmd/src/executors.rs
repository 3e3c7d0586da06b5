//! Choosing the executor.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use executor::Executor;
use executor_docker::{DockerConfig, DockerExecutor, EngineAddress};
use executor_process::{ProcessConfig, ProcessExecutor};
use executor_sim::{SimConfig, SimExecutor};

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

/// The executor that the arguments ask for.
pub async fn choose(args: &NodeArgs) -> anyhow::Result<Arc<dyn Executor>> {
    match args.executor {
        ExecutorKind::Docker => Ok(Arc::new(docker(args).await?)),
        ExecutorKind::Process => Ok(Arc::new(process(args)?)),
        ExecutorKind::Sim => Ok(Arc::new(sim(args))),
        ExecutorKind::Auto => match docker(args).await {
            Ok(docker) => Ok(Arc::new(docker)),
            Err(error) if args.docker_host.is_some() => Err(error),
            Err(error) => {
                tracing::warn!("{error:#}; tasks run as processes");
                Ok(Arc::new(process(args)?))
            }
        },
    }
}

async fn docker(args: &NodeArgs) -> anyhow::Result<DockerExecutor> {
    let mut config = DockerConfig::default();
    if let Some(host) = &args.docker_host {
        config.address = host
            .parse::<EngineAddress>()
            .with_context(|| format!("--docker-host {host:?}"))?;
    }
    Ok(DockerExecutor::connect(config).await?)
}

fn process(args: &NodeArgs) -> anyhow::Result<ProcessExecutor> {
    let dir = args.state_dir.join("worker").join("processes");
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
