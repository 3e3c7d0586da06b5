//! Waits until services are as they were asked to be, and shows how far they are.

mod drive;
pub mod removed;
mod state;
mod view;

use std::time::Duration;

pub use drive::converge;

use crate::parse::scalar;

/// Flags of every command that waits.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Waiting")]
pub struct WaitArgs {
    /// Do not wait
    #[arg(short, long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[arg(
        default_value = "false",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub detach: bool,
    /// Stop waiting after this long, with exit code 3 (default: wait on)
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    pub timeout: Option<Duration>,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// A service to wait for.
#[derive(Debug, Clone)]
pub struct Target {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Version of the service after the change; older news do not count.
    pub version: u64,
    /// Its tasks run to an end.
    pub job: bool,
}

impl Target {
    /// The service as the cluster returned it.
    pub fn of(service: &wire::api::Service) -> Self {
        use crate::resolve::Named;
        let version = service.meta.as_ref().and_then(|m| m.version);
        Self {
            id: service.id.clone(),
            name: service.name().to_owned(),
            version: version.map_or(0, |v| v.index),
            job: service
                .spec
                .as_ref()
                .is_some_and(|s| crate::spec::mode::is_job(s.mode.as_ref())),
        }
    }
}
