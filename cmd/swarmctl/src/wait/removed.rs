//! Waits until the tasks of something have ended.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::api::{self, TaskState};

use super::WaitArgs;
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::out::{self, human};
use crate::task::query;

/// How often tasks are counted.
const POLL: Duration = Duration::from_millis(300);

/// Waits until no task that passes the filters may run anywhere. `what` is the subject of the
/// sentences shown.
///
/// # Errors
/// If time is over, the user interrupts, or the manager cannot be asked.
pub async fn gone(
    client: &Client,
    filters: api::list_tasks_request::Filters,
    what: &str,
    args: &WaitArgs,
) -> Result<()> {
    if args.detach {
        return Ok(());
    }
    let began = Instant::now();
    let mut left = "tasks may still run".to_owned();
    loop {
        // Leadership may move: for a moment nobody answers.
        match still_running(client, &filters).await {
            Ok(None) => return Ok(()),
            Ok(Some(now)) if now != left => {
                left = now;
                if !args.quiet {
                    out::note(&format!("{what}: {left}"));
                }
            }
            Ok(Some(_)) => {}
            Err(error) if error.is_passing() => {}
            Err(error) => return Err(error),
        }
        if let Some(timeout) = args.timeout.filter(|timeout| began.elapsed() >= *timeout) {
            let timeout = human::go_duration(timeout);
            return Err(CliError::NotConverged(format!(
                "{what}: after {timeout} {left}; it goes on in the background"
            )));
        }
        tokio::select! {
            () = sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => {
                let text = format!("interrupted: {what}: {left}; it goes on in the background");
                return Err(CliError::NotConverged(text));
            }
        }
    }
}

/// How many tasks that pass the filters may run somewhere and what holds them up; `None` when there
/// are none.
async fn still_running(
    client: &Client,
    filters: &api::list_tasks_request::Filters,
) -> Result<Option<String>> {
    let mut tasks = query::stream(client, filters, true).await?;
    tasks.retain(may_run);
    let count = match tasks.len() {
        0 => return Ok(None),
        1 => "1 task still runs".to_owned(),
        n => format!("{n} tasks still run"),
    };
    // What nobody told to stop yet goes on until its replacement runs.
    tasks.retain(|t| t.desired_state() <= TaskState::Complete);
    if tasks.is_empty() {
        return Ok(Some(count));
    }
    let services: BTreeSet<_> = tasks.iter().map(|t| t.service_id.clone()).collect();
    let all_of_them = api::list_tasks_request::Filters {
        service_ids: services.into_iter().collect(),
        ..<_>::default()
    };
    let others = query::stream(client, &all_of_them, true).await?;
    let waiting = tasks.iter().find_map(|task| replacement(task, &others));
    Ok(Some(match waiting {
        Some(waiting) => format!("{count}, {waiting}"),
        None => count,
    }))
}

/// What the task waits for that is to take over from another one.
fn replacement(of: &api::Task, tasks: &[api::Task]) -> Option<String> {
    let slot = |t: &api::Task| (t.service_id.clone(), t.slot);
    let mut others = tasks
        .iter()
        .filter(|t| t.id != of.id && slot(t) == slot(of));
    let waiting = others.find(|t| t.desired_state() <= TaskState::Complete && !may_run(t))?;
    let status = waiting.status.as_ref()?;
    let service = waiting.service_annotations.as_ref()?;
    (!status.err.is_empty()).then(|| {
        format!(
            "its replacement {}.{} waits: {}",
            service.name, of.slot, status.err
        )
    })
}

/// A node has the task and may run it.
fn may_run(task: &api::Task) -> bool {
    let state = task
        .status
        .as_ref()
        .map_or(TaskState::New, api::TaskStatus::state);
    (TaskState::Assigned..=TaskState::Running).contains(&state)
}
