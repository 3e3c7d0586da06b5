//! What a missing field means. Values are SwarmKit's (`api/defaults`) unless the line says why not.

use std::time::Duration;

use crate::cluster::RaftConfig;
use crate::service::{FailureAction, UpdateConfig, UpdateOrder};
use crate::task::{RestartCondition, RestartPolicy};

/// Pause before a replacement starts.
pub const RESTART_DELAY: Duration = Duration::from_secs(5);

/// How long a replacement waits for the old task to end, counted from the start of the delay.
pub const OLD_TASK_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long after its grace period a stop may take before a worker kills the task. The executor
/// kills by itself; this is for one that hangs.
pub const STOP_SLACK: Duration = Duration::from_secs(30);

/// How much longer than its stop grace a replacement waits for a task at least: the worker's own
/// patience, and time to kill and to report.
pub const STOP_WAIT_SLACK: Duration = Duration::from_secs(40);

/// How long a new task of an update is watched.
pub const UPDATE_MONITOR: Duration = Duration::from_secs(5);

/// Time between the stop signal and the kill.
pub const STOP_GRACE_PERIOD: Duration = Duration::from_secs(10);

/// Old tasks kept per slot.
pub const TASK_HISTORY_RETENTION_LIMIT: i64 = 5;

/// Time between heartbeats. SwarmKit has 5 s; a third of the detection time users ask for
/// (tasks of a dead worker run elsewhere within 8 s) allows no more than 2 s.
pub const HEARTBEAT_PERIOD: Duration = Duration::from_secs(2);

/// Missed periods after which a node is down.
pub const HEARTBEAT_GRACE_MULTIPLIER: u32 = 3;

/// After this long a lost node's tasks are given up.
pub const ORPHAN_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Life of node certificates.
pub const NODE_CERT_EXPIRY: Duration = Duration::from_secs(90 * 24 * 3600);

/// Shortest life of node certificates.
pub const NODE_CERT_EXPIRY_MIN: Duration = Duration::from_secs(3600);

/// How far certificates are dated back, for nodes whose clock is behind.
pub const CERT_BACKDATE: Duration = Duration::from_secs(3600);

/// Life of a root certificate: 20 years.
pub const ROOT_CA_EXPIRY: Duration = Duration::from_secs(630_720_000);

/// Port of managers.
pub const LISTEN_PORT: u16 = 2377;

/// Settings of the replicated log: 100 ms ticks, where SwarmKit has 1 s.
pub const RAFT: RaftConfig = RaftConfig {
    snapshot_interval: 10_000,
    keep_old_snapshots: 0,
    log_entries_for_slow_followers: 500,
    heartbeat_tick: 1,
    election_tick: 8,
};

/// The restart policy of a service that names none.
pub const RESTART_POLICY: RestartPolicy = RestartPolicy {
    condition: RestartCondition::Any,
    delay: Some(RESTART_DELAY),
    max_attempts: 0,
    window: None,
};

/// The update policy of a service that names none.
pub const UPDATE_CONFIG: UpdateConfig = UpdateConfig {
    parallelism: 1,
    delay: Duration::ZERO,
    failure_action: FailureAction::Pause,
    monitor: Some(UPDATE_MONITOR),
    max_failure_ratio: 0.0,
    order: UpdateOrder::StopFirst,
};

impl Default for RestartPolicy {
    fn default() -> Self {
        RESTART_POLICY
    }
}

impl Default for UpdateConfig {
    fn default() -> Self {
        UPDATE_CONFIG
    }
}
