//! The cluster, nodes, secrets and configs.

use types::cluster::CLUSTER_NAME;
use types::defaults::NODE_CERT_EXPIRY_MIN;
use types::{ClusterSpec, ConfigSpec, NodeSpec, SecretSpec};

use crate::names::{check_file_name, check_labels};
use crate::problem::{Check, Invalid};

/// A secret is shorter than this (SwarmKit's number).
const SECRET_LEN_MAX: usize = 500 * 1024;

/// A config is shorter than this (SwarmKit's number).
const CONFIG_LEN_MAX: usize = 1000 * 1024;

/// How the content of secrets and configs can be expanded.
const TEMPLATING: &str = "golang";

/// Checks the settings of a cluster.
///
/// # Errors
/// If a field is wrong.
pub fn cluster(spec: &ClusterSpec) -> Result<(), Invalid> {
    let mut check = Check::default();
    let name = &spec.annotations.name;
    check.require(
        name == CLUSTER_NAME,
        "annotations.name",
        format_args!("the cluster is called {CLUSTER_NAME:?}, not {name:?}"),
    );
    check_labels(&mut check, &spec.annotations);
    check.require(
        spec.heartbeat_period.is_none_or(|p| !p.is_zero()),
        "heartbeat_period",
        "nodes need a time between heartbeats, leave it out for the default",
    );
    check.require(
        spec.ca
            .node_cert_expiry
            .is_none_or(|e| e >= NODE_CERT_EXPIRY_MIN),
        "ca.node_cert_expiry",
        "certificates live one hour at least",
    );
    for (at, ca) in spec.ca.external_cas.iter().enumerate() {
        let host = ca.url.strip_prefix("https://").unwrap_or_default();
        check.require(
            !host.is_empty() && !host.starts_with('/') && !host.contains(char::is_whitespace),
            format_args!("ca.external_cas[{at}].url"),
            format_args!("{:?} is not an https:// address", ca.url),
        );
    }
    let raft = spec.raft;
    check.require(
        raft.election_tick == 0 || raft.election_tick > raft.heartbeat_tick,
        "raft.election_tick",
        "an election takes more ticks than a heartbeat",
    );
    check.finish()
}

/// Checks what users decide about a node.
///
/// # Errors
/// If a field is wrong.
pub fn node(spec: &NodeSpec) -> Result<(), Invalid> {
    let mut check = Check::default();
    check_labels(&mut check, &spec.annotations);
    check.finish()
}

/// Checks a secret.
///
/// # Errors
/// If a field is wrong.
pub fn secret(spec: &SecretSpec) -> Result<(), Invalid> {
    let mut check = Check::default();
    check_file_name(&mut check, &spec.annotations);
    match &spec.driver {
        None => check_data(&mut check, spec.data.len(), SECRET_LEN_MAX),
        Some(driver) => {
            check.require(!driver.name.is_empty(), "driver.name", "a name is required");
            check.require(
                spec.data.is_empty(),
                "data",
                "the driver provides the content, leave it empty",
            );
        }
    }
    check_templating(&mut check, spec.templating.as_ref());
    check.finish()
}

/// Checks a config.
///
/// # Errors
/// If a field is wrong.
pub fn config(spec: &ConfigSpec) -> Result<(), Invalid> {
    let mut check = Check::default();
    check_file_name(&mut check, &spec.annotations);
    check_data(&mut check, spec.data.len(), CONFIG_LEN_MAX);
    check_templating(&mut check, spec.templating.as_ref());
    check.finish()
}

fn check_data(check: &mut Check, len: usize, len_max: usize) {
    check.require(
        len > 0 && len < len_max,
        "data",
        format_args!("{len} bytes: content has 1 to {} bytes", len_max - 1),
    );
}

fn check_templating(check: &mut Check, driver: Option<&types::Driver>) {
    if let Some(driver) = driver {
        check.require(
            driver.name.is_empty() || driver.name == TEMPLATING,
            "templating.name",
            format_args!("{:?} is not known, {TEMPLATING:?} is", driver.name),
        );
    }
}
