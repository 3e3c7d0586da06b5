//! Clocks that are off, go fast or slow, and jump.
//!
//! A process reads the wall clock when it starts, and from then on only the time that passed since:
//! so do managers and agents. A jump shows when the process starts again.

use types::Timestamp;

use crate::world::EPOCH_SECS;

/// A millionth.
const MILLION: i64 = 1_000_000;

/// The clock of a machine and of the process on it.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// How far the wall clock is off, in nanoseconds.
    wall: i64,
    /// How fast the oscillator is, in millionths.
    drift: i64,
    /// The wall clock stands still until then.
    frozen_until: u64,
    /// How far the wall clock was off when the process started, in nanoseconds.
    at_start: i64,
    /// When the process started.
    start: u64,
}

impl Clock {
    pub(crate) fn new(wall: i64, drift: i64) -> Self {
        Self {
            wall,
            drift,
            frozen_until: 0,
            at_start: wall,
            start: 0,
        }
    }

    /// A process starts and reads the wall clock.
    pub(crate) fn restart(&mut self, now: u64) {
        let behind = self.frozen_until.saturating_sub(now);
        self.at_start = self.wall.saturating_sub_unsigned(behind * 1_000);
        self.start = now;
    }

    pub(crate) fn jump(&mut self, ns: i64) {
        self.wall = self.wall.saturating_add(ns);
    }

    pub(crate) fn freeze(&mut self, until: u64) {
        self.frozen_until = until;
    }

    /// What the process takes for the present.
    pub(crate) fn at(&self, now: u64) -> Timestamp {
        let passed = i64::try_from(now - self.start).unwrap_or(i64::MAX / MILLION);
        let gained = passed * self.drift / 1_000;
        let shown = EPOCH_SECS * 1_000_000_000 + now * 1_000;
        Timestamp(shown.saturating_add_signed(self.at_start + gained))
    }

    /// How long it takes until the clock has moved by so many microseconds.
    pub(crate) fn stretch(&self, us: u64) -> u64 {
        let gained = i64::try_from(us).unwrap_or(i64::MAX / MILLION) / MILLION * self.drift;
        let rest = i64::try_from(us % 1_000_000).unwrap_or(0) * self.drift / MILLION;
        us.saturating_add_signed(-(gained + rest))
    }

    /// Time until the clock shows a moment, rounded up.
    pub(crate) fn until(&self, moment: Timestamp, now: u64) -> u64 {
        let ns = moment.0.saturating_sub(self.at(now).0);
        let us = self.stretch(ns.div_ceil(1_000));
        if ns > 0 { us.max(1) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: u64 = 1_000_000;

    #[test]
    fn a_jump_shows_when_the_process_starts_again() {
        let mut clock = Clock::new(0, 0);
        let before = clock.at(10 * SEC);
        clock.jump(3_600_000_000_000);
        assert_eq!(clock.at(10 * SEC), before);
        clock.restart(10 * SEC);
        assert_eq!(clock.at(10 * SEC).0 - before.0, 3_600_000_000_000);
    }

    #[test]
    fn waiting_for_a_moment_reaches_it_however_fast_the_clock_is() {
        for drift in [-1_000, 0, 1_000] {
            let clock = Clock::new(77, drift);
            let moment = Timestamp(clock.at(5 * SEC).0 + 1_234_567_891);
            let mut now = 5 * SEC;
            for _ in 0..5 {
                now += clock.until(moment, now);
            }
            assert!(
                clock.at(now) >= moment && clock.at(now - 5) < moment,
                "{drift}"
            );
        }
    }
}
