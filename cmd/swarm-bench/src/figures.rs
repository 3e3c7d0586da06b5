//! Times of many events in few figures, and how reports are printed.

use std::time::Duration;

use serde::Serialize;

use crate::Format;

/// Percentiles of some times, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Times {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Times {
    /// The percentiles of these times; zeros for none.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            // The share is below one, so the index fits.
            let index = (times.len() as f64 * share) as usize;
            let found = times.get(index).or(times.last()).copied();
            found.unwrap_or_default().as_secs_f64() * 1e3
        };
        Self {
            p50_ms: at(0.50),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        }
    }
}

/// Prints a report as the user asked.
pub(crate) fn print<T: Serialize>(
    report: &T,
    format: Format,
    table: impl FnOnce(&T),
) -> anyhow::Result<()> {
    match format {
        Format::Json => println!("{}", serde_json::to_string(report)?),
        Format::Table => table(report),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_times_are_the_middle_and_the_last() {
        let times = Times::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(
            times,
            Times {
                p50_ms: 51.0,
                p99_ms: 100.0,
                max_ms: 100.0
            }
        );
        assert_eq!(Times::of(Vec::new()), Times::default());
    }
}
