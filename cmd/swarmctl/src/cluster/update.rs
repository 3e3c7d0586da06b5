//! `cluster update`.

use std::time::Duration;

use clap::Args;
use types::options::ClusterOptions;
use wire::api::{self, ClusterSpec};

use super::the_cluster;
use crate::client::{Client, call};
use crate::error::{CliError, Result};
use crate::out;
use crate::parse::{keyed, scalar};

/// Flags of `cluster update`, as `docker swarm update` has them.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Ended tasks kept for each slot; -1 keeps all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(-1..))]
    #[arg(allow_negative_numbers = true)]
    task_history_limit: Option<i64>,
    /// Life of node certificates
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    cert_expiry: Option<Duration>,
    /// Time between two heartbeats of a node
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    dispatcher_heartbeat: Option<Duration>,
    /// Log entries between two snapshots
    #[arg(long, value_name = "N")]
    snapshot_interval: Option<u64>,
    /// Snapshots kept beside the newest
    #[arg(long, value_name = "N")]
    max_snapshots: Option<u64>,
    /// Logging driver of tasks whose service names none
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// Option of that logging driver
    #[arg(long = "log-opt", value_name = "KEY=VALUE", requires = "log_driver")]
    log_opts: Vec<String>,
    /// Add or replace a label of the cluster
    #[arg(long, value_name = "KEY=VALUE")]
    label_add: Vec<String>,
    /// Remove a label of the cluster
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    /// How nodes are ranked for services that do not say
    #[arg(long, value_name = "STRATEGY", value_parser = ["spread", "binpack", "random"])]
    strategy: Option<String>,
    /// Whether a service may displace one of lower priority
    #[arg(long, value_name = "SWITCH", value_parser = ["on", "off"])]
    preemption: Option<String>,
    /// Lock managers when they restart
    #[arg(long, value_name = "BOOL")]
    autolock: Option<bool>,
}

/// Changes the settings.
///
/// # Errors
/// If the cluster refuses them.
pub async fn run(client: &Client, args: &UpdateArgs) -> Result<()> {
    let cluster = the_cluster(client).await?;
    let spec = changed(cluster.spec.clone().unwrap_or_default(), args)?;
    if cluster.spec.as_ref() == Some(&spec) {
        return Err(CliError::Usage(
            "nothing to update: give at least one flag".into(),
        ));
    }
    let request = api::UpdateClusterRequest {
        cluster_id: cluster.id.clone(),
        cluster_version: cluster.meta.as_ref().and_then(|m| m.version),
        spec: Some(spec),
        rotation: None,
    };
    call(
        "update the cluster",
        client.control().update_cluster(request),
    )
    .await?;
    out::print("Cluster updated.")
}

fn changed(mut spec: ClusterSpec, args: &UpdateArgs) -> Result<ClusterSpec> {
    if let Some(limit) = args.task_history_limit {
        spec.orchestration
            .get_or_insert_default()
            .task_history_retention_limit = limit;
    }
    if let Some(expiry) = args.cert_expiry {
        let ca = spec.ca_config.get_or_insert_default();
        ca.node_cert_expiry = Some(scalar::wire_duration(expiry));
    }
    if let Some(period) = args.dispatcher_heartbeat {
        let dispatcher = spec.dispatcher.get_or_insert_default();
        dispatcher.heartbeat_period = Some(scalar::wire_duration(period));
    }
    if let Some(interval) = args.snapshot_interval {
        spec.raft.get_or_insert_default().snapshot_interval = interval;
    }
    if let Some(kept) = args.max_snapshots {
        spec.raft.get_or_insert_default().keep_old_snapshots = kept;
    }
    if let Some(locked) = args.autolock {
        spec.encryption_config
            .get_or_insert_default()
            .auto_lock_managers = locked;
    }
    if let Some(name) = &args.log_driver {
        let refuse = |why| CliError::flag("log-opt", &args.log_opts.join(" "), why);
        let options = keyed::labels(&args.log_opts).map_err(refuse)?;
        let driver = api::Driver {
            name: name.clone(),
            options,
        };
        spec.task_defaults.get_or_insert_default().log_driver = Some(driver);
    }
    labels(&mut spec, args)?;
    Ok(spec)
}

/// Labels of the user, and the options that labels carry.
fn labels(spec: &mut ClusterSpec, args: &UpdateArgs) -> Result<()> {
    let labels = &mut spec.annotations.get_or_insert_default().labels;
    args.label_rm
        .iter()
        .for_each(|key| drop(labels.remove(key)));
    let refuse = |why| CliError::flag("label-add", &args.label_add.join(" "), why);
    labels.extend(keyed::labels(&args.label_add).map_err(refuse)?);
    let mut options =
        ClusterOptions::take(labels).map_err(|e| CliError::flag("label-add", &e.key, e.problem))?;
    if let Some(name) = &args.strategy {
        let refuse = |why: String| CliError::flag("strategy", name, why);
        options.strategy = name.parse().map_err(refuse)?;
    }
    if let Some(switch) = &args.preemption {
        options.preemption = switch == "on";
    }
    options.put(labels);
    Ok(())
}
