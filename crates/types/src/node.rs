//! Nodes: the machines of a cluster.

use std::sync::Arc;

use crate::id::NodeId;
use crate::meta::{Annotations, Labels, Meta};
use crate::network::NetworkAttachment;
use crate::resources::Resources;

/// What users decide about a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeSpec {
    /// Name and labels.
    pub annotations: Annotations,
    /// The role it should have.
    pub desired_role: NodeRole,
    /// Whether it is let in.
    pub membership: Membership,
    /// Whether it takes tasks.
    pub availability: Availability,
}

/// What a node does in the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeRole {
    /// Runs tasks.
    #[default]
    Worker,
    /// Also keeps the cluster's state.
    Manager,
}

impl NodeRole {
    /// Name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Manager => "manager",
        }
    }
}

/// Whether a node is let in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Membership {
    /// Waits for an operator.
    Pending,
    /// In.
    #[default]
    Accepted,
}

/// Whether a node takes tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Availability {
    /// Takes tasks.
    #[default]
    Active,
    /// Keeps its tasks and takes no new ones.
    Pause,
    /// Its tasks move away.
    Drain,
}

impl Availability {
    /// Name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }
}

/// A machine of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Id.
    pub id: NodeId,
    /// Record facts.
    pub meta: Meta,
    /// What users decide.
    pub spec: NodeSpec,
    /// What the node says of itself.
    pub description: Option<Arc<NodeDescription>>,
    /// Whether it answers.
    pub status: NodeStatus,
    /// Its certificate.
    pub certificate: Certificate,
    /// The role that certificates are issued for now.
    pub role: NodeRole,
    /// Addresses on overlay networks.
    pub attachments: Vec<NetworkAttachment>,
    /// UDP port of the overlay; 0 is the default, 4789.
    pub vxlan_udp_port: u32,
}

impl Node {
    /// A node in the role that is wanted of it, which has said nothing of itself yet.
    pub fn new(id: NodeId, spec: NodeSpec) -> Self {
        Self {
            id,
            meta: Meta::default(),
            role: spec.desired_role,
            spec,
            description: None,
            status: NodeStatus::default(),
            certificate: Certificate::default(),
            attachments: Vec::new(),
            vxlan_udp_port: 0,
        }
    }

    /// The host name it reported; empty before it did.
    pub fn hostname(&self) -> &str {
        self.description.as_ref().map_or("", |d| &d.hostname)
    }

    /// Whether tasks may be placed on it.
    pub fn accepts_tasks(&self) -> bool {
        self.status.state == NodeState::Ready && self.spec.availability == Availability::Active
    }
}

/// What a node says of itself. A compromised node can say anything here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeDescription {
    /// Host name.
    pub hostname: String,
    /// Architecture and operating system.
    pub platform: Platform,
    /// What it has.
    pub resources: Resources,
    /// Its container engine.
    pub engine: EngineDescription,
    /// Whom it trusts and who signed its certificate.
    pub tls_info: Option<TlsInfo>,
    /// Uses only approved algorithms.
    pub fips: bool,
    /// CSI plugins.
    pub csi: Vec<CsiInfo>,
}

/// Architecture and operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    /// Architecture, for example `x86_64`.
    pub architecture: String,
    /// Operating system, for example `linux`.
    pub os: String,
}

/// A container engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineDescription {
    /// Version.
    pub version: String,
    /// Labels of the engine.
    pub labels: Labels,
    /// Its plugins.
    pub plugins: Vec<PluginDescription>,
}

/// A plugin of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PluginDescription {
    /// `Volume`, `Network`, `Log` or `Authorization`.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// The trust of a node's certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// The root certificates it trusts, PEM.
    pub trust_root: Vec<u8>,
    /// Subject of the issuer of its certificate, DER.
    pub cert_issuer_subject: Vec<u8>,
    /// Public key of that issuer, DER.
    pub cert_issuer_public_key: Vec<u8>,
}

/// A CSI plugin on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CsiInfo {
    /// Plugin.
    pub plugin_name: String,
    /// The plugin's name for the node.
    pub node_id: String,
    /// Most volumes at a time; 0 is unlimited.
    pub max_volumes_per_node: i64,
    /// Where it is, in the plugin's words.
    pub accessible_topology: Option<Labels>,
}

/// Whether a node answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// State.
    pub state: NodeState,
    /// Why, in words.
    pub message: String,
    /// Address it was last seen at.
    pub addr: String,
}

/// Whether a node answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// Not known (yet, or since the leader changed).
    #[default]
    Unknown,
    /// Missed its heartbeats.
    Down,
    /// Answers.
    Ready,
    /// Is looking for another manager.
    Disconnected,
}

impl NodeState {
    /// Name as users see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Down => "down",
            Self::Ready => "ready",
            Self::Disconnected => "disconnected",
        }
    }
}

/// A node's certificate and where its issuance stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Role it is (to be) issued for.
    pub role: NodeRole,
    /// Signing request, PEM.
    pub csr: Vec<u8>,
    /// Where its issuance stands.
    pub state: IssuanceState,
    /// Why issuance failed, in words.
    pub err: String,
    /// Certificate chain, PEM, leaf first.
    pub certificate: Vec<u8>,
    /// Common name: the node id.
    pub cn: String,
}

/// Where the issuance of a certificate stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IssuanceState {
    /// Nothing asked.
    #[default]
    Unknown,
    /// A node asks for a new one.
    Renew,
    /// A new node asks for its first.
    Pending,
    /// Signed.
    Issued,
    /// Refused.
    Failed,
    /// The node is told to ask for a new one.
    Rotate,
}

/// By this our nodes tell themselves from stock Docker Engines, which can only be workers: an
/// engine label of the node, and a metadata key of its calls for certificates.
pub const OWN_AGENT_LABEL: &str = "swarm.agent";

/// Metadata key under which a manager adds its clock, in nanoseconds since 1970, to its root
/// certificate, so that a node whose clock is wrong finds out before it joins.
pub const MANAGER_TIME_KEY: &str = "swarm-time";

/// By this engine label a node of ours says, when it knocks instead of opening a session, that its
/// executor does not answer; the value is the reason. Such a node is listed as down with it.
pub const EXECUTOR_TROUBLE_LABEL: &str = "swarm.executor-trouble";

/// By this engine label a node of ours says which images it holds: names with tags, separated by
/// blanks, the newest first, at most [`IMAGES_MAX`] of them and [`IMAGES_BYTES_MAX`] in all.
pub const IMAGES_LABEL: &str = "swarm.images";

/// Most images that a node reports. Every manager keeps them for every node.
pub const IMAGES_MAX: usize = 32;

/// Most bytes of the list of images that a node reports: 200 MB for 100,000 nodes.
pub const IMAGES_BYTES_MAX: usize = 2 << 10;
