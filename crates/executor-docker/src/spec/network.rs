//! Ports and networks of a container.

use std::collections::HashMap;

use bollard::models::{HostConfig, PortBinding};
use executor::{ExecError, TaskRun};
use types::service::{PortConfig, PublishMode};

/// Networks that every engine has, by the name the engine knows them by.
const NODE_NETWORKS: [&str; 3] = ["host", "bridge", "none"];

/// The ports of a task that its node publishes.
pub(crate) fn host_ports(run: &TaskRun) -> Result<Vec<PortConfig>, ExecError> {
    let allocated = run.task.endpoint.as_deref().map(|endpoint| &endpoint.ports);
    let declared = run
        .task
        .service_spec
        .endpoint
        .as_ref()
        .map(|endpoint| &endpoint.ports);
    let ports = allocated.or(declared).into_iter().flatten();
    let host: Vec<_> = ports
        .filter(|p| p.publish_mode == PublishMode::Host)
        .cloned()
        .collect();
    match host
        .iter()
        .find(|port| !is_port(port.target_port) || port.published_port > PORT_MAX)
    {
        Some(port) => Err(ExecError::rejected(format!(
            "the port {}:{} is out of range",
            port.published_port, port.target_port
        ))),
        None => Ok(host),
    }
}

const PORT_MAX: u32 = 65_535;

fn is_port(number: u32) -> bool {
    (1..=PORT_MAX).contains(&number)
}

/// The port as the engine names it: `80/tcp`.
pub(crate) fn port_key(port: &PortConfig) -> String {
    format!("{}/{}", port.target_port, port.protocol.name())
}

/// Adds the published ports and the network.
pub(super) fn add(
    host: &mut HostConfig,
    run: &TaskRun,
    ports: &[PortConfig],
) -> Result<(), ExecError> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        // An empty text lets the engine choose.
        let number = Some(port.published_port).filter(|number| *number != 0);
        let binding = PortBinding {
            host_ip: None,
            host_port: Some(number.map(|n| n.to_string()).unwrap_or_default()),
        };
        let list = bindings.entry(port_key(port)).or_default();
        list.get_or_insert_default().push(binding);
    }
    host.port_bindings = (!bindings.is_empty()).then_some(bindings);
    host.network_mode = network_mode(run)?;
    Ok(())
}

/// The engine's own network that the task asks for, if any.
fn network_mode(run: &TaskRun) -> Result<Option<String>, ExecError> {
    let allocated = run
        .task
        .networks
        .iter()
        .map(|n| n.network.spec.annotations.name.as_str());
    let declared = run.task.spec().networks.iter().map(|n| n.target.as_str());
    let mut names: Vec<_> = allocated.collect();
    if names.is_empty() {
        names = declared.collect();
    }
    match names.as_slice() {
        [] => Ok(None),
        [name] if NODE_NETWORKS.contains(name) => Ok(Some((*name).to_owned())),
        [name, ..] => Err(ExecError::rejected(format!(
            "the network {name:?} cannot be attached on this node: it has host, bridge and none"
        ))),
    }
}
