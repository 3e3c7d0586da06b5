//! What a service or a cluster may ask for beyond SwarmKit's spec, and how labels carry it.
//!
//! In memory each option is a typed field. On the wire, in the log and in snapshots it is a label
//! whose key begins with [`PREFIX`], so that any client of SwarmKit's API keeps it when it writes
//! back what it read. [`ServiceOptions::take`] and [`ServiceOptions::put`] are the two directions;
//! what a valid label says is judged here, what options mean together by the crate `validate`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::id::ServiceId;
use crate::meta::Labels;
use crate::time::Timestamp;

/// Beginning of the keys of labels that carry options; no other label may begin with it.
pub const PREFIX: &str = "swarm.";

/// Most runs of a schedule that are kept when nothing else is said.
pub const SCHEDULE_HISTORY_DEFAULT: u32 = 3;

/// Highest priority of a service.
pub const PRIORITY_MAX: u8 = 100;

/// What a service asks for beyond SwarmKit's spec; the default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceOptions {
    /// How nodes are ranked; `None` takes the cluster's default.
    pub strategy: Option<Strategy>,
    /// A higher one may displace lower ones where the cluster allows it; 0 to [`PRIORITY_MAX`].
    pub priority: u8,
    /// Affinity expressions, as the user wrote them.
    pub affinities: Vec<String>,
    /// Services that must have come up first.
    pub depends_on: Vec<Dependency>,
    /// When the service's job is run; `None` is once for each version of the service.
    pub schedule: Option<Schedule>,
    /// Whether tasks move to nodes that joined later.
    pub rebalance: Rebalance,
    /// Longest time an update may go without progress; `None` takes the default, zero is forever.
    pub progress_deadline: Option<Duration>,
}

/// What a cluster is set to beyond SwarmKit's spec.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterOptions {
    /// How nodes are ranked for services that do not say.
    pub strategy: Strategy,
    /// Whether a service may displace one of lower priority.
    pub preemption: bool,
    /// Tasks are being moved because somebody asked for it.
    pub rebalancing: Option<Rebalancing>,
}

/// A request to level the nodes, until it is fulfilled. It is in the tables, so that the next
/// leader goes on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebalancing {
    /// The only service whose tasks move; `None` is all.
    pub service: Option<ServiceId>,
    /// Moves that may still be made.
    pub moves_left: u32,
    /// When it was asked for.
    pub asked_at: Timestamp,
}

/// How the nodes that could take a task are ranked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// The node with the fewest tasks first, as SwarmKit does.
    #[default]
    Spread,
    /// The fullest node that still fits first, as classic Swarm did.
    Binpack,
    /// Any node, by a draw that depends on the task alone.
    Random,
}

/// Whether tasks move to nodes that joined later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rebalance {
    /// Only when asked.
    #[default]
    Manual,
    /// After nodes join or come back, a few at a time.
    Auto,
}

/// A service that must have come up before this one starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// Name of the other service.
    pub service: String,
    /// How far it must have come.
    pub condition: DependencyCondition,
}

/// How far a service must have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DependencyCondition {
    /// All its tasks run; a task with a health check runs when it is healthy.
    #[default]
    Healthy,
    /// It is a job and all its tasks are complete.
    Completed,
}

/// When a job is run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Cron expression, as the user wrote it.
    pub cron: String,
    /// IANA name of the time zone it is read in; empty is UTC.
    pub time_zone: String,
    /// What happens when a run is due and the one before is not over.
    pub concurrency: Concurrency,
    /// What happens with runs that were due while no manager led.
    pub missed: MissedRuns,
    /// Finished runs whose tasks are kept.
    pub history: u32,
}

/// What happens when a run is due and the one before is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// Both run.
    Allow,
    /// The new one is left out.
    #[default]
    Forbid,
    /// The old one is stopped.
    Replace,
}

/// What happens with runs that were due while no manager led.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissedRuns {
    /// They are left out.
    Skip,
    /// One run makes up for all of them.
    #[default]
    Once,
}

/// A label that begins with [`PREFIX`] and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("labels[{key}]: {problem}")]
pub struct OptionError {
    /// The label's key.
    pub key: String,
    /// What is wrong with it, and what it may be.
    pub problem: String,
}

