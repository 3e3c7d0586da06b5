//! The node's memory of its tasks: what was assigned and what was last observed.
//!
//! Writes gather while the disk is busy and are made durable together. Losing the last of them is
//! harmless (the worker finds out again), so nobody waits for them. Registry credentials are left
//! out: they would lie on the disk in clear.

use std::sync::Arc;

use prost::Message;
use storage::{Batch, LocalDb, LocalDbError, Tree};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use types::{Runtime, Task, TaskStatus};
use wire::api;
use worker::{StoredTask, Write};

use crate::limits::WRITE_QUEUE_MAX;

/// Tasks as assigned: two flags, then the message.
const TASKS: &str = "agent-tasks";

/// Statuses as last observed: the message.
const STATUSES: &str = "agent-statuses";

const ASSIGNED: u8 = 1;
const INCOMPLETE: u8 = 2;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the node's tasks from its database")]
pub struct DatabaseError(#[from] LocalDbError);

/// The trees of one agent.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    db: LocalDb,
    tasks: Tree,
    statuses: Tree,
}

/// Where the owner of the worker puts its writes.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Vec<Write>>,
    thread: JoinHandle<()>,
}

// === impl Database ===

impl Database {
    pub(crate) fn open(db: LocalDb) -> Result<Self, DatabaseError> {
        let (tasks, statuses) = (db.tree(TASKS)?, db.tree(STATUSES)?);
        Ok(Self {
            db,
            tasks,
            statuses,
        })
    }

    /// The tasks that were kept. A record that cannot be read is left out: its task is found
    /// again among the remains on the node, or assigned again.
    pub(crate) fn load(&self) -> Result<Vec<StoredTask>, DatabaseError> {
        let mut loaded = Vec::new();
        for record in self.tasks.iter() {
            let (key, value) = record?;
            let status = self.statuses.get(&key)?;
            match decode(&value, status.as_deref()) {
                Some(stored) => loaded.push(stored),
                None => tracing::warn!("a task in the node's database cannot be read"),
            }
        }
        Ok(loaded)
    }

    fn write(&self, writes: Vec<Write>) -> Result<(), LocalDbError> {
        let (mut tasks, mut statuses) = (Batch::default(), Batch::default());
        for write in writes {
            match write {
                Write::Task { task, assigned } => {
                    tasks.put(task.id.to_bytes(), encode(&task, assigned));
                }
                Write::Status { task, status } => {
                    let message = api::TaskStatus::from(&status);
                    statuses.put(task.to_bytes(), message.encode_to_vec());
                }
                Write::Forget(task) => {
                    tasks.remove(task.to_bytes());
                    statuses.remove(task.to_bytes());
                }
            }
        }
        // A status without its task is never looked at, so tasks go first.
        self.tasks.apply(tasks)?;
        self.statuses.apply(statuses)?;
        self.db.sync()
    }

    /// Goes on without a database. Tasks do not depend on it: they run on, and after a restart they
    /// are found by their labels. One that is out of date could start again what is long gone, so
    /// none is kept.
    fn give_up(&self, error: &LocalDbError) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the node's tasks are no longer kept in its database, until it is started again"
        );
        if let Err(error) = self.db.discard() {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "what the database holds is out of date and stays");
        }
    }

    /// Starts the thread that writes.
    pub(crate) fn writer(self) -> Writer {
        let (queue, mut inbox) = mpsc::channel::<Vec<Write>>(WRITE_QUEUE_MAX);
        let thread = tokio::task::spawn_blocking(move || {
            while let Some(mut writes) = inbox.blocking_recv() {
                while let Ok(more) = inbox.try_recv() {
                    writes.extend(more);
                }
                if let Err(error) = self.write(writes) {
                    return self.give_up(&error);
                }
            }
        });
        Writer { queue, thread }
    }
}

// === impl Writer ===

impl Writer {
    /// Queues writes; waits while the disk is far behind.
    pub(crate) async fn write(&self, writes: Vec<Write>) {
        // The thread is gone only after it has said so.
        let _gone = self.queue.send(writes).await;
    }

