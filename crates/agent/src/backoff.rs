//! Pauses between sessions: they grow, and are random so that agents do not come back in step.

use std::time::Duration;

use types::Entropy;

/// What a pause grows by besides doubling.
const STEP: Duration = Duration::from_millis(100);

/// Longest pause.
const MAX: Duration = Duration::from_secs(8);

/// The pause before the next session.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    bound: Duration,
}

impl Backoff {
    /// A session was good: start anew.
    pub(crate) fn reset(&mut self) {
        self.bound = Duration::ZERO;
    }

    /// A session failed: how long to pause now.
    pub(crate) fn next(&mut self, entropy: &mut dyn Entropy) -> Duration {
        self.bound = (STEP + self.bound * 2).min(MAX);
        let nanos = u64::try_from(self.bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(entropy.below(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Always draws the largest number.
    struct Largest;

    impl Entropy for Largest {
        fn next_u64(&mut self) -> u64 {
            u64::MAX
        }

        fn below(&mut self, bound: u64) -> u64 {
            bound
        }
    }

    #[test]
    fn the_bound_doubles_and_adds_100_ms_up_to_8_s() {
        let mut backoff = Backoff::default();
        let bounds: Vec<_> = (0..9)
            .map(|_| backoff.next(&mut Largest).as_millis())
            .collect();
        let expected = [100, 300, 700, 1500, 3100, 6300, 8000, 8000, 8000];
        assert_eq!(bounds, expected);
        backoff.reset();
        assert_eq!(backoff.next(&mut Largest).as_millis(), 100);
    }

    #[test]
    fn the_pause_lies_anywhere_below_the_bound() {
        let mut entropy = types::entropy::SeededEntropy::new(5);
        let pauses = (0..200).map(|_| Backoff::default().next(&mut entropy));
        let below_half = pauses.filter(|p| *p < STEP / 2).count();
        assert!((50..150).contains(&below_half), "{below_half} of 200");
    }
}