mod key {
    //! Keys of labels.
    pub(super) const STRATEGY: &str = "swarm.strategy";
    pub(super) const PRIORITY: &str = "swarm.priority";
    pub(super) const AFFINITY: &str = "swarm.affinity";
    pub(super) const DEPENDS_ON: &str = "swarm.depends-on";
    pub(super) const SCHEDULE: &str = "swarm.schedule";
    pub(super) const TIME_ZONE: &str = "swarm.schedule.time-zone";
    pub(super) const CONCURRENCY: &str = "swarm.schedule.concurrency";
    pub(super) const MISSED: &str = "swarm.schedule.missed";
    pub(super) const HISTORY: &str = "swarm.schedule.history";
    pub(super) const REBALANCE: &str = "swarm.rebalance";
    pub(super) const PROGRESS_DEADLINE: &str = "swarm.update.progress-deadline";
    pub(super) const PREEMPTION: &str = "swarm.preemption";
    pub(super) const REBALANCING: &str = "swarm.rebalancing";
}

// === impl ServiceOptions ===

impl ServiceOptions {
    /// Takes the options out of a service's labels.
    ///
    /// # Errors
    ///
    /// The first label below [`PREFIX`] that is unknown or malformed; the labels are then of no
    /// use.
    pub fn take(labels: &mut Labels) -> Result<Self, OptionError> {
        let mut reader = Reader { labels };
        let options = Self {
            strategy: reader.word(key::STRATEGY)?,
            priority: reader.with(key::PRIORITY, priority)?.unwrap_or(0),
            affinities: reader
                .with(key::AFFINITY, |text| Ok(lines(text)))?
                .unwrap_or_default(),
            depends_on: reader
                .with(key::DEPENDS_ON, dependencies)?
                .unwrap_or_default(),
            schedule: schedule(&mut reader)?,
            rebalance: reader.word(key::REBALANCE)?.unwrap_or_default(),
            progress_deadline: reader.with(key::PROGRESS_DEADLINE, millis)?,
        };
        reader.nothing_left()?;
        Ok(options)
    }

    /// Puts the options that differ from the default into a service's labels.
    pub fn put(&self, labels: &mut Labels) {
        let mut put = |key: &str, value: String| labels.insert(key.to_owned(), value);
        if let Some(strategy) = self.strategy {
            put(key::STRATEGY, strategy.to_string());
        }
        if self.priority > 0 {
            put(key::PRIORITY, self.priority.to_string());
        }
        if !self.affinities.is_empty() {
            put(key::AFFINITY, self.affinities.join("\n"));
        }
        if !self.depends_on.is_empty() {
            let all: Vec<String> = self.depends_on.iter().map(ToString::to_string).collect();
            put(key::DEPENDS_ON, all.join(","));
        }
        if self.rebalance != Rebalance::default() {
            put(key::REBALANCE, self.rebalance.to_string());
        }
        if let Some(deadline) = self.progress_deadline {
            put(
                key::PROGRESS_DEADLINE,
                format!("{}ms", deadline.as_millis()),
            );
        }
        if let Some(schedule) = &self.schedule {
            put(key::SCHEDULE, schedule.cron.clone());
            if !schedule.time_zone.is_empty() {
                put(key::TIME_ZONE, schedule.time_zone.clone());
            }
            put(key::CONCURRENCY, schedule.concurrency.to_string());
            put(key::MISSED, schedule.missed.to_string());
            put(key::HISTORY, schedule.history.to_string());
        }
    }
}

// === impl ClusterOptions ===

impl ClusterOptions {
    /// Takes the options out of the cluster's labels.
    ///
    /// # Errors
    ///
    /// As [`ServiceOptions::take`].
    pub fn take(labels: &mut Labels) -> Result<Self, OptionError> {
        let mut reader = Reader { labels };
        let options = Self {
            strategy: reader.word(key::STRATEGY)?.unwrap_or_default(),
            preemption: reader.with(key::PREEMPTION, switch)?.unwrap_or(false),
            rebalancing: reader.word(key::REBALANCING)?,
        };
        reader.nothing_left()?;
        Ok(options)
    }

