//! The numbers of the worker. SwarmKit's unless the line says why not.

use std::time::Duration;

/// Pause before a failed command is tried again the first time. It doubles up to
/// [`RETRY_PAUSE_MAX`], where SwarmKit repeats it for ever: an image that cannot be pulled must not
/// keep a registry busy.
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause before a failed command is tried again.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Statuses in one report. SwarmKit sends one; a status is at most a few hundred bytes, so this
/// stays far below the managers' 4 MiB.
pub const REPORT_TASKS_MAX: usize = 1_000;

/// Pause before a refused report is sent again within the same session.
pub const REPORT_RETRY_PAUSE: Duration = Duration::from_secs(1);
