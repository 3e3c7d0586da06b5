//! `node …`.

mod ls;
mod update;

use clap::Subcommand;
use wire::api;

use crate::client::{Client, call};
use crate::error::Result;
use crate::out::inspect::{self, InspectArgs, all_of};
use crate::task::query::{self, Query};
use crate::{out, resolve, show};

/// Commands about nodes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List nodes
    #[command(alias = "list")]
    Ls(ls::LsArgs),
    /// Show everything about nodes
    Inspect {
        /// Host names or ids, or "self"
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
        #[command(flatten)]
        args: InspectArgs,
    },
    /// List the tasks of nodes
    Ps {
        #[command(flatten)]
        query: query::QueryArgs,
        /// Host names or ids
        #[arg(value_name = "NODE", default_value = "self")]
        nodes: Vec<String>,
    },
    /// Make workers managers and wait until they are
    Promote(update::RoleArgs),
    /// Make managers workers and wait until they are
    Demote(update::RoleArgs),
    /// Ask nodes for new certificates and wait until they have them
    RotateCertificate(update::RoleArgs),
    /// Change availability, role and labels
    Update(update::UpdateArgs),
    /// Remove nodes that are down
    #[command(alias = "remove")]
    Rm {
        /// Remove also nodes that are up
        #[arg(short, long)]
        force: bool,
        /// Host names or ids
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
    },
}

/// Runs one of them.
///
/// # Errors
/// If it cannot be done.
pub async fn run(client: &Client, command: Command) -> Result<()> {
    match command {
        Command::Ls(args) => ls::run(client, &args).await,
        Command::Inspect { nodes, args } => {
            let mut found = Vec::new();
            for name in &nodes {
                found.push(
                    resolve::node(client, name)
                        .await
                        .map(|n| show::node::node(&n)),
                );
            }
            inspect::print(found, &args)
        }
        Command::Ps { query: args, nodes } => {
            let mut query = Query::new(client, &args).await?;
            for name in &nodes {
                query
                    .filters
                    .node_ids
                    .push(resolve::node(client, name).await?.id);
            }
            query.print(client, &args).await
        }
        Command::Promote(args) => update::role(client, &args, api::NodeRole::Manager).await,
        Command::Demote(args) => update::role(client, &args, api::NodeRole::Worker).await,
        Command::RotateCertificate(args) => update::rotate(client, &args).await,
        Command::Update(args) => update::run(client, &args).await,
        Command::Rm { force, nodes } => {
            let mut errors = Vec::new();
            for name in &nodes {
                match remove(client, name, force).await {
                    Ok(()) => out::print(name)?,
                    Err(error) => errors.push(error),
                }
            }
            all_of(errors)
        }
    }
}

async fn remove(client: &Client, name: &str, force: bool) -> Result<()> {
    let node = resolve::node(client, name).await?;
    let request = api::RemoveNodeRequest {
        node_id: node.id,
        force,
    };
    let attempt = format!("remove node {name}");
    call(&attempt, client.control().remove_node(request))
        .await
        .map(drop)
}
