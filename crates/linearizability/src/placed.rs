//! Which operations have been placed in an order: a set of small numbers, kept short.
//!
//! Operations are placed nearly in the order of their calls, so the set is a run from the first one
//! and a few beyond it. Those of unknown outcome that never took effect are holes; they lengthen
//! the rest.

/// Bits of a word.
const BITS: usize = 64;

/// A set of numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Placed {
    /// All words before this one are full.
    full: usize,
    /// The words after those, without empty ones at the end.
    rest: Vec<u64>,
}

impl Placed {
    pub(crate) fn contains(&self, number: usize) -> bool {
        let (word, bit) = (number / BITS, number % BITS);
        word < self.full || self.word(word) & (1 << bit) != 0
    }

    fn word(&self, word: usize) -> u64 {
        let at = word.wrapping_sub(self.full);
        self.rest.get(at).copied().unwrap_or(0)
    }

    /// The set with one more number.
    pub(crate) fn with(&self, number: usize) -> Self {
        let mut set = self.clone();
        let (word, bit) = (number / BITS, number % BITS);
        if word < set.full {
            return set;
        }
        let at = word - set.full;
        if set.rest.len() <= at {
            set.rest.resize(at + 1, 0);
        }
        set.rest[at] |= 1 << bit;
        let run = set.rest.iter().take_while(|w| **w == u64::MAX).count();
        set.rest.drain(..run);
        set.full += run;
        set
    }

    /// The first number that is not in the set.
    pub(crate) fn first_missing(&self) -> usize {
        let ones = |(at, word): (usize, &u64)| {
            let missing = (!word).trailing_zeros() as usize;
            (missing < BITS).then_some((self.full + at) * BITS + missing)
        };
        let found = self.rest.iter().enumerate().find_map(ones);
        found.unwrap_or((self.full + self.rest.len()) * BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_whatever_the_order() {
        let numbers: Vec<usize> = (0..200).map(|n| n * 7 % 200).collect();
        let mut set = Placed::default();
        for (count, number) in numbers.iter().enumerate() {
            assert!(!set.contains(*number));
            set = set.with(*number);
            assert!(numbers[..=count].iter().all(|n| set.contains(*n)));
            let missing = (0..).find(|n| !numbers[..=count].contains(n));
            assert_eq!(Some(set.first_missing()), missing);
        }
    }

    #[test]
    fn equal_sets_are_equal_however_they_were_made() {
        let up = (0..130).fold(Placed::default(), |set, n| set.with(n));
        let down = (0..130).rev().fold(Placed::default(), |set, n| set.with(n));
        assert_eq!(up, down);
    }
}
