//! Waiting times between attempts to reach a peer.
//!
//! Never longer than a second: a healed partition must come back within an election timeout or two.

use std::time::Duration;

const FIRST_MS: u64 = 20;
const LONGEST_MS: u64 = 1_000;

/// Doubling waiting times, each drawn between half of and the whole present bound, so that members
/// that lost a peer at the same moment do not come back at the same moment.
#[derive(Debug)]
pub(super) struct Backoff {
    bound_ms: u64,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { bound_ms: FIRST_MS }
    }

    /// Starts over after a success.
    pub(super) fn reset(&mut self) {
        self.bound_ms = FIRST_MS;
    }

    /// The next waiting time.
    pub(super) fn next_delay(&mut self) -> Duration {
        // Without randomness every wait is the longest one, which is still correct.
        self.next_with(getrandom::u64().unwrap_or(u64::MAX))
    }

    fn next_with(&mut self, random: u64) -> Duration {
        let half = self.bound_ms / 2;
        let delay_ms = half + random % (self.bound_ms - half + 1);
        self.bound_ms = (self.bound_ms * 2).min(LONGEST_MS);
        Duration::from_millis(delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_bound_and_start_over() {
        let mut backoff = Backoff::new();
        for random in 0..1000 {
            let bound = backoff.bound_ms;
            let delay = backoff.next_with(random * 7919).as_millis() as u64;
            assert!((bound / 2..=bound).contains(&delay));
        }
        assert_eq!(backoff.bound_ms, LONGEST_MS);
        backoff.reset();
        assert!(backoff.next_with(0).as_millis() <= u128::from(FIRST_MS));
    }
}
