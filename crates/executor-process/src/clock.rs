//! The wall clock, for times that people read.

use std::time::{SystemTime, UNIX_EPOCH};

use types::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::ZERO.plus(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}
