//! The table: RPC × kind of caller, and where the RPC is answered.
//!
//! `policy-table.txt` in this crate is this table rendered; a test keeps the two equal.

use std::fmt;

/// How a caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallerKind {
    /// No certificate: a node that is about to join.
    Anonymous,
    /// A worker's certificate.
    Worker,
    /// A manager's certificate.
    Manager,
    /// The local socket of a manager, protected by file permissions.
    LocalSocket,
}

/// Which manager answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// The one that was called, from its own copy of the state. Never passed on.
    Local,
    /// The one that was called, and it checks itself whether the caller is still a member of the
    /// replicated log: that list is newer than the role in the tables, and a member that was taken
    /// out has to be told so.
    Member,
    /// The leader; others pass the call on to it.
    Leader,
    /// The leader, and the call changes nothing: if the leader falls silent, the manager that
    /// passed it on asks the next one.
    Read,
}

/// One RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Path of the method, as in the request.
    pub method: &'static str,
    /// Who may call it.
    pub callers: &'static [CallerKind],
    /// Who answers it.
    pub serve: Serve,
}

const ANYONE: &[CallerKind] = &[
    CallerKind::Anonymous,
    CallerKind::Worker,
    CallerKind::Manager,
    CallerKind::LocalSocket,
];
const NODES: &[CallerKind] = &[
    CallerKind::Worker,
    CallerKind::Manager,
    CallerKind::LocalSocket,
];
const OPERATORS: &[CallerKind] = &[CallerKind::Manager, CallerKind::LocalSocket];
const MANAGERS: &[CallerKind] = &[CallerKind::Manager];

macro_rules! rows {
    ($($service:literal { $($callers:ident $serve:ident: $($method:ident)+;)+ })+) => {
        &[$($($(
            Row {
                method: concat!("/", $service, "/", stringify!($method)),
                callers: $callers,
                serve: Serve::$serve,
            },
        )+)+)+]
    };
}

/// Every RPC this project offers.
pub const TABLE: &[Row] = rows! {
    "docker.swarmkit.v1.CA" {
        // Answered without a leader: the root is public and in every manager's state.
        ANYONE Local: GetRootCACertificate;
        OPERATORS Read: GetUnlockKey;
    }
    "docker.swarmkit.v1.NodeCA" {
        // The service itself demands a token from callers without a certificate.
        ANYONE Leader: IssueNodeCertificate NodeCertificateStatus;
    }
    "docker.swarmkit.v1.Dispatcher" {
        NODES Leader: Session Heartbeat UpdateTaskStatus UpdateVolumeStatus Tasks Assignments;
    }
    "docker.swarmkit.v1.LogBroker" {
        NODES Leader: ListenSubscriptions PublishLogs;
    }
    "docker.swarmkit.v1.Logs" {
        OPERATORS Leader: SubscribeLogs;
    }
    "docker.swarmkit.v1.ResourceAllocator" {
        NODES Leader: AttachNetwork DetachNetwork;
    }
    "docker.swarmkit.v1.RaftMembership" {
        MANAGERS Leader: Join Leave;
    }
    "docker.swarmkit.v1.Health" {
        OPERATORS Local: Check;
    }
    "docker.swarmkit.v1.Watch" {
        OPERATORS Local: Watch;
    }
    "docker.swarmkit.v1.Control" {
        OPERATORS Leader:
            UpdateNode RemoveNode
            RemoveTask
            CreateService UpdateService RemoveService
            CreateNetwork RemoveNetwork
            UpdateCluster
            UpdateSecret CreateSecret RemoveSecret
            UpdateConfig CreateConfig RemoveConfig
            CreateExtension RemoveExtension
            UpdateResource CreateResource RemoveResource
            CreateVolume UpdateVolume RemoveVolume;
        OPERATORS Read:
            GetNode ListNodes
            GetTask ListTasks
            GetService ListServices ListServiceStatuses
            GetNetwork ListNetworks
            GetCluster ListClusters
            GetSecret ListSecrets
            GetConfig ListConfigs
            GetExtension
            GetResource ListResources
            GetVolume ListVolumes;
    }
    "swarm.v1.RaftTransport" {
        MANAGERS Member: Messages Snapshot SnapshotStatus;
    }
    "swarm.v1.Cluster" {
        // Answered without a leader: it is asked for when there is none.
        OPERATORS Local: Status;
        OPERATORS Leader: TransferLeadership RotateCertificate Rebalance;
        OPERATORS Read: StreamTasks Explain WatchService PlanService;
    }
};

/// The row of a method path; `None` for an RPC that is not offered.
#[must_use]
pub fn row(method: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.method == method)
}

// === impl Serve ===

impl Serve {
    /// Whether only the leader answers.
    #[must_use]
    pub fn is_by_leader(self) -> bool {
        matches!(self, Self::Leader | Self::Read)
    }
}

impl fmt::Display for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "local",
            Self::Member => "member",
            Self::Leader => "leader",
            Self::Read => "read",
        })
    }
}

// === impl CallerKind ===

impl CallerKind {
    /// All kinds, in the order of the rendered table.
    pub const ALL: [Self; 4] = [
        Self::Anonymous,
        Self::Worker,
        Self::Manager,
        Self::LocalSocket,
    ];
}

impl fmt::Display for CallerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Anonymous => "a caller without a certificate",
            Self::Worker => "a worker",
            Self::Manager => "a manager",
            Self::LocalSocket => "the local socket",
        })
    }
}

// === impl Row ===

impl Row {
    /// Whether this kind of caller may call.
    #[must_use]
    pub fn allows(&self, kind: CallerKind) -> bool {
        self.callers.contains(&kind)
    }

    /// Whether a manager may pass such a call on with another caller's identity.
    #[must_use]
    pub fn accepts_forwarded(&self) -> bool {
        self.serve.is_by_leader()
    }
}
