//! When a schedule is due: cron expressions read in a time zone, as pure functions of a moment.
//!
//! Fields are minute, hour, day of month, month and day of week; six fields begin with seconds,
//! seven end with a year. Where both days are restricted, either is enough (Vixie cron's rule).
//! The nicknames `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are known.
//!
//! When clocks change: an expression whose second, minute and hour are plain numbers is due once
//! on that day, at the first moment after a gap, or in the first of two equal hours. Any other one
//! follows the wall clock: what falls into a gap does not happen, what falls into an hour that is
//! there twice happens twice.
//!
//! The rules of all zones are compiled in. Nothing here reads a clock or the machine's zone.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::CronParser;
use types::Timestamp;
use types::options::Schedule;

pub use left_out::LeftOut;

mod left_out;

/// Longest cron expression: longer than any that a person writes.
pub const CRON_LEN_MAX: usize = 256;

/// A schedule that can be asked when it is due.
#[derive(Debug, Clone)]
pub struct Calendar {
    cron: Cron,
    zone: Tz,
}

/// Why a schedule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The expression is not one.
    #[error(
        "{cron:?} is not a cron expression ({why}), write MINUTE HOUR DAY MONTH WEEKDAY such as \
         \"*/5 * * * *\""
    )]
    Cron {
        /// The expression, cut where it is too long.
        cron: String,
        /// What is wrong with it.
        why: String,
    },
    /// The time zone is not one.
    #[error(
        "{0:?} is not a time zone, use an IANA name such as Europe/Berlin, or leave it out for UTC"
    )]
    Zone(String),
}

impl Calendar {
    /// Reads a schedule.
    ///
    /// # Errors
    /// If the expression or the time zone is not one.
    pub fn of(schedule: &Schedule) -> Result<Self, CalendarError> {
        Ok(Self {
            cron: parse_cron(&schedule.cron)?,
            zone: parse_zone(&schedule.time_zone)?,
        })
    }

    /// The first due time after a moment; `None` if there is none any more.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&self.local(moment)?, false);
        self.moment(&found.ok()?)
    }

    /// The last due time at or before a moment; `None` if there was none.
    pub fn last_until(&self, moment: Timestamp) -> Option<Timestamp> {
        let found = self
            .cron
            .find_previous_occurrence(&self.local(moment)?, true);
        self.moment(&found.ok()?)
    }

    /// A moment as the zone's clocks show it, to the second: no schedule is finer.
    fn local(&self, moment: Timestamp) -> Option<DateTime<Tz>> {
        let secs = i64::try_from(moment.secs()).ok()?;
        Some(DateTime::<Utc>::from_timestamp(secs, 0)?.with_timezone(&self.zone))
    }

    fn moment(&self, local: &DateTime<Tz>) -> Option<Timestamp> {
        let secs = u64::try_from(local.timestamp()).ok()?;
        let moment = Timestamp::from_secs(secs);
        (moment < Timestamp::MAX).then_some(moment)
    }
}

fn parse_cron(text: &str) -> Result<Cron, CalendarError> {
    let refused = |why: String| CalendarError::Cron {
        cron: text.chars().take(CRON_LEN_MAX).collect(),
        why,
    };
    if text.len() > CRON_LEN_MAX {
        return Err(refused(format!(
            "it is longer than {CRON_LEN_MAX} characters"
        )));
    }
    let parsed = CronParser::new().parse(text);
    parsed.map_err(|e| refused(e.to_string().trim_end_matches('.').to_lowercase()))
}

fn parse_zone(name: &str) -> Result<Tz, CalendarError> {
    if name.is_empty() {
        return Ok(Tz::UTC);
    }
    name.parse()
        .map_err(|_| CalendarError::Zone(name.chars().take(CRON_LEN_MAX).collect()))
}

#[cfg(test)]
mod tests;
