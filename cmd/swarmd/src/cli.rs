//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Default place of a node's state.
const STATE_DIR: &str = "/var/lib/swarmd";

/// Default place of the control socket.
const CONTROL_SOCKET: &str = "/run/swarmd/control.sock";

/// A container orchestrator: one daemon per machine.
#[derive(Parser)]
#[command(name = "swarmd", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Found a cluster with this machine as its first manager
    Init(InitArgs),
    /// Join a cluster as a worker or a manager, whichever the token says
    Join(JoinArgs),
    /// Go on where this machine was: after a restart or a reboot
    Run(RunArgs),
    /// Stop the tasks of this stopped machine and make it forget its cluster
    Leave(LeaveArgs),
    /// Try it out: a throw-away cluster on this machine with a demo service
    Dev(DevArgs),
    /// Print completions for a shell
    #[command(hide = true)]
    Completion {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Write man pages
    #[command(hide = true)]
    Man {
        /// Directory to write to
        dir: PathBuf,
    },
}

#[derive(Args, Clone)]
pub struct Common {
    /// Log format on standard error
    #[arg(long, value_enum, default_value = "text", env = "SWARMD_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Log level: error, warn, info, debug, trace, or a filter such as `info,raft=debug`
    #[arg(long, default_value = "info", env = "SWARMD_LOG_LEVEL")]
    pub log_level: String,
    /// Return when the node is ready and leave it running in the background
    #[arg(long, short)]
    pub detach: bool,
}

#[derive(Args, Clone)]
pub struct NodeArgs {
    /// Directory of everything the node keeps
    #[arg(long, default_value = STATE_DIR, env = "SWARMD_STATE_DIR")]
    pub state_dir: PathBuf,
    /// Address the manager listens on, IP:PORT [default: 0.0.0.0:2377]
    #[arg(long, value_name = "IP:PORT")]
    pub listen_addr: Option<SocketAddr>,
    /// Address at which others reach the manager, HOST[:PORT] [default: as given before, else this
    /// machine's own]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub advertise_addr: Option<String>,
    /// Unix socket for swarmctl
    #[arg(long, default_value = CONTROL_SOCKET, env = "SWARM_SOCKET", value_name = "PATH")]
    pub control_socket: PathBuf,
    /// What runs tasks: Docker Engine, processes of this machine, or pretence for tests. `auto`
    /// chooses when the node founds or joins, and stays with it
    #[arg(long, value_enum, default_value = "auto")]
    pub executor: ExecutorKind,
    /// Docker Engine, unix:///PATH or tcp://HOST:PORT
    #[arg(long, env = "DOCKER_HOST", value_name = "ADDRESS")]
    pub docker_host: Option<String>,
    /// Host name to report instead of the machine's
    #[arg(long)]
    pub hostname: Option<String>,
    /// Engine label to report, KEY=VALUE; repeatable
    #[arg(long = "label", value_parser = label, value_name = "KEY=VALUE")]
    pub labels: Vec<(String, String)>,
    /// Whether the node takes tasks
    #[arg(long, value_enum, default_value = "active")]
    pub availability: AvailabilityArg,
    /// Serve metrics for Prometheus at this address
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_addr: Option<SocketAddr>,
}

#[derive(Args)]
pub struct InitArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Args)]
pub struct JoinArgs {
    /// Join token, from `swarmctl join-token worker|manager`
    #[arg(long, env = "SWARMD_JOIN_TOKEN", hide_env_values = true)]
    pub token: String,
    /// Address of a manager, HOST:PORT
    #[arg(value_name = "HOST:PORT", value_parser = host_port)]
    pub addr: String,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Args)]
pub struct RunArgs {
    /// Go on as the only manager and remove all others: when a majority of them is lost for good
    #[arg(long)]
    pub force_new_cluster: bool,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Args)]
pub struct LeaveArgs {
    /// Directory of everything the node keeps
    #[arg(long, default_value = STATE_DIR, env = "SWARMD_STATE_DIR")]
    pub state_dir: PathBuf,
    /// Docker Engine that runs its tasks [default: as before]
    #[arg(long, env = "DOCKER_HOST", value_name = "ADDRESS")]
    pub docker_host: Option<String>,
    /// Leave although this machine is a manager, or its tasks cannot be stopped
    #[arg(long, short)]
    pub force: bool,
}

#[derive(Args)]
pub struct DevArgs {
    /// Managers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub managers: u8,
    /// Workers
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=20))]
    pub workers: u8,
    /// What runs the demo's tasks
    #[arg(long, value_enum, default_value = "process")]
    pub executor: ExecutorKind,
    /// Image of the demo service; with the process executor only its command runs
    #[arg(long, default_value = "busybox:latest")]
    pub image: String,
    /// End when the demo service has converged, with the exit code of the result
    #[arg(long)]
    pub exit: bool,
    /// How long the demo service may take to converge, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub timeout: u64,
    /// Log level of the nodes; their logs go to files
    #[arg(long, default_value = "info")]
    pub log_level: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExecutorKind {
    /// Docker Engine where one answers, else processes
    Auto,
    /// Containers of the Docker Engine
    Docker,
    /// Child processes
    Process,
    /// Nothing at all: tasks are pretended
    Sim,
}

impl ExecutorKind {
    /// Name as it is given on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Docker => "docker",
            Self::Process => "process",
            Self::Sim => "sim",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AvailabilityArg {
    /// Takes tasks
    Active,
    /// Takes no new tasks
    Pause,
    /// Takes no tasks
    Drain,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// An address; without a port it takes the managers' default port.
fn host_port(text: &str) -> Result<String, String> {
    let default = types::defaults::LISTEN_PORT;
    if text.is_empty() || text.contains(char::is_whitespace) || text.contains('/') {
        return Err("expected HOST:PORT".to_owned());
    }
    if let Ok(ip) = text.parse::<std::net::IpAddr>() {
        return Ok(SocketAddr::new(ip, default).to_string());
    }
    match text.rsplit_once(':') {
        None => Ok(format!("{text}:{default}")),
        Some(("", _)) => Err("expected HOST:PORT".to_owned()),
        Some((_, port)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(text.to_owned()),
            _ => Err(format!("{port:?} is no port")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_manager_address_takes_the_default_port() {
        assert_eq!(host_port("10.0.0.1").unwrap(), "10.0.0.1:2377");
        assert_eq!(host_port("m1:99").unwrap(), "m1:99");
        assert_eq!(host_port("fd00::1").unwrap(), "[fd00::1]:2377");
        assert!(host_port("m1:x").is_err());
        assert!(host_port("http://m1").is_err());
        assert!(host_port("m1:0").is_err());
    }

    #[test]
    fn labels_are_pairs() {
        assert_eq!(label("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(label("a").is_err());
        assert!(label("=b").is_err());
    }
}
