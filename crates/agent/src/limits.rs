//! The numbers of the agent. SwarmKit's unless the line says why not.

use std::time::Duration;

/// Calls to a manager that must not hang: heartbeat, first session message, report.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A dial takes at most this long, whatever the connector does.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two looks at what the node is and has.
pub(crate) const DESCRIBE_PERIOD: Duration = Duration::from_secs(20);

/// Pause after an executor could not describe the node, or say what it runs, at the start.
pub(crate) const EXECUTOR_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How often a node that waits for its executor says so to a manager, beside every change of the
/// reason: a new leader must hear of it.
pub(crate) const KNOCK_PERIOD: Duration = Duration::from_secs(5);

/// How long an executor may fail to describe the node before the session is given up: longer than
/// an engine takes to restart, and as long as a task's wait bears it.
pub(crate) const EXECUTOR_ABSENCE_MAX: Duration = Duration::from_secs(30);

/// A look at the node that takes longer counts as no answer.
pub(crate) const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest message of a manager: a complete set of assignments is one message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 2 << 30;

/// Messages that wait for the owner of the worker. They come from one session, which is held up
/// by its own flow control when the queue is full.
pub(crate) const OWNER_QUEUE_MAX: usize = 64;

/// Messages from the worker to the session: one report is under way at a time, and one
/// request for a complete set for each broken chain.
pub(crate) const SESSION_QUEUE_MAX: usize = 8;

/// Executor results that wait for the worker; then the commands wait.
pub(crate) const OUTCOME_QUEUE_MAX: usize = 1_024;

/// Database writes that wait for the disk, in groups; then the worker waits.
pub(crate) const WRITE_QUEUE_MAX: usize = 256;

/// Log subscriptions served at one time; further ones wait.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 64;

/// Log records that wait to be sent, for each subscription; then the sources wait.
pub(crate) const LOG_QUEUE_MAX: usize = 256;

/// Log records in one message. A record is at most 16 KiB, so a message stays below 1 MiB.
pub(crate) const LOG_BATCH_MAX: usize = 60;

/// Pause before a broken log subscription stream is opened again, and before a followed task that
/// has no output yet is asked again.
pub(crate) const LOG_RETRY_PAUSE: Duration = Duration::from_secs(1);
