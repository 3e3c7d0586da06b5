//! The one place of this crate that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::UnixTime;
use types::Timestamp;

/// The present.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::ZERO.plus(since)
}

/// The moment the TLS library took a handshake to happen at.
pub(crate) fn of_handshake(now: UnixTime) -> Timestamp {
    Timestamp::from_secs(now.as_secs())
}
