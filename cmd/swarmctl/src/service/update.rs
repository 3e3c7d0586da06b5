//! `service update [OPTIONS] SERVICE`.

use clap::Args;
use wire::api::task_spec::Runtime;

use super::change::{self, Update};
use super::create::{attach_registry_auth, ids};
use super::plan::{self, PlanArgs};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::parse::reference::Ids;
use crate::parse::words;
use crate::spec::args::SpecArgs;
use crate::spec::build::{self, Changes, container_mut};
use crate::spec::lists::UpdateLists;
use crate::spec::policy::Policies;
use crate::spec::{edit, options};
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
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Name or id
    service: String,
}

/// Changes the service, prints its name and waits.
///
/// # Errors
/// If a value makes no sense, the cluster refuses, or the service does not converge.
pub async fn run(client: &Client, args: &UpdateArgs) -> Result<()> {
    let service = resolve::service(client, &args.service).await?;
    plan::check_version(Some(&service), &args.service, &args.plan)?;
    let update = if args.rollback {
        Update::rollback(&service)
    } else {
        let credential = args.spec.container.credential_spec.as_deref();
        let ids = ids(client, &args.lists.0, credential).await?;
        let changes = Changes {
            spec: &args.spec,
            policies: &args.policies,
            edits: &args.lists.0,
            ids: &ids,
        };
        let mut spec = service.spec.clone().unwrap_or_default();
        build::update(&mut spec, &changes)?;
        own_flags(&mut spec, args)?;
        Update::spec(&service, spec)
    };
    if args.plan.dry_run {
        let (attempt, request) = (format!("plan service {}", args.service), update.plan());
        return plan::show(client, &attempt, request, args.plan.format.as_deref()).await;
    }
    let target = change::send(client, update).await?;
    out::print(&target.name)?;
    wait::converge(client, vec![target], &args.wait).await
}

impl UpdateArgs {
    /// The same change, only rehearsed.
    #[must_use]
    pub fn rehearsed(mut self) -> Self {
        self.plan.dry_run = true;
        self
    }

    /// Refuses what makes no sense before the cluster is asked for anything.
    ///
    /// # Errors
    /// If a value cannot be read, naming its flag.
    pub fn check(&self) -> Result<()> {
        let container = wire::api::ContainerSpec::default();
        let task = wire::api::TaskSpec {
            runtime: Some(Runtime::Container(container)),
            ..Default::default()
        };
        let mut spec = wire::api::ServiceSpec {
            task: Some(task),
            ..Default::default()
        };
        edit::apply(&mut spec, &self.lists.0, &Ids::default())?;
        let labels = &mut spec.annotations.get_or_insert_default().labels;
        options::lists(labels, &self.lists.0).map(drop)
    }
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
