//! One manager: its disk, and the process that drives a raft member on it while it is up.
//!
//! Does the duties that the consensus crate lists for its caller, and applies what is committed to
//! the tables as the shell's ledger does.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use consensus::{
    Apply, Committed, Config, Consensus, Effects, Input, Member, MemberChange, Message,
    MessageKind, Payload, Persist, ProposalId, RaftId, Rejected, RequestId, Restored, Role,
    SnapshotMeta, bootstrap,
};
use store::{History, Image, ImageItem, Object, State, Transaction};
use types::NodeId;

use crate::params::{Bug, MS};
use crate::reign::{Leading, ReignId};
use crate::rng::mix;
use crate::world::{Event, ManagerEvent, TICK, World};

/// Changes kept for readers of the feeds.
pub(crate) const HISTORY_CHANGES_MAX: usize = 100_000;

/// What survives a crash.
#[derive(Default)]
pub(crate) struct Disk {
    hard_state: consensus::HardState,
    mark: Option<SnapshotMeta>,
    entries: Vec<consensus::Entry>,
    files: BTreeMap<(u64, u64), State>,
}

/// A manager's machine.
pub(crate) struct Host {
    pub(crate) at: usize,
    pub(crate) node: NodeId,
    /// How far its clock is off, in nanoseconds.
    pub(crate) skew: i64,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    /// Counts starts, so that events of an earlier process are not delivered to a later one.
    pub(crate) start: u64,
    /// Until then the process gets no time.
    pub(crate) paused_until: u64,
}

/// Who waits for a proposal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiter {
    /// A client's write.
    Api { serial: u64, hash: u64 },
    /// The pipeline, which only wants to know of refusals.
    Pipeline,
    /// A batch of the dispatcher.
    Batch(dispatcher::BatchId),
}

/// How a proposal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    Refused,
    Unknown,
}

/// A running manager.
pub(crate) struct Process {
    pub(crate) consensus: Consensus,
    pub(crate) state: State,
    pub(crate) feed: History,
    pub(crate) reign: Option<Leading>,
    /// Rises with every reign of this process.
    pub(crate) epoch: u64,
    /// The chain of proposals whose ground is missing from the log.
    pub(crate) broken_chain: Option<u64>,
    pub(crate) waiters: BTreeMap<ProposalId, (ReignId, Waiter)>,
    /// A refused proposal: nothing is proposed before this index is applied.
    pub(crate) settle: Option<u64>,
    applied: u64,
    waiting: VecDeque<Persist>,
    writing: Option<Persist>,
    making_snapshot: bool,
}

/// A snapshot and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    meta: SnapshotMeta,
    state: State,
}

/// What travels between managers.
#[derive(Debug)]
pub(crate) struct Packet {
    from: usize,
    from_start: u64,
    to: usize,
    message: Message,
    file: Option<SnapshotFile>,
}

pub(crate) fn raft_id(at: usize) -> RaftId {
    RaftId::new(at as u64 + 1).expect("numbers of managers begin at one")
}

fn index(id: RaftId) -> usize {
    usize::try_from(id.get() - 1).expect("raft ids are small here")
}

// === impl Process ===

impl Process {
    /// Index of the last entry applied.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied
    }
}

// === impl Disk ===

impl Disk {
    fn write(&mut self, persist: Persist) {
        if let Some(snapshot) = persist.snapshot {
            self.entries.clear();
            self.mark = Some(snapshot);
        }
        if let Some(first) = persist.entries.first() {
            self.entries.retain(|e| e.index < first.index);
            self.entries.extend(persist.entries);
        }
        if let Some(hard_state) = persist.hard_state {
            self.hard_state = hard_state;
        }
    }

    fn truncate(&mut self, mark: SnapshotMeta, first_index: u64) {
        let keep_from = first_index.min(mark.index + 1);
        self.entries.retain(|e| e.index >= keep_from);
        self.files.retain(|(index, _), _| *index >= mark.index);
        self.mark = Some(mark);
    }

