//! Typed object ids: 25 base-36 characters for people and peers, one word of memory inside.
//!
//! SwarmKit writes ids as 25 characters of `[0-9a-z]`. All ids of a cluster are made by its own
//! managers, so 127 random bits with the top bit set give that shape exactly and fit a `u128`.

use std::fmt;
use std::num::NonZeroU128;
use std::str::FromStr;

use crate::entropy::Entropy;

/// Characters of a written id.
pub const ID_LEN: usize = 25;

const BASE: u64 = 36;
/// Digits that a word holds.
const WORD_DIGITS: usize = 12;
/// One more than the largest number of [`WORD_DIGITS`] digits.
const WORD: u128 = (BASE as u128).pow(WORD_DIGITS as u32);
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const TOP_BIT: u128 = 1 << 127;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Not exactly [`ID_LEN`] characters.
    #[error("an id has 25 characters, this has {0}")]
    Length(usize),
    /// A character outside `[0-9a-z]`.
    #[error("an id is made of 0-9 and a-z, this has {0:?}")]
    Character(char),
    /// The digits are outside the range that managers hand out.
    #[error("this is not an id that a manager hands out")]
    Range,
}

fn encode(value: u128) -> [u8; ID_LEN] {
    let mut rest = value;
    let mut out = [b'0'; ID_LEN];
    // Word by word: dividing 128 bits costs ten times as much as dividing 64.
    for places in out.rchunks_mut(WORD_DIGITS) {
        let mut word = (rest % WORD) as u64;
        rest /= WORD;
        for place in places.iter_mut().rev() {
            *place = DIGITS[(word % BASE) as usize];
            word /= BASE;
        }
    }
    out
}

fn decode(text: &str) -> Result<NonZeroU128, ParseIdError> {
    let count = text.chars().count();
    if count != ID_LEN {
        return Err(ParseIdError::Length(count));
    }
    let mut digits = [0u64; ID_LEN];
    for (digit, c) in digits.iter_mut().zip(text.chars()) {
        *digit = match c {
            '0'..='9' => u64::from(c) - u64::from('0'),
            'a'..='z' => u64::from(c) - u64::from('a') + 10,
            _ => return Err(ParseIdError::Character(c)),
        };
    }
    let (first, words) = digits.split_at(ID_LEN % WORD_DIGITS);
    let number = |digits: &[u64]| digits.iter().fold(0, |n, digit| n * BASE + digit);
    let mut value = u128::from(number(first));
    for word in words.chunks(WORD_DIGITS) {
        value = value
            .checked_mul(WORD)
            .and_then(|v| v.checked_add(u128::from(number(word))))
            .ok_or(ParseIdError::Range)?;
    }
    NonZeroU128::new(value).ok_or(ParseIdError::Range)
}

fn draw(entropy: &mut dyn Entropy) -> NonZeroU128 {
    let high = u128::from(entropy.next_u64());
    let low = u128::from(entropy.next_u64());
    NonZeroU128::new((high << 64) | low | TOP_BIT).unwrap_or(NonZeroU128::MAX)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU128);

        impl $name {
            /// A fresh id from random bits.
            pub fn random(entropy: &mut dyn Entropy) -> Self {
                Self(draw(entropy))
            }

            /// The id as a number; its order is the order of the written form.
            pub fn get(self) -> u128 {
                self.0.get()
            }

            /// The id of a number, unless it is zero.
            pub fn from_u128(value: u128) -> Option<Self> {
                NonZeroU128::new(value).map(Self)
            }

            /// The smallest id, for range scans.
            pub const MIN: Self = Self(NonZeroU128::MIN);

            /// The largest id, for range scans.
            pub const MAX: Self = Self(NonZeroU128::MAX);

            /// The id as 16 bytes, most significant first.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.get().to_be_bytes()
            }

            /// The id of 16 bytes, unless they are another length or all zero.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let bytes: [u8; 16] = bytes.try_into().ok()?;
                Self::from_u128(u128::from_be_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let digits = encode(self.0.get());
                f.pad(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                decode(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// Names a cluster; the organisation of every certificate in it.
    ClusterId,
    /// Names a node; the common name of its certificate.
    NodeId,
    /// Names a service.
    ServiceId,
    /// Names a task; never used again.
    TaskId,
    /// Names a network.
    NetworkId,
    /// Names a secret.
    SecretId,
    /// Names a config.
    ConfigId,
    /// Names a cluster volume.
    VolumeId,
    /// Names an extension (a kind of resource).
    ExtensionId,
    /// Names a resource.
    ResourceId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;
    use proptest::prelude::*;

    #[test]
    fn a_fresh_id_is_25_base36_characters_without_leading_zero() {
        let mut entropy = SeededEntropy::new(7);
        for _ in 0..1000 {
            let text = TaskId::random(&mut entropy).to_string();
            assert_eq!(text.len(), ID_LEN);
            assert!(!text.starts_with('0'));
            assert!(text.bytes().all(|b| DIGITS.contains(&b)));
        }
    }

    #[test]
    fn an_option_of_an_id_costs_no_extra_memory() {
        assert_eq!(size_of::<Option<NodeId>>(), 16);
    }

    #[test]
    fn bad_texts_are_refused_with_the_reason() {
        assert_eq!("abc".parse::<NodeId>(), Err(ParseIdError::Length(3)));
        let upper = "A".repeat(25);
        assert_eq!(upper.parse::<NodeId>(), Err(ParseIdError::Character('A')));
        let huge = "z".repeat(25);
        assert_eq!(huge.parse::<NodeId>(), Err(ParseIdError::Range));
        let zero = "0".repeat(25);
        assert_eq!(zero.parse::<NodeId>(), Err(ParseIdError::Range));
    }

    proptest! {
        #[test]
        fn the_written_form_reads_back_and_keeps_the_order(a in 1u128.., b in 1u128..) {
            let (x, y) = (TaskId::from_u128(a).unwrap(), TaskId::from_u128(b).unwrap());
            prop_assert_eq!(x.to_string().parse::<TaskId>().unwrap(), x);
            prop_assert_eq!(x.cmp(&y), x.to_string().cmp(&y.to_string()));
            prop_assert_eq!(TaskId::from_bytes(&x.to_bytes()), Some(x));
        }
    }
}
