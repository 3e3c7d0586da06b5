//! Conversions between the cluster's nanoseconds and the whole seconds of certificates.
//!
//! Never rounds a validity outwards: certificates carry seconds, fractions are cut off.

use std::time::Duration;

use types::Timestamp;
use x509_parser::time::ASN1Time;

/// The moment a certificate field names; moments before 1970 count as 1970.
pub(crate) fn from_asn1(time: &ASN1Time) -> Timestamp {
    Timestamp::from_parts(time.timestamp(), 0)
}

/// The largest two units of a span, for people: `3 h 12 min`, `2 d 4 h`, `45 s`.
pub(crate) fn human(span: Duration) -> String {
    let total_s = span.as_secs();
    let (days, hours) = (total_s / 86_400, total_s / 3_600 % 24);
    let (minutes, seconds) = (total_s / 60 % 60, total_s % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_with_their_two_largest_units() {
        let text = |s| human(Duration::from_secs(s));
        assert_eq!(text(45), "45 s");
        assert_eq!(text(600), "10 min");
        assert_eq!(text(11_520), "3 h 12 min");
        assert_eq!(text(187_200), "2 d 4 h");
    }
}
