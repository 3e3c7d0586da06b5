//! `service …`.

mod change;
mod create;
mod logs;
mod ls;
mod plan;
mod ps;
mod rm;
mod update;

use clap::Subcommand;
use serde_json::Value;
use wire::api::list_tasks_request;

use crate::client::Client;
use crate::error::Result;
use crate::out::human;
use crate::out::inspect::{self, InspectArgs};
use crate::spec::options;
use crate::task::query;
use crate::{resolve, show};

/// Commands about services.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a service and wait until it runs
    Create(Box<create::CreateArgs>),
    /// Change a service and wait until the change has arrived
    Update(Box<update::UpdateArgs>),
    /// Show what a change of a service would do, and change nothing (as `update --dry-run`)
    Plan(Box<update::UpdateArgs>),
    /// Set the number of tasks of one or more services (SERVICE=N)
    Scale(change::ScaleArgs),
    /// Go back to the spec before the last update
    Rollback(change::RollbackArgs),
    /// List services
    #[command(alias = "list")]
    Ls(ls::LsArgs),
    /// List the tasks of services and what they wait for
    Ps(ps::PsArgs),
    /// Show everything about services
    Inspect {
        /// Names or ids
        #[arg(required = true, value_name = "SERVICE")]
        services: Vec<String>,
        #[command(flatten)]
        args: InspectArgs,
    },
    /// Remove services and wait until their tasks have stopped
    #[command(alias = "remove")]
    Rm(rm::RmArgs),
    /// Show the output of a service or of a task
    Logs(logs::LogsArgs),
}

impl Command {
    /// Refuses what makes no sense before a manager is contacted.
    ///
    /// # Errors
    /// If a value cannot be read, naming its flag.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Create(args) => args.check(),
            Self::Update(args) => args.plan.check().and_then(|()| args.check()),
            Self::Plan(args) => args.check(),
            _ => Ok(()),
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// If it cannot be done.
pub async fn run(client: &Client, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create::run(client, &args).await,
        Command::Update(args) => update::run(client, &args).await,
        Command::Plan(args) => update::run(client, &args.rehearsed()).await,
        Command::Scale(args) => change::scale(client, &args).await,
        Command::Rollback(args) => change::rollback(client, &args).await,
        Command::Ls(args) => ls::run(client, &args).await,
        Command::Ps(args) => ps::run(client, &args).await,
        Command::Rm(args) => rm::run(client, &args).await,
        Command::Logs(args) => logs::run(client, &args).await,
        Command::Inspect { services, args } => {
            let mut found = Vec::new();
            for name in &services {
                found.push(look_at(client, name).await);
            }
            inspect::print(found, &args)
        }
    }
}

async fn look_at(client: &Client, name: &str) -> Result<Value> {
    let service = resolve::service(client, name).await?;
    let mut tasks = Vec::new();
    if options::next_run(&service, human::now()).is_some() {
        let own = list_tasks_request::Filters {
            service_ids: vec![service.id.clone()],
            ..<_>::default()
        };
        tasks = query::stream(client, &own, true).await?;
    }
    Ok(show::service::service(&service, &tasks))
}
