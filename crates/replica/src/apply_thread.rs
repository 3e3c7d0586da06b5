//! The one owner of the state machine: applies what is committed, in order.
//!
//! Never decides anything; a state machine that cannot go on ends the replica.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use consensus::{Apply, Committed, Payload, SnapshotMeta};
use storage::{SnapshotInfo, SnapshotStore};

use crate::api::{Applied, RestoreError, StateMachine};
use crate::events::{Event, EventSender};

/// Told to the caller of a request once its entry is applied.
pub(crate) type Done = Box<dyn FnOnce(u64) + Send>;

/// Work for the state machine.
pub(crate) enum ApplyTask {
    /// Apply these, then answer their callers.
    Apply(Vec<(Apply, Option<Done>)>),
    /// Capture the state.
    Capture,
}

/// The apply thread.
pub(crate) struct ApplyThread<S> {
    pub(crate) machine: S,
    pub(crate) applied: u64,
    pub(crate) tasks: Receiver<ApplyTask>,
    pub(crate) events: EventSender,
    pub(crate) snapshots: SnapshotStore,
}

impl<S: StateMachine> ApplyThread<S> {
    /// Runs until the tasks end.
    pub(crate) fn run(mut self) {
        while let Ok(task) = self.tasks.recv() {
            if !self.work(task) {
                return;
            }
        }
    }

    /// Does what waits and returns. After a failure nothing is done any more.
    pub(crate) fn run_waiting(&mut self) {
        while let Ok(task) = self.tasks.try_recv() {
            if !self.work(task) {
                // An end without a sender: whatever comes is never looked at.
                self.tasks = std::sync::mpsc::channel().1;
                return;
            }
        }
    }

    /// Returns whether it can go on.
    fn work(&mut self, task: ApplyTask) -> bool {
        match task {
            ApplyTask::Apply(work) => {
                if let Err(e) = self.apply(work) {
                    self.events.send(Event::Failed {
                        disk: false,
                        detail: e.to_string(),
                    });
                    return false;
                }
            }
            ApplyTask::Capture => {
                let source = self.machine.capture();
                self.events.send(Event::Captured {
                    index: self.applied,
                    source,
                });
            }
        }
        true
    }

    fn apply(&mut self, work: Vec<(Apply, Option<Done>)>) -> Result<(), RestoreError> {
        let (mut entries, mut bytes) = (0, 0);
        let mut run = Vec::new();
        let mut answers = Vec::new();
        for (apply, done) in work {
            match apply {
                Apply::Entry(Committed {
                    index,
                    term,
                    payload,
                    ..
                }) => {
                    assert_eq!(
                        index,
                        self.applied + 1,
                        "committed entries come without gaps"
                    );
                    self.applied = index;
                    entries += 1;
                    answers.extend(done.map(|done| (done, index)));
                    match payload {
                        Payload::Normal(data) => {
                            bytes += data.len() as u64;
                            run.push(Applied { index, term, data });
                        }
                        Payload::Empty => {}
                        Payload::Membership(membership) => {
                            self.flush(&mut run);
                            self.machine.membership(&membership);
                        }
                    }
                }
                Apply::Snapshot(meta) => {
                    self.flush(&mut run);
                    self.restore(meta)?;
                }
            }
        }
        self.flush(&mut run);
        for (done, index) in answers {
            done(index);
        }
        self.events.send(Event::Applied {
            index: self.applied,
            entries,
            bytes,
        });
        Ok(())
    }

    fn flush(&mut self, run: &mut Vec<Applied>) {
        if !run.is_empty() {
            self.machine.apply(run);
            run.clear();
        }
    }

    fn restore(&mut self, meta: SnapshotMeta) -> Result<(), RestoreError> {
        let found = self.snapshots.list()?.into_iter();
        let info = found
            .rev()
            .find(|i| (i.id.term, i.id.index) == (meta.term, meta.index));
        let info = info.ok_or_else(|| format!("snapshot {} is missing", meta.index))?;
        restore(&mut self.machine, &self.snapshots, &info)?;
        self.applied = meta.index;
        self.events.send(Event::Restored(info));
        Ok(())
    }
}

/// Restores the machine from a snapshot file.
pub(crate) fn restore<S: StateMachine>(
    machine: &mut S,
    snapshots: &SnapshotStore,
    info: &SnapshotInfo,
) -> Result<(), RestoreError> {
    let mut payload = snapshots.payload(info)?;
    machine.restore(&mut payload)?;
    // Reading to the end makes the check of the whole file happen.
    let rest = std::io::copy(&mut payload.by_ref(), &mut std::io::sink())?;
    if rest > 0 {
        return Err(format!("{rest} bytes of snapshot {} were not read", info.id.index).into());
    }
    machine.membership(&Arc::new(info.meta.membership.clone()));
    Ok(())
}
