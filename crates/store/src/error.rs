//! Why a transaction cannot be applied.

use std::fmt;

use types::{ServiceId, TaskId, TaskState};

/// Kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The cluster.
    Cluster,
    /// A node.
    Node,
    /// A service.
    Service,
    /// A task.
    Task,
    /// A network.
    Network,
    /// A secret.
    Secret,
    /// A config.
    Config,
    /// A cluster volume.
    Volume,
    /// An extension.
    Extension,
    /// A resource.
    Resource,
}

impl Kind {
    /// Name as users see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Service => "service",
            Self::Task => "task",
            Self::Network => "network",
            Self::Secret => "secret",
            Self::Config => "config",
            Self::Volume => "volume",
            Self::Extension => "extension",
            Self::Resource => "resource",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a transaction cannot be applied to a state. The state is unchanged then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The transaction was made for another version of the tables.
    #[error("transaction {given} does not follow version {have} of the tables")]
    OutOfOrder {
        /// Version of the tables.
        have: u64,
        /// Version the transaction makes.
        given: u64,
    },
    /// An object of that id exists.
    #[error("{kind} {id} exists already")]
    Exists {
        /// Kind.
        kind: Kind,
        /// Id.
        id: String,
    },
    /// No object of that id.
    #[error("{kind} {id} does not exist")]
    NotFound {
        /// Kind.
        kind: Kind,
        /// Id.
        id: String,
    },
    /// Another object has the name.
    #[error("the name {name:?} is taken by {kind} {by}")]
    NameTaken {
        /// Kind.
        kind: Kind,
        /// Name.
        name: String,
        /// Id of the object that has it.
        by: String,
    },
    /// The update was made from an older version of the object.
    #[error("{kind} {id} is at version {have}, the update was made from version {given}")]
    Stale {
        /// Kind.
        kind: Kind,
        /// Id.
        id: String,
        /// Version it is at.
        have: u64,
        /// Version the update names.
        given: u64,
    },
    /// A task's state may not move that way.
    #[error("task {id} cannot move from {from} to {to}")]
    Backwards {
        /// Task.
        id: TaskId,
        /// State it is in.
        from: TaskState,
        /// State it should get.
        to: TaskState,
    },
    /// A task names a spec version that is not kept.
    #[error("service {service} has no spec version {version}")]
    NoRevision {
        /// Service.
        service: ServiceId,
        /// Spec version.
        version: u64,
    },
    /// A resource names a kind that no extension registers.
    #[error("no extension registers the kind {kind:?}")]
    NoKind {
        /// Kind of resource.
        kind: String,
    },
    /// There is one cluster object only.
    #[error("there is a cluster object already")]
    SecondCluster,
}
