//! Sending a changed spec; `service scale` and `service rollback`.

use clap::Args;
use wire::api::{self, update_service_request::Rollback};
use wire::swarm::v1::PlanServiceRequest;

use crate::client::{Client, call};
use crate::error::{CliError, Result};
use crate::out::inspect::all_of;
use crate::resolve::{self, Named};
use crate::spec::mode;
use crate::wait::{self, Target, WaitArgs};
use crate::{out, resolve::service};

/// A change of a service, ready to be sent.
pub struct Update {
    name: String,
    request: api::UpdateServiceRequest,
}

impl Update {
    /// Gives a service another spec.
    pub fn spec(service: &api::Service, spec: api::ServiceSpec) -> Self {
        Self::new(service, spec, Rollback::None)
    }

    /// Takes a service back; the cluster wants a valid spec all the same.
    pub fn rollback(service: &api::Service) -> Self {
        Self::new(
            service,
            service.spec.clone().unwrap_or_default(),
            Rollback::Previous,
        )
    }

    fn new(service: &api::Service, spec: api::ServiceSpec, rollback: Rollback) -> Self {
        let request = api::UpdateServiceRequest {
            service_id: service.id.clone(),
            service_version: service.meta.as_ref().and_then(|m| m.version),
            spec: Some(spec),
            rollback: rollback.into(),
        };
        Self {
            name: service.name().to_owned(),
            request,
        }
    }
}

impl Update {
    /// The request that asks what the change would do.
    pub fn plan(self) -> PlanServiceRequest {
        let rollback = self.request.rollback() == Rollback::Previous;
        PlanServiceRequest {
            service_id: self.request.service_id,
            spec: self.request.spec,
            rollback,
        }
    }
}

/// Sends a change.
///
/// # Errors
/// If the cluster refuses it.
pub async fn send(client: &Client, update: Update) -> Result<Target> {
    let verb = match update.request.rollback() {
        Rollback::None => "update",
        Rollback::Previous => "roll back",
    };
    let attempt = format!("{verb} service {}", update.name);
    let updated = call(&attempt, client.control().update_service(update.request)).await?;
    Ok(Target::of(&updated.service.unwrap_or_default()))
}

/// Flags of `service rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    wait: WaitArgs,
    /// Name or id
    service: String,
}

/// Takes a service back, prints its name and waits.
///
/// # Errors
/// If there is no spec to go back to, or the service does not converge.
pub async fn rollback(client: &Client, args: &RollbackArgs) -> Result<()> {
    let service = resolve::service(client, &args.service).await?;
    let target = send(client, Update::rollback(&service)).await?;
    out::print(&target.name)?;
    wait::converge(client, vec![target], &args.wait).await
}

/// Flags of `service scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    #[command(flatten)]
    wait: WaitArgs,
    /// Service and number of tasks
    #[arg(required = true, value_name = "SERVICE=N", value_parser = pair)]
    scales: Vec<(String, u64)>,
}

fn pair(text: &str) -> std::result::Result<(String, u64), String> {
    let split = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, count) = split.ok_or("expected SERVICE=N such as web=3")?;
    let count = count
        .parse()
        .map_err(|_| format!("\"{count}\" is not a number of tasks"))?;
    Ok((name.to_owned(), count))
}

/// Scales the services that can be scaled, then waits for all of them together.
///
/// # Errors
/// If one could not be scaled or does not converge.
pub async fn scale(client: &Client, args: &ScaleArgs) -> Result<()> {
    let mut targets = Vec::new();
    let mut errors = Vec::new();
    for (name, replicas) in &args.scales {
        match scale_one(client, name, *replicas).await {
            Ok(target) => {
                out::print(&format!("{name} scaled to {replicas}"))?;
                targets.push(target);
            }
            Err(error) => errors.push(error),
        }
    }
    if let Err(error) = wait::converge(client, targets, &args.wait).await {
        errors.push(error);
    }
    all_of(errors)
}

async fn scale_one(client: &Client, name: &str, replicas: u64) -> Result<Target> {
    let service = service(client, name).await?;
    let mut spec = service.spec.clone().unwrap_or_default();
    let scaled = spec.mode.as_mut().map(|mode| mode::scale(mode, replicas));
    scaled.unwrap_or(Ok(())).map_err(|_| {
        let mode = mode::name(spec.mode.as_ref());
        CliError::Failed(format!(
            "cannot scale service {name}: it is {mode}, with one task on every node that fits"
        ))
    })?;
    send(client, Update::spec(&service, spec)).await
}
