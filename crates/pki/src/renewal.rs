//! When to ask for the next certificate, and what a validity says about clocks.

use std::time::Duration;

use types::Timestamp;

use crate::time::human;

/// Renewal happens between these parts of a certificate's life, in percent. SwarmKit's values: the
/// spread keeps a whole cluster from renewing at one moment, the rest is room for retries.
const RENEW_PERCENT: (u64, u64) = (50, 80);
/// First pause after a failed renewal; doubles with every further failure.
const RETRY_MS_MIN: u64 = 5_000;
/// Longest pause after failed renewals.
const RETRY_MS_MAX: u64 = 3_600_000;

/// A certificate is used outside its validity. Either it is, or a clock is wrong: both are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockProblem {
    /// Its validity begins later.
    #[error(
        "certificate becomes valid only in {}: the clock of one of the two machines is off by at \
         least that; synchronise the clocks and try again", human(*.by)
    )]
    NotYetValid {
        /// Until it begins.
        by: Duration,
    },
    /// Its validity has ended.
    #[error(
        "certificate expired {} ago: it was not renewed in time and the node has to join again, \
         or the clock of one of the two machines is off", human(*.by)
    )]
    Expired {
        /// Since it ended.
        by: Duration,
    },
}

/// The moment to renew: a point between 50 and 80 % of the validity, picked by a random number.
#[must_use]
pub fn renew_at(not_before: Timestamp, not_after: Timestamp, random: u64) -> Timestamp {
    let life_ms = u64::try_from(not_after.since(not_before).as_millis()).unwrap_or(u64::MAX);
    let (low, high) = RENEW_PERCENT;
    let earliest_ms = life_ms / 100 * low;
    let window_ms = life_ms / 100 * (high - low);
    let offset_ms = earliest_ms + random % (window_ms + 1);
    not_before.plus(Duration::from_millis(offset_ms))
}

/// The pause after the `failures`-th failed attempt in a row: 5 s doubling up to an hour, of which
/// a random part of up to half is taken off.
#[must_use]
pub fn retry_delay(failures: u32, random: u64) -> Duration {
    let doubled = RETRY_MS_MIN.saturating_mul(1u64 << failures.saturating_sub(1).min(20));
    let full_ms = doubled.min(RETRY_MS_MAX);
    Duration::from_millis(full_ms - random % (full_ms / 2 + 1))
}

/// What is wrong with using a certificate of this validity now; `None` if nothing is.
#[must_use]
pub fn validity_problem(
    not_before: Timestamp,
    not_after: Timestamp,
    now: Timestamp,
) -> Option<ClockProblem> {
    if now.secs() < not_before.secs() {
        Some(ClockProblem::NotYetValid {
            by: not_before.since(now),
        })
    } else if now.secs() > not_after.secs() {
        Some(ClockProblem::Expired {
            by: now.since(not_after),
        })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn problems_name_the_span() {
        let (from, to) = (Timestamp::from_secs(7_200), Timestamp::from_secs(10_800));
        let early = validity_problem(from, to, from.minus(HOUR)).expect("early");
        assert!(early.to_string().contains("in 1 h 0 min"), "{early}");
        let late = validity_problem(from, to, to.plus(HOUR * 48)).expect("late");
        assert!(late.to_string().contains("expired 2 d 0 h ago"), "{late}");
        assert_eq!(validity_problem(from, to, from), None);
        assert_eq!(validity_problem(from, to, to), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn renewal_falls_between_half_and_four_fifths(
            start in 0u64..4_000_000_000, life_s in 60u64..700_000_000, random: u64
        ) {
            let from = Timestamp::from_secs(start);
            let to = from.plus(Duration::from_secs(life_s));
            let at = renew_at(from, to, random).since(from).as_millis();
            let life_ms = u128::from(life_s) * 1_000;
            prop_assert!(at + 100 >= life_ms / 2 && at <= life_ms * 4 / 5);
        }

        #[test]
        fn pauses_grow_up_to_an_hour_and_are_never_zero(failures: u32, random: u64) {
            let pause = retry_delay(failures, random);
            prop_assert!(pause >= Duration::from_millis(2_500) && pause <= HOUR);
            prop_assert!(failures < 12 || pause >= HOUR / 2);
        }
    }
}
