//! Reads the moments that the engine writes: RFC 3339 with up to nanoseconds.

use types::Timestamp;

/// The moment, or "not set" for anything else and for the engine's zero, the year 1.
pub(crate) fn parse(text: &str) -> Timestamp {
    parse_parts(text).unwrap_or_default()
}

fn parse_parts(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once('T')?;
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (time, zone) = rest.split_at(zone_at);
    let mut ymd = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (ymd.next()?.ok()?, ymd.next()?.ok()?, ymd.next()?.ok()?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let secs = hms(clock)? - offset_secs(zone)?;
    let days = days_from_civil(year, month, day)?;
    let total = days.checked_mul(86_400)?.checked_add(secs)?;
    let nanos = fraction_nanos(fraction)?;
    (total > 0).then(|| Timestamp::from_parts(total, nanos))
}

fn hms(clock: &str) -> Option<i64> {
    let mut parts = clock.splitn(3, ':').map(str::parse::<i64>);
    let (h, m, s) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    let in_range = (0..24).contains(&h) && (0..60).contains(&m) && (0..61).contains(&s);
    in_range.then_some(h * 3600 + m * 60 + s)
}

fn offset_secs(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let secs = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
    Some(if zone.starts_with('-') { -secs } else { secs })
}

fn fraction_nanos(digits: &str) -> Option<i32> {
    if digits.len() > 9 {
        return None;
    }
    format!("{digits:0<9}").parse().ok()
}

/// Days since the epoch of a calendar day (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_day = (1..=12).contains(&month) && (1..=31).contains(&day) && (0..=9999).contains(&year);
    is_day.then_some(())?;
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    Some(era * 146_097 + doe - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "2026-11-21T12:46:20.123456789Z",
            "2024-02-29T23:59:59.000000000Z",
            "1970-01-01T00:00:01.000000000Z",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(
            parse("2024-01-01T02:00:00.5+02:00"),
            parse("2024-01-01T00:00:00.5Z")
        );
        assert_eq!(
            parse("2024-01-01T00:00:00-01:30"),
            parse("2024-01-01T01:30:00Z")
        );
    }

    #[test]
    fn the_engines_zero_and_nonsense_are_not_set() {
        for text in [
            "0001-01-01T00:00:00Z",
            "",
            "T",
            "yesterday",
            "2024-13-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), Timestamp::ZERO, "{text}");
        }
    }
}
