//! `service rm`.

use clap::Args;
use wire::api;

use crate::client::{Client, call};
use crate::error::Result;
use crate::out;
use crate::out::inspect::all_of;
use crate::resolve;
use crate::wait::{WaitArgs, removed};

/// Flags of `service rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    #[command(flatten)]
    wait: WaitArgs,
    /// Names or ids
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
}

/// Removes the services that can be removed, then waits for their tasks.
///
/// # Errors
/// If one could not be removed or its tasks did not stop in time.
pub async fn run(client: &Client, args: &RmArgs) -> Result<()> {
    let mut filters = api::list_tasks_request::Filters::default();
    let mut errors = Vec::new();
    for name in &args.services {
        match remove(client, name).await {
            Ok(id) => {
                out::print(name)?;
                filters.service_ids.push(id);
            }
            Err(error) => errors.push(error),
        }
    }
    if !filters.service_ids.is_empty()
        && let Err(error) = removed::gone(client, filters, "removed", &args.wait).await
    {
        errors.push(error);
    }
    all_of(errors)
}

async fn remove(client: &Client, name: &str) -> Result<String> {
    let service = resolve::service(client, name).await?;
    let request = api::RemoveServiceRequest {
        service_id: service.id.clone(),
    };
    let attempt = format!("remove service {name}");
    call(&attempt, client.control().remove_service(request)).await?;
    Ok(service.id)
}
