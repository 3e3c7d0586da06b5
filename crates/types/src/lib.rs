//! The words of the domain: ids, specs, objects and task states.
//!
//! Everything here is plain data with the rules that belong to one value alone: how an id is
//! written, which task state may follow which, what a missing field defaults to. Nothing here
//! reads a clock, draws a random number, does I/O or knows how a value travels on the wire.

pub mod cluster;
pub mod config;
pub mod container;
pub mod defaults;
pub mod entropy;
pub mod id;
pub mod meta;
pub mod naming;
pub mod network;
pub mod node;
pub mod options;
pub mod resources;
pub mod secret;
pub mod service;
pub mod slot;
pub mod state;
pub mod task;
pub mod time;
pub mod volume;

pub use cluster::{Cluster, ClusterSpec};
pub use config::{Config, ConfigSpec};
pub use container::ContainerSpec;
pub use entropy::Entropy;
pub use id::{
    ClusterId, ConfigId, ExtensionId, NetworkId, NodeId, ParseIdError, ResourceId, SecretId,
    ServiceId, TaskId, VolumeId,
};
pub use meta::{Annotations, Driver, IndexEntry, Labels, Meta};
pub use network::{Network, NetworkSpec};
pub use node::{Availability, Node, NodeRole, NodeSpec, NodeState};
pub use options::{ClusterOptions, ServiceOptions, Strategy};
pub use resources::{GenericResource, Resources};
pub use secret::{Secret, SecretBytes, SecretSpec};
pub use service::{Service, ServiceMode, ServiceSpec};
pub use slot::SlotKey;
pub use state::{Actor, TaskState};
pub use task::{Runtime, Task, TaskSpec, TaskStatus};
pub use time::Timestamp;
pub use volume::{Volume, VolumeSpec};

pub use crate::kinds::{Extension, Resource};

mod kinds;
