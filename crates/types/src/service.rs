//! Services: what users declare.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{NetworkId, ServiceId};
use crate::meta::{Annotations, Meta};
use crate::network::NetworkAttachmentConfig;
use crate::options::ServiceOptions;
use crate::task::TaskSpec;
use crate::time::Timestamp;

/// A service as declared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceSpec {
    /// Name and labels.
    pub annotations: Annotations,
    /// What each task runs.
    pub task: TaskSpec,
    /// How many tasks, where.
    pub mode: ServiceMode,
    /// How tasks are replaced when the spec changes; `None` takes the defaults.
    pub update: Option<UpdateConfig>,
    /// How tasks are replaced on the way back; `None` takes the defaults.
    pub rollback: Option<UpdateConfig>,
    /// Deprecated place of networks; `task.networks` is used.
    pub networks: Vec<NetworkAttachmentConfig>,
    /// Ports and how the service is reached.
    pub endpoint: Option<EndpointSpec>,
    /// What SwarmKit's spec has no place for.
    pub options: ServiceOptions,
}

/// How many tasks a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceMode {
    /// A number of tasks anywhere.
    Replicated {
        /// How many.
        replicas: u64,
    },
    /// One task on every node that fits.
    Global,
    /// A number of tasks that run to completion.
    ReplicatedJob {
        /// Most at a time.
        max_concurrent: u64,
        /// How many completions are wanted.
        total_completions: u64,
    },
    /// One task run to completion on every node that fits.
    GlobalJob,
}

impl ServiceMode {
    /// Whether tasks run to completion.
    pub fn is_job(self) -> bool {
        matches!(self, Self::ReplicatedJob { .. } | Self::GlobalJob)
    }

    /// Whether each node is a slot.
    pub fn is_global(self) -> bool {
        matches!(self, Self::Global | Self::GlobalJob)
    }

    /// Name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replicated { .. } => "replicated",
            Self::Global => "global",
            Self::ReplicatedJob { .. } => "replicated-job",
            Self::GlobalJob => "global-job",
        }
    }
}

impl Default for ServiceMode {
    fn default() -> Self {
        Self::Replicated { replicas: 1 }
    }
}

/// How tasks are replaced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateConfig {
    /// Slots replaced at the same time; 0 is all.
    pub parallelism: u64,
    /// Pause between one slot and the next.
    pub delay: Duration,
    /// What to do when too many fail.
    pub failure_action: FailureAction,
    /// How long a new task is watched for failure; `None` takes the default of 5 s.
    pub monitor: Option<Duration>,
    /// Share of failed tasks that is tolerated, 0–1.
    pub max_failure_ratio: f32,
    /// Which goes first.
    pub order: UpdateOrder,
}

/// What to do when an update fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailureAction {
    /// Stop and wait for the user.
    #[default]
    Pause,
    /// Go on.
    Continue,
    /// Go back to the previous spec.
    Rollback,
}

/// Which task goes first when one replaces another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpdateOrder {
    /// The old one stops before the new one starts.
    #[default]
    StopFirst,
    /// The new one runs before the old one stops.
    StartFirst,
}

/// Ports of a service and how it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointSpec {
    /// How its name resolves.
    pub mode: ResolutionMode,
    /// Ports.
    pub ports: Vec<PortConfig>,
}

/// How a service name resolves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResolutionMode {
    /// To one virtual address.
    #[default]
    Vip,
    /// To the addresses of all tasks.
    DnsRoundRobin,
}

/// A port.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortConfig {
    /// Name, for users only.
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Port in the container.
    pub target_port: u32,
    /// Port outside; 0 lets the cluster or the engine choose.
    pub published_port: u32,
    /// Where it is published.
    pub publish_mode: PublishMode,
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Where a port is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PublishMode {
    /// On every node.
    #[default]
    Ingress,
    /// On the node that runs the task.
    Host,
}

/// What was allocated for a service's endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The spec it was allocated for.
    pub spec: EndpointSpec,
    /// Ports with published numbers.
    pub ports: Vec<PortConfig>,
    /// Virtual addresses.
    pub virtual_ips: Vec<VirtualIp>,
}

/// A virtual address of a service on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualIp {
    /// Network.
    pub network_id: NetworkId,
    /// Address in CIDR notation.
    pub addr: String,
}

/// A declared service and its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Id.
    pub id: ServiceId,
    /// Record facts.
    pub meta: Meta,
    /// Current spec.
    pub spec: Arc<ServiceSpec>,
    /// Version of the current spec: the object version that the update replaced; 0 at creation.
    pub spec_version: u64,
    /// The spec before, for rollback.
    pub previous_spec: Option<Arc<ServiceSpec>>,
    /// Version of the spec before.
    pub previous_spec_version: Option<u64>,
    /// What is allocated.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Progress of an update.
    pub update_status: Option<UpdateStatus>,
    /// Progress of a job.
    pub job_status: Option<JobStatus>,
}

impl Service {
    /// A service of this spec that nothing was done for yet.
    pub fn new(id: ServiceId, spec: impl Into<Arc<ServiceSpec>>) -> Self {
        Self {
            id,
            meta: Meta::default(),
            spec: spec.into(),
            spec_version: 0,
            previous_spec: None,
            previous_spec_version: None,
            endpoint: None,
            update_status: None,
            job_status: None,
        }
    }
}

/// Progress of an update.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpdateStatus {
    /// State.
    pub state: UpdateState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; zero while it runs.
    pub completed_at: Timestamp,
    /// What happened, in words.
    pub message: String,
}

/// State of an update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpdateState {
    /// None so far.
    #[default]
    Unknown,
    /// Under way.
    Updating,
    /// Stopped by a failure; waits for the user.
    Paused,
    /// Done.
    Completed,
    /// On the way back.
    RollbackStarted,
    /// The way back failed; waits for the user.
    RollbackPaused,
    /// Back at the previous spec.
    RollbackCompleted,
}

/// Progress of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobStatus {
    /// Counts runs; each update of the service is one.
    pub iteration: u64,
    /// When the present run began.
    pub last_execution: Timestamp,
}
