//! Moments and durations.
//!
//! Go programs refuse a whole message when a duration in it exceeds an `int64` of nanoseconds, so
//! nothing longer is accepted or written.

use std::time::Duration;

use types::Timestamp;

use super::{ConvertError, Problem, Result};

const DURATION_MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// Writes a moment; one that is not set is left out.
pub fn timestamp(moment: Timestamp) -> Option<prost_types::Timestamp> {
    moment.is_set().then(|| prost_types::Timestamp {
        seconds: i64::try_from(moment.secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(moment.subsec_nanos()).unwrap_or(0),
    })
}

/// Reads a moment; an absent one and one before 1970 are "not set".
pub(crate) fn moment(value: Option<prost_types::Timestamp>) -> Timestamp {
    value.map_or(Timestamp::ZERO, |t| {
        Timestamp::from_parts(t.seconds, t.nanos)
    })
}

/// Writes a duration, at most 292 years.
pub fn duration(duration: Duration) -> prost_types::Duration {
    let duration = duration.min(DURATION_MAX);
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// Reads a duration, if there is one.
pub(super) fn optional_span(
    field: &str,
    value: Option<prost_types::Duration>,
) -> Result<Option<Duration>> {
    value.map(|value| span(field, value)).transpose()
}

/// Reads a duration; an absent one is zero.
pub(super) fn span_or_zero(field: &str, value: Option<prost_types::Duration>) -> Result<Duration> {
    optional_span(field, value).map(Option::unwrap_or_default)
}

fn span(field: &str, value: prost_types::Duration) -> Result<Duration> {
    let refused = || ConvertError::new(field, Problem::Duration);
    let secs = u64::try_from(value.seconds).map_err(|_| refused())?;
    let nanos = u64::try_from(value.nanos).map_err(|_| refused())?;
    Duration::from_secs(secs)
        .checked_add(Duration::from_nanos(nanos))
        .filter(|d| *d <= DURATION_MAX)
        .ok_or_else(refused)
}
