//! The command line of a cluster: talks to a manager over its control socket.

mod cli;
mod client;
mod cluster;
mod completion;
mod error;
mod join_token;
mod network;
mod node;
mod out;
mod payload;
mod registry;
mod resolve;
mod service;
mod spec;
mod task;
mod version;
mod wait;

use std::process::ExitCode;

use clap::Parser;
use docker_cli::{parse, show};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.run().await {
        Ok(()) => ExitCode::from(error::EXIT_DONE),
        // Whoever closed the output early has seen enough.
        Err(error) if error.is_closed_output() => ExitCode::from(error::EXIT_DONE),
        Err(error) => {
            out::note(&format!("swarmctl: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
