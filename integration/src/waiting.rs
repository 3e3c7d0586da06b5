//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Pause between two looks: short against what is waited for, long against what a look costs.
const POLL_PERIOD: Duration = Duration::from_millis(25);

/// Looks until the probe finds something or the limit has passed. A probe that fails counts as
/// one that found nothing; the last failure is told with the timeout.
///
/// # Errors
/// If nothing was found in time, with what was waited for.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        let found = probe();
        if let Ok(Some(found)) = found {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            let secs = limit.as_secs_f64();
            match found {
                Err(why) => bail!("not within {secs} s: {what}: {why:#}"),
                Ok(_) => bail!("not within {secs} s: {what}"),
            }
        }
        // Nobody unparks this thread; should it wake early, it looks once more.
        std::thread::park_timeout(POLL_PERIOD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn what_comes_late_is_found_and_what_never_comes_is_named_with_its_reason() {
        let mut looks = 0;
        let third = wait_for("the third look", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(third.unwrap(), 3);

        let never = wait_for::<()>("rain", Duration::ZERO, || Err(anyhow!("blue sky")));
        assert_eq!(
            never.unwrap_err().to_string(),
            "not within 0 s: rain: blue sky"
        );
    }
}
