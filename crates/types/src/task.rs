//! Tasks: one attempt to run a service's work in one slot.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::container::ContainerSpec;
use crate::id::{NodeId, ServiceId, TaskId, VolumeId};
use crate::meta::{Annotations, Driver, Labels, Meta};
use crate::network::{NetworkAttachment, NetworkAttachmentConfig};
use crate::node::Platform;
use crate::resources::{GenericResource, ResourceRequirements, Resources};
use crate::service::{Endpoint, PortConfig, ServiceSpec};
use crate::state::TaskState;
use crate::time::Timestamp;

/// What a task runs and under which rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskSpec {
    /// What it runs.
    pub runtime: Runtime,
    /// Limits and reservations.
    pub resources: ResourceRequirements,
    /// When it is restarted; `None` takes the defaults.
    pub restart: Option<RestartPolicy>,
    /// Where it may run; `None` is anywhere.
    pub placement: Option<Placement>,
    /// Log driver; `None` takes the cluster's default, then the engine's.
    pub log_driver: Option<Driver>,
    /// Networks to attach.
    pub networks: Vec<NetworkAttachmentConfig>,
    /// Raising it makes new tasks although nothing else changed.
    pub force_update: u64,
    /// Objects the task may read besides those its container spec names.
    pub resource_references: Vec<ResourceReference>,
}

/// What a task runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Runtime {
    /// A container (or, with the process executor, its command).
    Container(Box<ContainerSpec>),
    /// A container that `docker run` attached to a cluster network.
    Attachment {
        /// The engine's id of that container.
        container_id: String,
    },
    /// Something only an extension understands.
    Generic {
        /// Kind of runtime.
        kind: String,
        /// Type URL of the payload.
        payload_type_url: String,
        /// Payload.
        payload: Vec<u8>,
    },
}

impl Default for Runtime {
    fn default() -> Self {
        Self::Container(Box::default())
    }
}

impl TaskSpec {
    /// The container spec, for tasks that run containers.
    pub fn container(&self) -> Option<&ContainerSpec> {
        match &self.runtime {
            Runtime::Container(spec) => Some(spec),
            _ => None,
        }
    }

    /// The container spec for change, for tasks that run containers.
    pub fn container_mut(&mut self) -> Option<&mut ContainerSpec> {
        match &mut self.runtime {
            Runtime::Container(spec) => Some(spec),
            _ => None,
        }
    }

    /// What the scheduler sets aside, if anything.
    pub fn reservations(&self) -> Option<&Resources> {
        self.resources.reservations.as_ref()
    }
}

/// An object a task may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceReference {
    /// Id of the object, in text.
    pub resource_id: String,
    /// What it is.
    pub kind: ResourceKind,
}

/// What a resource reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// A task.
    Task,
    /// A secret.
    Secret,
    /// A config.
    Config,
    /// A volume.
    Volume,
}

/// When a task is replaced after it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Which ends count.
    pub condition: RestartCondition,
    /// Pause before the replacement starts; `None` takes the default of 5 s.
    pub delay: Option<Duration>,
    /// Most replacements (within `window`); 0 is unlimited.
    pub max_attempts: u64,
    /// Span in which attempts are counted; `None` or zero is forever.
    pub window: Option<Duration>,
}

/// Which ends of a task lead to a replacement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestartCondition {
    /// None.
    None,
    /// Any but success.
    OnFailure,
    /// Every end.
    #[default]
    Any,
}

/// Where a task may run and where it rather runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Expressions that must all hold, as the user wrote them.
    pub constraints: Vec<String>,
    /// Spread preferences, most important first.
    pub preferences: Vec<PlacementPreference>,
    /// Platforms of which one must match; empty is any.
    pub platforms: Vec<Platform>,
    /// Most tasks of the service on one node; 0 is unlimited.
    pub max_replicas: u64,
}

/// A placement preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacementPreference {
    /// Spread evenly over the values of a label, for example `node.labels.rack`.
    Spread {
        /// The label whose values are the branches.
        descriptor: String,
    },
}

