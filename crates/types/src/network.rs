//! Networks and attachments to them.

use std::sync::Arc;

use crate::id::NetworkId;
use crate::meta::{Annotations, Driver, Labels, Meta};

/// A network as declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Name and labels.
    pub annotations: Annotations,
    /// Driver; `None` is overlay.
    pub driver: Option<Driver>,
    /// Has IPv6 addresses too.
    pub ipv6_enabled: bool,
    /// No way out.
    pub internal: bool,
    /// Address management.
    pub ipam: Option<IpamOptions>,
    /// Containers of `docker run` may attach.
    pub attachable: bool,
    /// Is the routing mesh.
    pub ingress: bool,
    /// Takes its settings from this network of the node.
    pub config_from: Option<String>,
}

/// Address management of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpamOptions {
    /// Driver; `None` is the default one.
    pub driver: Option<Driver>,
    /// Subnets.
    pub configs: Vec<IpamConfig>,
}

/// A subnet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpamConfig {
    /// Address family.
    pub family: IpFamily,
    /// Subnet in CIDR notation.
    pub subnet: String,
    /// Part of it that addresses are taken from.
    pub range: String,
    /// Gateway.
    pub gateway: String,
    /// Addresses that are taken, by name.
    pub reserved: Labels,
}

/// Address family. Numbers are SwarmKit's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IpFamily {
    /// Not said.
    #[default]
    Unknown,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Id.
    pub id: NetworkId,
    /// Record facts.
    pub meta: Meta,
    /// As declared.
    pub spec: NetworkSpec,
    /// What the driver needs on the nodes.
    pub driver_state: Option<Driver>,
    /// Addresses as allocated.
    pub ipam: Option<IpamOptions>,
    /// Removal has begun.
    pub pending_delete: bool,
}

/// A wish to be attached to a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkAttachmentConfig {
    /// Network, by id or name.
    pub target: String,
    /// Names on that network.
    pub aliases: Vec<String>,
    /// Addresses asked for.
    pub addresses: Vec<String>,
    /// Options for the driver.
    pub driver_attachment_opts: Labels,
}

/// An attachment as allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkAttachment {
    /// Network, shared with the table.
    pub network: Arc<Network>,
    /// Addresses in CIDR notation.
    pub addresses: Vec<String>,
    /// Names on that network.
    pub aliases: Vec<String>,
    /// Options for the driver.
    pub driver_attachment_opts: Labels,
}
