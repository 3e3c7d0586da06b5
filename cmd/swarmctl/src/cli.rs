//! The commands and what every one of them takes.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::client::Client;
use crate::error::Result;
use crate::payload::Kind;
use crate::{cluster, completion, join_token, network, node, payload, service, task, version};

/// Where swarmd serves its control socket unless told otherwise.
pub const SOCKET_DEFAULT: &str = "/run/swarmd/control.sock";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line makes no sense
  3  not converged when the command stopped waiting (the operation goes on)";

/// Runs services on a cluster of machines and says how they are
#[derive(Debug, Parser)]
#[command(name = "swarmctl", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// Control socket of the manager on this machine
    #[arg(
        short = 's',
        long,
        global = true,
        env = "SWARM_SOCKET",
        hide_env_values = true
    )]
    #[arg(value_name = "PATH", default_value = SOCKET_DEFAULT)]
    pub socket: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, change, watch and remove services
    #[command(subcommand)]
    Service(service::Command),
    /// Look at nodes, promote, demote, drain and remove them
    #[command(subcommand)]
    Node(node::Command),
    /// Look at single tasks and find out what they wait for
    #[command(subcommand)]
    Task(task::Command),
    /// Look at the cluster, change its settings, move its leadership
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Show how a machine joins, or make the token for it anew
    JoinToken(join_token::JoinTokenArgs),
    /// Create, list and remove secrets
    #[command(subcommand)]
    Secret(payload::Command),
    /// Create, list and remove configs
    #[command(subcommand)]
    Config(payload::Command),
    /// Look at networks
    #[command(subcommand)]
    Network(network::Command),
    /// Show the versions of this program and of the manager
    Version(version::VersionArgs),
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        dir: PathBuf,
    },
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// If it cannot be done.
    pub async fn run(self) -> Result<()> {
        if let Command::Service(command) = &self.command {
            command.check()?;
        }
        match self.command {
            Command::Completion { shell } => return completion::print(shell),
            Command::Man { dir } => return completion::manual(&dir),
            Command::Version(args) => return version::run(&self.socket, &args).await,
            _ => {}
        }
        let client = Client::connect(&self.socket).await?;
        // The commands differ much in size; a box each keeps the caller's frame small.
        match self.command {
            Command::Service(command) => Box::pin(service::run(&client, command)).await,
            Command::Node(command) => Box::pin(node::run(&client, command)).await,
            Command::Task(command) => Box::pin(task::run(&client, command)).await,
            Command::Cluster(command) => Box::pin(cluster::run(&client, command)).await,
            Command::JoinToken(args) => Box::pin(join_token::run(&client, &args)).await,
            Command::Secret(command) => {
                Box::pin(payload::run(&client, Kind::Secret, command)).await
            }
            Command::Config(command) => {
                Box::pin(payload::run(&client, Kind::Config, command)).await
            }
            Command::Network(command) => Box::pin(network::run(&client, command)).await,
            Command::Version(_) | Command::Completion { .. } | Command::Man { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_image_is_the_command_of_the_containers() {
        let line = [
            "swarmctl", "service", "create", "--name", "web", "nginx", "sh", "-c", "--x",
        ];
        let Command::Service(service::Command::Create(args)) = Cli::parse_from(line).command else {
            panic!("another command was read");
        };
        assert_eq!(args.image, "nginx");
        assert_eq!(args.args, ["sh", "-c", "--x"]);
    }

    #[test]
    fn bad_values_are_refused_with_their_flag() {
        for (flag, value) in [
            ("--replicas", "-1"),
            ("--replicas", "many"),
            ("--limit-memory", "12q"),
            ("--reserve-cpu", "x"),
            ("--update-delay", "5"),
            ("--update-max-failure-ratio", "2"),
            ("--restart-condition", "always"),
            ("--mode", "both"),
            ("--strategy", "fair"),
            ("--priority", "101"),
            ("--schedule-concurrency", "maybe"),
            ("--rebalance", "always"),
            ("--update-progress-deadline", "soon"),
        ] {
            let line = format!("{flag}={value}");
            let error = Cli::try_parse_from(["swarmctl", "service", "create", &line, "nginx"]);
            let error = error.unwrap_err();
            assert_eq!(error.exit_code(), 2, "{flag}");
            assert!(error.to_string().contains(flag), "{error}");
        }
    }
}
