//! The one writer of the log.
//!
//! While a sync runs, further writes gather and then share the next one; consensus goes on ticking
//! and sending meanwhile, so that a slow disk does not cost the leader its followers.
//!
//! On a full disk the write at hand is tried again until there is room. It stays unacknowledged, so
//! nothing that depends on it leaves this member. Any other failure ends the thread: what is on the
//! device is then unknown, and a retry that succeeds would prove nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use consensus::Persist;
use storage::{AppendError, LogBatch, LogStore, SnapshotMark};

use crate::events::{Event, EventSender};

/// How often a full disk is looked at again.
const FULL_POLL: Duration = Duration::from_millis(100);
/// Entries beyond this go into the next sync.
const JOIN_BYTES: usize = 8 << 20;
/// Room that must be left for entries to be accepted: what can be on its way when the raft thread
/// stops accepting.
const ROOM_BYTES: u64 = 16 << 20;

/// Work for the log.
pub(crate) enum LogTask {
    /// Make this durable.
    Persist(Persist),
    /// Drop what a durable snapshot covers.
    Truncate { mark: SnapshotMark, keep_from: u64 },
}

/// Whether the log's disk is full, for the raft thread to look at before it accepts entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskGauge(Arc<AtomicBool>);

impl DiskGauge {
    pub(crate) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns whether that is news.
    fn set(&self, full: bool) -> bool {
        self.0.swap(full, Ordering::Relaxed) != full
    }
}

/// The log thread.
pub(crate) struct LogThread {
    pub(crate) log: Box<dyn LogStore>,
    pub(crate) tasks: Receiver<LogTask>,
    pub(crate) events: EventSender,
    pub(crate) gauge: DiskGauge,
}

/// The thread must end.
struct End;

impl LogThread {
    /// Runs until the tasks end or the log fails.
    pub(crate) fn run(mut self) {
        let mut next = None;
        self.look_at_disk();
        while let Some(task) = next.take().or_else(|| self.wait()) {
            if self.work(task, &mut next).is_err() {
                return;
            }
        }
    }

    /// Does what waits and returns. After a failure nothing is done any more.
    pub(crate) fn run_waiting(&mut self) {
        let mut next = None;
        while let Some(task) = next.take().or_else(|| self.tasks.try_recv().ok()) {
            if self.work(task, &mut next).is_err() {
                // An end without a sender: whatever comes is never looked at.
                self.tasks = std::sync::mpsc::channel().1;
                return;
            }
        }
    }

    fn work(&mut self, task: LogTask, next: &mut Option<LogTask>) -> Result<(), End> {
        match task {
            LogTask::Persist(mut persist) => {
                *next = self.join(&mut persist);
                self.persist(persist)?;
            }
            LogTask::Truncate { mark, keep_from } => self.truncate(mark, keep_from)?,
        }
        self.look_at_disk();
        Ok(())
    }

    /// The next task, looking at a full disk meanwhile; `None` at the end.
    fn wait(&mut self) -> Option<LogTask> {
        loop {
            if !self.gauge.is_full() {
                return self.tasks.recv().ok();
            }
            match self.tasks.recv_timeout(FULL_POLL) {
                Ok(task) => return Some(task),
                Err(RecvTimeoutError::Timeout) => self.look_at_disk(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Joins what is waiting to one write; returns the task that does not fit in.
    fn join(&self, persist: &mut Persist) -> Option<LogTask> {
        let mut bytes: usize = persist.entries.iter().map(|e| e.data.len()).sum();
        while bytes < JOIN_BYTES {
            match self.tasks.try_recv() {
                // A received snapshot restarts the log; it gets a write of its own.
                Ok(LogTask::Persist(later)) if later.snapshot.is_none() => {
                    bytes += later.entries.iter().map(|e| e.data.len()).sum::<usize>();
                    persist.absorb(later);
                }
                Ok(other) => return Some(other),
                Err(_) => return None,
            }
        }
        None
    }

    fn persist(&mut self, persist: Persist) -> Result<(), End> {
        let Persist {
            number,
            snapshot,
            entries,
            hard_state,
        } = persist;
        let installed = snapshot.map(|s| SnapshotMark {
            index: s.index,
            term: s.term,
        });
        let batch = LogBatch {
            installed,
            entries: &entries,
            hard_state,
        };
        self.until_room(|log| log.append(batch))?;
        self.events.send(Event::Persisted { number });
        Ok(())
    }

    fn truncate(&mut self, mark: SnapshotMark, keep_from: u64) -> Result<(), End> {
        self.until_room(|log| log.truncate_prefix(mark, keep_from))
    }

    fn until_room(
        &mut self,
        mut write: impl FnMut(&mut dyn LogStore) -> Result<(), AppendError>,
    ) -> Result<(), End> {
        loop {
            match write(self.log.as_mut()) {
                Ok(()) => return Ok(()),
                Err(AppendError::Full) => {
                    self.report(true);
                    if self.events.is_closed() {
                        return Err(End);
                    }
                    std::thread::park_timeout(FULL_POLL);
                }
                Err(e) => {
                    self.events.send(Event::Failed {
                        disk: true,
                        detail: e.to_string(),
                    });
                    return Err(End);
                }
            }
        }
    }

    fn look_at_disk(&self) {
        self.report(!self.log.has_room(ROOM_BYTES));
    }

    fn report(&self, full: bool) {
        if self.gauge.set(full) {
            self.events.send(Event::DiskChanged);
        }
    }
}
