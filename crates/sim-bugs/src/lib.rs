//! Bugs that can be planted in what stands around the cores, or in how they are driven, to prove
//! that the invariants see them. The cores themselves are always the real ones.

mod spoil;

pub use spoil::{Stage, is_silent, spoil};

macro_rules! bugs {
    ($($(#[doc = $text:literal])+ $name:ident,)+) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $text])+ $name,)+
        }

        /// Every bug that can be planted.
        pub const BUGS: &[Bug] = &[$(Bug::$name,)+];

        impl Bug {
            /// What is wrong, in words.
            pub fn text(self) -> &'static str {
                match self {
                    $(Bug::$name => concat!($($text),+).trim_ascii(),)+
                }
            }
        }
    };
}

bugs! {
    /// Writes of the log are reported durable before they are.
    SkipSync,
    /// The vote does not survive a restart.
    ForgetVote,
    /// The last entry that is not known to be committed does not survive a restart.
    LoseLastEntry,
    /// Writes that contain entries leave the hard state out.
    DropHardState,
    /// A manager whose disk was lost goes on under its old id.
    ReuseRaftId,
    /// Committed entries are skipped while a snapshot is being made.
    SkipApply,
    /// Some committed entries are applied a second time.
    ApplyTwice,
    /// Snapshots carry the membership of the beginning.
    SnapshotWithoutMembership,
    /// A snapshot claims an index that its content is ahead of.
    SnapshotTooEarly,
    /// A restored snapshot lacks the records of tasks that ended.
    SnapshotWithoutHistory,
    /// A follower leaves out the last action of some transactions.
    DropActions,
    /// Clients are answered when a write is proposed.
    AckBeforeCommit,
    /// An unknown outcome is told to the client as a failure.
    UnknownIsFailure,
    /// Whoever believes to lead answers reads at once.
    StaleRead,
    /// A watch leaves out a change after a reconnect.
    WatchGap,
    /// A leader begins before it has applied everything of earlier terms.
    ReignTooEarly,
    /// A deposed leader's view stays in use after a proposal was refused.
    KeepRefusedView,
    /// A manager that led once does not take up again until it restarts.
    LeadOnce,
    /// Steps of plans are applied without looking whether their ground has moved.
    SkipGuards,
    /// The pipeline rests although its stages saw something after they planned.
    SleepThroughNews,
    /// The pipeline looks again every second, whatever it was told.
    PollAtRest,
    /// Nobody deletes records.
    NoReaper,
    /// Records of tasks that ended are kept as long as their service lives.
    HoardHistory,
    /// Records of tasks that run are deleted.
    ReapTooEarly,
    /// Nobody evicts tasks whose node no longer fits.
    NoEnforcer,
    /// Replacements start at once, whatever delay and slot ask for.
    ForgetDelay,
    /// An update replaces one more task at a time than it may.
    OneMoreInFlight,
    /// A rollback goes back to the spec that failed.
    RollBackNowhere,
    /// A service that is removed leaves its tasks alone.
    ForgetServices,
    /// A job has one more task at a time than it may.
    OneMoreOfJob,
    /// A slot that was given up is tried again.
    RestartForever,
    /// Tasks are placed on any node.
    AssignAnywhere,
    /// Tasks are placed without counting what others have reserved.
    Overbook,
    /// A port of the routing mesh is given to a second service.
    PortTwice,
    /// A port that was chosen is chosen anew when anything is allocated.
    PortWanders,
    /// The dispatcher sees what is not committed.
    ShowSpeculation,
    /// A leader sends complete sets without asking a majority whether it still leads.
    TrustOwnLeadership,
    /// A secret is sent to a node before a task there needs it.
    SecretEarly,
    /// A node is never told that a secret is no longer needed.
    SecretForever,
    /// A node is told of a task of another node.
    TellOthers,
    /// Nodes that fall silent are never called down.
    NeverDown,
    /// Agents never hear that a task is no longer theirs.
    DropRemovals,
    /// An agent accepts assignments of streams and sessions that it replaced.
    OldGeneration,
    /// An agent without database does not look for remains.
    ForgetRemains,
    /// Reports are taken for delivered when they are sent.
    ForgetReports,
    /// An agent stops what it runs when it loses its manager.
    StopWhenAlone,
    /// A container is called stopped when the signal is sent.
    LieAboutStop,
    /// An agent that restarts knows nothing of what it did, and starts what has ended again.
    StartAgain,
    /// A join token counts for ever.
    AnyToken,
    /// A renewed certificate names the role of the one before.
    OldRole,
    /// The gate does not know of nodes that were removed.
    ForgetRemoved,
    /// Calls that a worker passes on count as those of whom it names.
    BelieveAnybody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_says_what_is_wrong_in_one_sentence() {
        for bug in BUGS {
            let text = bug.text();
            assert!(
                text.ends_with('.') && !text.starts_with(' '),
                "{bug:?}: {text:?}"
            );
        }
    }
}
