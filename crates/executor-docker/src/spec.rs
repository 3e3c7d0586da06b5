//! From a task to the engine's create request. Pure: asks nothing, changes nothing.

mod host;
mod mounts;
mod network;

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HealthConfig};
use executor::{ExecError, TaskRun, parse_signal, task_labels};
use types::container::Healthcheck;
use types::{ContainerSpec, Labels, defaults};

use crate::engine::ApiVersion;
use crate::files::PlacedFile;

pub(crate) use network::{host_ports, port_key};

/// The create request of a task whose templates are expanded into `spec` and whose secrets and
/// configs are at `files`.
///
/// # Errors
///
/// [`ExecError::Rejected`] with what this engine cannot honour.
pub(crate) fn create_body(
    run: &TaskRun,
    spec: &ContainerSpec,
    files: &[PlacedFile],
    api: ApiVersion,
) -> Result<ContainerCreateBody, ExecError> {
    if spec.image.is_empty() {
        return Err(ExecError::rejected("the service names no image"));
    }
    let ports = host_ports(run)?;
    let exposed: Vec<_> = ports.iter().map(port_key).collect();
    let mut host_config = host::host_config(run, spec)?;
    mounts::add(&mut host_config, spec, files, api)?;
    network::add(&mut host_config, run, &ports)?;
    Ok(ContainerCreateBody {
        hostname: text(&spec.hostname),
        user: text(&spec.user),
        exposed_ports: some(exposed),
        tty: Some(spec.tty),
        open_stdin: Some(spec.open_stdin),
        env: some(spec.env.clone()),
        cmd: some(spec.args.clone()),
        healthcheck: spec.healthcheck.as_ref().map(health).transpose()?,
        image: text(&spec.image),
        working_dir: text(&spec.dir),
        entrypoint: some(spec.command.clone()),
        labels: Some(map(&task_labels(run))),
        stop_signal: stop_signal(spec)?,
        stop_timeout: Some(stop_timeout_secs(spec)),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    })
}

fn stop_signal(spec: &ContainerSpec) -> Result<Option<String>, ExecError> {
    if !spec.stop_signal.is_empty() {
        let refuse = |error| ExecError::rejected(format!("stop signal: {error}"));
        parse_signal(&spec.stop_signal).map_err(refuse)?;
    }
    Ok(text(&spec.stop_signal))
}

/// The engine counts whole seconds; a fraction is rounded up so that nobody gets less.
fn stop_timeout_secs(spec: &ContainerSpec) -> i64 {
    let grace = spec
        .stop_grace_period
        .unwrap_or(defaults::STOP_GRACE_PERIOD);
    let secs = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    i64::try_from(secs).unwrap_or(i64::MAX)
}

fn health(check: &Healthcheck) -> Result<HealthConfig, ExecError> {
    let nanos = |d: Option<std::time::Duration>| {
        let nanos = |d: std::time::Duration| {
            i64::try_from(d.as_nanos())
                .map_err(|_| ExecError::rejected("a time of the health check is too long"))
        };
        d.map(nanos).transpose()
    };
    Ok(HealthConfig {
        test: some(check.test.clone()),
        interval: nanos(check.interval)?,
        timeout: nanos(check.timeout)?,
        retries: Some(i64::from(check.retries)),
        start_period: nanos(check.start_period)?,
        start_interval: nanos(check.start_interval)?,
    })
}

/// `None` for an empty text: the engine takes the image's value then.
fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// `None` for an empty list: the engine takes the image's value then.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn map(labels: &Labels) -> HashMap<String, String> {
    labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

#[cfg(test)]
mod tests;
