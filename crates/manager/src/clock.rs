//! The one place where a manager reads the clock of its machine.

use std::time::{SystemTime, UNIX_EPOCH};

use types::Timestamp;

/// The present moment.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}
