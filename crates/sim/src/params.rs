//! What a run is like, all from its seed: sizes, delays, rates of faults. And the bugs that can be
//! planted to prove that the invariants see them.

use crate::rng::Rng;

/// A microsecond, the unit of simulated time.
pub const US: u64 = 1;
/// A millisecond.
pub const MS: u64 = 1_000 * US;
/// A second.
pub const SEC: u64 = 1_000 * MS;

/// A bug in what stands around the cores, or in how they are driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Agents never hear that a task is no longer theirs.
    DropRemovals,
    /// Steps of plans are applied without looking whether their ground has moved.
    SkipGuards,
    /// A follower leaves out the last action of some transactions.
    DropActions,
    /// Replacements start at once, whatever delay and slot ask for.
    ForgetDelay,
    /// The dispatcher is shown what is not committed yet.
    ShowSpeculation,
    /// An agent that lost its database does not look for what runs on its node.
    ForgetRemains,
    /// An update replaces one more task at a time than it may.
    OneMoreInFlight,
    /// API clients are answered when a write is proposed.
    AckBeforeCommit,
    /// A leader begins before it has applied what was committed before its term.
    ReignTooEarly,
    /// Reports are taken for delivered when they are sent.
    ForgetReports,
    /// Nobody deletes records.
    NoReaper,
    /// A restored snapshot lacks the records of tasks that ended.
    SnapshotWithoutHistory,
    /// An agent stops what it runs when it loses its manager.
    StopWhenAlone,
    /// The pipeline rests although its stages saw something after they planned.
    SleepThroughNews,
    /// A leader sends complete sets without asking a majority whether it still leads.
    TrustOwnLeadership,
    /// A service that is removed leaves its tasks alone.
    ForgetServices,
}

/// Every planted bug.
pub const BUGS: [Bug; 16] = [
    Bug::DropRemovals,
    Bug::SkipGuards,
    Bug::DropActions,
    Bug::ForgetDelay,
    Bug::ShowSpeculation,
    Bug::ForgetRemains,
    Bug::OneMoreInFlight,
    Bug::AckBeforeCommit,
    Bug::ReignTooEarly,
    Bug::ForgetReports,
    Bug::NoReaper,
    Bug::SnapshotWithoutHistory,
    Bug::StopWhenAlone,
    Bug::SleepThroughNews,
    Bug::TrustOwnLeadership,
    Bug::ForgetServices,
];

/// Rates are in ten thousand, times in microseconds.
#[derive(Debug, Clone)]
pub struct Params {
    /// Managers.
    pub managers: usize,
    /// Agents at the start.
    pub agents: usize,
    /// Services that operators keep around.
    pub services_max: usize,
    /// Replicas of a service at most.
    pub replicas_max: u64,
    /// How long faults last.
    pub chaos: u64,
    /// Longest usual delay between managers.
    pub delay_max: u64,
    /// Longest usual delay between agents and managers.
    pub agent_delay_max: u64,
    /// Longest write of a manager's disk.
    pub disk_max: u64,
    /// Messages lost between managers.
    pub loss: u64,
    /// Pause of the pipeline between planning and proposing.
    pub pipeline_max: u64,
    /// How far the dispatcher lags behind the tables.
    pub news_max: u64,
    /// Time between two actions of operators at most.
    pub operator_max: u64,
    /// Time between two faults at most.
    pub fault_max: u64,
    /// How far the clocks of machines are apart.
    pub skew_max: u64,
    /// Log entries between snapshots.
    pub snapshot_every: u64,
    /// Log entries kept behind a snapshot.
    pub keep_entries: u64,
    /// Tasks that end by themselves while faults last.
    pub trouble: u64,
}

impl Params {
    /// What a seed says.
    pub fn from_rng(rng: &mut Rng) -> Self {
        Self {
            managers: rng.one_of(&[1, 3, 3, 3, 5]),
            agents: rng.one_of(&[1, 2, 3, 3, 5, 8]),
            services_max: rng.one_of(&[1, 2, 4, 6]),
            replicas_max: rng.one_of(&[1, 3, 5, 10]),
            chaos: rng.between(60, 300) * SEC,
            delay_max: rng.one_of(&[MS, 5 * MS, 30 * MS, 120 * MS]),
            agent_delay_max: rng.one_of(&[MS, 5 * MS, 50 * MS, 300 * MS]),
            disk_max: rng.one_of(&[MS, 5 * MS, 30 * MS, 300 * MS]),
            loss: rng.one_of(&[0, 0, 50, 300]),
            pipeline_max: rng.one_of(&[MS, 5 * MS, 50 * MS, 500 * MS]),
            news_max: rng.one_of(&[MS, 5 * MS, 50 * MS]),
            operator_max: rng.one_of(&[300 * MS, 2 * SEC, 10 * SEC, 30 * SEC]),
            fault_max: rng.one_of(&[2 * SEC, 10 * SEC, 30 * SEC, 90 * SEC]),
            skew_max: rng.one_of(&[0, 0, 50 * MS, 2 * SEC]),
            snapshot_every: rng.one_of(&[20, 100, 500]),
            keep_entries: rng.one_of(&[0, 10, 50]),
            trouble: rng.one_of(&[0, 500, 2_000, 6_000]),
        }
    }
}
