//! Times, durations and sizes as Docker's command line words them.

use std::time::Duration;

use types::Timestamp;

/// A length of time in round words, such as "3 minutes" or "About an hour".
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    let days = hours / 24;
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if days < 14 => format!("{days} days"),
        () if days < 60 => format!("{} weeks", days / 7),
        () if days < 730 => format!("{} months", days / 30),
        () => format!("{} years", days / 365),
    }
}

/// How long ago a moment was; empty for one that is not set.
pub fn ago(moment: Timestamp, now: Timestamp) -> String {
    if moment.is_set() {
        format!("{} ago", duration(now.since(moment)))
    } else {
        String::new()
    }
}

/// A number of bytes with four digits and a binary unit, such as `1.5GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    // Rounded to four digits, so what a double cannot hold is not shown anyway.
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let places = match value {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    let mut text = format!("{value:.places$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{text}{}", UNITS[unit])
}

/// Processor cores from billionths, such as `0.5`.
pub fn cpus(nano: i64) -> String {
    let cores = nano as f64 / 1e9;
    format!("{cores}")
}

/// A duration as Go prints it, such as `1m30s`.
pub fn go_duration(length: Duration) -> String {
    let nanos = length.as_nanos();
    if nanos == 0 {
        return "0s".into();
    }
    if nanos < 1_000_000_000 {
        let (scale, unit) = match nanos {
            0..1_000 => (1.0, "ns"),
            1_000..1_000_000 => (1e3, "µs"),
            _ => (1e6, "ms"),
        };
        return format!("{}{unit}", nanos as f64 / scale);
    }
    let (hours, minutes) = (length.as_secs() / 3600, length.as_secs() / 60 % 60);
    let seconds = (length.as_secs() % 60) as f64 + f64::from(length.subsec_nanos()) / 1e9;
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The present moment.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
}

/// A moment on the wire.
pub fn moment(value: Option<&prost_types::Timestamp>) -> Timestamp {
    value.map_or(Timestamp::ZERO, |t| {
        Timestamp::from_parts(t.seconds, t.nanos)
    })
}

/// A duration on the wire; negative ones are zero.
pub fn span(value: &prost_types::Duration) -> Duration {
    let seconds = u64::try_from(value.seconds).unwrap_or(0);
    Duration::new(seconds, u32::try_from(value.nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_worded_as_docker_words_them() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (185, "3 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (3 * 86_400, "3 days"),
            (21 * 86_400, "3 weeks"),
            (90 * 86_400, "3 months"),
            (800 * 86_400, "2 years"),
        ];
        for (seconds, words) in cases {
            assert_eq!(duration(Duration::from_secs(seconds)), words);
        }
        let now = Timestamp::from_secs(1_000);
        assert_eq!(ago(Timestamp::from_secs(940), now), "About a minute ago");
        assert_eq!(ago(Timestamp::ZERO, now), "");
    }

    #[test]
    fn sizes_have_four_digits_and_binary_units() {
        let cases = [
            (0, "0B"),
            (1023, "1023B"),
            (1536, "1.5KiB"),
            (512 << 20, "512MiB"),
            (8_589_934_592, "8GiB"),
            (33_547_866_112, "31.24GiB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn go_durations_round_trip_through_the_parser() {
        for millis in [0, 1, 999, 1_500, 60_000, 90_250, 3_600_000, 86_399_001] {
            let length = Duration::from_millis(millis);
            assert_eq!(
                crate::parse::scalar::duration(&go_duration(length)),
                Ok(length)
            );
        }
    }
}
