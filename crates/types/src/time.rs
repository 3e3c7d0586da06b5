//! Moments as plain numbers. Nothing here reads a clock.

use std::fmt;
use std::time::Duration;

/// A moment: nanoseconds since the Unix epoch. Zero means "not set".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

const NANOS_PER_SEC: u64 = 1_000_000_000;

impl Timestamp {
    /// The value that means "not set".
    pub const ZERO: Self = Self(0);

    /// The latest moment, for "never".
    pub const MAX: Self = Self(u64::MAX);

    /// The moment this many whole seconds after the epoch.
    pub fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// The moment of a seconds and nanoseconds pair, as protobuf timestamps carry it; a moment
    /// before the epoch becomes zero.
    pub fn from_parts(secs: i64, nanos: i32) -> Self {
        let secs = u64::try_from(secs).unwrap_or(0);
        let nanos = u64::try_from(nanos).unwrap_or(0);
        Self(secs.saturating_mul(NANOS_PER_SEC).saturating_add(nanos))
    }

    /// Whole seconds since the epoch.
    pub fn secs(self) -> u64 {
        self.0 / NANOS_PER_SEC
    }

    /// Nanoseconds within the second.
    pub fn subsec_nanos(self) -> u32 {
        (self.0 % NANOS_PER_SEC) as u32
    }

    /// Whether the moment is set.
    pub fn is_set(self) -> bool {
        self.0 != 0
    }

    /// The moment `d` later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d)))
    }

    /// The moment `d` earlier, at least zero.
    #[must_use]
    pub fn minus(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(d)))
    }

    /// How long ago `earlier` was; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with nanoseconds, as Docker prints times.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.secs();
        let (days, rest) = (secs / 86_400, secs % 86_400);
        let (year, month, day) = civil_from_days(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
            rest / 3600,
            rest % 3600 / 60,
            rest % 60,
            self.subsec_nanos()
        )
    }
}

/// Days since the epoch to year, month, day (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_rfc3339() {
        assert_eq!(
            Timestamp::from_secs(0).to_string(),
            "1970-01-01T00:00:00.000000000Z"
        );
        let leap_day = Timestamp(1_709_208_000_000_000_005);
        assert_eq!(leap_day.to_string(), "2024-02-29T12:00:00.000000005Z");
        let year_end = Timestamp::from_secs(1_798_761_599);
        assert_eq!(year_end.to_string(), "2026-12-31T23:59:59.000000000Z");
    }

    #[test]
    fn arithmetic_saturates() {
        let t = Timestamp::from_secs(10);
        assert_eq!(t.minus(Duration::from_secs(20)), Timestamp::ZERO);
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.since(t), Duration::ZERO);
        assert_eq!(Timestamp::from_parts(-1, 0), Timestamp::ZERO);
    }
}
