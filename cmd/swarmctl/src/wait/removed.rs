//! Waits until the tasks of something have ended.

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
    let mut shown = usize::MAX;
    loop {
        let tasks = query::stream(client, &filters, true).await?;
        let left = tasks.iter().filter(|t| may_run(t)).count();
        if left != shown && !args.quiet {
            out::note(&format!("{what}: {left} tasks still run"));
            shown = left;
        }
        if left == 0 {
            return Ok(());
        }
        if let Some(timeout) = args.timeout.filter(|timeout| began.elapsed() >= *timeout) {
            let timeout = human::go_duration(timeout);
            return Err(CliError::NotConverged(format!(
                "{what}: {left} tasks still run after {timeout}; they go on stopping"
            )));
        }
        tokio::select! {
            () = sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => {
                let text = format!("interrupted: {what}: {left} tasks go on stopping");
                return Err(CliError::NotConverged(text));
            }
        }
    }
}

/// A node has the task and may run it.
fn may_run(task: &api::Task) -> bool {
    let state = task
        .status
        .as_ref()
        .map_or(TaskState::New, api::TaskStatus::state);
    (TaskState::Assigned..=TaskState::Running).contains(&state)
}