    fn restore(&self) -> (Restored, State) {
        let file = self.mark.as_ref().map(|m| &self.files[&(m.index, m.term)]);
        let restored = Restored {
            hard_state: self.hard_state,
            snapshot: self.mark.clone(),
            entries: self.entries.clone(),
        };
        (restored, file.cloned().unwrap_or_default())
    }
}

/// The tables as they come back from a snapshot.
fn reloaded(state: &State, bug: Option<Bug>) -> State {
    let mut image = Image::new();
    for item in state.image() {
        let ended =
            matches!(&item, ImageItem::Object(Object::Task(t)) if t.status.state.is_terminal());
        if ended && bug == Some(Bug::SnapshotWithoutHistory) {
            continue;
        }
        image.add(item).expect("R8: an image loads");
    }
    image.finish(state.version())
}

// === impl Host ===

impl Host {
    pub(crate) fn new(at: usize, node: NodeId, skew: i64) -> Self {
        Self {
            at,
            node,
            skew,
            disk: Disk::default(),
            process: None,
            start: 0,
            paused_until: 0,
        }
    }

    fn member(&self) -> Member {
        Member {
            raft_id: raft_id(self.at),
            node_id: self.node.to_string(),
            addr: format!("10.0.0.{}:2377", self.at + 1),
        }
    }
}

// === impl World ===

impl World {
    pub(crate) fn found_cluster(&mut self) {
        let (_, persist) = bootstrap(&self.hosts[0].member());
        self.hosts[0].disk.write(persist);
        for at in 0..self.hosts.len() {
            self.boot_manager(at);
        }
    }

    pub(crate) fn boot_manager(&mut self, at: usize) {
        let (seed, bug) = (self.seed, self.bug);
        let host = &mut self.hosts[at];
        if host.process.is_some() {
            return;
        }
        host.start += 1;
        let (restored, state) = host.disk.restore();
        let state = reloaded(&state, bug);
        let applied = restored.snapshot.as_ref().map_or(0, |s| s.index);
        let config = Config::new(raft_id(at), mix(seed ^ mix(host.start)));
        let consensus = Consensus::new(config, restored).expect("R8: a member starts again");
        host.process = Some(Process {
            consensus,
            feed: History::new(state.version(), HISTORY_CHANGES_MAX),
            state: state.clone(),
            reign: None,
            epoch: 0,
            broken_chain: None,
            waiters: BTreeMap::new(),
            settle: None,
            applied,
            waiting: VecDeque::new(),
            writing: None,
            making_snapshot: false,
        });
        let start = host.start;
        let verdict = self.oracle.restored(&state);
        self.judge(verdict);
        self.note(("m", at), 1, || {
            format!("starts at version {}", state.version())
        });
        let phase = self.rng.under(TICK);
        self.after(phase, Event::Manager(at, start, ManagerEvent::Tick));
        self.drain(at);
    }

    /// Power off. A write that was under way may or may not have reached the disk.
    pub(crate) fn crash_manager(&mut self, at: usize) {
        let reached = self.rng.chance(5_000);
        let host = &mut self.hosts[at];
        let Some(process) = host.process.take() else {
            return;
        };
        if let (Some(persist), true) = (process.writing, reached) {
            host.disk.write(persist);
        }
        self.mark(if process.reign.is_some() {
            "crash of a leader"
        } else {
            "crash of a manager"
        });
        self.note(("m", at), 2, || "crashes".into());
    }

    pub(crate) fn schedule(&mut self, at: usize, us: u64, event: ManagerEvent) {
        let start = self.hosts[at].start;
        self.after(us, Event::Manager(at, start, event));
    }

    pub(crate) fn process(&mut self, at: usize) -> Option<&mut Process> {
        self.hosts[at].process.as_mut()
    }

