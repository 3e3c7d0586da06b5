//! The numbers of the dispatcher. SwarmKit's unless the line says why not.

use std::time::Duration;

/// Part of the heartbeat period that is random in either direction: a tenth. Keeps the heartbeats
/// of nodes that registered together apart.
pub const HEARTBEAT_JITTER_DIVISOR: u64 = 10;

/// Registrations of one node within [`REGISTRATION_WINDOW`]; further ones are put off. SwarmKit has
/// 3; but a leader that is demoted registers four times within a second (leadership moves, its
/// manager ends, it has a new certificate, perhaps it was asked for one before), and a healthy node
/// that is put off for longer than its heartbeats are awaited loses its tasks.
pub const REGISTRATIONS_MAX: u32 = 8;

/// Span in which registrations of a node are counted.
pub const REGISTRATION_WINDOW: Duration = Duration::from_secs(8);

/// Least time between two batches of reports and node updates. SwarmKit has 100 ms; a batch here
/// is a few small deltas, and the first one after a pause does not wait at all.
pub const BATCH_PACE: Duration = Duration::from_millis(10);

/// Reports after which a batch does not wait: about half a mebibyte of log.
pub const BATCH_REPORTS_MAX: usize = 2_000;

/// Batches proposed and not settled. More would only lengthen the queue behind a slow disk; what
/// arrives meanwhile is merged per task.
pub const BATCHES_IN_FLIGHT_MAX: usize = 4;

/// Pause after the log refused a batch (no room on disk, leadership ending).
pub const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Least time between two assignment messages to one node. SwarmKit waits for 100 ms of quiet;
/// here the first message after a pause leaves at once and the next ones gather for this long.
pub const ASSIGNMENTS_PACE: Duration = Duration::from_millis(20);

/// Tasks changed by one incremental message. SwarmKit sends at 100; agents take any number, and
/// 1,000 tasks are about a mebibyte.
pub const ASSIGNMENTS_TASKS_MAX: usize = 1_000;

/// How late a heartbeat deadline may be noticed before the dispatcher blames itself: then the
/// leader was stalled (paused machine, starved thread) and the nodes get another period.
pub const STALL_MAX: Duration = Duration::from_secs(1);

/// Pause before tasks of a lost node are looked at again after they were given up.
pub const ORPHAN_RECHECK: Duration = Duration::from_secs(60);

/// Weight of every manager in the list sent to agents.
pub const MANAGER_WEIGHT: i64 = 10;

/// Bytes kept of a node's reason for not running tasks: one sentence.
pub const TROUBLE_BYTES_MAX: usize = 512;

/// How long a new leader awaits nodes at least. An agent whose leader lost power finds out when its
/// next heartbeat (2 s) is not answered (5 s), and may then dial a manager that is gone as well
/// (5 s): nodes that are well must not be called down for that. SwarmKit's number as well. A node
/// whose manager is silent too is not awaited for so long ([`crate::Input::Silent`]).
pub const AWAITED_MIN: Duration = Duration::from_secs(15);
