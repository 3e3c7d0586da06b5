//! Cluster volumes (CSI).

use crate::id::{NodeId, SecretId, VolumeId};
use crate::meta::{Annotations, Driver, Labels, Meta};
use crate::node::Availability;

/// A cluster volume as declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Name and labels.
    pub annotations: Annotations,
    /// Group of interchangeable volumes.
    pub group: String,
    /// CSI plugin.
    pub driver: Driver,
    /// How it may be used.
    pub access_mode: AccessMode,
    /// Secrets for the plugin, by the plugin's key.
    pub secrets: Vec<(String, SecretId)>,
    /// Where it must be reachable; any of these.
    pub requisite_topologies: Vec<Labels>,
    /// Where it should be reachable, best first.
    pub preferred_topologies: Vec<Labels>,
    /// Least size in bytes; 0 is any.
    pub required_bytes: i64,
    /// Largest size in bytes; 0 is any.
    pub limit_bytes: i64,
    /// Whether it takes tasks.
    pub availability: Availability,
}

/// How a volume may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessMode {
    /// On several nodes at a time.
    pub multi_node: bool,
    /// Who may use it at a time.
    pub sharing: Sharing,
    /// As a block device or as a file system.
    pub access: AccessType,
}

/// Who may use a volume at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// One task.
    #[default]
    None,
    /// Readers only.
    ReadOnly,
    /// One writer, many readers.
    OneWriter,
    /// Everybody.
    All,
}

/// What a volume appears as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessType {
    /// A block device.
    Block,
    /// A file system.
    Mount {
        /// File system.
        fs_type: String,
        /// Mount flags.
        flags: Vec<String>,
    },
}

impl Default for AccessType {
    fn default() -> Self {
        Self::Mount {
            fs_type: String::new(),
            flags: Vec::new(),
        }
    }
}

/// A cluster volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Id.
    pub id: VolumeId,
    /// Record facts.
    pub meta: Meta,
    /// As declared.
    pub spec: VolumeSpec,
    /// Nodes it is (being) published to.
    pub publish_status: Vec<VolumePublishStatus>,
    /// What the plugin made.
    pub info: Option<VolumeInfo>,
    /// Removal has begun.
    pub pending_delete: bool,
}

/// Publication of a volume to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePublishStatus {
    /// Node.
    pub node_id: NodeId,
    /// State.
    pub state: PublishState,
    /// What the plugin said.
    pub publish_context: Labels,
    /// What is going on, in words.
    pub message: String,
}

/// State of a publication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PublishState {
    /// Asked.
    #[default]
    PendingPublish,
    /// There.
    Published,
    /// The node must let go first.
    PendingNodeUnpublish,
    /// The plugin must let go.
    PendingUnpublish,
}

/// A volume as the plugin made it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeInfo {
    /// Size in bytes.
    pub capacity_bytes: i64,
    /// What the plugin wants to be told.
    pub volume_context: Labels,
    /// The plugin's name for it.
    pub volume_id: String,
    /// Where it is reachable.
    pub accessible_topology: Vec<Labels>,
}