    /// Puts the options that differ from the default into the cluster's labels.
    pub fn put(&self, labels: &mut Labels) {
        if self.strategy != Strategy::default() {
            labels.insert(key::STRATEGY.to_owned(), self.strategy.to_string());
        }
        if self.preemption {
            labels.insert(key::PREEMPTION.to_owned(), "on".to_owned());
        }
        if let Some(request) = self.rebalancing {
            labels.insert(key::REBALANCING.to_owned(), request.to_string());
        }
    }
}

// === impl Rebalancing ===

impl fmt::Display for Rebalancing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            moves_left,
            asked_at,
        } = self;
        write!(f, "moves={moves_left},asked-at={}", asked_at.0)?;
        match service {
            Some(id) => write!(f, ",service={id}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Rebalancing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut request = Self {
            service: None,
            moves_left: 0,
            asked_at: Timestamp::ZERO,
        };
        let refuse =
            || format!("{text:?} is no request to rebalance, `cluster rebalance` makes one");
        for part in text.split(',') {
            let (key, value) = part.split_once('=').ok_or_else(refuse)?;
            match key {
                "moves" => request.moves_left = value.parse().map_err(|_| refuse())?,
                "asked-at" => {
                    request.asked_at = Timestamp(value.parse().map_err(|_| refuse())?);
                }
                "service" => request.service = Some(value.parse().map_err(|_| refuse())?),
                _ => return Err(refuse()),
            }
        }
        Ok(request)
    }
}

// === impl Schedule ===

impl Schedule {
    /// A schedule with every policy at its default.
    pub fn of(cron: impl Into<String>) -> Self {
        Self {
            cron: cron.into(),
            time_zone: String::new(),
            concurrency: Concurrency::default(),
            missed: MissedRuns::default(),
            history: SCHEDULE_HISTORY_DEFAULT,
        }
    }
}

// === impl Dependency ===

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.condition)
    }
}

impl FromStr for Dependency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, condition) = match text.split_once(':') {
            Some((service, condition)) => (service, condition.parse()?),
            None => (text, DependencyCondition::default()),
        };
        if service.is_empty() {
            return Err(format!(
                "{text:?} names no service, write SERVICE[:healthy|completed]"
            ));
        }
        Ok(Self {
            service: service.to_owned(),
            condition,
        })
    }
}

/// Gives enums of plain words their text: `Display` and `FromStr` with a refusal that lists them.
macro_rules! words {
    ($($kind:ident { $($variant:ident = $word:literal),+ })+) => { $(
        impl $kind {
            /// Every value, as users write it.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is not one of {}", Self::WORDS.join(", "))),
                }
            }
        }
    )+ };
}

words! {
    Strategy { Spread = "spread", Binpack = "binpack", Random = "random" }
    Rebalance { Manual = "manual", Auto = "auto" }
    DependencyCondition { Healthy = "healthy", Completed = "completed" }
    Concurrency { Allow = "allow", Forbid = "forbid", Replace = "replace" }
    MissedRuns { Skip = "skip", Once = "once" }
}

// === reading ===

/// Takes known labels out of a map.
struct Reader<'a> {
    labels: &'a mut Labels,
}

impl Reader<'_> {
    fn with<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, OptionError> {
        let Some(text) = self.labels.remove(key) else {
            return Ok(None);
        };
        let refused = |problem| OptionError {
            key: key.to_owned(),
            problem,
        };
        read(&text).map(Some).map_err(refused)
    }

    fn word<T: FromStr<Err = String>>(&mut self, key: &str) -> Result<Option<T>, OptionError> {
        self.with(key, T::from_str)
    }

    /// Refuses what is left below [`PREFIX`]: a misspelt option must not pass for a plain label.
    fn nothing_left(self) -> Result<(), OptionError> {
        let after = self.labels.range(PREFIX.to_owned()..);
        match after.map(|(key, _)| key).next() {
            Some(key) if key.starts_with(PREFIX) => Err(OptionError {
                key: key.clone(),
                problem: format!(
                    "no such option; keys that begin with {PREFIX:?} are set aside, choose \
                     another one"
                ),
            }),
            _ => Ok(()),
        }
    }
}

