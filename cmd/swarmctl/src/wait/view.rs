//! What people see while they wait. Pure functions over the news.

use std::time::Duration;

use wire::api::TaskState;
use wire::swarm::v1::service_progress::Phase;
use wire::swarm::v1::{ServiceProgress, TaskProgress};

use super::state::{Verdict, Watched};
use crate::out::human;

/// Rows of tasks for all services together: a screen of 24 lines shows them all.
const ROWS_MAX: usize = 16;

/// The lines of the live view.
pub fn live(all: &[Watched], now: Duration) -> Vec<String> {
    let open = all.iter().filter(|w| w.verdict.is_none()).count().max(1);
    let rows = (ROWS_MAX / open).max(1);
    all.iter()
        .flat_map(|watched| {
            let rows = if watched.verdict.is_none() { rows } else { 0 };
            let tasks = waiting_first(&watched.progress, rows);
            std::iter::once(summary(watched, Some(now))).chain(tasks)
        })
        .collect()
}

/// One line about a service; the same as long as nothing that matters changes.
pub fn summary(watched: &Watched, now: Option<Duration>) -> String {
    let (name, progress) = (&watched.target.name, &watched.progress);
    let counts = counts(watched);
    let rest = match (&watched.verdict, watched.stable_at()) {
        (Some(Verdict::Converged), _) => format!("converged, {counts}"),
        (Some(Verdict::Failed(why)), _) => format!("failed: {why}"),
        (None, Some(at)) => match now {
            Some(now) => {
                let left = human::duration(at.saturating_sub(now) + Duration::from_secs(1));
                format!("verify: waiting {left} to verify that tasks are stable")
            }
            None => format!("verify: {counts}"),
        },
        (None, None) => unfinished(progress, &counts),
    };
    format!("{name}: {rest}")
}

/// How far a service is and what it waits for, for a wait that ends without result.
pub fn unfinished(progress: &ServiceProgress, counts: &str) -> String {
    let phase = match progress.phase() {
        Phase::Updating => "updating, ",
        Phase::RollingBack => "rolling back, ",
        Phase::Unspecified => return "waiting for news".into(),
        _ => "",
    };
    match progress.blocked_by.as_str() {
        "" => format!("{phase}{counts}"),
        reason => format!("{phase}{counts}, {reason}"),
    }
}

/// `3/10 running`, or `2/5 completed` for a job.
pub fn counts(watched: &Watched) -> String {
    let progress = &watched.progress;
    let desired = progress.tasks_desired;
    let updating = matches!(progress.phase(), Phase::Updating | Phase::RollingBack);
    let running = progress.tasks_running;
    match watched.target.job {
        true if running > 0 => {
            format!(
                "{}/{desired} completed, {running} running",
                progress.tasks_completed
            )
        }
        true => format!("{}/{desired} completed", progress.tasks_completed),
        false if updating => format!("{}/{desired} up to date", progress.tasks_up_to_date),
        false => format!("{running}/{desired} running"),
    }
}

/// A row for each task that is not running, as many as fit, then counts by state.
fn waiting_first(progress: &ServiceProgress, rows_max: usize) -> Vec<String> {
    let done = |t: &&TaskProgress| t.state() == TaskState::Running && t.up_to_date;
    let waiting: Vec<_> = progress.tasks.iter().filter(|t| !done(t)).collect();
    let mut rows: Vec<_> = waiting
        .iter()
        .take(rows_max)
        .map(|task| row(task, progress.tasks_desired))
        .collect();
    let hidden = waiting.len().saturating_sub(rows.len());
    match (hidden, progress.truncated) {
        (0, false) => {}
        (0, true) => rows.push("  … and more".into()),
        (hidden, _) => rows.push(format!("  … and {hidden} more")),
    }
    rows
}

