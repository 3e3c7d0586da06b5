//! Random domain objects with every field in play, for tests. One seed gives one object.

mod workload;

use std::sync::Arc;
use std::time::Duration;

use types::cluster::{
    CaConfig, EncryptionKey, ExternalCa, JoinTokens, RaftConfig, RootCa, RootRotation,
};
use types::entropy::SeededEntropy;
use types::network::{
    IpFamily, IpamConfig, IpamOptions, NetworkAttachment, NetworkAttachmentConfig,
};
use types::node::{
    Certificate, CsiInfo, EngineDescription, IssuanceState, Membership, NodeDescription,
    NodeStatus, Platform, PluginDescription, TlsInfo,
};
use types::state::ALL_STATES;
use types::volume::{
    AccessMode, AccessType, PublishState, Sharing, VolumeInfo, VolumePublishStatus,
};
use types::{
    Annotations, Availability, Cluster, ClusterId, ClusterOptions, ClusterSpec, Config, ConfigId,
    ConfigSpec, Driver, Entropy, Extension, ExtensionId, GenericResource, IndexEntry, Labels, Meta,
    Network, NetworkId, NetworkSpec, Node, NodeId, NodeRole, NodeSpec, NodeState, Resource,
    ResourceId, Resources, Secret, SecretBytes, SecretId, SecretSpec, TaskState, Timestamp, Volume,
    VolumeId, VolumeSpec,
};

/// A source of random values.
#[derive(Debug, Clone)]
pub struct Gen(pub(super) SeededEntropy);

impl Gen {
    /// The source of a seed.
    pub fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// The entropy behind it, for ids.
    pub fn entropy(&mut self) -> &mut dyn Entropy {
        &mut self.0
    }

    /// Yes or no.
    pub fn flip(&mut self) -> bool {
        self.0.below(2) == 1
    }

    /// A number, small as often as large.
    pub fn number(&mut self) -> u64 {
        match self.0.below(4) {
            0 => 0,
            1 => self.0.below(100),
            2 => u64::MAX,
            _ => self.0.next_u64(),
        }
    }

    pub(super) fn signed(&mut self) -> i64 {
        self.number().cast_signed()
    }

    pub(super) fn half(&mut self) -> u32 {
        (self.number() >> 32) as u32
    }

    pub(super) fn half_signed(&mut self) -> i32 {
        self.half().cast_signed()
    }

    /// A text, empty at times, not only ASCII.
    pub fn text(&mut self) -> String {
        const PIECES: [&str; 8] = ["a", "web", "-", "0", " ", "ü", "日本", "\n"];
        let length = self.0.below(5);
        let piece = |_| PIECES[self.0.below(PIECES.len() as u64) as usize];
        (0..length).map(piece).collect()
    }

    pub(super) fn texts(&mut self) -> Vec<String> {
        self.list(Self::text)
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        self.list(|g| g.half() as u8)
    }

    fn secret_bytes(&mut self) -> SecretBytes {
        SecretBytes::new(self.bytes())
    }

    /// A list of up to three items.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.0.below(4)).map(|_| item(self)).collect()
    }

    /// Something or nothing.
    pub fn maybe<T>(&mut self, item: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flip().then(|| item(self))
    }

    /// One of some values.
    pub fn pick<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.0.below(values.len() as u64) as usize].clone()
    }

    /// Labels.
    pub fn labels(&mut self) -> Labels {
        self.list(|g| (g.text(), g.text())).into_iter().collect()
    }

    pub(super) fn span(&mut self) -> Duration {
        Duration::from_nanos(self.number() >> 1)
    }

    /// A moment, often not set.
    pub fn moment(&mut self) -> Timestamp {
        Timestamp(self.number())
    }

    /// A task state.
    pub fn task_state(&mut self) -> TaskState {
        self.pick(&ALL_STATES)
    }

    pub(super) fn meta(&mut self) -> Meta {
        Meta {
            version: self.number(),
            created_at: self.moment(),
            updated_at: self.moment(),
        }
    }

    pub(super) fn annotations(&mut self) -> Annotations {
        Annotations {
            name: self.text(),
            labels: self.labels(),
            indices: self.list(|g| IndexEntry {
                key: g.text(),
                val: g.text(),
            }),
        }
    }

    pub(super) fn driver(&mut self) -> Driver {
        Driver {
            name: self.text(),
            options: self.labels(),
        }
    }

    fn generic(&mut self) -> GenericResource {
        if self.flip() {
            GenericResource::Discrete {
                kind: self.text(),
                value: self.signed(),
            }
        } else {
            GenericResource::Named {
                kind: self.text(),
                value: self.text(),
            }
        }
    }

    /// Generic resources.
    pub fn generics(&mut self) -> Vec<GenericResource> {
        self.list(Self::generic)
    }

    pub(super) fn resources(&mut self) -> Resources {
        Resources {
            nano_cpus: self.signed(),
            memory_bytes: self.signed(),
            generic: self.generics(),
        }
    }
}

