//! The raft thread: the one owner of consensus.
//!
//! It waits for anything to happen, takes in everything that has happened, and then carries out
//! what consensus wants done. Inputs taken in together share one write. It never waits for a disk,
//! a peer or the state machine: those have threads and tasks of their own.
//!
//! # A full disk
//!
//! While the log's disk has no room for entries, this member
//! - rejects proposals, and as leader gives leadership to another voter: the cluster goes on;
//! - ignores entries from a leader as if they were lost; the leader sends them again later;
//! - goes on voting, answering heartbeats and recording both: hard state is small and has a reserve
//!   on the disk. A member that stopped voting could cost a cluster its quorum for nothing: its
//!   vote promises nothing about entries that it has not acknowledged.
//!
//! When there is room again, it goes on by itself.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Instant;

use consensus::{
    Apply, Consensus, Effects, Input, Message, MessageKind, MessageRefused, Persist, RaftId, Role,
    SnapshotMeta,
};
use storage::{SnapshotError, SnapshotInfo, SnapshotMark, SnapshotStore};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::api::{Config, Disk, ProposeError, Status, Stopped};
use crate::apply_thread::ApplyTask;
use crate::events::{Event, EventSender};
use crate::handle::{Control, Proposal, ReadReply};
use crate::log_thread::{DiskGauge, LogTask};
use crate::peers::Peers;
use crate::requests::{Requests, Waiter};
use crate::snapshotter::{self, SnapshotPolicy};

/// Inputs of one kind taken in at once, so that a flood of one kind does not starve the others.
const TAKE: usize = 1_024;
/// Entries handed out and not yet applied, above which proposals are refused: the state machine
/// cannot keep up, and waiting entries take memory.
const APPLY_LAG_ENTRIES_MAX: u64 = 65_536;
/// Ticks between two attempts of a leader with a full disk to give leadership away.
const HAND_OVER_TICKS: u64 = 20;

/// What comes in from other threads and tasks.
pub(crate) struct Inbox {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) controls: mpsc::Receiver<Control>,
    pub(crate) proposals: mpsc::Receiver<Proposal>,
    pub(crate) reads: mpsc::Receiver<ReadReply>,
}

/// The state of the raft thread.
pub(crate) struct Driver {
    pub(crate) config: Config,
    pub(crate) consensus: Consensus,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) log: Sender<LogTask>,
    pub(crate) apply: Sender<ApplyTask>,
    pub(crate) events: EventSender,
    pub(crate) gauge: DiskGauge,
    pub(crate) status: watch::Sender<Arc<Status>>,
    pub(crate) requests: Requests,
    /// The chain of proposals whose ground is missing from the log. Chains are used one after the
    /// other, so the latest broken one is all there is to know.
    pub(crate) broken_chain: Option<u64>,
    pub(crate) policy: SnapshotPolicy,
    /// The newest snapshot that is durable.
    pub(crate) newest: Option<SnapshotInfo>,
    pub(crate) applied: u64,
    pub(crate) handed_out: u64,
    pub(crate) ticks: u64,
    /// Does what waits for the log and the state machine, where they have no threads.
    pub(crate) inline: Option<Box<dyn FnMut() + Send>>,
}

/// Why the loop ended.
pub(crate) type Ended = Result<(), Failure>;

/// The replica cannot go on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) disk: bool,
    pub(crate) detail: String,
}

/// The log is older than what this member said it has. It may have forgotten a vote as well, so it
/// must not wait until another leader, who does not know, fills the gap.
fn old_copy(leader: RaftId, index: u64) -> Failure {
    Failure {
        disk: true,
        detail: format!(
            "manager {leader} was told that entry {index} is on this disk and it is not: the \
             state directory was restored from a copy or the disk lost writes; remove this \
             manager from the cluster and let it join again"
        ),
    }
}

enum Woken {
    Tick,
    Event(Event),
    Message(Message),
    Control(Control),
    Proposal(Proposal),
    Read(ReadReply),
    Closed,
}

// === impl Driver ===

