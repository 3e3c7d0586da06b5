//! `task …`, and the lists of tasks that other commands show.

mod explain;
pub mod query;

use clap::Subcommand;
use wire::api;

use crate::client::{Client, call};
use crate::error::Result;
use crate::out::inspect::{self, InspectArgs, all_of};
use crate::{out, resolve, show};

/// Commands about tasks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the tasks of all services
    #[command(alias = "list")]
    Ls(query::QueryArgs),
    /// Show everything about tasks
    Inspect {
        /// Ids, or SERVICE.SLOT
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
        #[command(flatten)]
        args: InspectArgs,
    },
    /// Say why a task is where it is, or what it waits for
    Explain(explain::ExplainArgs),
    /// Remove the records of tasks; their services make new ones
    #[command(alias = "remove")]
    Rm {
        /// Ids, or SERVICE.SLOT
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
    },
}

/// Runs one of them.
///
/// # Errors
/// If it cannot be done.
pub async fn run(client: &Client, command: Command) -> Result<()> {
    match command {
        Command::Ls(args) => {
            let query = query::Query::new(client, &args).await?;
            query.print(client, &args).await
        }
        Command::Inspect { tasks, args } => {
            let mut found = Vec::new();
            for name in &tasks {
                found.push(
                    resolve::task(client, name)
                        .await
                        .map(|t| show::task::task(&t)),
                );
            }
            inspect::print(found, &args)
        }
        Command::Explain(args) => explain::run(client, &args).await,
        Command::Rm { tasks } => {
            let mut errors = Vec::new();
            for name in &tasks {
                match remove(client, name).await {
                    Ok(()) => out::print(name)?,
                    Err(error) => errors.push(error),
                }
            }
            all_of(errors)
        }
    }
}

async fn remove(client: &Client, name: &str) -> Result<()> {
    let task = resolve::task(client, name).await?;
    let request = api::RemoveTaskRequest { task_id: task.id };
    let attempt = format!("remove task {name}");
    call(&attempt, client.control().remove_task(request))
        .await
        .map(drop)
}
