//! `network …`: looking only.

use clap::{Args, Subcommand};
use serde_json::json;
use wire::api;

use crate::client::{Client, call};
use crate::error::Result;
use crate::out::inspect::{self, InspectArgs};
use crate::out::listing::{ListArgs, Listing, Row};
use crate::parse::filter::Filters;
use crate::resolve::Named;
use crate::show::rows::short;
use crate::{out, resolve, show};

/// Commands about networks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List networks
    #[command(alias = "list")]
    Ls(LsArgs),
    /// Show everything about networks
    Inspect {
        /// Names or ids
        #[arg(required = true, value_name = "NETWORK")]
        networks: Vec<String>,
        #[command(flatten)]
        args: InspectArgs,
    },
}

/// Flags of `network ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListArgs,
}

/// Runs one of them.
///
/// # Errors
/// If it cannot be done.
pub async fn run(client: &Client, command: Command) -> Result<()> {
    match command {
        Command::Ls(args) => ls(client, &args.list).await,
        Command::Inspect { networks, args } => {
            let mut found = Vec::new();
            for name in &networks {
                found.push(
                    resolve::network(client, name)
                        .await
                        .map(|n| show::network(&n)),
                );
            }
            inspect::print(found, &args)
        }
    }
}

async fn ls(client: &Client, args: &ListArgs) -> Result<()> {
    let given = Filters::parse(&args.filter, &["id", "name", "label"])?;
    let filters = api::list_networks_request::Filters {
        id_prefixes: given.get("id").to_vec(),
        name_prefixes: given.get("name").to_vec(),
        labels: given.labels("label")?,
        ..Default::default()
    };
    let request = api::ListNetworksRequest {
        filters: Some(filters),
        appdata: None,
    };
    let listed = call("list the networks", client.control().list_networks(request)).await?;
    let mut networks = listed.networks;
    networks.sort_by(|a, b| a.name().cmp(b.name()));
    let row = |network: &api::Network| {
        let driver = network
            .driver_state
            .as_ref()
            .map_or("", |d| d.name.as_str());
        let id = if args.no_trunc {
            network.id.clone()
        } else {
            short(&network.id)
        };
        Row::from_iter([
            ("ID".to_owned(), json!(id)),
            ("Name".to_owned(), json!(network.name())),
            ("Driver".to_owned(), json!(driver)),
            ("Scope".to_owned(), json!("swarm")),
        ])
    };
    let listing = Listing {
        columns: &[
            ("ID", "NETWORK ID"),
            ("Name", "NAME"),
            ("Driver", "DRIVER"),
            ("Scope", "SCOPE"),
        ],
        extra: &[],
        table: None,
        rows: networks.iter().map(row).collect(),
    };
    out::print(&listing.render(args)?)
}
