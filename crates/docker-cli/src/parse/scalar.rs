//! Sizes, durations, cores, ratios, counts.

use std::time::Duration;

type Result<T> = std::result::Result<T, String>;

/// Nanoseconds in one unit of Go's durations; longer names first.
const DURATION_UNITS: [(&str, f64); 7] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
];

/// A duration as Go writes it: `300ms`, `1h30m`, `0`.
///
/// # Errors
/// If it is not one, is negative or exceeds 292 years.
pub fn duration(text: &str) -> Result<Duration> {
    const EXPECTED: &str = "expected a duration such as 300ms, 10s or 1h30m";
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.starts_with('-') {
        return Err("a duration cannot be negative".into());
    }
    let mut rest = text;
    let mut nanos = 0.0_f64;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(EXPECTED)?;
        let number: f64 = rest[..end].parse().map_err(|_| EXPECTED)?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit() || c == '.');
        let unit = &rest[end..unit_end.map_or(rest.len(), |at| end + at)];
        let (_, scale) = DURATION_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(EXPECTED)?;
        nanos += number * scale;
        rest = &rest[end + unit.len()..];
    }
    if text.is_empty() {
        return Err(EXPECTED.into());
    }
    if nanos > i64::MAX as f64 {
        return Err("a duration cannot exceed 292 years".into());
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

/// A number of bytes with an optional binary unit: `512m`, `1.5GiB`, `1024`.
///
/// # Errors
/// If it is not one or exceeds 8 EiB.
pub fn size(text: &str) -> Result<i64> {
    const EXPECTED: &str = "expected a size such as 512m, 1.5GiB or a number of bytes";
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| EXPECTED)?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let power = match unit.strip_suffix('i').unwrap_or(unit) {
        "" if unit.is_empty() => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(EXPECTED.into()),
    };
    let bytes = number * 1024_f64.powi(power);
    if bytes >= i64::MAX as f64 {
        return Err("a size cannot exceed 8 EiB".into());
    }
    Ok(bytes as i64)
}

/// Processor cores, such as `0.5`, as billionths.
///
/// # Errors
/// If it is not a number, is negative or finer than a billionth.
pub fn cpus(text: &str) -> Result<i64> {
    const EXPECTED: &str = "expected a number of cores such as 2 or 0.5";
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.chars().all(|c| c.is_ascii_digit());
    if text.is_empty() || text == "." || !digits(whole) || !digits(part) {
        return Err(EXPECTED.into());
    }
    if part.len() > 9 {
        return Err("a core is divided into billionths at most".into());
    }
    let whole: i64 = format!("0{whole}").parse().map_err(|_| EXPECTED)?;
    let part: i64 = format!("{part:0<9}").parse().map_err(|_| EXPECTED)?;
    let nano = whole
        .checked_mul(1_000_000_000)
        .and_then(|n| n.checked_add(part));
    nano.ok_or_else(|| "too many cores".into())
}

/// A share from 0 to 1.
///
/// # Errors
/// If it is not one.
pub fn ratio(text: &str) -> Result<f32> {
    let value: Option<f32> = text.parse().ok();
    value
        .filter(|v| (0.0..=1.0).contains(v))
        .ok_or_else(|| "expected a number from 0 to 1".into())
}

/// A duration as the wire has it.
pub fn wire_duration(length: Duration) -> prost_types::Duration {
    wire::convert::duration(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_follow_go() {
        let millis = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(millis("300ms"), Ok(300));
        assert_eq!(millis("1h30m"), Ok(5_400_000));
        assert_eq!(millis("1.5s"), Ok(1_500));
        assert_eq!(millis("0"), Ok(0));
        for bad in ["", "5", "s", "5x", "-1s", "1h-2m", "999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_binary_whatever_the_unit_is_called() {
        assert_eq!(size("1024"), Ok(1024));
        assert_eq!(size("512m"), Ok(512 << 20));
        assert_eq!(size("1.5GiB"), Ok(3 << 29));
        assert_eq!(size("2 kb"), Ok(2048));
        for bad in ["", "m", "1x", "-1", "1ib", "99999999999p", "1.2.3"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cores_are_exact() {
        assert_eq!(cpus("0.1"), Ok(100_000_000));
        assert_eq!(cpus(".5"), Ok(500_000_000));
        assert_eq!(cpus("2"), Ok(2_000_000_000));
        for bad in ["", ".", "1.0000000001", "-1", "a", "99999999999"] {
            assert!(cpus(bad).is_err(), "{bad}");
        }
        assert!(ratio("0.3").is_ok() && ratio("1.1").is_err() && ratio("NaN").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-zA-Zµ. -]{0,12}") {
            let _either = (duration(&text), size(&text), cpus(&text), ratio(&text));
        }

        #[test]
        fn cores_round_trip(nano in 0_i64..4_000_000_000_000) {
            let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
            prop_assert_eq!(cpus(&text), Ok(nano));
        }
    }
}
