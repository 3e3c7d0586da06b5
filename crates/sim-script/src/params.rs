//! What a run is like, all from its seed: sizes, delays, rates of faults.

use crate::rng::Rng;

/// A microsecond, the unit of simulated time.
pub const US: u64 = 1;
/// A millisecond.
pub const MS: u64 = 1_000 * US;
/// A second.
pub const SEC: u64 = 1_000 * MS;

macro_rules! params {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// Rates are in ten thousand, times in microseconds.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Params {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl Params {
            /// Sets a number by its name; false if there is none of this name.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)+
                    _ => return false,
                }
                true
            }

            /// Every number with its name.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

params! {
    /// Managers.
    managers,
    /// Agents at the start that are no managers.
    agents,
    /// Whether managers are agents too.
    combined,
    /// Services that operators keep around.
    services_max,
    /// Replicas of a service at most.
    replicas_max,
    /// Records of ended tasks kept per slot.
    history,
    /// How long faults last.
    chaos,
    /// Longest usual delay between managers.
    delay_max,
    /// Longest usual delay between agents and managers.
    agent_delay_max,
    /// Longest usual write of a manager's disk.
    disk_max,
    /// Messages lost between managers.
    loss,
    /// Messages that arrive twice.
    duplicates,
    /// Effects of a manager between which it dies.
    crash_per_effect,
    /// Pause of the pipeline between planning and proposing.
    pipeline_max,
    /// How far the dispatcher lags behind the tables.
    news_max,
    /// Time between two actions of operators at most.
    operator_max,
    /// Time between two faults at most.
    fault_max,
    /// Time between two reads of clients at most.
    read_max,
    /// How far the clocks of machines are apart.
    skew_max,
    /// How fast or slow clocks go, in millionths.
    drift_max,
    /// Log entries between snapshots.
    snapshot_every,
    /// Log entries kept behind a snapshot.
    keep_entries,
    /// Tasks that end by themselves while faults last.
    trouble,
    /// How often machines come and go and change their roles, among actions of operators.
    churn,
    /// Agents that never come back after the faults.
    lost_agents,
    /// Whether a minority of managers stays broken after the faults.
    lost_managers,
    /// How long certificates live.
    certificate_life,
}

impl Params {
    /// What a seed says.
    pub fn from_rng(rng: &mut Rng) -> Self {
        Self {
            managers: rng.one_of(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 7]),
            agents: rng.one_of(&[0, 1, 2, 3, 3, 5, 8, 12]),
            combined: rng.one_of(&[0, 1, 1]),
            services_max: rng.one_of(&[1, 2, 4, 6]),
            replicas_max: rng.one_of(&[1, 3, 5, 10]),
            history: rng.one_of(&[0, 1, 5, 5]),
            chaos: rng.between(60, 300) * SEC,
            delay_max: rng.one_of(&[MS, 5 * MS, 30 * MS, 120 * MS]),
            agent_delay_max: rng.one_of(&[MS, 5 * MS, 50 * MS, 300 * MS]),
            disk_max: rng.one_of(&[MS, 5 * MS, 30 * MS, 300 * MS]),
            loss: rng.one_of(&[0, 0, 50, 300]),
            duplicates: rng.one_of(&[0, 100, 500]),
            crash_per_effect: rng.one_of(&[0, 0, 1, 4]),
            pipeline_max: rng.one_of(&[MS, 5 * MS, 50 * MS, 500 * MS]),
            news_max: rng.one_of(&[MS, 5 * MS, 50 * MS]),
            operator_max: rng.one_of(&[300 * MS, 2 * SEC, 10 * SEC, 30 * SEC]),
            fault_max: rng.one_of(&[2 * SEC, 10 * SEC, 30 * SEC, 90 * SEC]),
            read_max: rng.one_of(&[300 * MS, 2 * SEC]),
            skew_max: rng.one_of(&[0, 0, 50 * MS, 2 * SEC]),
            drift_max: rng.one_of(&[0, 0, 100, 1_000]),
            snapshot_every: rng.one_of(&[20, 100, 500]),
            keep_entries: rng.one_of(&[0, 10, 50]),
            trouble: rng.one_of(&[0, 500, 2_000, 6_000]),
            churn: rng.one_of(&[0, 300, 1_500]),
            lost_agents: rng.one_of(&[0, 0, 1, 2]),
            lost_managers: rng.one_of(&[0, 0, 1]),
            certificate_life: rng.one_of(&[3_600 * SEC, 90 * 24 * 3_600 * SEC]),
        }
        .sensible()
    }

    /// There is somebody to run tasks.
    fn sensible(mut self) -> Self {
        if self.agents == 0 {
            self.combined = 1;
        }
        self
    }
}