    /// Waits until everything queued is durable.
    pub(crate) async fn finish(self) {
        drop(self.queue);
        if let Err(error) = self.thread.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the thread that writes the node's database failed"
            );
        }
    }
}

fn encode(task: &Arc<Task>, assigned: bool) -> Vec<u8> {
    let mut message = api::Task::from(task.as_ref());
    let mut flags = if assigned { ASSIGNED } else { 0 };
    if has_credentials(task) {
        flags |= INCOMPLETE;
        strip_credentials(&mut message);
    }
    let mut record = vec![flags];
    record.reserve(message.encoded_len());
    message.encode_raw(&mut record);
    record
}

fn has_credentials(task: &Task) -> bool {
    let Runtime::Container(spec) = &task.spec().runtime else {
        return false;
    };
    let options = spec.pull_options.as_ref();
    options.is_some_and(|o| !o.registry_auth.is_empty())
}

fn strip_credentials(message: &mut api::Task) {
    use api::task_spec::Runtime::Container;
    if let Some(Container(spec)) = message.spec.as_mut().and_then(|s| s.runtime.as_mut()) {
        spec.pull_options = None;
    }
}

fn decode(record: &[u8], status: Option<&[u8]>) -> Option<StoredTask> {
    let (flags, message) = record.split_first()?;
    let task = Task::try_from(api::Task::decode(message).ok()?).ok()?;
    let status = status.and_then(|s| api::TaskStatus::decode(s).ok());
    Some(StoredTask {
        task: Arc::new(task),
        status: status.and_then(|s| TaskStatus::try_from(s).ok()),
        assigned: flags & ASSIGNED != 0,
        incomplete: flags & INCOMPLETE != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::container::PullOptions;

    #[test]
    fn tasks_come_back_as_written_but_for_their_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let (db, _) = LocalDb::open(&dir.path().join("db")).unwrap();
        let database = Database::open(db).unwrap();
        let plain = Arc::new(executor::testing::task("plain", |_| {}));
        let private = Arc::new(executor::testing::task("private", |spec| {
            let registry_auth = "canary".to_owned();
            spec.pull_options = Some(PullOptions { registry_auth });
        }));
        let gone = Arc::new(executor::testing::task("gone", |_| {}));
        let write = |task: &Arc<Task>, assigned| Write::Task {
            task: task.clone(),
            assigned,
        };
        let status = TaskStatus {
            state: types::TaskState::Running,
            ..TaskStatus::default()
        };
        let observed = Write::Status {
            task: plain.id,
            status: status.clone(),
        };
        let first = vec![write(&plain, true), write(&gone, true), observed];
        database.write(first).unwrap();
        let second = vec![write(&private, false), Write::Forget(gone.id)];
        database.write(second).unwrap();
        let raw = database.tasks.get(&private.id.to_bytes()).unwrap().unwrap();
        assert!(!raw.windows(6).any(|w| w == b"canary"));
        let mut loaded = database.load().unwrap();
        loaded.sort_by_key(|t| t.task.id != plain.id);
        assert_eq!(loaded.len(), 2);
        assert_eq!(loaded[0].task.id, plain.id);
        assert_eq!(loaded[0].status, Some(status));
        assert!(loaded[0].assigned && !loaded[0].incomplete);
        assert!(!loaded[1].assigned && loaded[1].incomplete);
    }

    #[tokio::test]
    async fn a_database_that_refuses_a_write_is_not_believed_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let (db, _) = LocalDb::open(&path).unwrap();
        let writer = Database::open(db).unwrap().writer();
        let write = |task: types::Task| Write::Task {
            task: Arc::new(task),
            assigned: true,
        };
        let early = write(executor::testing::task("early", |_| {}));
        writer.write(vec![early]).await;
        // More than a value may have, refused as a full disk refuses.
        let late = executor::testing::task("late", |spec| {
            spec.env = vec!["X".repeat(5 << 20)];
        });
        writer.write(vec![write(late)]).await;
        writer.finish().await;
        let (db, outcome) = LocalDb::open(&path).unwrap();
        assert_eq!(outcome, storage::OpenOutcome::Fresh);
        assert_eq!(Database::open(db).unwrap().load().unwrap().len(), 0);
    }
}
