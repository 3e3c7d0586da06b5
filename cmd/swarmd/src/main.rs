//! The daemon: one per machine. Argument parsing, wiring, rendering; nothing else.

mod cli;
mod completion;
mod detach;
mod dev;
mod executors;
mod exit;
mod leave;
mod logging;
mod run;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    // The shim of a task must not touch anything before it has its own session.
    if let Some(dir) = executors::shim_dir() {
        return executor_process::shim::main(&dir);
    }
    let cli = Cli::parse();
    detach::own_session_if_asked();
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            exit::say(&exit::sentence(&error));
            exit::of(&error)
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Init(args) => run::node(args.common, args.node, node::Start::Init),
        Command::Join(args) => {
            let start = node::Start::Join {
                token: args.token,
                addr: args.addr,
            };
            run::node(args.common, args.node, start)
        }
        Command::Run(args) => {
            let start = node::Start::Run {
                force_new_cluster: args.force_new_cluster,
            };
            run::node(args.common, args.node, start)
        }
        Command::Leave(args) => leave::leave(&args),
        Command::Dev(args) => dev::dev(&args),
        Command::Completion { shell } => completion::completion(shell),
        Command::Man { dir } => completion::man(&dir),
    }
}
