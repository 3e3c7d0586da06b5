//! `service create [OPTIONS] IMAGE [COMMAND] [ARG...]`.

use std::path::PathBuf;

use clap::Args;
use wire::api;
use wire::swarm::v1::PlanServiceRequest;

use super::plan::{self, PlanArgs};
use crate::client::{Client, call};
use crate::error::{CliError, Result};
use crate::parse::env;
use crate::parse::reference::Ids;
use crate::resolve::{self, Named};
use crate::spec::args::SpecArgs;
use crate::spec::build::{self, Changes, New, container_mut};
use crate::spec::container::credential_config;
use crate::spec::edit;
use crate::spec::lists::{CreateLists, Edits, List};
use crate::spec::mode;
use crate::spec::policy::Policies;
use crate::wait::{self, Target, WaitArgs};
use crate::{out, registry};

/// Flags of `service create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name (default: one made up from the image)
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How many tasks there are
    #[arg(long, value_parser = mode::NAMES, default_value = mode::NAMES[0])]
    pub mode: String,
    /// File with environment variables, one a line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    #[command(flatten)]
    pub spec: SpecArgs,
    #[command(flatten)]
    pub lists: CreateLists,
    #[command(flatten)]
    pub policies: Policies,
    #[command(flatten)]
    pub wait: WaitArgs,
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Image
    pub image: String,
    /// Command and arguments (default: those of the image)
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub args: Vec<String>,
}

/// Creates the service, prints its id and waits.
///
/// # Errors
/// If a value makes no sense, the cluster refuses, or the service does not converge.
pub async fn run(client: &Client, args: &CreateArgs) -> Result<()> {
    let mut edits = args.lists.0.clone();
    edits.prepend(List::Env, env_files(&args.env_file)?);
    let name = args
        .name
        .clone()
        .unwrap_or_else(|| made_up_name(&args.image));
    let new = New {
        name: &name,
        mode: &args.mode,
        image: &args.image,
        args: &args.args,
    };
    // Bad values are refused before the cluster is asked for ids.
    let mut changes = Changes {
        spec: &args.spec,
        policies: &args.policies,
        edits: &edits,
        ids: &Ids::default(),
    };
    build::create(&new, &changes)?;
    let ids = ids(
        client,
        &edits,
        args.spec.container.credential_spec.as_deref(),
    )
    .await?;
    changes.ids = &ids;
    let mut spec = build::create(&new, &changes)?;
    if args.spec.with_registry_auth {
        attach_registry_auth(&mut spec)?;
    }
    if args.plan.dry_run {
        let request = PlanServiceRequest {
            spec: Some(spec),
            ..PlanServiceRequest::default()
        };
        let attempt = format!("plan service {name}");
        return plan::show(client, &attempt, request, args.plan.format.as_deref()).await;
    }
    let request = api::CreateServiceRequest { spec: Some(spec) };
    let attempt = format!("create service {name}");
    let created = call(&attempt, client.control().create_service(request)).await?;
    let service = created.service.unwrap_or_default();
    out::print(&service.id)?;
    wait::converge(client, vec![Target::of(&service)], &args.wait).await
}

impl CreateArgs {
    /// Refuses what makes no sense before the cluster is asked for anything.
    ///
    /// # Errors
    /// If a value cannot be read, naming its flag.
    pub fn check(&self) -> Result<()> {
        self.plan.check()?;
        plan::check_version(None, "", &self.plan)?;
        let ids = Ids::default();
        let changes = Changes {
            spec: &self.spec,
            policies: &self.policies,
            edits: &self.lists.0,
            ids: &ids,
        };
        let new = New {
            name: "",
            mode: &self.mode,
            image: &self.image,
            args: &self.args,
        };
        build::create(&new, &changes).map(drop)
    }
}

fn env_files(paths: &[PathBuf]) -> Result<Vec<String>> {
    let mut variables = Vec::new();
    for path in paths {
        let refuse = |why: String| CliError::flag("env-file", &path.display().to_string(), why);
        let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
        let lookup = |name: &str| std::env::var(name).ok();
        variables.extend(env::file(&text, lookup).map_err(refuse)?);
    }
    Ok(variables)
}

/// The image's own name and a few digits of the clock, so that two services rarely collide; if
/// they do, the cluster refuses the second.
fn made_up_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let base: String = last
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let digits = out::human::now().0 / 1_000 % 0x100_0000;
    format!(
        "{}-{digits:06x}",
        if base.is_empty() {
            "service"
        } else {
            base.trim_end_matches('-')
        }
    )
}

/// Adds the stored credentials for the image's registry, if there are any.
///
/// # Errors
/// If they cannot be read.
pub fn attach_registry_auth(spec: &mut api::ServiceSpec) -> Result<()> {
    let container = container_mut(spec.task.get_or_insert_default())?;
    if let Some(registry_auth) = registry::auth(&container.image)? {
        container.pull_options = Some(api::container_spec::PullOptions { registry_auth });
    }
    Ok(())
}

/// Looks up what the flags refer to by name.
///
/// # Errors
/// If something does not exist.
pub async fn ids(client: &Client, edits: &Edits, credential: Option<&str>) -> Result<Ids> {
    let mut ids = Ids::default();
    for name in edit::wanted(edits, List::Secret)? {
        let id = resolve::secret(client, &name).await?.id().to_owned();
        ids.secrets.insert(name, id);
    }
    let mut configs = edit::wanted(edits, List::Config)?;
    configs.extend(credential.and_then(credential_config).map(str::to_owned));
    for name in configs {
        let id = resolve::config(client, &name).await?.id().to_owned();
        ids.configs.insert(name, id);
    }
    let removed = edits.removed(List::Network).to_vec();
    for name in edit::wanted(edits, List::Network)?
        .into_iter()
        .chain(removed)
    {
        let id = resolve::network(client, &name).await?.id().to_owned();
        ids.networks.insert(name, id);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_name_comes_from_the_image() {
        assert!(made_up_name("ghcr.io/a/nginx:1.27").starts_with("nginx-"));
        assert!(made_up_name("/").starts_with("service-"));
    }
}
