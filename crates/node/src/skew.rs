//! Clocks that are too far from those of the managers.
//!
//! Raft, heartbeats and delays go by time that passes, so a wrong clock harms none of them. It
//! harms certificates: one that a manager signs with a wrong clock is refused elsewhere, and a
//! node with a wrong clock refuses good ones. So a node compares its clock before it joins, a
//! manager also when it starts again, and both say what is wrong instead of failing later.

use std::time::Duration;

use manager::clock::{self, Steady};
use tokio::task::JoinSet;
use tonic::metadata::MetadataMap;
use transport::Dialer;
use types::Timestamp;
use types::node::MANAGER_TIME_KEY;
use wire::api::GetRootCaCertificateRequest;
use wire::api::ca_client::CaClient;

use crate::error::NodeError;

/// Farthest that two clocks may be apart: half of what certificates bear, so that the next step of
/// either does not break anything.
pub const SKEW_MAX: Duration = Duration::from_secs(30 * 60);

/// How long a manager that starts asks the others for the time. Those that are down refuse at
/// once; those that are cut off must not hold up the start.
const ASK_MAX: Duration = Duration::from_secs(1);

/// Two clocks, read at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// That of this machine.
    pub own: Timestamp,
    /// That of a manager.
    pub other: Timestamp,
}

/// How two clocks differ too much, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock of this machine says {}, that of {who} {}: set the clock that is wrong (best by \
     NTP), then start again", shown(.clocks.own), shown(.clocks.other)
)]
pub struct Skew {
    /// The two.
    clocks: Clocks,
    /// Whose the other is.
    who: &'static str,
}

/// To the second.
pub fn shown(at: Timestamp) -> String {
    let text = at.to_string();
    text.split('.').next().unwrap_or_default().replace('T', " ") + " UTC"
}

impl Clocks {
    /// From the answer of a manager; `None` if it does not tell its time.
    pub fn of(metadata: &MetadataMap) -> Option<Self> {
        let other = metadata.get(MANAGER_TIME_KEY)?.to_str().ok()?;
        Some(Self {
            own: clock::now(),
            other: Timestamp(other.parse().ok()?),
        })
    }

    fn is_ahead(&self) -> bool {
        self.own.since(self.other) > SKEW_MAX
    }

    fn is_behind(&self) -> bool {
        self.other.since(self.own) > SKEW_MAX
    }

    /// Whether a node with such a clock may join.
    ///
    /// # Errors
    /// If the clocks are too far apart.
    pub fn check(self) -> Result<(), Skew> {
        let who = "the manager";
        match self.is_ahead() || self.is_behind() {
            true => Err(Skew { clocks: self, who }),
            false => Ok(()),
        }
    }
}

/// Whether this manager's clock is wrong, judged by the others': if most of those that answer say
/// that it is ahead, or most that it is behind.
fn judge(answers: &[Clocks]) -> Result<(), Skew> {
    let who = "most other managers";
    for off in [Clocks::is_ahead, Clocks::is_behind] {
        let wrong: Vec<_> = answers.iter().filter(|clocks| off(clocks)).collect();
        if let Some(first) = wrong.first().filter(|_| wrong.len() * 2 > answers.len()) {
            return Err(Skew {
                clocks: **first,
                who,
            });
        }
    }
    Ok(())
}

/// Compares this manager's clock with those of the others, as far as they answer.
///
/// # Errors
/// If most of them say that it is wrong.
pub async fn check_manager(others: Vec<String>) -> Result<(), NodeError> {
    // Certificates cannot be verified by a clock that may be wrong; the answer is only the time.
    let dialer = Dialer::root_download()?;
    let mut asked = JoinSet::new();
    for addr in others {
        let dialer = dialer.clone();
        asked.spawn(async move {
            let channel = dialer.connect(&addr).await.ok()?;
            let mut client = CaClient::new(channel);
            let request = GetRootCaCertificateRequest {};
            let reply = client.get_root_ca_certificate(request).await.ok()?;
            Clocks::of(reply.metadata())
        });
    }
    let mut answers = Vec::new();
    let all = async {
        while let Some(answer) = asked.join_next().await {
            answers.extend(answer.ok().flatten());
        }
    };
    // Whoever has not answered by then is not counted.
    drop(tokio::time::timeout(ASK_MAX, all).await);
    judge(&answers).map_err(NodeError::Clock)
}

/// How often the machine's clock is compared with the time that has passed.
pub const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// A step of the clock that is worth a word; NTP corrects less without one.
const STEP_MIN: Duration = Duration::from_secs(60);

/// Notices when somebody turns the machine's clock.
#[derive(Debug)]
pub struct Watch {
    expected: Steady,
}

impl Watch {
    /// Watches from now on.
    pub fn start() -> Self {
        let expected = Steady::from(Timestamp::ZERO);
        Self { expected }
    }

    /// What the clock should show and what it shows, if it was turned since the last look.
    pub fn look(&mut self) -> Option<(Timestamp, Timestamp)> {
        let (expected, found) = (self.expected.now(), clock::now());
        let step = expected.since(found).max(found.since(expected));
        if step < STEP_MIN {
            return None;
        }
        *self = Self::start();
        Some((expected, found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(own_hours: u64, other_hours: u64) -> Clocks {
        let at = |hours: u64| Timestamp::from_secs(1_700_000_000 + hours * 3600);
        Clocks {
            own: at(own_hours),
            other: at(other_hours),
        }
    }

    #[test]
    fn clocks_hours_apart_are_named_both() {
        assert_eq!(clocks(1, 1).check(), Ok(()));
        let text = clocks(6, 1).check().unwrap_err().to_string();
        assert!(text.contains("2023-11-15 04:13:20 UTC"), "{text}");
        assert!(text.contains("2023-11-14 23:13:20 UTC"), "{text}");
        assert!(clocks(1, 6).check().is_err());
    }

    #[test]
    fn a_manager_is_wrong_only_if_most_others_agree_on_it() {
        let (right, wrong) = (clocks(1, 1), clocks(6, 1));
        assert!(judge(&[]).is_ok());
        assert!(judge(&[wrong]).is_err());
        assert!(judge(&[wrong, right]).is_ok(), "one word against another");
        assert!(judge(&[wrong, wrong, right]).is_err());
        assert!(judge(&[wrong, clocks(1, 6)]).is_ok(), "they do not agree");
    }
}