/// Clusters, secrets, configs, extensions and resources.
impl Gen {
    /// A cluster.
    pub fn cluster(&mut self) -> Cluster {
        Cluster {
            id: ClusterId::random(&mut self.0),
            meta: self.meta(),
            spec: self.cluster_spec(),
            root_ca: self.root_ca(),
            network_bootstrap_keys: self.list(Self::encryption_key),
            encryption_key_lamport_clock: self.number(),
            blacklisted_certificates: self.list(|g| (g.text(), g.moment())).into_iter().collect(),
            unlock_keys: self.list(Self::encryption_key),
            fips: self.flip(),
            default_address_pool: self.texts(),
            subnet_size: self.half(),
            vxlan_udp_port: self.half(),
            feature_level: self.half(),
        }
    }

    fn cluster_spec(&mut self) -> ClusterSpec {
        ClusterSpec {
            annotations: self.annotations(),
            task_history_retention_limit: self.signed(),
            raft: RaftConfig {
                snapshot_interval: self.number(),
                keep_old_snapshots: self.number(),
                log_entries_for_slow_followers: self.number(),
                heartbeat_tick: self.half(),
                election_tick: self.half(),
            },
            heartbeat_period: self.maybe(Self::span),
            ca: CaConfig {
                node_cert_expiry: self.maybe(Self::span),
                external_cas: self.list(|g| ExternalCa {
                    url: g.text(),
                    options: g.labels(),
                    ca_cert: g.bytes(),
                }),
                signing_ca_cert: self.bytes(),
                signing_ca_key: self.secret_bytes(),
                force_rotate: self.number(),
            },
            default_log_driver: self.maybe(Self::driver),
            auto_lock_managers: self.flip(),
            options: ClusterOptions {
                strategy: self.strategy(),
                preemption: self.flip(),
                rebalancing: self.maybe(|g| types::options::Rebalancing {
                    service: g.maybe(|g| types::ServiceId::random(&mut g.0)),
                    moves_left: 7,
                    asked_at: g.moment(),
                }),
            },
        }
    }

    fn root_ca(&mut self) -> RootCa {
        RootCa {
            ca_key: self.secret_bytes(),
            ca_cert: self.bytes(),
            ca_cert_hash: self.text(),
            join_tokens: JoinTokens {
                worker: self.text(),
                manager: self.text(),
            },
            root_rotation: self.maybe(|g| RootRotation {
                ca_cert: g.bytes(),
                ca_key: g.secret_bytes(),
                cross_signed_ca_cert: g.bytes(),
            }),
            last_forced_rotation: self.number(),
        }
    }

    fn encryption_key(&mut self) -> EncryptionKey {
        EncryptionKey {
            subsystem: self.text(),
            algorithm: self.half_signed(),
            key: self.secret_bytes(),
            lamport_time: self.number(),
        }
    }

    /// A secret.
    pub fn secret(&mut self) -> Secret {
        Secret {
            id: SecretId::random(&mut self.0),
            meta: self.meta(),
            spec: SecretSpec {
                annotations: self.annotations(),
                data: self.secret_bytes(),
                templating: self.maybe(Self::driver),
                driver: self.maybe(Self::driver),
            },
            internal: self.flip(),
        }
    }

    /// A config.
    pub fn config(&mut self) -> Config {
        Config {
            id: ConfigId::random(&mut self.0),
            meta: self.meta(),
            spec: ConfigSpec {
                annotations: self.annotations(),
                data: self.bytes().into(),
                templating: self.maybe(Self::driver),
            },
        }
    }

    /// An extension.
    pub fn extension(&mut self) -> Extension {
        Extension {
            id: ExtensionId::random(&mut self.0),
            meta: self.meta(),
            annotations: self.annotations(),
            description: self.text(),
        }
    }

    /// A resource.
    pub fn resource(&mut self) -> Resource {
        Resource {
            id: ResourceId::random(&mut self.0),
            meta: self.meta(),
            annotations: self.annotations(),
            kind: self.text(),
            payload_type_url: self.text(),
            payload: self.bytes().into(),
        }
    }
}

/// Nodes.
impl Gen {
    /// A node.
    pub fn node(&mut self) -> Node {
        Node {
            id: NodeId::random(&mut self.0),
            meta: self.meta(),
            spec: NodeSpec {
                annotations: self.annotations(),
                desired_role: self.role(),
                membership: self.pick(&[Membership::Pending, Membership::Accepted]),
                availability: self.availability(),
            },
            description: self.maybe(Self::description).map(Arc::new),
            status: NodeStatus {
                state: self.pick(&[
                    NodeState::Unknown,
                    NodeState::Down,
                    NodeState::Ready,
                    NodeState::Disconnected,
                ]),
                message: self.text(),
                addr: self.text(),
            },
            certificate: self.certificate(),
            role: self.role(),
            attachments: self.list(Self::attachment),
            vxlan_udp_port: self.half(),
        }
    }

    fn role(&mut self) -> NodeRole {
        self.pick(&[NodeRole::Worker, NodeRole::Manager])
    }