impl Driver {
    /// Runs until asked to stop, until every handle is gone, or until something fails.
    pub(crate) async fn run(&mut self, inbox: &mut Inbox) -> Ended {
        let mut ticker = tokio::time::interval(self.config.tick);
        // After a pause of this process time has passed for the others too; catching up on ticks
        // would only make it campaign at once.
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.carry_out()?;
        loop {
            let woken = tokio::select! {
                biased;
                _ = ticker.tick() => Woken::Tick,
                Some(event) = inbox.events.recv() => Woken::Event(event),
                Some(message) = inbox.messages.recv() => Woken::Message(message),
                control = inbox.controls.recv() => control.map_or(Woken::Closed, Woken::Control),
                Some(proposal) = inbox.proposals.recv() => Woken::Proposal(proposal),
                Some(read) = inbox.reads.recv() => Woken::Read(read),
            };
            if self.take_in(woken, inbox)?.is_break() {
                return Ok(());
            }
            self.carry_out()?;
        }
    }

    /// Takes in what woke the thread and whatever else is waiting.
    fn take_in(&mut self, woken: Woken, inbox: &mut Inbox) -> Result<ControlFlow<()>, Failure> {
        let mut readers = Vec::new();
        match woken {
            Woken::Tick => self.tick(),
            Woken::Event(event) => self.event(event)?,
            Woken::Message(message) => self.message(message),
            Woken::Control(control) => {
                if self.control(control).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Woken::Proposal(proposal) => self.propose(proposal),
            Woken::Read(read) => readers.push(read),
            Woken::Closed => return Ok(ControlFlow::Break(())),
        }
        while let Ok(event) = inbox.events.try_recv() {
            self.event(event)?;
        }
        for message in take(&mut inbox.messages) {
            self.message(message);
        }
        for proposal in take(&mut inbox.proposals) {
            self.propose(proposal);
        }
        readers.extend(take(&mut inbox.reads));
        if !readers.is_empty() {
            let id = self.requests.add_reads(readers);
            self.consensus.handle(Input::ReadIndex { id });
        }
        Ok(ControlFlow::Continue(()))
    }

    fn tick(&mut self) {
        self.ticks += 1;
        self.consensus.handle(Input::Tick);
        self.requests.forget_abandoned();
        if self.gauge.is_full()
            && self.consensus.status().role == Role::Leader
            && self.ticks.is_multiple_of(HAND_OVER_TICKS)
        {
            // Nobody waits for the outcome: without a successor this member goes on leading.
            let id = self.requests.anonymous();
            self.consensus
                .handle(Input::TransferLeader { id, to: None });
        }
        self.maybe_snapshot();
    }

    fn message(&mut self, message: Message) {
        if self.gauge.is_full() && !message.entries.is_empty() {
            return;
        }
        self.consensus.handle(Input::Step(message));
    }

    fn propose(&mut self, proposal: Proposal) {
        let Proposal {
            term,
            chain,
            data,
            reply,
        } = proposal;
        let refused = if chain.is_some() && chain == self.broken_chain {
            Some(ProposeError::ChainBroken)
        } else if self.gauge.is_full() {
            Some(ProposeError::DiskFull)
        } else if self.handed_out - self.applied > APPLY_LAG_ENTRIES_MAX {
            Some(ProposeError::Overloaded)
        } else {
            None
        };
        if let Some(why) = refused {
            self.broken_chain = chain.or(self.broken_chain);
            // A caller that gave up does not want the answer.
            let _gone = reply.send(Err(why));
            return;
        }
        let id = self.requests.add(Waiter::Proposal(reply));
        self.consensus.handle(Input::Propose { id, term, data });
        if self.consensus.has_refused(id) {
            self.broken_chain = chain.or(self.broken_chain);
        }
    }

    fn control(&mut self, control: Control) -> ControlFlow<()> {
        match control {
            Control::Change(change, reply) => {
                let id = self.requests.add(Waiter::Change(reply));
                self.consensus.handle(Input::Change { id, change });
            }
            Control::Transfer(to, reply) => {
                let id = self.requests.add(Waiter::Change(reply));
                self.consensus.handle(Input::TransferLeader { id, to });
            }
            Control::Retain(retention) => {
                self.policy.set_entries_max(retention.snapshot_entries);
                self.config.retention = retention;
            }
            Control::Shutdown => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn event(&mut self, event: Event) -> Ended {
        match event {
            Event::Persisted { number } => self.consensus.handle(Input::Persisted { number }),
            Event::Applied {
                index,
                entries,
                bytes,
            } => {
                self.applied = index;
                self.policy.applied(entries, bytes);
                self.consensus.handle(Input::Applied { index });
                self.requests.applied(index);
                self.maybe_snapshot();
            }
            Event::Restored(info) => {
                self.newest = Some(info);
                self.policy.restored();
            }
            Event::Captured { index, source } => match self.consensus.snapshot_meta() {
                // Nothing but this very event stands between the applied index and the capture.
                Some(meta) if meta.index == index => {
                    let (store, keep) =
                        (self.snapshots.clone(), self.config.retention.keep_snapshots);
                    let (events, threads) = (self.events.clone(), self.config.threads);
                    snapshotter::write((store, keep), meta, source, events, threads);
                }
                _ => self.policy.finished(false, Instant::now()),
            },
            Event::Written { meta, result } => self.snapshot_written(meta, result),
            // The status below shows it.
            Event::DiskChanged => {}
            Event::Failed { disk, detail } => return Err(Failure { disk, detail }),
            Event::Unreachable(member) => self.consensus.handle(Input::Unreachable(member)),
            Event::SnapshotSent { to, ok } => {
                self.consensus.handle(Input::SnapshotSent { to, ok });
            }
            Event::ToldRemoved { by } => self.consensus.handle(Input::ToldRemoved { by }),
        }
        Ok(())
    }

    fn maybe_snapshot(&mut self) {
        if self.policy.begin(Instant::now()) {
            // When the apply thread is gone, its failure is on its way here.
            let _gone = self.apply.send(ApplyTask::Capture);
        }
    }

    fn snapshot_written(
        &mut self,
        meta: SnapshotMeta,
        result: Result<SnapshotInfo, SnapshotError>,
    ) {
        let now = Instant::now();
        let info = match result {
            Ok(info) => info,
            Err(e) => {
                tracing::warn!(index = meta.index, error = %e, "snapshot could not be written");
                return self.policy.finished(false, now);
            }
        };
        self.policy.finished(true, now);
        if self
            .newest
            .as_ref()
            .is_some_and(|newest| newest.id.index >= meta.index)
        {
            return;
        }
        self.newest = Some(info);
        let mark = SnapshotMark {
            index: meta.index,
            term: meta.term,
        };
        let keep_entries = self.config.retention.keep_entries;
        self.consensus.handle(Input::Compact {
            snapshot: meta,
            keep_entries,
        });
        let keep_from = self.consensus.first_index();
        // When the log thread is gone, its failure is on its way here.
        let _gone = self.log.send(LogTask::Truncate { mark, keep_from });
    }

    /// Does what consensus wants, in the order that it demands.
    fn carry_out(&mut self) -> Ended {
        while let Some(effects) = self.consensus.ready() {
            let Effects {
                persist,
                send,
                apply,
                reads,
                rejected,
                refused,
                tell_removed,
                want_snapshot,
                status,
            } = effects;
            self.persist(persist);
            self.send(send);
            if let Some(status) = status {
                self.peers.membership(&status.membership);
                // Before the callers of what follows are answered: a change that is acknowledged
                // shows in the status.
                self.publish();
            }
            self.hand_out(apply);
            if !reads.is_empty() {
                // A reader finds in the status what it was promised.
                self.publish();
            }
            for read in reads {
                self.requests.read_ready(read.id, read.index);
            }
            for (id, why) in rejected {
                self.requests.reject(id, why);
            }
            for member in tell_removed {
                self.peers.tell_removed(member);
            }
            for (peer, why) in refused {
                tracing::warn!(%peer, %why, "refused a raft message");
                if let MessageRefused::LogLost(index) = why {
                    return Err(old_copy(peer, index));
                }
            }
            if want_snapshot {
                self.policy.want();
                self.maybe_snapshot();
            }
        }
        if let Some(work) = &mut self.inline {
            work();
        }
        self.publish();
        Ok(())
    }

    fn persist(&mut self, persist: Option<Persist>) {
        if let Some(persist) = persist {
            // When the log thread is gone, its failure is on its way here.
            let _gone = self.log.send(LogTask::Persist(persist));
        }
    }

    fn hand_out(&mut self, apply: Vec<Apply>) {
        if apply.is_empty() {
            return;
        }
        let mut work = Vec::with_capacity(apply.len());
        for apply in apply {
            let done = match &apply {
                Apply::Entry(entry) => {
                    self.handed_out = entry.index;
                    entry
                        .id
                        .and_then(|id| self.requests.handed_out(id, entry.index))
                }
                Apply::Snapshot(meta) => {
                    self.handed_out = meta.index;
                    None
                }
            };
            work.push((apply, done));
        }
        // When the apply thread is gone, its failure is on its way here.
        let _gone = self.apply.send(ApplyTask::Apply(work));
    }

    fn send(&mut self, messages: Vec<Message>) {
        let mut by_receiver: BTreeMap<RaftId, Vec<Message>> = BTreeMap::new();
        for message in messages {
            if message.kind == MessageKind::Snapshot {
                self.send_snapshot(message);
            } else {
                by_receiver.entry(message.to).or_default().push(message);
            }
        }
        for (to, messages) in by_receiver {
            self.peers.send(to, messages);
        }
    }

    fn send_snapshot(&mut self, message: Message) {
        let to = message.to;
        match self.snapshot_file(&message) {
            Some(file) => self.peers.send_snapshot(to, message, file),
            None => {
                self.policy.want();
                self.consensus.handle(Input::SnapshotSent { to, ok: false });
            }
        }
    }

    fn snapshot_file(&self, message: &Message) -> Option<storage::SnapshotFile> {
        let meta = message.snapshot.as_ref()?;
        let info = self
            .newest
            .as_ref()
            .filter(|info| info.id.index == meta.index)?;
        match self.snapshots.file(info) {
            Ok(file) => Some(file),
            Err(e) => {
                tracing::warn!(index = meta.index, error = %e, "snapshot cannot be sent");
                None
            }
        }
    }

    fn publish(&self) {
        let status = self.status_now();
        self.status.send_if_modified(|known| {
            let changed = **known != status;
            if changed {
                *known = Arc::new(status);
            }
            changed
        });
    }

    fn status_now(&self) -> Status {
        let raft = self.consensus.status();
        let others = raft
            .membership
            .members
            .keys()
            .filter(|id| **id != self.config.id);
        let progress = others
            .filter_map(|id| Some((*id, self.consensus.progress(*id)?)))
            .collect();
        let leader = raft
            .leader
            .and_then(|id| raft.membership.members.get(&id))
            .cloned();
        Status {
            id: self.config.id,
            role: raft.role,
            term: raft.term,
            leader_id: raft.leader,
            leader,
            ready_term: raft.ready_term,
            applied: self.applied,
            committed: self.consensus.commit_index(),
            last: self.consensus.last_index(),
            progress,
            removal: raft.removal,
            disk: if self.gauge.is_full() {
                Disk::Full
            } else {
                Disk::Ok
            },
            stopped: None,
            membership: raft.membership,
        }
    }

    /// Ends the other threads, closes the links, and says that the replica has stopped.
    pub(crate) fn finish(self, ended: Ended, threads: Vec<JoinHandle<()>>) {
        // After a panic consensus may be half-way through something; it is not asked again.
        let mut status = Status::clone(&self.status.borrow());
        status.stopped = Some(match ended {
            Ok(()) => Stopped::Asked,
            Err(Failure { disk, detail }) => {
                tracing::error!(%detail, "the raft replica has stopped");
                if disk {
                    status.disk = Disk::Failed(detail.clone());
                }
                Stopped::Failed(detail)
            }
        });
        // A stopped member leads nothing.
        status.role = Role::Follower;
        status.ready_term = None;
        self.peers.close();
        let published = self.status.clone();
        // The threads end when their queues do; what was given to the log is still written.
        drop(self);
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the raft replica panicked at its end");
            }
        }
        published.send_replace(Arc::new(status));
    }
}

/// Up to [`TAKE`] of what is waiting.
fn take<T>(queue: &mut mpsc::Receiver<T>) -> impl Iterator<Item = T> + '_ {
    std::iter::from_fn(|| queue.try_recv().ok()).take(TAKE)
}
