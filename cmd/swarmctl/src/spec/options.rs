//! Flags for what SwarmKit's spec has no field for; labels below `swarm.` carry their values.

use std::time::Duration;

use clap::Args;
use types::meta::Labels;
use types::options::{
    Concurrency, Dependency, MissedRuns, PRIORITY_MAX, Rebalance, Schedule, ServiceOptions,
};
use wire::api::ServiceSpec;

pub use docker_cli::show::options::{next_run, read};

use super::lists::{Edits, List};
use super::mode;
use crate::error::{CliError, Result};
use crate::parse::scalar;

/// The strategy of a service that takes the cluster's.
const STRATEGY_OF_CLUSTER: &str = "default";

/// A schedule that is taken away.
const NO_SCHEDULE: &str = "none";

/// Flags with one value.
#[derive(Debug, Clone, Default, Args)]
pub struct OptionArgs {
    /// How nodes are ranked: fewest tasks first, fullest first, any, or as the cluster says
    #[arg(
        long,
        value_name = "STRATEGY",
        help_heading = "Resources and placement"
    )]
    #[arg(value_parser = ["spread", "binpack", "random", STRATEGY_OF_CLUSTER])]
    pub strategy: Option<String>,
    /// From 0 to 100; a higher one may displace lower ones where the cluster allows preemption
    #[arg(long, value_name = "N", help_heading = "Resources and placement")]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=i64::from(PRIORITY_MAX)))]
    pub priority: Option<u8>,
    /// Whether tasks move to nodes that joined later
    #[arg(long, value_name = "WHEN", help_heading = "Resources and placement")]
    #[arg(value_parser = ["manual", "auto"])]
    pub rebalance: Option<String>,
    /// Run the job by this cron expression, such as "*/5 * * * *" ("none" to stop that)
    #[arg(long, value_name = "CRON", help_heading = "Schedule of a job")]
    pub schedule: Option<String>,
    /// Time zone of the schedule, such as Europe/Berlin (default UTC)
    #[arg(long, value_name = "ZONE", help_heading = "Schedule of a job")]
    pub schedule_timezone: Option<String>,
    /// What happens when a run is due and the one before is not over (default forbid)
    #[arg(long, value_name = "POLICY", help_heading = "Schedule of a job")]
    #[arg(value_parser = ["allow", "forbid", "replace"])]
    pub schedule_concurrency: Option<String>,
    /// What happens with runs that were due while no manager led (default once)
    #[arg(long, value_name = "POLICY", help_heading = "Schedule of a job")]
    #[arg(value_parser = ["skip", "once"])]
    pub schedule_missed: Option<String>,
    /// Finished runs whose tasks are kept (default 3)
    #[arg(long, value_name = "N", help_heading = "Schedule of a job")]
    pub schedule_history: Option<u32>,
    /// Longest time an update may go without progress (0s for ever)
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    #[arg(help_heading = "Update and rollback")]
    pub update_progress_deadline: Option<Duration>,
}

/// Applies the flags; labels that users gave themselves are read and checked in the same way.
///
/// # Errors
/// If a value cannot be read, naming its flag.
pub fn apply(spec: &mut ServiceSpec, args: &OptionArgs, edits: &Edits) -> Result<()> {
    let is_job = mode::is_job(spec.mode.as_ref());
    let labels = &mut spec.annotations.get_or_insert_default().labels;
    let mut options = lists(labels, edits)?;
    if let Some(name) = &args.strategy {
        let own = (name != STRATEGY_OF_CLUSTER).then_some(name);
        options.strategy = own.map(|n| word("strategy", n)).transpose()?;
    }
    if let Some(priority) = args.priority {
        options.priority = priority;
    }
    if let Some(when) = &args.rebalance {
        options.rebalance = word::<Rebalance>("rebalance", when)?;
    }
    if let Some(deadline) = args.update_progress_deadline {
        options.progress_deadline = Some(deadline);
    }
    schedule(&mut options.schedule, args, is_job)?;
    options.put(labels);
    Ok(())
}

