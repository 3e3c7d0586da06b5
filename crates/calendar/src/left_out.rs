//! Due times that passed while a run went on, and began no other.

use std::fmt;

use types::Timestamp;
use types::options::{Concurrency, MissedRuns, Schedule};

use crate::Calendar;

/// More due times than this are not counted.
const COUNT_MAX: u32 = 100;

/// Due times that began no run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// How many, up to 100.
    pub count: u32,
    /// The newest of them.
    pub newest: Timestamp,
    /// Why.
    pub reason: &'static str,
}

impl LeftOut {
    /// What was left out since the present run began, as a job's record says: `dealt_with` is the
    /// newest due time that was decided on (its last execution), `begun` when the oldest task of
    /// the run was made, or the service, before its first run.
    pub fn of(schedule: &Schedule, begun: Timestamp, dealt_with: Timestamp) -> Option<Self> {
        let calendar = Calendar::of(schedule).ok()?;
        // A run by hand and a change of the schedule count from their own moment.
        let newest = calendar
            .last_until(dealt_with)
            .filter(|t| *t == dealt_with)?;
        let mut count = 0;
        let mut due = calendar.next_after(begun).filter(|t| *t <= newest);
        while let Some(at) = due.filter(|_| count < COUNT_MAX) {
            count += 1;
            due = calendar.next_after(at).filter(|t| *t <= newest);
        }
        let waits = schedule.concurrency == Concurrency::Forbid;
        let reason = match (waits, schedule.missed) {
            (true, MissedRuns::Once) => "this run was not over",
            (true, MissedRuns::Skip) => "this run was not over, or no manager led",
            (false, _) => "no manager led",
        };
        (count > 0).then_some(Self {
            count,
            newest,
            reason,
        })
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str("left out: the run due ")?,
            COUNT_MAX => write!(f, "left out: {COUNT_MAX} runs or more, last due ")?,
            n => write!(f, "left out: {n} runs, last due ")?,
        }
        // Due times are whole seconds.
        let newest = self.newest.to_string();
        let seconds = newest.split('.').next().unwrap_or_default();
        write!(f, "{seconds}Z: {}", self.reason)
    }
}
