//! `join-token worker|manager`.

use clap::Args;
use wire::api::{self, Cluster};
use wire::swarm::v1::StatusRequest;

use crate::client::{Client, call};
use crate::cluster::the_cluster;
use crate::error::Result;
use crate::out;

/// Flags of `join-token`.
#[derive(Debug, Args)]
pub struct JoinTokenArgs {
    /// Make a new token; the old one is refused from then on
    #[arg(long)]
    rotate: bool,
    /// Show only the token
    #[arg(short, long)]
    quiet: bool,
    /// Role of the machine that joins
    #[arg(value_parser = ["worker", "manager"])]
    role: String,
}

/// Shows the command for a machine that joins.
///
/// # Errors
/// If the cluster cannot be asked or refuses the rotation.
pub async fn run(client: &Client, args: &JoinTokenArgs) -> Result<()> {
    let mut cluster = the_cluster(client).await?;
    let manager = args.role == "manager";
    if args.rotate {
        cluster = rotate(client, &cluster, manager).await?;
    }
    let tokens = cluster
        .root_ca
        .and_then(|root| root.join_tokens)
        .unwrap_or_default();
    let token = if manager {
        tokens.manager
    } else {
        tokens.worker
    };
    if args.quiet {
        return out::print(&token);
    }
    let status = call(
        "ask for an address",
        client.cluster().status(StatusRequest {}),
    )
    .await?;
    let address = |id: &str| {
        let member = status.members.iter().find(|m| m.node_id == id);
        member.map(|m| m.addr.clone())
    };
    let address = address(&status.node_id).or_else(|| address(&status.leader_node_id));
    let address = address.unwrap_or_else(|| "HOST:2377".into());
    let done = match args.rotate {
        true => format!("Successfully rotated {} join token.\n\n", args.role),
        false => String::new(),
    };
    out::print(&format!(
        "{done}To add a {} to this cluster, run the following command:\n\n    \
         swarmd join --token {token} {address}\n",
        args.role
    ))
}

async fn rotate(client: &Client, cluster: &Cluster, manager: bool) -> Result<Cluster> {
    let rotation = api::KeyRotation {
        worker_join_token: !manager,
        manager_join_token: manager,
        manager_unlock_key: false,
    };
    let request = api::UpdateClusterRequest {
        cluster_id: cluster.id.clone(),
        cluster_version: cluster.meta.as_ref().and_then(|m| m.version),
        spec: cluster.spec.clone(),
        rotation: Some(rotation),
    };
    let updated = call(
        "rotate the join token",
        client.control().update_cluster(request),
    )
    .await?;
    Ok(updated.cluster.unwrap_or_default())
}
