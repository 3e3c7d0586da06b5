//! Random numbers of a simulation: everything in a run follows from its seed.

use types::Entropy;

/// SplitMix64 with the draws that a simulation needs.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// Less than `end`.
    pub fn under(&mut self, end: u64) -> u64 {
        self.next_u64() % end.max(1)
    }

    /// From `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.under(high - low + 1)
    }

    /// Any number.
    pub fn next_number(&mut self) -> u64 {
        self.next_u64() >> 1
    }

    /// True so many times in ten thousand.
    pub fn chance(&mut self, in_ten_thousand: u64) -> bool {
        self.under(10_000) < in_ten_thousand
    }

    /// One of several, each as likely as the others.
    pub fn one_of<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.under(from.len() as u64)).unwrap_or(0)].clone()
    }

    /// One of several, if there are any.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| self.one_of(from))
    }
}

impl Entropy for Rng {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

/// Scatters the bits of a number.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Adds a number to a running hash.
pub fn fold(hash: u64, value: u64) -> u64 {
    mix(hash.rotate_left(5) ^ mix(value.wrapping_add(0x51_7cc1_b727_220a)))
}