    pub(crate) fn manager_event(&mut self, at: usize, start: u64, event: ManagerEvent) {
        let host = &self.hosts[at];
        if host.start != start || host.process.is_none() {
            return;
        }
        if host.paused_until > self.now {
            let wait = host.paused_until - self.now;
            return self.after(wait, Event::Manager(at, start, event));
        }
        match event {
            ManagerEvent::Tick => {
                self.schedule(at, TICK, ManagerEvent::Tick);
                self.raft(at, Input::Tick);
                self.grow(at);
            }
            ManagerEvent::Written => self.written(at),
            ManagerEvent::SnapshotMade(file) => self.snapshot_made(at, *file),
            ManagerEvent::SnapshotEnded(to, ok) => {
                self.raft(at, Input::SnapshotSent { to, ok });
            }
            ManagerEvent::Confirmed(id, leads) => self.confirmed(at, id, leads),
            ManagerEvent::Drain => self.drain(at),
            ManagerEvent::Resume => self.resume(at),
            ManagerEvent::Leadership => self.check_leadership(at),
            ManagerEvent::Pipeline(epoch) => self.pipeline(at, epoch),
            ManagerEvent::Propose(epoch, planned) => self.propose_planned(at, epoch, *planned),
            ManagerEvent::News(epoch) => self.news(at, epoch),
            ManagerEvent::Alarm(epoch) => self.alarm(at, epoch),
            ManagerEvent::Settled(reign, waiter, outcome) => {
                self.proposal_settled(at, reign, waiter, outcome);
            }
            ManagerEvent::Taken(epoch, stream) => self.stream_taken(at, epoch, stream),
        }
    }

    /// The leader lets in the managers that are not members yet, and makes voters of learners.
    fn grow(&mut self, at: usize) {
        let members: Vec<Member> = self.hosts.iter().map(Host::member).collect();
        let id = ProposalId(self.number());
        let Some(process) = self.process(at) else {
            return;
        };
        let status = process.consensus.status();
        if status.role != Role::Leader || status.ready_term.is_none() {
            return;
        }
        let known = &status.membership;
        let change = if let Some(learner) = known.learners.first() {
            MemberChange::Promote(*learner)
        } else {
            let missing = |m: &&Member| !known.members.contains_key(&m.raft_id);
            match members.iter().find(missing) {
                Some(member) => MemberChange::AddLearner(member.clone()),
                None => return,
            }
        };
        self.raft(at, Input::Change { id, change });
    }

    pub(crate) fn raft(&mut self, at: usize, input: Input) {
        if let Some(process) = self.process(at) {
            process.consensus.handle(input);
            self.drain(at);
        }
    }

    /// Lets proposals that are made together share one append.
    pub(crate) fn drain_later(&mut self, at: usize) {
        let delay = self.rng.under(200);
        self.schedule(at, delay, ManagerEvent::Drain);
    }

    pub(crate) fn drain(&mut self, at: usize) {
        while let Some(effects) = self.process(at).and_then(|p| p.consensus.ready()) {
            self.perform(at, effects);
            if self.violation.is_some() {
                return;
            }
        }
    }

    fn perform(&mut self, at: usize, effects: Effects) {
        if let Some(persist) = effects.persist {
            if let Some(process) = self.process(at) {
                process.waiting.push_back(persist);
            }
            self.start_write(at);
        }
        for message in effects.send {
            self.post(at, message);
        }
        let any = !effects.apply.is_empty();
        for apply in effects.apply {
            self.apply(at, apply);
        }
        if let Some(process) = self.process(at).filter(|_| any) {
            let index = process.applied;
            process.consensus.handle(Input::Applied { index });
            self.maybe_make_snapshot(at, false);
        }
        for (request, reason) in effects.rejected {
            match request {
                RequestId::Read(id) => self.schedule(at, 0, ManagerEvent::Confirmed(id, false)),
                RequestId::Proposal(id) => {
                    let outcome = match reason {
                        Rejected::LostLeadership { .. } => Outcome::Unknown,
                        _ => Outcome::Refused,
                    };
                    self.settle_proposal(at, id, outcome);
                }
            }
        }
        for read in effects.reads {
            self.schedule(at, 0, ManagerEvent::Confirmed(read.id, true));
        }
        if effects.want_snapshot {
            self.maybe_make_snapshot(at, true);
        }
        if let Some(status) = effects.status {
            let (role, term) = (status.role, status.term);
            self.note(("m", at), term, || format!("{role:?} in term {term}"));
            let delay = self.rng.under(20 * MS);
            self.schedule(at, delay, ManagerEvent::Leadership);
        }
    }

