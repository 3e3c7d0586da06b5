//! Moments that never jump: the wall clock of the start plus time passed since.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use types::Timestamp;

/// A clock of one agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    at_start: Timestamp,
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            at_start: Timestamp::ZERO.plus(since_epoch),
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.at_start.plus(self.start.elapsed())
    }

    /// When the clock will show `at`; never more than a day ahead.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        const FAR: Duration = Duration::from_secs(24 * 3600);
        let now = self.now();
        Instant::now() + at.since(now).min(FAR)
    }
}
