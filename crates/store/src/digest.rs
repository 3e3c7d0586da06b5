//! A digest of all tables that is kept up to date change by change, so that managers can compare
//! their tables with every entry of the log.
//!
//! It covers which objects there are, the version that each was last changed at, and, of what
//! changes by the thousand, its state: where tables drift apart because an entry was left out,
//! applied twice or read otherwise, digests differ. It does not cover every field: that would cost
//! more than applying the entry does.

use std::fmt;

use crate::record::Record;

/// A sum over all objects, in which their order has no part.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// As a number, for the log.
    pub fn get(self) -> u64 {
        self.0
    }

    /// Of a number that [`Digest::get`] gave.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Takes an object into account.
    pub(crate) fn add<T: Record>(&mut self, row: &T) {
        self.0 = self.0.wrapping_add(of(row));
    }

    /// The same, no more.
    pub(crate) fn take<T: Record>(&mut self, row: &T) {
        self.0 = self.0.wrapping_sub(of(row));
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn of<T: Record>(row: &T) -> u64 {
    let (high, low) = halves(row.id_number());
    let state = halves(row.state_number());
    let words = [
        T::KIND as u64,
        high,
        low,
        row.meta().version,
        state.0,
        state.1,
    ];
    words.into_iter().fold(0, |sum, word| mixed(sum ^ word))
}

fn halves(number: u128) -> (u64, u64) {
    ((number >> 64) as u64, number as u64)
}

/// Every bit of a word spread over all of it: the finisher of SplitMix64 (Steele, Lea and Flood,
/// 2014).
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
