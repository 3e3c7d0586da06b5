//! The mode of a service and its counts.

use wire::api::service_spec::Mode;
use wire::api::{GlobalJob, GlobalService, ReplicatedJob, ReplicatedService};

use super::args::SpecArgs;
use crate::error::{CliError, Result};

/// Names of the modes, as `--mode` takes them.
pub const NAMES: [&str; 4] = ["replicated", "global", "replicated-job", "global-job"];

/// The mode of a new service.
///
/// # Errors
/// If a count is given that the mode does not have.
pub fn create(name: &str, args: &SpecArgs) -> Result<Mode> {
    let mut mode = match name {
        "global" => Mode::Global(GlobalService {}),
        "global-job" => Mode::GlobalJob(GlobalJob {}),
        "replicated-job" => {
            let total_completions = args.replicas.unwrap_or(1);
            Mode::ReplicatedJob(ReplicatedJob {
                total_completions,
                max_concurrent: total_completions,
            })
        }
        _ => Mode::Replicated(ReplicatedService { replicas: 1 }),
    };
    update(&mut mode, args)?;
    Ok(mode)
}

/// Changes the counts of a mode.
///
/// # Errors
/// If a count is given that the mode does not have.
pub fn update(mode: &mut Mode, args: &SpecArgs) -> Result<()> {
    if let Some(replicas) = args.replicas {
        scale(mode, replicas)?;
    }
    if let Some(concurrent) = args.max_concurrent {
        let Mode::ReplicatedJob(job) = mode else {
            let why = "only replicated jobs run a number of tasks at a time";
            return Err(CliError::flag(
                "max-concurrent",
                &concurrent.to_string(),
                why,
            ));
        };
        job.max_concurrent = concurrent;
    }
    Ok(())
}

/// Sets the number of tasks.
///
/// # Errors
/// If the mode has none.
pub fn scale(mode: &mut Mode, replicas: u64) -> Result<()> {
    match mode {
        Mode::Replicated(service) => service.replicas = replicas,
        Mode::ReplicatedJob(job) => job.total_completions = replicas,
        Mode::Global(_) | Mode::GlobalJob(_) => {
            let why = "a global service has one task on every node that fits";
            return Err(CliError::flag("replicas", &replicas.to_string(), why));
        }
    }
    Ok(())
}

/// Name of a mode as users write it.
pub fn name(mode: Option<&Mode>) -> &'static str {
    match mode {
        Some(Mode::Global(_)) => "global",
        Some(Mode::ReplicatedJob(_)) => "replicated-job",
        Some(Mode::GlobalJob(_)) => "global-job",
        Some(Mode::Replicated(_)) | None => "replicated",
    }
}

/// Whether tasks run to an end.
pub fn is_job(mode: Option<&Mode>) -> bool {
    matches!(mode, Some(Mode::ReplicatedJob(_) | Mode::GlobalJob(_)))
}
