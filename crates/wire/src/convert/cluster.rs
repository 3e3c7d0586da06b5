//! The cluster object.

use std::collections::BTreeMap;

use types::Timestamp;
use types::cluster::{
    CaConfig, Cluster, ClusterSpec, EncryptionKey, ExternalCa, JoinTokens, RaftConfig, RootCa,
    RootRotation,
};
use types::options::ClusterOptions;
use types::secret::SecretBytes;

use super::meta::{carrying, with_options};
use super::time::{duration, moment, optional_span, timestamp};
use super::{ConvertError, Result, encoded, enumeration, id, list, message};
use crate::api;
use crate::api::external_ca::CaProtocol;

impl TryFrom<api::ClusterSpec> for ClusterSpec {
    type Error = ConvertError;

    fn try_from(spec: api::ClusterSpec) -> Result<Self> {
        let dispatcher = spec.dispatcher.unwrap_or_default();
        let heartbeat = optional_span("heartbeat_period", dispatcher.heartbeat_period);
        let orchestration = spec.orchestration.unwrap_or_default();
        let (annotations, options) = with_options(spec.annotations, ClusterOptions::take)?;
        Ok(Self {
            annotations,
            task_history_retention_limit: orchestration.task_history_retention_limit,
            raft: message("raft", spec.raft)?,
            heartbeat_period: heartbeat.map_err(|e| e.inside("dispatcher"))?,
            ca: message("ca_config", spec.ca_config)?,
            default_log_driver: spec
                .task_defaults
                .and_then(|t| t.log_driver)
                .map(Into::into),
            auto_lock_managers: spec.encryption_config.is_some_and(|e| e.auto_lock_managers),
            options,
        })
    }
}

impl From<&ClusterSpec> for api::ClusterSpec {
    fn from(spec: &ClusterSpec) -> Self {
        Self {
            annotations: carrying(&spec.annotations, |labels| spec.options.put(labels)),
            acceptance_policy: Some(api::AcceptancePolicy::default()),
            orchestration: Some(api::OrchestrationConfig {
                task_history_retention_limit: spec.task_history_retention_limit,
            }),
            raft: Some((&spec.raft).into()),
            dispatcher: Some(api::DispatcherConfig {
                heartbeat_period: spec.heartbeat_period.map(duration),
            }),
            ca_config: Some((&spec.ca).into()),
            task_defaults: Some(api::TaskDefaults {
                log_driver: spec.default_log_driver.as_ref().map(Into::into),
            }),
            encryption_config: Some(api::EncryptionConfig {
                auto_lock_managers: spec.auto_lock_managers,
            }),
        }
    }
}

impl From<api::RaftConfig> for RaftConfig {
    fn from(config: api::RaftConfig) -> Self {
        Self {
            snapshot_interval: config.snapshot_interval,
            keep_old_snapshots: config.keep_old_snapshots,
            log_entries_for_slow_followers: config.log_entries_for_slow_followers,
            heartbeat_tick: config.heartbeat_tick,
            election_tick: config.election_tick,
        }
    }
}

impl From<&RaftConfig> for api::RaftConfig {
    fn from(config: &RaftConfig) -> Self {
        Self {
            snapshot_interval: config.snapshot_interval,
            keep_old_snapshots: config.keep_old_snapshots,
            log_entries_for_slow_followers: config.log_entries_for_slow_followers,
            heartbeat_tick: config.heartbeat_tick,
            election_tick: config.election_tick,
        }
    }
}

impl TryFrom<api::CaConfig> for CaConfig {
    type Error = ConvertError;

    fn try_from(config: api::CaConfig) -> Result<Self> {
        Ok(Self {
            node_cert_expiry: optional_span("node_cert_expiry", config.node_cert_expiry)?,
            external_cas: list("external_cas", config.external_cas)?,
            signing_ca_cert: config.signing_ca_cert,
            signing_ca_key: SecretBytes::new(config.signing_ca_key),
            force_rotate: config.force_rotate,
        })
    }
}

impl From<&CaConfig> for api::CaConfig {
    fn from(config: &CaConfig) -> Self {
        Self {
            node_cert_expiry: config.node_cert_expiry.map(duration),
            external_cas: encoded(&config.external_cas),
            signing_ca_cert: config.signing_ca_cert.clone(),
            signing_ca_key: config.signing_ca_key.expose().to_vec(),
            force_rotate: config.force_rotate,
        }
    }
}

impl TryFrom<api::ExternalCa> for ExternalCa {
    type Error = ConvertError;

    fn try_from(ca: api::ExternalCa) -> Result<Self> {
        let CaProtocol::Cfssl = enumeration::<CaProtocol, _>("protocol", ca.protocol)?;
        Ok(Self {
            url: ca.url,
            options: ca.options,
            ca_cert: ca.ca_cert,
        })
    }
}

impl From<&ExternalCa> for api::ExternalCa {
    fn from(ca: &ExternalCa) -> Self {
        Self {
            protocol: CaProtocol::Cfssl.into(),
            url: ca.url.clone(),
            options: ca.options.clone(),
            ca_cert: ca.ca_cert.clone(),
        }
    }
}

