//! `service ps`.

use clap::Args;

use crate::client::Client;
use crate::error::Result;
use crate::out::inspect::all_of;
use crate::resolve;
use crate::task::query::{self, Query};

/// Flags of `service ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    #[command(flatten)]
    query: query::QueryArgs,
    /// Names or ids
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
}

/// Lists the tasks of the services that exist, then fails if one does not.
///
/// # Errors
/// If a service does not exist, or a filter or the format makes no sense.
pub async fn run(client: &Client, args: &PsArgs) -> Result<()> {
    let mut query = Query::new(client, &args.query).await?;
    let mut missing = Vec::new();
    for name in &args.services {
        match resolve::service(client, name).await {
            Ok(service) => query.filters.service_ids.push(service.id),
            Err(error) => missing.push(error),
        }
    }
    if !query.filters.service_ids.is_empty() {
        query.print(client, &args.query).await?;
    }
    all_of(missing)
}
