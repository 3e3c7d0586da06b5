//! `cluster …`.

mod rebalance;
mod status;
mod update;

use clap::Subcommand;
use wire::api;

use crate::client::{Client, call};
use crate::error::{CliError, Result};
use crate::out::inspect::{self, InspectArgs};
use crate::{out, resolve, show};

/// Commands about the cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the settings of the cluster
    Inspect(InspectArgs),
    /// Change settings
    Update(update::UpdateArgs),
    /// Show how the managers are; works without a leader
    Status(status::StatusArgs),
    /// Move tasks to nodes that joined or got room later, and wait until they run
    Rebalance(rebalance::RebalanceArgs),
    /// Hand leadership to another manager
    TransferLeadership {
        /// Host name or id (default: the manager that is best caught up)
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
}

/// Runs one of them.
///
/// # Errors
/// If it cannot be done.
pub async fn run(client: &Client, command: Command) -> Result<()> {
    match command {
        Command::Inspect(args) => {
            let cluster = the_cluster(client).await?;
            inspect::print(vec![Ok(show::cluster::cluster(&cluster))], &args)
        }
        Command::Update(args) => update::run(client, &args).await,
        Command::Rebalance(args) => rebalance::run(client, &args).await,
        Command::Status(args) => status::run(client, &args).await,
        Command::TransferLeadership { node } => transfer(client, node.as_deref()).await,
    }
}

/// The only cluster object.
///
/// # Errors
/// If the cluster cannot be asked.
pub async fn the_cluster(client: &Client) -> Result<api::Cluster> {
    let request = api::ListClustersRequest::default();
    let listed = call("read the settings", client.control().list_clusters(request)).await?;
    let missing = || CliError::NoSuch {
        kind: "cluster",
        wanted: "default".into(),
    };
    listed.clusters.into_iter().next().ok_or_else(missing)
}

async fn transfer(client: &Client, node: Option<&str>) -> Result<()> {
    let node_id = match node {
        Some(name) => resolve::node(client, name).await?.id,
        None => String::new(),
    };
    let request = wire::swarm::v1::TransferLeadershipRequest { node_id };
    let done = call(
        "transfer leadership",
        client.cluster().transfer_leadership(request),
    )
    .await?;
    out::print(&format!(
        "{} leads in term {}",
        done.leader_node_id, done.term
    ))
}
