//! One event stream per engine, feeding every wait.
//!
//! An event is only a nudge to look at its container again; what is true is what `inspect` says.
//! So a lost, late or repeated event does no harm, and after an engine restart all there is to do
//! is to nudge everybody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use executor::{LABEL_TASK, LABEL_TASK_ID};
use futures_util::StreamExt;
use types::TaskId;

use crate::engine::{Engine, words};
use crate::tasks::TaskTable;

/// First pause before the stream is opened again; doubles up to [`REOPEN_DELAY_MAX`].
const REOPEN_DELAY_MIN: Duration = Duration::from_millis(100);

/// Longest such pause: an engine restart should be noticed within about two seconds.
const REOPEN_DELAY_MAX: Duration = Duration::from_secs(2);

/// How far before its opening a stream reaches back, for events between the look and the
/// opening. The engine keeps the last 256 events.
const OVERLAP: Duration = Duration::from_secs(2);

/// Follows the engine's events for ever.
pub(crate) async fn follow(engine: Engine, tasks: Arc<TaskTable>) {
    let mut delay = REOPEN_DELAY_MIN;
    loop {
        let seen = follow_once(&engine, &tasks).await;
        delay = match seen {
            0 => (delay * 2).min(REOPEN_DELAY_MAX),
            _ => REOPEN_DELAY_MIN,
        };
        tokio::time::sleep(delay).await;
    }
}

/// Follows one stream to its end; returns how many events it gave.
async fn follow_once(engine: &Engine, tasks: &TaskTable) -> u64 {
    if engine.docker.ping().await.is_err() {
        return 0;
    }
    let mut events = Box::pin(
        engine.docker.events(Some(
            EventsOptionsBuilder::default()
                .since(&reach_back())
                .filters(&filters())
                .build(),
        )),
    );
    tasks.nudge_all();
    let mut count = 0;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                count += 1;
                nudge(tasks, &event);
            }
            Err(error) => {
                tracing::debug!(error = words(&error), "the engine's event stream broke");
                break;
            }
        }
    }
    // What ended the stream may have ended containers.
    tasks.nudge_all();
    count
}

fn reach_back() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(OVERLAP).as_secs().to_string()
}

fn filters() -> HashMap<String, Vec<String>> {
    HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("label".to_owned(), vec![LABEL_TASK.to_owned()]),
    ])
}

fn nudge(tasks: &TaskTable, event: &EventMessage) {
    let attributes = event
        .actor
        .as_ref()
        .and_then(|actor| actor.attributes.as_ref());
    let label = attributes.and_then(|attributes| attributes.get(LABEL_TASK_ID));
    let task = label.and_then(|text| text.parse::<TaskId>().ok());
    // Health checks run as "exec" and would make two inspections each.
    let is_exec = event
        .action
        .as_deref()
        .is_some_and(|action| action.starts_with("exec_"));
    if let Some(task) = task.filter(|_| !is_exec) {
        tasks.nudge(task);
    }
}
