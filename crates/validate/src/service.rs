//! Services.

use std::collections::BTreeSet;

use types::network::NetworkAttachmentConfig;
use types::service::{
    EndpointSpec, FailureAction, PublishMode, ResolutionMode, UpdateConfig, UpdateOrder,
};
use types::{ServiceMode, ServiceSpec};

use crate::names::check_name;
use crate::options::check_placing;
use crate::problem::{Check, Invalid, Problem};
use crate::task::check_task;
use crate::timing::check_timing;

/// Most tasks of one service. A million tasks is what a cluster is built for; a larger number is
/// a slip of the keyboard that would only fill the tables.
pub const REPLICAS_MAX: u64 = 1_000_000;

/// Networks of every node, which need nothing from the cluster.
pub(crate) const NODE_NETWORKS: [&str; 3] = ["bridge", "host", "none"];

/// Checks a service spec.
///
/// # Errors
/// If a field is wrong.
pub fn service(spec: &ServiceSpec) -> Result<(), Invalid> {
    let mut check = Check::default();
    check_name(&mut check, &spec.annotations);
    check_mode(&mut check, spec);
    check_task(&mut check, &spec.task);
    check_placing(&mut check, spec);
    check_timing(&mut check, spec);
    for (name, config) in [("update", &spec.update), ("rollback", &spec.rollback)] {
        if let Some(config) = config {
            check_update(&mut check, name, config);
            check_global_start_first(&mut check, name, config, spec);
        }
    }
    check_networks(&mut check, "networks", &spec.networks);
    check_networks(&mut check, "task.networks", &spec.task.networks);
    if let Some(endpoint) = &spec.endpoint {
        check_endpoint(&mut check, endpoint);
    }
    check.finish()
}

/// What is allowed and yet hardly meant.
pub fn service_warnings(spec: &ServiceSpec) -> Vec<Problem> {
    let mut check = Check::default();
    let ports = spec.endpoint.iter().flat_map(|e| &e.ports);
    let fixed: Vec<u32> = ports
        .filter(|p| p.publish_mode == PublishMode::Host && p.published_port != 0)
        .map(|p| p.published_port)
        .collect();
    let first = |c: &Option<UpdateConfig>| c.is_some_and(|c| c.order == UpdateOrder::StartFirst);
    for (name, config) in [("update", &spec.update), ("rollback", &spec.rollback)] {
        if let (true, Some(port)) = (first(config), fixed.first()) {
            check.fail(
                format_args!("{name}.order"),
                format_args!(
                    "start-first needs a node where port {port} is free: with a task on every \
                     node that fits, an update cannot go on; use stop-first"
                ),
            );
        }
    }
    check.into_problems()
}

fn check_mode(check: &mut Check, spec: &ServiceSpec) {
    let limit = |check: &mut Check, path: &str, number: u64| {
        check.require(
            number <= REPLICAS_MAX,
            path,
            format_args!("{number} tasks: one service has at most {REPLICAS_MAX}"),
        );
    };
    match spec.mode {
        ServiceMode::Replicated { replicas } => limit(check, "mode.replicated.replicas", replicas),
        ServiceMode::ReplicatedJob {
            max_concurrent,
            total_completions,
        } => {
            let path = "mode.replicated_job";
            limit(check, &format!("{path}.max_concurrent"), max_concurrent);
            limit(
                check,
                &format!("{path}.total_completions"),
                total_completions,
            );
            check.require(
                max_concurrent > 0 || total_completions == 0,
                format_args!("{path}.max_concurrent"),
                "with 0 at a time the job would never begin, use 1 or more",
            );
        }
        ServiceMode::Global | ServiceMode::GlobalJob => {}
    }
    check.require(
        !spec.mode.is_job() || (spec.update.is_none() && spec.rollback.is_none()),
        "update",
        "a job is not updated slot by slot: every change runs it again; leave this out",
    );
}

fn check_update(check: &mut Check, name: &str, config: &UpdateConfig) {
    let ratio = config.max_failure_ratio;
    check.require(
        (0.0..=1.0).contains(&ratio),
        format_args!("{name}.max_failure_ratio"),
        format_args!("{ratio} is not a share between 0 and 1"),
    );
    check.require(
        name != "rollback" || config.failure_action != FailureAction::Rollback,
        "rollback.failure_action",
        "a rollback cannot roll back, use pause or continue",
    );
}

/// A second task on the same node can never have a port that the first one holds there.
fn check_global_start_first(
    check: &mut Check,
    name: &str,
    config: &UpdateConfig,
    spec: &ServiceSpec,
) {
    let ports = spec.endpoint.iter().flat_map(|e| &e.ports);
    let mut fixed = ports.filter(|p| p.publish_mode == PublishMode::Host && p.published_port != 0);
    let global = spec.mode == ServiceMode::Global;
    if let (true, UpdateOrder::StartFirst, Some(port)) = (global, config.order, fixed.next()) {
        check.fail(
            format_args!("{name}.order"),
            format_args!(
                "a global service that starts first can never get its port {} on the same node: \
                 use stop-first",
                port.published_port
            ),
        );
    }
}

fn check_networks(check: &mut Check, path: &str, networks: &[NetworkAttachmentConfig]) {
    let mut seen = BTreeSet::new();
    for (at, network) in networks.iter().enumerate() {
        let path = format!("{path}[{at}].target");
        check.require(!network.target.is_empty(), &path, "a network is required");
        check.require(
            seen.insert(&network.target),
            &path,
            format_args!("{:?} is there twice", network.target),
        );
    }
}

fn check_endpoint(check: &mut Check, endpoint: &EndpointSpec) {
    let mut seen = BTreeSet::new();
    for (at, port) in endpoint.ports.iter().enumerate() {
        let path = format!("endpoint.ports[{at}]");
        let number = |n: u32| n <= u32::from(u16::MAX);
        check.require(
            port.target_port != 0 && number(port.target_port),
            format_args!("{path}.target_port"),
            format_args!("{} is not a port, use 1 to 65535", port.target_port),
        );
        check.require(
            number(port.published_port),
            format_args!("{path}.published_port"),
            format_args!(
                "{} is not a port, use 1 to 65535, or 0 to have one chosen",
                port.published_port
            ),
        );
        check.require(
            port.publish_mode == PublishMode::Host || endpoint.mode == ResolutionMode::Vip,
            format_args!("{path}.publish_mode"),
            "a port of the routing mesh needs a virtual address: use mode host or mode vip",
        );
        let key = (port.published_port, port.protocol);
        check.require(
            port.published_port == 0 || seen.insert(key),
            format_args!("{path}.published_port"),
            format_args!(
                "port {}/{} is published twice",
                port.published_port,
                port.protocol.name()
            ),
        );
    }
}
