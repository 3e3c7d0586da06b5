//! `service update [OPTIONS] SERVICE`.

use clap::Args;

use super::change::{self, Update};
use super::create::{attach_registry_auth, ids};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::parse::reference::Ids;
use crate::parse::words;
use crate::spec::args::SpecArgs;
use crate::spec::build::{self, Changes, container_mut};
use crate::spec::lists::UpdateLists;
use crate::spec::policy::Policies;
use crate::wait::{self, WaitArgs};
use crate::{out, resolve};

/// Flags of `service update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// New image
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// New command and arguments, as one value
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    args: Option<String>,
    /// Replace the tasks even if nothing changes
    #[arg(long)]
    force: bool,
    /// Go back to the spec before the last update
    #[arg(long, conflicts_with_all = ["image", "args", "force"])]
    rollback: bool,
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    lists: UpdateLists,
    #[command(flatten)]
    policies: Policies,
    #[command(flatten)]
    wait: WaitArgs,
    /// Name or id
    service: String,
}

/// Changes the service, prints its name and waits.
///
/// # Errors
/// If a value makes no sense, the cluster refuses, or the service does not converge.
pub async fn run(client: &Client, args: &UpdateArgs) -> Result<()> {
    let service = resolve::service(client, &args.service).await?;
    let update = if args.rollback {
        Update::rollback(&service)
    } else {
        let edits = &args.lists.0;
        let changes = Changes {
            spec: &args.spec,
            policies: &args.policies,
            edits,
            ids: &Ids::default(),
        };
        let mut spec = service.spec.clone().unwrap_or_default();
        // Bad values are refused before the cluster is asked for ids.
        build::update(&mut spec.clone(), &changes)?;
        let credential = args.spec.container.credential_spec.as_deref();
        let ids = ids(client, edits, credential).await?;
        build::update(
            &mut spec,
            &Changes {
                ids: &ids,
                ..changes
            },
        )?;
        own_flags(&mut spec, args)?;
        Update::spec(&service, spec)
    };
    let target = change::send(client, update).await?;
    out::print(&target.name)?;
    wait::converge(client, vec![target], &args.wait).await
}

/// Flags that only an update has.
fn own_flags(spec: &mut wire::api::ServiceSpec, args: &UpdateArgs) -> Result<()> {
    let task = spec.task.get_or_insert_default();
    task.force_update += u64::from(args.force);
    let container = container_mut(task)?;
    if let Some(image) = &args.image {
        container.image.clone_from(image);
    }
    if let Some(line) = &args.args {
        let refuse = |why| CliError::flag("args", line, why);
        container.args = words::split(line).map_err(refuse)?;
    }
    if args.spec.with_registry_auth {
        attach_registry_auth(spec)?;
    }
    Ok(())
}