fn row(task: &TaskProgress, desired: u64) -> String {
    let place = match task.slot {
        0 => task.node_hostname.clone(),
        slot => format!("{slot}/{desired}"),
    };
    let state = state_name(task.state());
    let node = match task.node_hostname.as_str() {
        name if name.is_empty() || task.slot == 0 => String::new(),
        name => format!(" on {name}"),
    };
    let reason = [&task.blocked_by, &task.err]
        .into_iter()
        .find(|text| !text.is_empty());
    let reason = reason.map(|text| format!(": {text}")).unwrap_or_default();
    let restarts = match task.restarts {
        0 => String::new(),
        1 => " (failed once)".into(),
        times => format!(" (failed {times} times)"),
    };
    format!("  {place}: {state}{node}{restarts}{reason}")
}

/// A task's state in lower case.
pub fn state_name(state: TaskState) -> String {
    state.as_str_name().to_lowercase()
}

/// Why the wait ended before the services were there.
pub fn late(all: &[Watched], timeout: Duration) -> String {
    let open: Vec<_> = all.iter().filter(|w| w.verdict.is_none()).collect();
    let shown: Vec<_> = open
        .iter()
        .map(|w| match w.stable_at() {
            Some(_) => format!(
                "service {} (still verifying that tasks are stable)",
                w.target.name
            ),
            None => {
                let far = unfinished(&w.progress, &counts(w));
                format!("service {} ({far})", w.target.name)
            }
        })
        .collect();
    let names: Vec<_> = open.iter().map(|w| w.target.name.as_str()).collect();
    format!(
        "not converged within {}: {}; the operation goes on in the background \
         (`swarmctl service ps {}` shows it)",
        human::go_duration(timeout),
        shown.join(", "),
        names.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Target;

    fn task(slot: u64, state: TaskState, blocked_by: &str) -> TaskProgress {
        TaskProgress {
            slot,
            state: state.into(),
            blocked_by: blocked_by.into(),
            up_to_date: true,
            ..TaskProgress::default()
        }
    }

    fn watched(progress: ServiceProgress) -> Watched {
        let target = Target {
            id: "s".into(),
            name: "web".into(),
            version: 0,
            job: false,
        };
        let mut watched = Watched::new(target);
        watched.take(progress, Duration::ZERO);
        watched
    }

    fn converging() -> ServiceProgress {
        ServiceProgress {
            phase: Phase::Converging.into(),
            tasks_desired: 3,
            tasks_running: 1,
            blocked_by: "no node fits: 2 nodes lack memory".into(),
            monitor_ns: 5,
            tasks: vec![
                task(2, TaskState::Pending, "no node fits: 2 nodes lack memory"),
                TaskProgress {
                    node_hostname: "n1".into(),
                    restarts: 2,
                    ..task(3, TaskState::Preparing, "")
                },
                task(1, TaskState::Running, ""),
            ],
            ..ServiceProgress::default()
        }
    }

    #[test]
    fn the_live_view_shows_what_is_not_running_and_why() {
        assert_eq!(
            live(&[watched(converging())], Duration::ZERO),
            [
                "web: 1/3 running, no node fits: 2 nodes lack memory",
                "  2/3: pending: no node fits: 2 nodes lack memory",
                "  3/3: preparing on n1 (failed 2 times)",
            ]
        );
    }

    #[test]
    fn a_large_service_takes_a_bounded_number_of_rows() {
        let tasks = (1..=100)
            .map(|slot| task(slot, TaskState::Pending, ""))
            .collect();
        let progress = ServiceProgress {
            tasks,
            ..converging()
        };
        let lines = live(&[watched(progress)], Duration::ZERO);
        assert_eq!(lines.len(), 1 + ROWS_MAX + 1);
        assert_eq!(lines.last().unwrap(), "  … and 84 more");
    }

    #[test]
    fn a_job_counts_completions() {
        let mut watched = watched(ServiceProgress {
            tasks_completed: 2,
            ..converging()
        });
        watched.target.job = true;
        assert_eq!(counts(&watched), "2/3 completed, 1 running");
    }

    #[test]
    fn a_wait_that_ends_early_says_what_it_waited_for() {
        let text = late(&[watched(converging())], Duration::from_secs(30));
        assert_eq!(
            text,
            "not converged within 30s: service web (1/3 running, no node fits: \
             2 nodes lack memory); the operation goes on in the background \
             (`swarmctl service ps web` shows it)"
        );
    }
}
