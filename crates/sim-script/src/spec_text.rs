//! Services in one line of a scenario: `NAME key=value …`.
//!
//! What is not said of a service that there is stays as it is. `remove=1` removes it.

use std::time::Duration;

use store::{Draft, State};
use types::service::{
    EndpointSpec, FailureAction, PortConfig, PublishMode, UpdateConfig, UpdateOrder,
};
use types::task::{Placement, RestartCondition};
use types::{Annotations, Resources, ServiceMode, ServiceSpec, Timestamp};

use crate::edits::{Edited, change, config_reference, reference, roll_back};
use crate::rng::Rng;

/// The change that a line asks for, which may be refused as any operator's may.
///
/// # Errors
/// If the line cannot be read.
pub fn edit(
    draft: &mut Draft,
    text: &str,
    now: Timestamp,
    rng: &mut Rng,
) -> Result<Edited, String> {
    let mut words = text.split_whitespace();
    let name = words.next().ok_or("a service has a name")?;
    let known = draft.state().services().by_name(name).next().cloned();
    let mut spec = match &known {
        Some(service) => ServiceSpec::clone(&service.spec),
        None => ServiceSpec {
            annotations: Annotations::named(name),
            ..ServiceSpec::default()
        },
    };
    for word in words {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| format!("{word}: no value"))?;
        return Ok(match (key, &known) {
            ("remove", Some(s)) => control::service::remove(draft, &s.id.to_string()),
            ("rollback", Some(s)) => roll_back(draft, s, now),
            _ => {
                set(&mut spec, key, value, draft.state())?;
                continue;
            }
        });
    }
    Ok(match known {
        Some(service) => change(draft, &service, spec, now),
        None => control::service::make(draft, spec, now, rng).map(drop),
    })
}

fn number(key: &str, value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| format!("{key}={value}: a number is needed"))
}

fn set(spec: &mut ServiceSpec, key: &str, value: &str, head: &State) -> Result<(), String> {
    let count = || number(key, value);
    match key {
        "replicas" => spec.mode = ServiceMode::Replicated { replicas: count()? },
        "global" => spec.mode = ServiceMode::Global,
        "job" => {
            let total_completions = count()?;
            spec.mode = ServiceMode::ReplicatedJob {
                max_concurrent: 2,
                total_completions,
            };
        }
        "cpus" => {
            let resources = Resources {
                nano_cpus: i64::try_from(count()?).unwrap_or(0) * 1_000_000_000,
                ..Resources::default()
            };
            spec.task.resources.reservations = resources.into();
        }
        "zone" => {
            let constraints = vec![format!("node.labels.zone == {value}")];
            spec.task.placement = Some(Placement {
                constraints,
                ..Placement::default()
            });
        }
        "port" | "hostport" => {
            let port = PortConfig {
                target_port: 80,
                published_port: u32::try_from(count()?).unwrap_or(0),
                publish_mode: match key {
                    "port" => PublishMode::Ingress,
                    _ => PublishMode::Host,
                },
                ..PortConfig::default()
            };
            let mode = spec.endpoint.as_ref().map(|e| e.mode).unwrap_or_default();
            spec.endpoint = Some(EndpointSpec {
                mode,
                ports: vec![port],
            });
        }
        "image" | "env" | "grace" | "secret" | "config" => container(spec, key, value, head)?,
        "restart" | "attempts" | "restart-delay" => restart(spec, key, value)?,
        _ => update(spec, key, value)?,
    }
    Ok(())
}

fn container(spec: &mut ServiceSpec, key: &str, value: &str, head: &State) -> Result<(), String> {
    let container = spec.task.container_mut().ok_or("it runs no container")?;
    match key {
        "image" => container.image = value.into(),
        "env" => container.env = vec![format!("N={value}")],
        "grace" => container.stop_grace_period = Some(Duration::from_secs(number(key, value)?)),
        "config" => {
            let newest = head.configs().iter().max_by_key(|c| c.meta.version);
            container.configs = newest.iter().map(|c| config_reference(c)).collect();
        }
        _ => {
            let newest = head.secrets().iter().max_by_key(|s| s.meta.version);
            container.secrets = newest.iter().map(|s| reference(s)).collect();
        }
    }
    Ok(())
}

fn restart(spec: &mut ServiceSpec, key: &str, value: &str) -> Result<(), String> {
    let policy = spec.task.restart.get_or_insert_default();
    match (key, value) {
        ("restart", "none") => policy.condition = RestartCondition::None,
        ("restart", "on-failure") => policy.condition = RestartCondition::OnFailure,
        ("restart", _) => policy.condition = RestartCondition::Any,
        ("attempts", _) => policy.max_attempts = number(key, value)?,
        _ => policy.delay = Some(Duration::from_secs(number(key, value)?)),
    }
    Ok(())
}

fn update(spec: &mut ServiceSpec, key: &str, value: &str) -> Result<(), String> {
    let config = spec.update.get_or_insert(UpdateConfig::default());
    match (key, value) {
        ("parallelism", _) => config.parallelism = number(key, value)?,
        ("delay", _) => config.delay = Duration::from_secs(number(key, value)?),
        ("monitor", _) => config.monitor = Some(Duration::from_secs(number(key, value)?)),
        ("order", "start-first") => config.order = UpdateOrder::StartFirst,
        ("order", _) => config.order = UpdateOrder::StopFirst,
        ("on-failure", "rollback") => config.failure_action = FailureAction::Rollback,
        ("on-failure", "continue") => config.failure_action = FailureAction::Continue,
        ("on-failure", _) => config.failure_action = FailureAction::Pause,
        _ => return Err(format!("{key}: services have no such setting here")),
    }
    Ok(())
}
