//! Checks that need the tables: what a service refers to, and what an update may change.

use store::State;
use types::network::NetworkAttachmentConfig;
use types::service::{PortConfig, PublishMode};
use types::{Service, ServiceId, ServiceSpec};

use crate::problem::{Check, Invalid};
use crate::service::NODE_NETWORKS;
use crate::timing::check_timing_refs;

/// Checks what a service refers to: secrets, configs, networks, and that its ports are free.
/// `id` is the service itself when it exists already.
///
/// # Errors
/// If something does not exist or is taken.
pub fn service_refs(
    view: &State,
    id: Option<ServiceId>,
    spec: &ServiceSpec,
) -> Result<(), Invalid> {
    let mut check = Check::default();
    check_files(&mut check, view, spec);
    check_timing_refs(&mut check, view, spec);
    check_networks(&mut check, view, "networks", &spec.networks);
    check_networks(&mut check, view, "task.networks", &spec.task.networks);
    let ports = spec.endpoint.iter().flat_map(|e| &e.ports);
    for (at, port) in ports.enumerate().filter(|(_, p)| p.published_port != 0) {
        let others = view.services().iter().filter(|s| Some(s.id) != id);
        if let Some(other) = others.into_iter().find(|s| publishes(s, port)) {
            check.fail(
                format_args!("endpoint.ports[{at}].published_port"),
                format_args!(
                    "port {}/{} is published by service {}, choose another",
                    port.published_port,
                    port.protocol.name(),
                    other.spec.annotations.name
                ),
            );
        }
    }
    check.finish()
}

/// Checks what an update of a service may not change.
///
/// # Errors
/// If the update changes the mode or the name.
pub fn service_update(old: &ServiceSpec, new: &ServiceSpec) -> Result<(), Invalid> {
    let mut check = Check::default();
    let (was, is) = (&old.annotations.name, &new.annotations.name);
    check.require(
        was == is,
        "annotations.name",
        format_args!("a service cannot be renamed from {was:?} to {is:?}; create another"),
    );
    let (was, is) = (old.mode.name(), new.mode.name());
    check.require(
        was == is,
        "mode",
        format_args!("the mode cannot change from {was} to {is}; create another service"),
    );
    check.require(
        old.networks == new.networks || new.networks == new.task.networks,
        "networks",
        "this field is deprecated and cannot change alone, use task.networks",
    );
    check.finish()
}

fn check_files(check: &mut Check, view: &State, spec: &ServiceSpec) {
    let Some(container) = spec.task.container() else {
        return;
    };
    for (at, wanted) in container.secrets.iter().enumerate() {
        let have = view.secrets().get(wanted.secret_id).filter(|s| !s.internal);
        let name = &wanted.secret_name;
        check.require(
            have.is_some_and(|s| s.spec.annotations.name == *name),
            format_args!("task.container.secrets[{at}]"),
            format_args!("secret not found: {name} with id {}", wanted.secret_id),
        );
    }
    for (at, wanted) in container.configs.iter().enumerate() {
        let have = view.configs().get(wanted.config_id);
        let name = &wanted.config_name;
        check.require(
            have.is_some_and(|c| c.spec.annotations.name == *name),
            format_args!("task.container.configs[{at}]"),
            format_args!("config not found: {name} with id {}", wanted.config_id),
        );
    }
}

/// Networks across nodes are not there yet: only those that every node has by itself.
fn check_networks(check: &mut Check, view: &State, path: &str, wanted: &[NetworkAttachmentConfig]) {
    for (at, network) in wanted.iter().enumerate() {
        let target = network.target.as_str();
        let id = target.parse().ok();
        let known = id.and_then(|id| view.networks().get(id));
        let name = known.map_or(target, |n| &n.spec.annotations.name);
        check.require(
            NODE_NETWORKS.contains(&name),
            format_args!("{path}[{at}].target"),
            format_args!(
                "network {name:?} cannot be used: networks across nodes are not supported yet, \
                 use bridge, host or none"
            ),
        );
    }
}

/// Whether a service stands in the way of a port: two host-mode ports do not meet, since the
/// scheduler keeps their tasks on different nodes.
fn publishes(service: &Service, port: &PortConfig) -> bool {
    let declared = service.spec.endpoint.iter().flat_map(|e| &e.ports);
    let allocated = service.endpoint.iter().flat_map(|e| &e.ports);
    let mut all = declared.chain(allocated);
    all.any(|p| {
        let both_host =
            p.publish_mode == PublishMode::Host && port.publish_mode == PublishMode::Host;
        !both_host && p.published_port == port.published_port && p.protocol == port.protocol
    })
}
