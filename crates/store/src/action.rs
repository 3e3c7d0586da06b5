//! What a transaction can do.

use std::sync::Arc;

use types::task::VolumeAttachment;
use types::{
    Cluster, ClusterId, Config, ConfigId, Extension, ExtensionId, GenericResource, Network,
    NetworkId, Node, NodeId, Resource, ResourceId, Secret, SecretId, Service, ServiceId, Task,
    TaskId, TaskState, TaskStatus, Timestamp, Volume, VolumeId,
};

use crate::digest::Digest;
use crate::error::Kind;
use crate::state::State;

/// A change of the tables: all of its actions happen, in order, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// The version of the tables that it makes; one more than the version it was made from.
    pub version: u64,
    /// When it was made, by the clock of the manager that made it.
    pub at: Timestamp,
    /// What it does.
    pub actions: Vec<Action>,
    /// Digest of the tables that it makes, where it was made; `None` if that is not known.
    pub digest: Option<Digest>,
}

impl Transaction {
    /// Whether these are the tables that it made where it was made, as far as their digest tells.
    pub fn made(&self, state: &State) -> bool {
        self.digest.is_none_or(|digest| digest == state.digest())
    }
}

/// One step of a transaction. Whole objects for what changes rarely; small deltas for what
/// changes by the thousand.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Adds an object; its record facts are set by the store.
    Create(Object),
    /// Replaces an object; its version must be the stored one.
    Update(Object),
    /// Removes an object.
    Remove(Key),
    /// Adds a task of a service's spec version, in state NEW.
    NewTask(NewTask),
    /// The task has everything it needs but a node: NEW to PENDING. It gets the service's
    /// endpoint as it is now.
    Allocate {
        /// Task.
        task: TaskId,
    },
    /// The task gets a node: PENDING to ASSIGNED.
    Assign {
        /// Task.
        task: TaskId,
        /// Node.
        node: NodeId,
        /// Generic resources it takes there.
        generic: Vec<GenericResource>,
        /// Cluster volumes it mounts.
        volumes: Vec<VolumeAttachment>,
    },
    /// Sets what is observed of a task. The state may stay but not fall.
    Report {
        /// Task.
        task: TaskId,
        /// What is observed.
        status: Box<TaskStatus>,
    },
    /// Sets what is wanted of a task, never lower than it is.
    Desire {
        /// Task.
        task: TaskId,
        /// What is wanted.
        state: TaskState,
    },
}

impl Action {
    /// Whether it changes one existing task and nothing else: it is checked before anything
    /// changes, so that a refused one leaves no trace.
    pub(crate) fn is_task_delta(&self) -> bool {
        match self {
            Self::Allocate { .. }
            | Self::Assign { .. }
            | Self::Report { .. }
            | Self::Desire { .. } => true,
            Self::Create(_) | Self::Update(_) | Self::Remove(_) | Self::NewTask(_) => false,
        }
    }
}

/// A task to be made from a service's spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Id.
    pub id: TaskId,
    /// Service.
    pub service: ServiceId,
    /// Spec version it is made from; the store must still keep it.
    pub spec_version: u64,
    /// Slot.
    pub slot: u64,
    /// Node, where the orchestrator has chosen it (global services).
    pub node: Option<NodeId>,
    /// What is wanted of it.
    pub desired_state: TaskState,
    /// Iteration of the job.
    pub job_iteration: Option<u64>,
}

macro_rules! objects {
    ($($kind:ident($id:ident),)+) => {
        /// An object of any kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Object {
            $(
                #[doc = concat!("A ", stringify!($kind), ".")]
                $kind(Arc<$kind>),
            )+
        }

        /// The id of an object of any kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Key {
            $(
                #[doc = concat!("Id of a ", stringify!($kind), ".")]
                $kind($id),
            )+
        }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)+
                }
            }

            /// Its id.
            pub fn key(&self) -> Key {
                match self {
                    $(Self::$kind(row) => Key::$kind(row.id),)+
                }
            }
        }

        impl Key {
            /// The kind of object it names.
            pub fn kind(self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)+
                }
            }
        }

        $(
            impl From<$kind> for Object {
                fn from(row: $kind) -> Self {
                    Self::$kind(Arc::new(row))
                }
            }
        )+
    };
}

objects! {
    Cluster(ClusterId),
    Node(NodeId),
    Service(ServiceId),
    Task(TaskId),
    Network(NetworkId),
    Secret(SecretId),
    Config(ConfigId),
    Volume(VolumeId),
    Extension(ExtensionId),
    Resource(ResourceId),
}