impl From<api::RootCa> for RootCa {
    fn from(root: api::RootCa) -> Self {
        let tokens = root.join_tokens.unwrap_or_default();
        Self {
            ca_key: SecretBytes::new(root.ca_key),
            ca_cert: root.ca_cert,
            ca_cert_hash: root.ca_cert_hash,
            join_tokens: JoinTokens {
                worker: tokens.worker,
                manager: tokens.manager,
            },
            root_rotation: root.root_rotation.map(Into::into),
            last_forced_rotation: root.last_forced_rotation,
        }
    }
}

impl From<&RootCa> for api::RootCa {
    fn from(root: &RootCa) -> Self {
        Self {
            ca_key: root.ca_key.expose().to_vec(),
            ca_cert: root.ca_cert.clone(),
            ca_cert_hash: root.ca_cert_hash.clone(),
            join_tokens: Some(api::JoinTokens {
                worker: root.join_tokens.worker.clone(),
                manager: root.join_tokens.manager.clone(),
            }),
            root_rotation: root.root_rotation.as_ref().map(Into::into),
            last_forced_rotation: root.last_forced_rotation,
        }
    }
}

impl From<api::RootRotation> for RootRotation {
    fn from(rotation: api::RootRotation) -> Self {
        Self {
            ca_cert: rotation.ca_cert,
            ca_key: SecretBytes::new(rotation.ca_key),
            cross_signed_ca_cert: rotation.cross_signed_ca_cert,
        }
    }
}

impl From<&RootRotation> for api::RootRotation {
    fn from(rotation: &RootRotation) -> Self {
        Self {
            ca_cert: rotation.ca_cert.clone(),
            ca_key: rotation.ca_key.expose().to_vec(),
            cross_signed_ca_cert: rotation.cross_signed_ca_cert.clone(),
        }
    }
}

impl From<api::EncryptionKey> for EncryptionKey {
    fn from(key: api::EncryptionKey) -> Self {
        Self {
            subsystem: key.subsystem,
            algorithm: key.algorithm,
            key: SecretBytes::new(key.key),
            lamport_time: key.lamport_time,
        }
    }
}

impl From<&EncryptionKey> for api::EncryptionKey {
    fn from(key: &EncryptionKey) -> Self {
        Self {
            subsystem: key.subsystem.clone(),
            algorithm: key.algorithm,
            key: key.key.expose().to_vec(),
            lamport_time: key.lamport_time,
        }
    }
}

type ApiBlacklist = BTreeMap<String, api::BlacklistedCertificate>;

fn blacklist(entries: ApiBlacklist) -> BTreeMap<String, Timestamp> {
    entries
        .into_iter()
        .map(|(cn, entry)| (cn, moment(entry.expiry)))
        .collect()
}

fn api_blacklist(entries: &BTreeMap<String, Timestamp>) -> ApiBlacklist {
    let entry = |expiry: Timestamp| api::BlacklistedCertificate {
        expiry: timestamp(expiry),
    };
    entries
        .iter()
        .map(|(cn, expiry)| (cn.clone(), entry(*expiry)))
        .collect()
}

/// The feature level has no field in SwarmKit's message and reads as 0; log and snapshots carry it
/// beside the message.
impl TryFrom<api::Cluster> for Cluster {
    type Error = ConvertError;

    fn try_from(cluster: api::Cluster) -> Result<Self> {
        Ok(Self {
            id: id("id", &cluster.id)?,
            meta: message("meta", cluster.meta)?,
            spec: message("spec", cluster.spec)?,
            root_ca: message("root_ca", cluster.root_ca)?,
            network_bootstrap_keys: list("network_bootstrap_keys", cluster.network_bootstrap_keys)?,
            encryption_key_lamport_clock: cluster.encryption_key_lamport_clock,
            blacklisted_certificates: blacklist(cluster.blacklisted_certificates),
            unlock_keys: list("unlock_keys", cluster.unlock_keys)?,
            fips: cluster.fips,
            default_address_pool: cluster.default_address_pool,
            subnet_size: cluster.subnet_size,
            vxlan_udp_port: cluster.vxlanudp_port,
            feature_level: 0,
        })
    }
}

impl From<&Cluster> for api::Cluster {
    fn from(cluster: &Cluster) -> Self {
        Self {
            id: cluster.id.to_string(),
            meta: Some((&cluster.meta).into()),
            spec: Some((&cluster.spec).into()),
            root_ca: Some((&cluster.root_ca).into()),
            network_bootstrap_keys: encoded(&cluster.network_bootstrap_keys),
            encryption_key_lamport_clock: cluster.encryption_key_lamport_clock,
            blacklisted_certificates: api_blacklist(&cluster.blacklisted_certificates),
            unlock_keys: encoded(&cluster.unlock_keys),
            fips: cluster.fips,
            default_address_pool: cluster.default_address_pool.clone(),
            subnet_size: cluster.subnet_size,
            vxlanudp_port: cluster.vxlan_udp_port,
        }
    }
}

/// The cluster as the Control API shows it: no signing keys, no unlock keys, no network keys.
pub fn without_secrets(cluster: &Cluster) -> api::Cluster {
    let mut shown = api::Cluster::from(cluster);
    shown.network_bootstrap_keys.clear();
    shown.unlock_keys.clear();
    if let Some(ca) = shown.spec.as_mut().and_then(|spec| spec.ca_config.as_mut()) {
        ca.signing_ca_cert.clear();
        ca.signing_ca_key.clear();
    }
    if let Some(root) = &mut shown.root_ca {
        root.ca_key.clear();
        if let Some(rotation) = &mut root.root_rotation {
            rotation.ca_key.clear();
        }
    }
    shown
}
