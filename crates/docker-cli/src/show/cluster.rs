//! The cluster object as JSON. Join tokens are left out: `join-token` shows them.

use serde_json::{Value, json};
use types::options::ClusterOptions;
use wire::api::{Cluster, ClusterSpec};

use super::{Fields, annotations, begin, driver, nanos};

/// The whole object.
pub fn cluster(cluster: &Cluster) -> Value {
    let root = cluster.root_ca.as_ref();
    let certificate = root.map(|root| String::from_utf8_lossy(&root.ca_cert).into_owned());
    let rotating = root.is_some_and(|root| root.root_rotation.is_some());
    begin(&cluster.id, cluster.meta.as_ref())
        .maybe("Spec", cluster.spec.as_ref().map(spec))
        .with(
            "TLSInfo",
            json!({"TrustRoot": certificate.unwrap_or_default()}),
        )
        .with("RootRotationInProgress", rotating)
        .with("DefaultAddrPool", cluster.default_address_pool.clone())
        .with("SubnetSize", cluster.subnet_size)
        .with("DataPathPort", cluster.vxlanudp_port)
        .done()
}

fn spec(spec: &ClusterSpec) -> Value {
    let orchestration = spec
        .orchestration
        .as_ref()
        .map(|o| json!({"TaskHistoryRetentionLimit": o.task_history_retention_limit}));
    let raft = spec.raft.as_ref().map(|raft| {
        json!({
            "SnapshotInterval": raft.snapshot_interval,
            "KeepOldSnapshots": raft.keep_old_snapshots,
            "LogEntriesForSlowFollowers": raft.log_entries_for_slow_followers,
            "ElectionTick": raft.election_tick,
            "HeartbeatTick": raft.heartbeat_tick,
        })
    });
    let heartbeat = spec.dispatcher.as_ref().map(|dispatcher| {
        let period = nanos(dispatcher.heartbeat_period.as_ref());
        Fields::default().maybe("HeartbeatPeriod", period).done()
    });
    let ca = spec.ca_config.as_ref().map(|ca| {
        let expiry = nanos(ca.node_cert_expiry.as_ref());
        Fields::default().maybe("NodeCertExpiry", expiry).done()
    });
    let log_driver = spec
        .task_defaults
        .as_ref()
        .and_then(|d| d.log_driver.as_ref());
    let locked = spec.encryption_config.is_some_and(|e| e.auto_lock_managers);
    let mut named = spec.annotations.clone().unwrap_or_default();
    let whole = named.labels.clone();
    let options = ClusterOptions::take(&mut named.labels).unwrap_or_else(|_| {
        // Written by a newer manager: shown as the labels that they are.
        named.labels = whole;
        ClusterOptions::default()
    });
    annotations(Some(&named))
        .maybe("Orchestration", orchestration)
        .maybe("Raft", raft)
        .maybe("Dispatcher", heartbeat)
        .maybe("CAConfig", ca)
        .maybe(
            "TaskDefaults",
            log_driver.map(|d| json!({"LogDriver": driver(d)})),
        )
        .with("EncryptionConfig", json!({"AutoLockManagers": locked}))
        .with("Options", cluster_options(&options))
        .done()
}

/// What goes beyond Docker's settings.
fn cluster_options(options: &ClusterOptions) -> Value {
    let preemption = if options.preemption { "on" } else { "off" };
    let rebalancing = options.rebalancing.map(|request| {
        let service = request.service.map(|id| id.to_string());
        Fields::default()
            .with("MovesLeft", request.moves_left)
            .maybe("ServiceID", service.map(Value::from))
            .done()
    });
    Fields::default()
        .with("Strategy", options.strategy.to_string())
        .with("Preemption", preemption)
        .maybe("Rebalancing", rebalancing)
        .done()
}
