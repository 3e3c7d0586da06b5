//! The one place where a manager reads the clock of its machine.
//!
//! Certificates are signed by the machine's clock. What the tables wait for (restart delays,
//! heartbeats) goes by a [`Steady`] clock, which does not follow when the machine's clock is set
//! and is the runtime's, so that it can be simulated.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use types::Timestamp;

/// The present moment.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

/// Waits for a moment, or for ever if there is none.
pub async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A clock that starts at a moment and never jumps.
#[derive(Debug, Clone, Copy)]
pub struct Steady {
    start: Timestamp,
    since: Instant,
}

impl Steady {
    /// Starts at the present moment, but not before `earliest`.
    pub fn from(earliest: Timestamp) -> Self {
        Self {
            start: now().max(earliest),
            since: Instant::now(),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.start.plus(self.since.elapsed())
    }

    /// When this clock will show `at`.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.since + at.since(self.start)
    }
}
