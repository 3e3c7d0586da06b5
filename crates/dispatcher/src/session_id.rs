//! Names of sessions, never used twice.

use std::fmt;
use std::str::FromStr;

/// Names one registration of one node with one leader.
///
/// The term and a counter make it unique within a cluster; the random part keeps it unique when
/// a cluster is started anew from old state and terms repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId {
    /// Term of the leader.
    pub term: u64,
    /// Registrations with that leader before this one.
    pub serial: u64,
    /// Random.
    pub nonce: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}.{:016x}", self.term, self.serial, self.nonce)
    }
}

/// The text is not a session id that this program hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a session id of this cluster")]
pub struct ParseSessionIdError;

impl FromStr for SessionId {
    type Err = ParseSessionIdError;

    fn from_str(text: &str) -> Result<Self, ParseSessionIdError> {
        let mut parts = text.split('.').map(|p| u64::from_str_radix(p, 16));
        let mut next = || parts.next()?.ok();
        match (next(), next(), next(), next()) {
            (Some(term), Some(serial), Some(nonce), None) => Ok(Self {
                term,
                serial,
                nonce,
            }),
            _ => Err(ParseSessionIdError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_session_id_reads_back() {
        let id = SessionId {
            term: 7,
            serial: 300,
            nonce: u64::MAX,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "1.2", "1.2.3.4", "x.1.2", "abc"] {
            assert_eq!(bad.parse::<SessionId>(), Err(ParseSessionIdError), "{bad}");
        }
    }
}