    fn availability(&mut self) -> Availability {
        self.pick(&[
            Availability::Active,
            Availability::Pause,
            Availability::Drain,
        ])
    }

    /// What a node says of itself.
    pub fn description(&mut self) -> NodeDescription {
        NodeDescription {
            hostname: self.text(),
            platform: self.platform(),
            resources: self.resources(),
            engine: EngineDescription {
                version: self.text(),
                labels: self.labels(),
                plugins: self.list(|g| PluginDescription {
                    kind: g.text(),
                    name: g.text(),
                }),
            },
            tls_info: self.maybe(|g| TlsInfo {
                trust_root: g.bytes(),
                cert_issuer_subject: g.bytes(),
                cert_issuer_public_key: g.bytes(),
            }),
            fips: self.flip(),
            csi: self.list(|g| CsiInfo {
                plugin_name: g.text(),
                node_id: g.text(),
                max_volumes_per_node: g.signed(),
                accessible_topology: g.maybe(Self::labels),
            }),
        }
    }

    pub(super) fn platform(&mut self) -> Platform {
        Platform {
            architecture: self.text(),
            os: self.text(),
        }
    }

    fn certificate(&mut self) -> Certificate {
        Certificate {
            role: self.role(),
            csr: self.bytes(),
            state: self.pick(&[
                IssuanceState::Unknown,
                IssuanceState::Renew,
                IssuanceState::Pending,
                IssuanceState::Issued,
                IssuanceState::Failed,
                IssuanceState::Rotate,
            ]),
            err: self.text(),
            certificate: self.bytes(),
            cn: self.text(),
        }
    }
}

/// Networks and volumes.
impl Gen {
    /// A network.
    pub fn network(&mut self) -> Network {
        Network {
            id: NetworkId::random(&mut self.0),
            meta: self.meta(),
            spec: NetworkSpec {
                annotations: self.annotations(),
                driver: self.maybe(Self::driver),
                ipv6_enabled: self.flip(),
                internal: self.flip(),
                ipam: self.maybe(Self::ipam),
                attachable: self.flip(),
                ingress: self.flip(),
                config_from: self.maybe(Self::text),
            },
            driver_state: self.maybe(Self::driver),
            ipam: self.maybe(Self::ipam),
            pending_delete: self.flip(),
        }
    }

    fn ipam(&mut self) -> IpamOptions {
        IpamOptions {
            driver: self.maybe(Self::driver),
            configs: self.list(|g| IpamConfig {
                family: g.pick(&[IpFamily::Unknown, IpFamily::V4, IpFamily::V6]),
                subnet: g.text(),
                range: g.text(),
                gateway: g.text(),
                reserved: g.labels(),
            }),
        }
    }

    pub(super) fn attachment(&mut self) -> NetworkAttachment {
        NetworkAttachment {
            network: Arc::new(self.network()),
            addresses: self.texts(),
            aliases: self.texts(),
            driver_attachment_opts: self.labels(),
        }
    }

    pub(super) fn attachment_config(&mut self) -> NetworkAttachmentConfig {
        NetworkAttachmentConfig {
            target: self.text(),
            aliases: self.texts(),
            addresses: self.texts(),
            driver_attachment_opts: self.labels(),
        }
    }

    /// A volume.
    pub fn volume(&mut self) -> Volume {
        Volume {
            id: VolumeId::random(&mut self.0),
            meta: self.meta(),
            spec: self.volume_spec(),
            publish_status: self.list(|g| VolumePublishStatus {
                node_id: NodeId::random(&mut g.0),
                state: g.pick(&[
                    PublishState::PendingPublish,
                    PublishState::Published,
                    PublishState::PendingNodeUnpublish,
                    PublishState::PendingUnpublish,
                ]),
                publish_context: g.labels(),
                message: g.text(),
            }),
            info: self.maybe(|g| VolumeInfo {
                capacity_bytes: g.signed(),
                volume_context: g.labels(),
                volume_id: g.text(),
                accessible_topology: g.list(Self::labels),
            }),
            pending_delete: self.flip(),
        }
    }

    fn volume_spec(&mut self) -> VolumeSpec {
        let sharing = [
            Sharing::None,
            Sharing::ReadOnly,
            Sharing::OneWriter,
            Sharing::All,
        ];
        let access = if self.flip() {
            AccessType::Block
        } else {
            AccessType::Mount {
                fs_type: self.text(),
                flags: self.texts(),
            }
        };
        VolumeSpec {
            annotations: self.annotations(),
            group: self.text(),
            driver: self.driver(),
            access_mode: AccessMode {
                multi_node: self.flip(),
                sharing: self.pick(&sharing),
                access,
            },
            secrets: self.list(|g| (g.text(), SecretId::random(&mut g.0))),
            requisite_topologies: self.list(Self::labels),
            preferred_topologies: self.list(Self::labels),
            required_bytes: self.signed(),
            limit_bytes: self.signed(),
            availability: self.availability(),
        }
    }
}
