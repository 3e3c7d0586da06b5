//! The cluster object: settings, root of trust, join tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::ClusterId;
use crate::meta::{Annotations, Driver, Labels, Meta};
use crate::options::ClusterOptions;
use crate::secret::SecretBytes;
use crate::time::Timestamp;

/// Name of the one cluster object.
pub const CLUSTER_NAME: &str = "default";

/// Settings of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterSpec {
    /// Name (always [`CLUSTER_NAME`]) and labels.
    pub annotations: Annotations,
    /// Old tasks kept per slot; negative keeps all.
    pub task_history_retention_limit: i64,
    /// Settings of the replicated log.
    pub raft: RaftConfig,
    /// Time between a node's heartbeats; `None` takes the default.
    pub heartbeat_period: Option<Duration>,
    /// Settings of the certificate authority.
    pub ca: CaConfig,
    /// Log driver of tasks that name none.
    pub default_log_driver: Option<Driver>,
    /// Managers need the unlock key after a restart.
    pub auto_lock_managers: bool,
    /// What SwarmKit's spec has no place for.
    pub options: ClusterOptions,
}

/// Settings of the replicated log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RaftConfig {
    /// Log entries between snapshots.
    pub snapshot_interval: u64,
    /// Old snapshots kept.
    pub keep_old_snapshots: u64,
    /// Log entries kept behind a snapshot for slow followers.
    pub log_entries_for_slow_followers: u64,
    /// Ticks between heartbeats of the leader.
    pub heartbeat_tick: u32,
    /// Ticks without a heartbeat before an election.
    pub election_tick: u32,
}

/// Settings of the certificate authority.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CaConfig {
    /// Life of node certificates; `None` takes the default of 90 days.
    pub node_cert_expiry: Option<Duration>,
    /// External authorities.
    pub external_cas: Vec<ExternalCa>,
    /// Root certificate to rotate to, PEM.
    pub signing_ca_cert: Vec<u8>,
    /// Its key, PEM.
    pub signing_ca_key: SecretBytes,
    /// Raising it asks for a new root.
    pub force_rotate: u64,
}

/// An external authority that speaks the CFSSL protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalCa {
    /// Where it answers.
    pub url: String,
    /// Protocol options.
    pub options: Labels,
    /// Root it signs for, PEM.
    pub ca_cert: Vec<u8>,
}

/// The cluster object; there is exactly one.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Id; the organisation of every certificate.
    pub id: ClusterId,
    /// Record facts.
    pub meta: Meta,
    /// Settings.
    pub spec: ClusterSpec,
    /// Root of trust and join tokens.
    pub root_ca: RootCa,
    /// Keys of the data plane.
    pub network_bootstrap_keys: Vec<EncryptionKey>,
    /// Orders those keys.
    pub encryption_key_lamport_clock: u64,
    /// Certificates of removed nodes, by node id, until they could no longer be used.
    pub blacklisted_certificates: BTreeMap<String, Timestamp>,
    /// Keys that unlock managers.
    pub unlock_keys: Vec<EncryptionKey>,
    /// Only approved algorithms.
    pub fips: bool,
    /// Address pools that networks are cut from.
    pub default_address_pool: Vec<String>,
    /// Prefix length of networks cut from them.
    pub subnet_size: u32,
    /// UDP port of the overlay; 0 is the default, 4789.
    pub vxlan_udp_port: u32,
    /// The feature level that every manager supports; rises only when all do.
    pub feature_level: u32,
}

impl Cluster {
    /// A cluster with these settings and nothing else: no root of trust, no keys.
    pub fn new(id: ClusterId, spec: ClusterSpec) -> Self {
        Self {
            id,
            meta: Meta::default(),
            spec,
            root_ca: RootCa::default(),
            network_bootstrap_keys: Vec::new(),
            encryption_key_lamport_clock: 0,
            blacklisted_certificates: BTreeMap::new(),
            unlock_keys: Vec::new(),
            fips: false,
            default_address_pool: Vec::new(),
            subnet_size: 0,
            vxlan_udp_port: 0,
            feature_level: 0,
        }
    }
}

/// Root of trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootCa {
    /// Signing key, PEM.
    pub ca_key: SecretBytes,
    /// Root certificate bundle, PEM; join tokens hash these exact bytes.
    pub ca_cert: Vec<u8>,
    /// SHA-256 of the bundle as join tokens carry it.
    pub ca_cert_hash: String,
    /// Join tokens.
    pub join_tokens: JoinTokens,
    /// A rotation under way.
    pub root_rotation: Option<RootRotation>,
    /// The forced rotation last carried out.
    pub last_forced_rotation: u64,
}

/// Secrets that let machines join.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct JoinTokens {
    /// Joins as a worker.
    pub worker: String,
    /// Joins as a manager.
    pub manager: String,
}

impl std::fmt::Debug for JoinTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinTokens { <redacted> }")
    }
}

/// A rotation of the root under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootRotation {
    /// New root, PEM.
    pub ca_cert: Vec<u8>,
    /// Its key, PEM.
    pub ca_key: SecretBytes,
    /// New root signed by the old one, PEM.
    pub cross_signed_ca_cert: Vec<u8>,
}

/// A symmetric key handed to nodes or managers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncryptionKey {
    /// What it is for.
    pub subsystem: String,
    /// SwarmKit's number of the algorithm (0 is AES-128-GCM).
    pub algorithm: i32,
    /// Key bytes.
    pub key: SecretBytes,
    /// Orders keys of one subsystem.
    pub lamport_time: u64,
}
