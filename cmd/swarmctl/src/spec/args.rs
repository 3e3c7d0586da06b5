//! Flags with one value that `service create` and `service update` share, with Docker's names.

use std::time::Duration;

use clap::Args;

use super::options::OptionArgs;
use crate::parse::scalar;

/// How containers are made.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container")]
pub struct ContainerArgs {
    /// Host name of the containers
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// User, or user and group (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Working directory inside the containers
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Replace the entry point of the image
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// Allocate a terminal
    #[arg(short, long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub tty: Option<bool>,
    /// Run an init inside the containers that forwards signals and reaps processes
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub init: Option<bool>,
    /// Mount the root file system read-only
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub read_only: Option<bool>,
    /// Signal that asks a container to stop
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Time between the stop signal and the kill (default 10s)
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    pub stop_grace_period: Option<Duration>,
    /// Isolation on Windows
    #[arg(long, value_parser = ["default", "process", "hyperv"])]
    pub isolation: Option<String>,
    /// Credential spec for a managed account (config://, file:// or registry://)
    #[arg(long, value_name = "SPEC")]
    pub credential_spec: Option<String>,
    /// Adjust the preference of the kernel for killing the containers (-1000 to 1000)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-1000..=1000))]
    pub oom_score_adj: Option<i64>,
    /// Logging driver
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// Option of the logging driver
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    pub log_opts: Vec<String>,
}

/// Health checks.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Health check")]
pub struct HealthArgs {
    /// Command that checks the health, run by a shell
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// Time between two checks
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    pub health_interval: Option<Duration>,
    /// Longest time for one check
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    pub health_timeout: Option<Duration>,
    /// Failures in a row that make a container unhealthy
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub health_retries: Option<i32>,
    /// Time after the start in which failures do not count
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    pub health_start_period: Option<Duration>,
    /// Time between two checks during the start period
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    pub health_start_interval: Option<Duration>,
    /// Disable the check that the image has
    #[arg(long, conflicts_with_all = ["health_cmd", "health_interval", "health_timeout",
        "health_retries", "health_start_period", "health_start_interval"])]
    pub no_healthcheck: bool,
}

/// Limits and reservations.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Resources and placement")]
pub struct ResourceArgs {
    /// Most processor cores for a container
    #[arg(long, value_name = "CORES", value_parser = scalar::cpus)]
    pub limit_cpu: Option<i64>,
    /// Most memory for a container
    #[arg(long, value_name = "SIZE", value_parser = scalar::size)]
    pub limit_memory: Option<i64>,
    /// Most processes in a container (0 for no limit)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub limit_pids: Option<i64>,
    /// Processor cores set aside on a node
    #[arg(long, value_name = "CORES", value_parser = scalar::cpus)]
    pub reserve_cpu: Option<i64>,
    /// Memory set aside on a node
    #[arg(long, value_name = "SIZE", value_parser = scalar::size)]
    pub reserve_memory: Option<i64>,
    /// Swap that a container may use (-1 for no limit)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = swap)]
    pub memory_swap: Option<i64>,
    /// Tendency to swap, from 0 to 100 (-1 for the default of the engine)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-1..=100))]
    pub memory_swappiness: Option<i64>,
    /// Most tasks of the service on one node (0 for no limit)
    #[arg(long, value_name = "N")]
    pub replicas_max_per_node: Option<u64>,
}

/// What happens when a task ends.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Restart")]
pub struct RestartArgs {
    /// When a task is replaced (default any)
    #[arg(long, value_name = "CONDITION", value_parser = ["none", "on-failure", "any"])]
    pub restart_condition: Option<String>,
    /// Pause before a task is replaced (default 5s)
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    pub restart_delay: Option<Duration>,
    /// Replacements before giving up (0 for no limit)
    #[arg(long, value_name = "N")]
    pub restart_max_attempts: Option<u64>,
    /// Time within which replacements are counted
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    pub restart_window: Option<Duration>,
}

/// All of them.
#[derive(Debug, Clone, Default, Args)]
pub struct SpecArgs {
    /// Number of tasks (default 1)
    #[arg(long, value_name = "N")]
    pub replicas: Option<u64>,
    /// Tasks of a job that run at the same time (default: all)
    #[arg(long, value_name = "N")]
    pub max_concurrent: Option<u64>,
    /// How the name of the service is resolved
    #[arg(long, value_name = "MODE", value_parser = ["vip", "dnsrr"])]
    pub endpoint_mode: Option<String>,
    /// Send the registry credentials of this user to the nodes
    #[arg(long)]
    pub with_registry_auth: bool,
    /// Accepted for scripts: images are never resolved by this command
    #[arg(long)]
    pub no_resolve_image: bool,
    #[command(flatten)]
    pub container: ContainerArgs,
    #[command(flatten)]
    pub health: HealthArgs,
    #[command(flatten)]
    pub resources: ResourceArgs,
    #[command(flatten)]
    pub restart: RestartArgs,
    #[command(flatten)]
    pub options: OptionArgs,
}

fn swap(text: &str) -> Result<i64, String> {
    if text == "-1" {
        Ok(-1)
    } else {
        scalar::size(text)
    }
}