/// Takes the options out of the labels and applies the flags that may be repeated.
///
/// # Errors
/// If a value cannot be read, naming its flag.
pub fn lists(labels: &mut Labels, edits: &Edits) -> Result<ServiceOptions> {
    let mut options = ServiceOptions::take(labels).map_err(|e| {
        let mut given = edits.added(List::Label).iter();
        let given = given.find(|l| l.starts_with(&e.key)).unwrap_or(&e.key);
        CliError::flag(&edits.flag(List::Label), given, e.problem)
    })?;
    affinities(&mut options.affinities, edits)?;
    dependencies(&mut options.depends_on, edits)?;
    Ok(options)
}

fn word<T: std::str::FromStr<Err = String>>(flag: &str, text: &str) -> Result<T> {
    text.parse().map_err(|why| CliError::flag(flag, text, why))
}

fn schedule(schedule: &mut Option<Schedule>, args: &OptionArgs, is_job: bool) -> Result<()> {
    match args.schedule.as_deref() {
        Some("" | NO_SCHEDULE) => *schedule = None,
        Some(cron) if !is_job => {
            let why = "only jobs run by a schedule: create the service with --mode replicated-job \
                       or global-job";
            return Err(CliError::flag("schedule", cron, why));
        }
        Some(cron) => match schedule {
            Some(known) => cron.clone_into(&mut known.cron),
            None => *schedule = Some(Schedule::of(cron)),
        },
        None => {}
    }
    let rest: [(&str, Option<String>); 4] = [
        ("schedule-timezone", args.schedule_timezone.clone()),
        ("schedule-concurrency", args.schedule_concurrency.clone()),
        ("schedule-missed", args.schedule_missed.clone()),
        (
            "schedule-history",
            args.schedule_history.map(|n| n.to_string()),
        ),
    ];
    let Some(schedule) = schedule else {
        let orphan = rest.iter().find_map(|(flag, v)| Some((flag, v.as_ref()?)));
        return orphan.map_or(Ok(()), |(flag, value)| {
            let why = "the service has no schedule, give --schedule too";
            Err(CliError::flag(flag, value, why))
        });
    };
    if let Some(zone) = &args.schedule_timezone {
        schedule.time_zone.clone_from(zone);
    }
    if let Some(policy) = &args.schedule_concurrency {
        schedule.concurrency = word::<Concurrency>("schedule-concurrency", policy)?;
    }
    if let Some(policy) = &args.schedule_missed {
        schedule.missed = word::<MissedRuns>("schedule-missed", policy)?;
    }
    schedule.history = args.schedule_history.unwrap_or(schedule.history);
    Ok(())
}

fn affinities(affinities: &mut Vec<String>, edits: &Edits) -> Result<()> {
    let removed = edits.removed(List::Affinity);
    affinities.retain(|a| !removed.contains(a));
    for text in edits.added(List::Affinity) {
        let text = text.trim();
        if text.is_empty() || text.contains('\n') {
            let why = "expected an expression such as service==web, image!=~db or node.labels.x==y";
            return Err(CliError::flag(&edits.flag(List::Affinity), text, why));
        }
        if !affinities.iter().any(|a| a == text) {
            affinities.push(text.to_owned());
        }
    }
    Ok(())
}

fn dependencies(known: &mut Vec<Dependency>, edits: &Edits) -> Result<()> {
    let removed = edits.removed(List::DependsOn);
    known.retain(|d| {
        !removed
            .iter()
            .any(|r| *r == d.service || *r == d.to_string())
    });
    for text in edits.added(List::DependsOn) {
        let flag = edits.flag(List::DependsOn);
        let read: std::result::Result<Dependency, String> = if text.contains(',') {
            Err("it names one service, repeat the flag for more".into())
        } else {
            text.trim().parse()
        };
        let new = read.map_err(|why| CliError::flag(&flag, text, why))?;
        match known.iter_mut().find(|d| d.service == new.service) {
            Some(old) => *old = new,
            None => known.push(new),
        }
    }
    Ok(())
}