fn schedule(reader: &mut Reader<'_>) -> Result<Option<Schedule>, OptionError> {
    let Some(cron) = reader.with(key::SCHEDULE, |text| Ok(text.to_owned()))? else {
        return Ok(None);
    };
    let mut schedule = Schedule::of(cron);
    schedule.time_zone = reader
        .with(key::TIME_ZONE, |text| Ok(text.to_owned()))?
        .unwrap_or_default();
    schedule.concurrency = reader.word(key::CONCURRENCY)?.unwrap_or_default();
    schedule.missed = reader.word(key::MISSED)?.unwrap_or_default();
    schedule.history = reader
        .with(key::HISTORY, count)?
        .unwrap_or(SCHEDULE_HISTORY_DEFAULT);
    Ok(Some(schedule))
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

fn dependencies(text: &str) -> Result<Vec<Dependency>, String> {
    let parts = text.split(',').map(str::trim);
    parts.filter(|p| !p.is_empty()).map(str::parse).collect()
}

fn priority(text: &str) -> Result<u8, String> {
    let number = text.parse::<u8>().ok().filter(|n| *n <= PRIORITY_MAX);
    number.ok_or_else(|| format!("{text:?} is not a number from 0 to {PRIORITY_MAX}"))
}

fn count(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a whole number"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text:?} is not one of on, off")),
    }
}

fn millis(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix("ms").and_then(|n| n.parse().ok());
    number
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a number of milliseconds such as 600000ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        owned.collect()
    }

    #[test]
    fn options_survive_the_labels_and_leave_those_of_the_user() {
        let options = ServiceOptions {
            strategy: Some(Strategy::Binpack),
            priority: 70,
            affinities: vec!["service==web".into(), "image!=~/db.*/".into()],
            depends_on: vec!["db".parse().unwrap(), "migrate:completed".parse().unwrap()],
            schedule: Some(Schedule {
                time_zone: "Europe/Berlin".into(),
                concurrency: Concurrency::Allow,
                missed: MissedRuns::Skip,
                history: 0,
                ..Schedule::of("*/5 * * * *")
            }),
            rebalance: Rebalance::Auto,
            progress_deadline: Some(Duration::from_secs(90)),
        };
        let mut carried = labels(&[("tier", "front"), ("swarmed", "yes")]);
        options.put(&mut carried);
        assert_eq!(ServiceOptions::take(&mut carried), Ok(options));
        assert_eq!(carried, labels(&[("tier", "front"), ("swarmed", "yes")]));
    }

    #[test]
    fn the_default_leaves_no_label() {
        let mut carried = Labels::new();
        ServiceOptions::default().put(&mut carried);
        ClusterOptions::default().put(&mut carried);
        assert_eq!(carried, Labels::new());
    }

    #[test]
    fn a_bad_label_is_refused_by_key_and_with_what_it_may_be() {
        let cases = [
            ("swarm.strategy", "fair", "spread, binpack, random"),
            ("swarm.priority", "101", "0 to 100"),
            ("swarm.depends-on", "db:up", "healthy, completed"),
            ("swarm.schedule.history", "3", "no such option"),
            ("swarm.update.progress-deadline", "soon", "milliseconds"),
            ("swarm.stratgy", "spread", "no such option"),
        ];
        for (key, value, words) in cases {
            let error = ServiceOptions::take(&mut labels(&[(key, value)])).unwrap_err();
            assert_eq!(error.key, key);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn cluster_options_survive_the_labels() {
        let options = ClusterOptions {
            strategy: Strategy::Random,
            preemption: true,
            rebalancing: Some(Rebalancing {
                service: ServiceId::from_u128(1 << 127),
                moves_left: 3,
                asked_at: Timestamp::from_secs(5),
            }),
        };
        let mut carried = Labels::new();
        options.put(&mut carried);
        assert_eq!(ClusterOptions::take(&mut carried), Ok(options));
        assert!(ClusterOptions::take(&mut labels(&[("swarm.preemption", "yes")])).is_err());
        assert!(ClusterOptions::take(&mut labels(&[("swarm.rebalancing", "now")])).is_err());
    }
}