/// One attempt to run a service's work.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Id.
    pub id: TaskId,
    /// Record facts.
    pub meta: Meta,
    /// The service spec the task was made from, shared by all its tasks of that version.
    pub service_spec: Arc<ServiceSpec>,
    /// The service's spec version the task was made from; `None` for a task without a service.
    pub spec_version: Option<u64>,
    /// The service; `None` for network attachments and tests.
    pub service_id: Option<ServiceId>,
    /// Slot, from 1 in replicated services and from 0 in jobs; 0 in global services, where the
    /// node is the slot.
    pub slot: u64,
    /// The node, once there is one.
    pub node_id: Option<NodeId>,
    /// The task's own name and labels, where it has them.
    pub annotations: Option<Box<Annotations>>,
    /// What is observed.
    pub status: TaskStatus,
    /// What is wanted; never lowered.
    pub desired_state: TaskState,
    /// Networks it is attached to, shared by all versions of its record.
    pub networks: Arc<[NetworkAttachment]>,
    /// The service's endpoint when the task was allocated.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Log driver in force.
    pub log_driver: Option<Arc<Driver>>,
    /// Generic resources it holds on its node.
    pub assigned_generic_resources: Vec<GenericResource>,
    /// Iteration of the job it belongs to.
    pub job_iteration: Option<u64>,
    /// Cluster volumes it mounts.
    pub volumes: Vec<VolumeAttachment>,
}

impl Task {
    /// A task of this spec that is wanted to run, in the first slot of no service.
    pub fn new(id: TaskId, service_spec: impl Into<Arc<ServiceSpec>>) -> Self {
        Self {
            id,
            meta: Meta::default(),
            service_spec: service_spec.into(),
            spec_version: None,
            service_id: None,
            slot: 1,
            node_id: None,
            annotations: None,
            status: TaskStatus::default(),
            desired_state: TaskState::Running,
            networks: Arc::default(),
            endpoint: None,
            log_driver: None,
            assigned_generic_resources: Vec::new(),
            job_iteration: None,
            volumes: Vec::new(),
        }
    }

    /// What it runs and under which rules.
    pub fn spec(&self) -> &TaskSpec {
        &self.service_spec.task
    }

    /// Name and labels of its service.
    pub fn service_annotations(&self) -> &Annotations {
        &self.service_spec.annotations
    }

    /// Whether the task occupies its node: it has one and may run there.
    pub fn is_active(&self) -> bool {
        self.status.state.is_active()
    }

    /// Whether the task is meant to run and can still do so.
    pub fn is_runnable(&self) -> bool {
        self.desired_state <= TaskState::Complete && !self.status.state.is_terminal()
    }

    /// The labels of the task itself.
    pub fn labels(&self) -> Option<&Labels> {
        self.annotations.as_ref().map(|a| &a.labels)
    }
}

/// What is observed of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskStatus {
    /// When the state was reached, by the clock of whoever reported it.
    pub timestamp: Timestamp,
    /// State.
    pub state: TaskState,
    /// What is going on, in words.
    pub message: Cow<'static, str>,
    /// What is wrong, in words; empty when nothing is.
    pub err: Box<str>,
    /// The container, once there is one.
    pub container: Option<Box<ContainerStatus>>,
    /// Host-mode ports as really published.
    pub ports: Vec<PortConfig>,
    /// The manager that recorded the report.
    pub applied_by: Option<NodeId>,
    /// When it did.
    pub applied_at: Timestamp,
}

/// How the reason begins, in a task's `status.err`, of a task that had to make room for one of
/// higher priority. It stays when the agent reports the task's end without a reason of its own.
pub const DISPLACED: &str = "displaced by ";

/// Messages that nearly every task carries; keeping one copy saves an allocation per task.
const COMMON_MESSAGES: [&str; 12] = [
    "created",
    "pending task scheduling",
    "scheduler assigned task to node",
    "accepted",
    "preparing",
    "prepared",
    "ready",
    "starting",
    "started",
    "finished",
    "shutdown",
    "",
];

/// A status message, sharing the texts that nearly every task carries.
pub fn message(text: impl AsRef<str> + Into<String>) -> Cow<'static, str> {
    match COMMON_MESSAGES.into_iter().find(|m| *m == text.as_ref()) {
        Some(common) => Cow::Borrowed(common),
        None => Cow::Owned(text.into()),
    }
}

/// Facts about a task's container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerStatus {
    /// The engine's id, or the executor's name for what runs.
    pub container_id: String,
    /// Process id on the node.
    pub pid: i32,
    /// Exit code, once it ended.
    pub exit_code: i32,
}

/// A cluster volume that a task mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeAttachment {
    /// Volume id.
    pub id: VolumeId,
    /// Source as the mount names it.
    pub source: String,
    /// Path in the container.
    pub target: String,
}
