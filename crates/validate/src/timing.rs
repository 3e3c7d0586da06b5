//! What services ask for beyond SwarmKit's spec, as far as it says when their tasks run.

use std::collections::BTreeSet;

use calendar::Calendar;
use store::State;
use types::options::{Dependency, DependencyCondition, Schedule};
use types::service::UpdateOrder;
use types::{ServiceSpec, Timestamp, defaults};

use crate::names::is_service_name;
use crate::problem::Check;

/// Most finished runs of a schedule whose tasks can be kept.
pub const SCHEDULE_HISTORY_MAX: u32 = 1_000;

/// Most services that one service can wait for.
pub const DEPENDENCIES_MAX: usize = 64;

/// Checks schedule, start order and progress deadline.
pub(crate) fn check_timing(check: &mut Check, spec: &ServiceSpec) {
    if let Some(schedule) = &spec.options.schedule {
        check.require(
            spec.mode.is_job(),
            "options.schedule",
            format_args!(
                "a schedule runs jobs, and this is a {} service: use mode replicated-job or \
                 global-job, or leave the schedule out",
                spec.mode.name()
            ),
        );
        check_schedule(check, schedule);
    }
    check_dependencies(check, spec);
    check.require(
        !spec.mode.is_job() || spec.options.progress_deadline.is_none(),
        "options.progress_deadline",
        "a job is not updated slot by slot, so there is no progress to wait for; leave this out",
    );
}

fn check_schedule(check: &mut Check, schedule: &Schedule) {
    // One at a time, so that each is told by its own path.
    let cron = Schedule::of(schedule.cron.clone());
    match Calendar::of(&cron) {
        Err(error) => check.fail("options.schedule.cron", error),
        Ok(calendar) => check.require(
            calendar.next_after(Timestamp::ZERO).is_some(),
            "options.schedule.cron",
            format_args!(
                "{:?} never fires: there is no such date, correct its day, month or year",
                schedule.cron
            ),
        ),
    }
    let zone = Schedule {
        time_zone: schedule.time_zone.clone(),
        ..Schedule::of("* * * * *")
    };
    if let Err(error) = Calendar::of(&zone) {
        check.fail("options.schedule.time_zone", error);
    }
    check.require(
        schedule.history <= SCHEDULE_HISTORY_MAX,
        "options.schedule.history",
        format_args!(
            "{} runs: the most that are kept are {SCHEDULE_HISTORY_MAX}",
            schedule.history
        ),
    );
}

fn check_dependencies(check: &mut Check, spec: &ServiceSpec) {
    let wanted = &spec.options.depends_on;
    check.require(
        wanted.len() <= DEPENDENCIES_MAX,
        "options.depends_on",
        format_args!("{} services: the most is {DEPENDENCIES_MAX}", wanted.len()),
    );
    let own = &spec.annotations.name;
    let mut seen = BTreeSet::new();
    for (at, Dependency { service, .. }) in wanted.iter().enumerate() {
        let path = format!("options.depends_on[{at}]");
        check.require(
            is_service_name(service),
            &path,
            format_args!("{service:?} is not the name of a service"),
        );
        check.require(
            !service.eq_ignore_ascii_case(own),
            &path,
            "a service cannot wait for itself",
        );
        check.require(
            seen.insert(service.to_lowercase()),
            &path,
            format_args!("service {service} is there twice"),
        );
    }
}

/// Checks against the tables: is the schedule ever due again, do services wait for one another, and
/// can those that exist come as far as is asked. Services that do not exist yet may be named: those
/// of a compose file are created in any order.
pub(crate) fn check_timing_refs(check: &mut Check, view: &State, spec: &ServiceSpec) {
    let schedule = spec.options.schedule.as_ref();
    if let Some(calendar) = schedule.and_then(|s| Calendar::of(s).ok()) {
        check.require(
            calendar.next_after(view.time()).is_some(),
            "options.schedule.cron",
            "it is never due again: its year is over",
        );
    }
    for (at, dependency) in spec.options.depends_on.iter().enumerate() {
        let path = format!("options.depends_on[{at}]");
        check_condition(check, &path, view, dependency);
        if let Some(circle) = circle(view, spec, dependency) {
            check.fail(
                &path,
                format_args!("the services would wait for one another for ever: {circle}"),
            );
        }
    }
}

fn check_condition(check: &mut Check, path: &str, view: &State, dependency: &Dependency) {
    let name = &dependency.service;
    let Some(other) = view.services().by_name(name).next() else {
        return;
    };
    let (is_job, completes) = (
        other.spec.mode.is_job(),
        dependency.condition == DependencyCondition::Completed,
    );
    let (is, instead) = match is_job {
        true => ("a job", DependencyCondition::Completed),
        false => ("not a job", DependencyCondition::Healthy),
    };
    check.require(
        is_job == completes,
        path,
        format_args!(
            "service {name} is {is} and never {}: write {name}:{instead}",
            dependency.condition
        ),
    );
}

/// The way from a service over one of its dependencies back to itself, if there is one.
fn circle(view: &State, spec: &ServiceSpec, first: &Dependency) -> Option<String> {
    let own = spec.annotations.name.to_lowercase();
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![first.service.clone()]];
    while let Some(way) = ways.pop() {
        let name = way.last()?.to_lowercase();
        if name == own {
            let names = [&spec.annotations.name].into_iter().chain(&way);
            let names: Vec<&str> = names.map(String::as_str).collect();
            return Some(names.join(" -> "));
        }
        if !seen.insert(name.clone()) {
            continue;
        }
        let next = view.services().by_name(&name).next();
        for dependency in next.iter().flat_map(|s| &s.spec.options.depends_on) {
            let mut way = way.clone();
            way.push(dependency.service.clone());
            ways.push(way);
        }
    }
    None
}

/// Warns of a progress deadline that the stop of an old task can use up.
pub(crate) fn warn_deadline(check: &mut Check, spec: &ServiceSpec) {
    let Some(deadline) = spec.options.progress_deadline.filter(|d| !d.is_zero()) else {
        return;
    };
    let order = spec.update.map_or(UpdateOrder::default(), |u| u.order);
    let container = spec.task.container();
    let grace = container.and_then(|c| c.stop_grace_period);
    let grace = grace.unwrap_or(defaults::STOP_GRACE_PERIOD);
    check.require(
        order == UpdateOrder::StartFirst || grace < deadline,
        "options.progress_deadline",
        format_args!(
            "{} seconds: the old task alone may take {} seconds to stop, so updates can fail \
             for no other reason; allow more",
            deadline.as_secs(),
            grace.as_secs()
        ),
    );
}