    fn start_write(&mut self, at: usize) {
        let disk_max = self.params.disk_max;
        let Some(process) = self.process(at) else {
            return;
        };
        if process.writing.is_some() {
            return;
        }
        let Some(mut persist) = process.waiting.pop_front() else {
            return;
        };
        for later in process.waiting.drain(..) {
            persist.absorb(later);
        }
        process.writing = Some(persist);
        let delay = self.rng.between(0, disk_max);
        self.schedule(at, delay, ManagerEvent::Written);
    }

    fn written(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let written = host.process.as_mut().and_then(|p| p.writing.take());
        let Some(persist) = written else { return };
        let number = persist.number;
        host.disk.write(persist);
        self.raft(at, Input::Persisted { number });
        self.start_write(at);
    }

    fn apply(&mut self, at: usize, apply: Apply) {
        match apply {
            Apply::Snapshot(meta) => self.install(at, &meta),
            Apply::Entry(entry) => self.apply_entry(at, &entry),
        }
    }

    fn install(&mut self, at: usize, meta: &SnapshotMeta) {
        let bug = self.bug;
        let host = &mut self.hosts[at];
        let state = reloaded(&host.disk.files[&(meta.index, meta.term)], bug);
        if let Some(process) = host.process.as_mut() {
            process.applied = meta.index;
            process.state = state.clone();
            process.feed = History::new(state.version(), HISTORY_CHANGES_MAX);
        }
        self.mark("snapshot installed");
        let verdict = self.oracle.restored(&state);
        self.judge(verdict);
        let version = state.version();
        self.note(("m", at), version, || {
            format!("installs a snapshot of version {version}")
        });
    }

    fn apply_entry(&mut self, at: usize, entry: &Committed) {
        if let Some(process) = self.process(at) {
            process.applied = entry.index;
        }
        if let Payload::Normal(data) = &entry.payload {
            self.apply_transaction(at, entry.term, data);
        }
        if let Some(id) = entry.id {
            self.settle_proposal(at, id, Outcome::Committed);
        }
    }

    /// What the shell's ledger does with a committed transaction.
    fn apply_transaction(&mut self, at: usize, term: u64, data: &Bytes) {
        let (bug, now) = (self.bug, self.time());
        let Some(process) = self.hosts[at].process.as_mut() else {
            return;
        };
        let expected = process.state.version() + 1;
        let leading = process.reign.as_mut().filter(|l| l.view.term() == term);
        let own = leading.and_then(|l| l.view.commit(expected));
        let commit = if let Some(done) = own {
            process.state = done.state;
            done.commit
        } else {
            let mut tx = wire::log::decode_transaction(data).expect("R8: an entry reads back");
            if bug == Some(Bug::DropActions) && tx.version.is_multiple_of(40) {
                tx.actions.pop();
            }
            let commit = process
                .state
                .apply(&tx)
                .unwrap_or_else(|e| panic!("R7: a committed entry cannot be applied: {e}"));
            std::sync::Arc::new(commit)
        };
        process.feed.push(commit.clone());
        let state = process.state.clone();
        if commit.version > self.oracle.state().version() {
            self.committed(at, data, &commit);
        }
        let verdict = self.oracle.applied((data, &commit, &state), now);
        self.judge(verdict);
        self.schedule_news(at);
    }

    /// A transaction is committed for the first time anywhere.
    fn committed(&mut self, at: usize, data: &Bytes, commit: &store::Commit) {
        let (version, changes) = (commit.version, commit.changes.len());
        let rows = || {
            let tx = wire::log::decode_transaction(data).ok();
            let actions = tx.map(|t: Transaction| t.actions).unwrap_or_default();
            let shown: Vec<_> = actions.iter().map(crate::show::action).collect();
            format!("commits {version}: {}", shown.join(", "))
        };
        self.note(("m", at), version ^ (changes as u64) << 32, rows);
        self.mark("commit");
        for change in &commit.changes {
            if let store::Change::Node(diff) = change
                && diff.new.is_none()
            {
                self.machine_leaves(diff.latest().id);
            }
        }
    }

