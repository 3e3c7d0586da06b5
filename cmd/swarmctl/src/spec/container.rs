//! Flags with one value that concern the container and its health check.

use wire::api::config_reference::Target as ConfigTarget;
use wire::api::container_spec::Isolation;
use wire::api::privileges::CredentialSpec;
use wire::api::privileges::credential_spec::Source;
use wire::api::{ConfigReference, ContainerSpec, HealthConfig, RuntimeTarget};

use super::args::{ContainerArgs, HealthArgs};
use crate::error::{CliError, Result};
use crate::parse::reference::Ids;
use crate::parse::scalar::wire_duration;
use crate::parse::words;

/// Changes what a flag was given for.
///
/// # Errors
/// If a value cannot be read, naming its flag.
pub fn apply(container: &mut ContainerSpec, args: &ContainerArgs, ids: &Ids) -> Result<()> {
    let texts = [
        (&args.hostname, &mut container.hostname),
        (&args.user, &mut container.user),
        (&args.workdir, &mut container.dir),
        (&args.stop_signal, &mut container.stop_signal),
    ];
    for (given, field) in texts {
        if let Some(text) = given {
            field.clone_from(text);
        }
    }
    if let Some(entrypoint) = &args.entrypoint {
        let refuse = |why| CliError::flag("entrypoint", entrypoint, why);
        container.command = words::split(entrypoint).map_err(refuse)?;
    }
    container.tty = args.tty.unwrap_or(container.tty);
    container.read_only = args.read_only.unwrap_or(container.read_only);
    container.init = args.init.or(container.init);
    container.oom_score_adj = args.oom_score_adj.unwrap_or(container.oom_score_adj);
    if let Some(grace) = args.stop_grace_period {
        container.stop_grace_period = Some(wire_duration(grace));
    }
    if let Some(isolation) = &args.isolation {
        container.set_isolation(match isolation.as_str() {
            "process" => Isolation::Process,
            "hyperv" => Isolation::Hyperv,
            _ => Isolation::Default,
        });
    }
    match &args.credential_spec {
        Some(text) => credential_spec(container, text, ids),
        None => Ok(()),
    }
}

/// The config that a credential spec names.
pub fn credential_config(text: &str) -> Option<&str> {
    text.strip_prefix("config://")
}

fn credential_spec(container: &mut ContainerSpec, text: &str, ids: &Ids) -> Result<()> {
    let source = match text.split_once("://") {
        Some(("file", path)) => Source::File(path.to_owned()),
        Some(("registry", name)) => Source::Registry(name.to_owned()),
        Some(("config", name)) => {
            let config_id = ids.configs.get(name).cloned().unwrap_or_default();
            container.configs.push(ConfigReference {
                config_id: config_id.clone(),
                config_name: name.to_owned(),
                target: Some(ConfigTarget::Runtime(RuntimeTarget {})),
            });
            Source::Config(config_id)
        }
        _ => {
            let why = "expected config://NAME, file://PATH or registry://NAME";
            return Err(CliError::flag("credential-spec", text, why));
        }
    };
    let spec = CredentialSpec {
        source: Some(source),
    };
    container.privileges.get_or_insert_default().credential_spec = Some(spec);
    Ok(())
}

/// Changes the health check where a flag was given.
pub fn health(check: &mut Option<HealthConfig>, args: &HealthArgs) {
    if args.no_healthcheck {
        let test = vec!["NONE".to_owned()];
        *check = Some(HealthConfig {
            test,
            ..HealthConfig::default()
        });
        return;
    }
    let mut changed = check.clone().unwrap_or_default();
    if changed.test.first().is_some_and(|t| t == "NONE") {
        changed.test.clear();
    }
    if let Some(command) = &args.health_cmd {
        changed.test = match command.as_str() {
            "" => Vec::new(),
            _ => vec!["CMD-SHELL".to_owned(), command.clone()],
        };
    }
    let spans = [
        (args.health_interval, &mut changed.interval),
        (args.health_timeout, &mut changed.timeout),
        (args.health_start_period, &mut changed.start_period),
        (args.health_start_interval, &mut changed.start_interval),
    ];
    let mut given = args.health_cmd.is_some() || args.health_retries.is_some();
    for (value, field) in spans {
        if let Some(value) = value {
            *field = Some(wire_duration(value));
            given = true;
        }
    }
    changed.retries = args.health_retries.unwrap_or(changed.retries);
    if given {
        *check = Some(changed);
    }
}