    pub(crate) fn settle_proposal(&mut self, at: usize, id: ProposalId, outcome: Outcome) {
        let Some(process) = self.process(at) else {
            return;
        };
        let Some((reign, waiter)) = process.waiters.remove(&id) else {
            return;
        };
        // Whoever waits runs later, as a task of its own.
        let delay = self.rng.under(MS);
        self.schedule(at, delay, ManagerEvent::Settled(reign, waiter, outcome));
    }

    // Snapshots.

    fn maybe_make_snapshot(&mut self, at: usize, wanted: bool) {
        let every = self.params.snapshot_every;
        let host = &mut self.hosts[at];
        let covered = host.disk.mark.as_ref().map_or(0, |m| m.index);
        let Some(process) = host.process.as_mut() else {
            return;
        };
        let due = process.applied >= covered + every || (wanted && process.applied > covered);
        if process.making_snapshot || !due {
            return;
        }
        let meta = process.consensus.snapshot_meta();
        let Some(meta) = meta.filter(|m| m.index == process.applied) else {
            return;
        };
        process.making_snapshot = true;
        let state = process.state.clone();
        let file = Box::new(SnapshotFile { meta, state });
        let delay = self.rng.between(MS, 300 * MS);
        self.schedule(at, delay, ManagerEvent::SnapshotMade(file));
    }

    fn snapshot_made(&mut self, at: usize, file: SnapshotFile) {
        let keep_entries = self.params.keep_entries;
        let host = &mut self.hosts[at];
        let Some(process) = host.process.as_mut() else {
            return;
        };
        process.making_snapshot = false;
        let SnapshotFile { meta, state } = file;
        let newer = |m: &SnapshotMeta| m.index >= meta.index;
        if host.disk.mark.as_ref().is_some_and(newer) {
            return;
        }
        host.disk.files.insert((meta.index, meta.term), state);
        process.consensus.handle(Input::Compact {
            snapshot: meta.clone(),
            keep_entries,
        });
        let first = process.consensus.first_index();
        host.disk.truncate(meta, first);
        self.mark("snapshot made");
        self.drain(at);
    }

    // The network between managers.

    fn post(&mut self, from: usize, message: Message) {
        let to = index(message.to);
        let host = &self.hosts[from];
        let file = message.snapshot.as_ref().and_then(|meta| {
            let state = host.disk.files.get(&(meta.index, meta.term))?.clone();
            let meta = meta.clone();
            Some(SnapshotFile { meta, state })
        });
        let from_start = host.start;
        let mut delay = self.rng.between(50, self.params.delay_max);
        if self.rng.chance(100) {
            delay *= 10;
        }
        let packet = Packet {
            from,
            from_start,
            to,
            message,
            file,
        };
        self.after(delay, Event::Packet(Box::new(packet)));
    }

    pub(crate) fn packet(&mut self, packet: Packet) {
        let Packet {
            from,
            from_start,
            to,
            message,
            file,
        } = packet;
        let loss = if self.calm { 0 } else { self.params.loss };
        let lost = self.cut.contains(&(from, to))
            || self.hosts[to].process.is_none()
            || self.rng.chance(loss)
            || (message.snapshot.is_some() && file.is_none());
        if message.kind == MessageKind::Snapshot {
            let ended = ManagerEvent::SnapshotEnded(message.to, !lost);
            self.after(5 * MS, Event::Manager(from, from_start, ended));
        }
        if lost {
            return;
        }
        let host = &mut self.hosts[to];
        if host.paused_until > self.now {
            let wait = host.paused_until - self.now;
            let packet = Packet {
                from,
                from_start,
                to,
                message,
                file,
            };
            return self.after(wait, Event::Packet(Box::new(packet)));
        }
        if let Some(SnapshotFile { meta, state }) = file {
            host.disk.files.insert((meta.index, meta.term), state);
        }
        self.raft(to, Input::Step(message));
    }
}
