//! One manager: its disk, and the process that drives a raft member on it while it is up.
//!
//! Does the duties that the consensus crate lists for its caller, can die between any two of them,
//! and applies what is committed to the tables as the shell's ledger does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use consensus::{
    Apply, Committed, Config, Consensus, Effects, Input, Member, MessageRefused, Payload, Persist,
    ProposalId, RaftId, ReadId, Rejected, Removal, RequestId, Role, SnapshotMeta, bootstrap,
};
use invariants::{Position, Violation};
use sim_script::params::{MS, SEC};
use sim_script::rng::{Rng, fold, mix};
use store::{Commit, History, State, Transaction};
use types::NodeId;

use crate::bugs::Bug;
use crate::clock::Clock;
use crate::disk::{Disk, changes_members};
use crate::files;
use crate::identity::Identity;
use crate::oracle::hash_of;
use crate::reign::{Leading, ReignId};
use crate::world::{Event, ManagerEvent, TICK, World};

/// Changes kept for readers of the feeds.
pub(crate) const HISTORY_CHANGES_MAX: usize = 100_000;

/// How often a full disk is looked at again, as the shell does.
const FULL_POLL: u64 = 100 * MS;

/// Crashes, of ten thousand, after which the log is read from files: it takes milliseconds.
const FILES_LOOKED_AT: u64 = 300;

/// Ticks between two looks of a leader at who its members should be.
const ROLES_TICKS: u64 = 3;

/// A manager's machine.
pub(crate) struct Host {
    pub(crate) at: usize,
    pub(crate) node: NodeId,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    /// Counts starts, so that events of an earlier process are not delivered to a later one.
    pub(crate) start: u64,
    /// Until then the process gets no time.
    pub(crate) paused_until: u64,
    /// What it sends is held until then.
    pub(crate) clogged_until: u64,
    /// Its disk takes seconds for a write until then.
    pub(crate) slow_until: u64,
    /// Its disk is full until then.
    pub(crate) full_until: u64,
    /// It dies after so many effects, for so long.
    pub(crate) dies_in: Option<(u64, u64)>,
    /// It dies at its next write, for so long.
    pub(crate) dies_writing: Option<u64>,
    /// It was removed, or its state was lost: it never starts again.
    pub(crate) gone: bool,
    /// It stays broken when everything else heals.
    pub(crate) lost: bool,
}

/// Who waits for a proposal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiter {
    /// A client's write.
    Api { serial: u64, hash: u64 },
    /// The pipeline or a change of roles, which only want to know of refusals.
    Pipeline,
    /// A batch of the dispatcher.
    Batch(dispatcher::BatchId),
    /// A certificate for the agent of a link.
    Certificate(u64, Identity),
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
    /// Whose tables equal these at the same version, unless they came from its own proposals.
    pub(crate) line: Option<u64>,
    pub(crate) feed: History,
    pub(crate) reign: Option<Leading>,
    /// Rises with every reign of this process.
    pub(crate) epoch: u64,
    /// The chain of proposals whose ground is missing from the log.
    pub(crate) broken_chain: Option<u64>,
    pub(crate) waiters: BTreeMap<ProposalId, (ReignId, Waiter)>,
    /// Reads of clients, and the version that each must see.
    pub(crate) reads: BTreeMap<ReadId, u64>,
    /// A refused proposal: nothing is proposed before this index is applied.
    pub(crate) settle: Option<u64>,
    /// A membership change that was asked for, and when.
    pub(crate) changing: Option<(ProposalId, u64)>,
    pub(crate) applied: u64,
    pub(crate) making_snapshot: bool,
    waiting: VecDeque<Persist>,
    writing: Option<Persist>,
    removal: Removal,
}

pub(crate) fn raft_id(at: usize) -> RaftId {
    RaftId::new(at as u64 + 1).expect("numbers of managers begin at one")
}

pub(crate) fn index(id: RaftId) -> usize {
    usize::try_from(id.get() - 1).expect("raft ids are small here")
}

// === impl Process ===

impl Process {
    /// Whether it holds an entry above `index`, on its way to the disk, that changes the members.
    fn changes_members_after(&self, index: u64) -> bool {
        let mut all = self.waiting.iter().chain(&self.writing);
        all.any(|p| changes_members(&p.entries, index))
    }

    fn position(&self) -> Position {
        Position {
            term: self.consensus.status().term,
            applied: self.applied,
            commit: self.consensus.commit_index(),
            last: self.consensus.last_index(),
        }
    }
}

// === impl Host ===

impl Host {
    pub(crate) fn new(at: usize, node: NodeId, clock: Clock) -> Self {
        Self {
            at,
            node,
            clock,
            disk: Disk::default(),
            process: None,
            start: 0,
            paused_until: 0,
            clogged_until: 0,
            slow_until: 0,
            full_until: 0,
            dies_in: None,
            dies_writing: None,
            gone: false,
            lost: false,
        }
    }

    pub(crate) fn member(&self) -> Member {
        Member {
            raft_id: raft_id(self.at),
            node_id: self.node.to_string(),
            addr: self.addr(),
        }
    }

    pub(crate) fn addr(&self) -> String {
        format!("10.0.0.{}:2377", self.at + 1)
    }

    /// Whether its log, written or not, holds a change of the members after `index`.
    pub(crate) fn changes_members_after(&self, index: u64) -> bool {
        let process = self.process.as_ref();
        self.disk.changes_members_after(index)
            || process.is_some_and(|p| p.changes_members_after(index))
    }

    /// Term and index of the newest entry of its log, written or not.
    pub(crate) fn newest_entry(&self) -> (u64, u64) {
        let unwritten = self.process.iter();
        let unwritten = unwritten.flat_map(|p| p.waiting.iter().chain(&p.writing));
        let newest = unwritten.filter_map(|p| p.entries.last());
        let newest = newest.map(|e| (e.term, e.index));
        newest.chain([self.disk.last()]).max().unwrap_or_default()
    }

    fn damage(&mut self, bug: Option<Bug>) {
        self.disk.unsynced.clear();
        match bug {
            Some(Bug::ForgetVote) => self.disk.hard_state.vote = None,
            Some(Bug::LoseLastEntry) if self.disk.last_index() > self.disk.hard_state.commit => {
                drop(self.disk.entries.pop());
            }
            _ => {}
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
        let (seed, bug, now) = (self.seed, self.bug, self.now);
        let host = &mut self.hosts[at];
        if host.process.is_some() || host.gone || (host.lost && self.calm) {
            return;
        }
        host.start += 1;
        host.damage(bug);
        host.clock.restart(now);
        (host.dies_in, host.dies_writing) = (None, None);
        let (restored, state) = host.disk.restore();
        let state = crate::snapshot::reloaded(&state, bug);
        let applied = restored.snapshot.as_ref().map_or(0, |s| s.index);
        let config = Config::new(raft_id(at), mix(seed ^ mix(host.start)));
        let consensus = Consensus::new(config, restored).expect("R8: a member starts again");
        host.process = Some(Process {
            consensus,
            feed: History::new(state.version(), HISTORY_CHANGES_MAX),
            state: state.clone(),
            line: None,
            reign: None,
            epoch: 0,
            broken_chain: None,
            waiters: BTreeMap::new(),
            reads: BTreeMap::new(),
            settle: None,
            changing: None,
            applied,
            waiting: VecDeque::new(),
            writing: None,
            making_snapshot: false,
            removal: Removal::No,
        });
        let start = host.start;
        self.oracle.members.starts(raft_id(at));
        let verdict = self.oracle.restored(&state);
        self.judge(verdict);
        self.note(("m", at), 1, || {
            format!("starts at version {}", state.version())
        });
        let phase = self.rng.under(TICK);
        self.after(phase, Event::Manager(at, start, ManagerEvent::Tick));
        self.drain(at);
        if let Some(agent) = self.agent_on(at) {
            self.boot_agent(agent);
        }
    }

    /// Power off for a while. A write that was under way may or may not have reached the disk.
    pub(crate) fn crash_manager(&mut self, at: usize, down: u64) {
        let reached = self.rng.chance(5_000);
        let host = &mut self.hosts[at];
        let Some(process) = host.process.take() else {
            return;
        };
        if !process.waiting.is_empty() {
            self.mark("crash with writes that wait");
        }
        if let Some(persist) = process.writing {
            self.mark(
                match (
                    reached,
                    persist.hard_state.is_some(),
                    persist.entries.is_empty(),
                ) {
                    (true, true, false) => "crash after hard state and entries were written",
                    (false, true, false) => "crash before hard state and entries were written",
                    (_, true, true) => "crash while a hard state is written",
                    _ => "crash while entries are written",
                },
            );
            self.tear(at, persist, reached);
        }
        if process.making_snapshot {
            self.mark("crash while a snapshot is made");
        }
        if process.changing.is_some() {
            self.mark("crash of a leader that changes the members");
        }
        self.mark(if process.reign.is_some() {
            "crash of a leader"
        } else {
            "crash of a manager"
        });
        self.note(("m", at), 2, || "crashes".into());
        self.after(down, Event::BootManager(at));
        if let Some(agent) = self.agent_on(at) {
            self.kill_agent(agent);
        }
    }

    /// Leaves what a crash leaves of a write: all of it, or nothing although some of its sectors
    /// are there.
    fn tear(&mut self, at: usize, write: Persist, reached: bool) {
        let before = self.hosts[at].disk.content();
        if reached {
            self.hosts[at].disk.write(write.clone());
        }
        let mut rng = self.disk_rng(at);
        if !rng.chance(FILES_LOOKED_AT) {
            return;
        }
        let verdict = match files::after_crash(&before, &write, reached, &mut rng) {
            Ok(read) if read == self.hosts[at].disk.content() => {
                self.mark_if(!reached, "torn write of a log cut off");
                Ok(())
            }
            Ok(_) => Err("the log of a crashed manager is not as it was".to_owned()),
            Err(why) => Err(why),
        };
        self.judge(verdict.map_err(|why| Violation::new("R5", format!("m{at}: {why}"))));
    }

    /// What chance does to a manager's disk: no other draw depends on it.
    pub(crate) fn disk_rng(&self, at: usize) -> Rng {
        Rng::new(mix(self.seed ^ mix(self.now)) ^ at as u64)
    }

    /// Whether the manager dies here, between two effects.
    fn dies(&mut self, at: usize) -> bool {
        let per_effect = if self.calm {
            0
        } else {
            self.params.crash_per_effect
        };
        let host = &mut self.hosts[at];
        let Some(process) = host.process.as_ref() else {
            return true;
        };
        let writing = process.writing.is_some();
        let down = match &mut host.dies_in {
            Some((0, down)) => Some(*down),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        let factor = if writing { 10 } else { 1 };
        let by_chance = per_effect > 0 && self.rng.chance(per_effect * factor);
        let Some(down) = down.or_else(|| by_chance.then(|| self.rng.under(3 * SEC))) else {
            return false;
        };
        self.mark(if writing {
            "crash between effects while writing"
        } else {
            "crash between effects"
        });
        self.crash_manager(at, down);
        true
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
            ManagerEvent::Tick => self.tick(at),
            ManagerEvent::Written => self.written(at),
            ManagerEvent::Synced => self.synced(at),
            ManagerEvent::SnapshotMade(file) => self.snapshot_made(at, *file),
            ManagerEvent::SnapshotEnded(to, ok) => {
                self.raft(at, Input::SnapshotSent { to, ok });
            }
            ManagerEvent::Unreachable(to) => self.raft(at, Input::Unreachable(to)),
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

    fn tick(&mut self, at: usize) {
        // An oscillator that is off makes ticks longer or shorter.
        let tick = self.hosts[at].clock.stretch(TICK);
        self.schedule(at, tick, ManagerEvent::Tick);
        self.raft(at, Input::Tick);
        if (self.now / TICK).is_multiple_of(ROLES_TICKS) {
            self.roles(at);
        }
        let full = self.hosts[at].full_until > self.now;
        if full && (self.now / TICK).is_multiple_of(10) && self.leads(at) {
            // Nothing can be accepted here: somebody else should lead.
            self.transfer(at);
        }
    }

    /// Whether raft says that this manager leads.
    pub(crate) fn leads(&mut self, at: usize) -> bool {
        let process = self.process(at);
        process.is_some_and(|p| p.consensus.status().role == Role::Leader)
    }

    pub(crate) fn transfer(&mut self, at: usize) {
        let id = ProposalId(self.number());
        self.raft(at, Input::TransferLeader { id, to: None });
        self.mark("leadership transferred");
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
        let mut any = false;
        while let Some(effects) = self.process(at).and_then(|p| p.consensus.ready()) {
            any = true;
            self.perform(at, effects);
            if self.violation.is_some() {
                return;
            }
        }
        if let Some(process) = self.process(at).filter(|_| any) {
            let position = process.position();
            let verdict = self.oracle.members.stands(raft_id(at), position);
            self.judge(verdict);
        }
    }

    /// The duties of the caller, in their order.
    fn perform(&mut self, at: usize, effects: Effects) {
        if self.dies(at) {
            return;
        }
        if let Some(persist) = effects.persist {
            if let Some(process) = self.process(at) {
                process.waiting.push_back(persist);
            }
            self.start_write(at);
        }
        for message in effects.send {
            if self.dies(at) {
                return;
            }
            self.post(at, message);
        }
        let any = !effects.apply.is_empty();
        for apply in effects.apply {
            if self.dies(at) {
                return;
            }
            self.apply(at, apply);
        }
        if let Some(process) = self.process(at).filter(|_| any) {
            let index = process.applied;
            process.consensus.handle(Input::Applied { index });
            self.maybe_make_snapshot(at, false);
        }
        for (request, reason) in effects.rejected {
            self.rejected(at, request, &reason);
        }
        for read in effects.reads {
            self.schedule(at, 0, ManagerEvent::Confirmed(read.id, true));
        }
        for (from, why) in effects.refused {
            // The shell stops then, for good: it must never be wrong.
            if let MessageRefused::LogLost(entry) = why {
                let leader = index(from);
                let text = format!("m{leader} says that m{at} acknowledged entry {entry}");
                self.violate("R5", text);
            }
        }
        self.tell_removed(at, effects.tell_removed);
        if effects.want_snapshot {
            self.mark("snapshot wanted");
            self.maybe_make_snapshot(at, true);
        }
        if let Some(status) = effects.status {
            self.new_status(at, &status);
        }
    }

    fn rejected(&mut self, at: usize, request: RequestId, reason: &Rejected) {
        self.mark(match reason {
            Rejected::LostLeadership { .. } => "outcome of a request unknown",
            Rejected::StaleTerm { .. } => "proposal of an old term refused",
            Rejected::Transferring { .. } => "proposal refused during a transfer",
            Rejected::Change(_) => "change of members refused",
            Rejected::NotLeader { .. } => "proposal refused by a follower",
            _ => "proposal refused for now",
        });
        match request {
            RequestId::Read(id) => self.schedule(at, 0, ManagerEvent::Confirmed(id, false)),
            RequestId::Proposal(id) => {
                let outcome = match reason {
                    Rejected::LostLeadership { .. } => Outcome::Unknown,
                    _ => Outcome::Refused,
                };
                self.change_ended(at, id);
                self.settle_proposal(at, id, outcome);
            }
        }
    }

    fn tell_removed(&mut self, at: usize, members: BTreeSet<RaftId>) {
        for to in members {
            self.mark("a removed manager is told");
            self.tell(at, index(to));
        }
    }

    fn new_status(&mut self, at: usize, status: &consensus::Status) {
        let (role, term) = (status.role, status.term);
        self.note(("m", at), term, || format!("{role:?} in term {term}"));
        if role == Role::Leader {
            let Some(process) = self.process(at) else {
                return;
            };
            let last = process.consensus.last_index();
            let verdict = self
                .oracle
                .members
                .leads(raft_id(at), (term, last), &status.membership);
            self.judge(verdict);
        }
        let Some(process) = self.process(at) else {
            return;
        };
        let was = std::mem::replace(&mut process.removal, status.removal);
        if status.removal == Removal::Done && was != Removal::Done {
            return self.manager_leaves(at);
        }
        let delay = self.rng.under(20 * MS);
        self.schedule(at, delay, ManagerEvent::Leadership);
    }

    // The log.

    fn start_write(&mut self, at: usize) {
        let (now, calm, disk_max) = (self.now, self.calm, self.params.disk_max);
        let host = &mut self.hosts[at];
        let (slow, full) = (host.slow_until > now, host.full_until.saturating_sub(now));
        let dies = host.dies_writing;
        let Some(process) = host.process.as_mut() else {
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
        let mut delay = self.rng.between(0, disk_max);
        if slow && !calm {
            delay += self.rng.between(SEC, 4 * SEC);
            self.mark("a write takes seconds");
        }
        if full > 0 && !calm {
            delay += full + FULL_POLL;
            self.mark("a write waits for room on the disk");
        }
        if let Some(down) = dies {
            self.mark("crash at a write");
            return self.crash_manager(at, down);
        }
        self.schedule(at, delay, ManagerEvent::Written);
    }

    fn written(&mut self, at: usize) {
        let bug = self.bug;
        let host = &mut self.hosts[at];
        let written = host.process.as_mut().and_then(|p| p.writing.take());
        let Some(mut persist) = written else { return };
        let number = persist.number;
        if bug == Some(Bug::DropHardState) && !persist.entries.is_empty() {
            persist.hard_state = None;
        }
        if bug == Some(Bug::SkipSync) {
            host.disk.unsynced.push_back(persist);
            self.schedule(at, 400 * MS, ManagerEvent::Synced);
        } else {
            host.disk.write(persist);
        }
        if self.dies(at) {
            return;
        }
        self.raft(at, Input::Persisted { number });
        self.start_write(at);
    }

    /// A lying disk does a write at last.
    fn synced(&mut self, at: usize) {
        let disk = &mut self.hosts[at].disk;
        if let Some(persist) = disk.unsynced.pop_front() {
            disk.write(persist);
        }
    }

    // The tables.

    fn apply(&mut self, at: usize, apply: Apply) {
        match apply {
            Apply::Snapshot(meta) => self.install(at, &meta),
            Apply::Entry(entry) => self.apply_entry(at, &entry),
        }
    }

    fn install(&mut self, at: usize, meta: &SnapshotMeta) {
        let bug = self.bug;
        let host = &mut self.hosts[at];
        let Some(file) = host.disk.file(meta) else {
            return self.violate("R8", format!("m{at} accepted a snapshot without its file"));
        };
        let state = crate::snapshot::reloaded(file, bug);
        let Some(process) = host.process.as_mut() else {
            return;
        };
        let first = process.applied == 0;
        process.applied = meta.index;
        process.state = state.clone();
        process.line = None;
        process.feed = History::new(state.version(), HISTORY_CHANGES_MAX);
        self.mark("snapshot installed");
        if first {
            self.mark("snapshot installed by a manager that joined");
        }
        if !self.cut.is_empty() {
            self.mark("snapshot installed during a partition");
        }
        let verdict = self.oracle.restored(&state);
        self.judge(verdict);
        let version = state.version();
        self.note(("m", at), version, || {
            format!("installs a snapshot of version {version}")
        });
    }

    fn apply_entry(&mut self, at: usize, entry: &Committed) {
        let Some(process) = self.process(at) else {
            return;
        };
        process.applied = entry.index;
        let member = (raft_id(at), process.consensus.status().term);
        let skip = process.making_snapshot && self.bug == Some(Bug::SkipApply);
        let hash = match &entry.payload {
            Payload::Normal(data) => hash_of(data),
            Payload::Empty => 0,
            Payload::Membership(m) => {
                let ids = m.voters.iter().chain(&m.learners).chain(&m.removed);
                ids.fold(1, |hash, id| fold(hash, id.get()))
            }
        };
        let place = (entry.index, entry.term);
        let verdict = self.oracle.members.applied(member, place, hash);
        self.judge(verdict);
        match &entry.payload {
            Payload::Normal(data) if !skip => {
                self.apply_transaction(at, entry.term, (data, hash));
                if self.bug == Some(Bug::ApplyTwice) && entry.index.is_multiple_of(40) {
                    self.apply_transaction(at, entry.term, (data, hash));
                }
            }
            Payload::Membership(members) => self.members_changed(at, entry.index, members),
            _ => {}
        }
        if let Some(id) = entry.id {
            self.change_ended(at, id);
            self.settle_proposal(at, id, Outcome::Committed);
        }
    }

    /// What the shell's ledger does with a committed transaction.
    fn apply_transaction(&mut self, at: usize, term: u64, (data, hash): (&Bytes, u64)) {
        let now = self.time();
        let Some(process) = self.hosts[at].process.as_mut() else {
            return;
        };
        let expected = process.state.version() + 1;
        let leading = process.reign.as_mut().filter(|l| l.view.term() == term);
        let own = leading.and_then(|l| l.view.commit(expected));
        let (commit, line) = if let Some(done) = own {
            process.state = done.state;
            process.line = None;
            (done.commit, None)
        } else {
            let oracle = &mut self.oracle;
            let line = process.line;
            let line = line.unwrap_or_else(|| oracle.line(&mut process.state));
            process.line = Some(line);
            if let Some((state, commit)) = oracle.replayed(line, expected, hash) {
                // Equal tables and equal bytes: what comes of them was found and judged before.
                process.feed.push(commit);
                process.state = state;
                return self.schedule_news(at);
            }
            (replay(&mut process.state, data, self.bug), Some(line))
        };
        process.feed.push(commit.clone());
        let state = process.state.clone();
        if commit.version > self.oracle.state().version() {
            self.committed(at, data, &commit);
        }
        let verdict = self.oracle.applied(hash, (&commit, &state), now);
        self.judge(verdict);
        if let Some(line) = line {
            self.oracle.remember(line, &state, &commit);
        }
        self.schedule_news(at);
    }

    /// A transaction is committed for the first time anywhere.
    fn committed(&mut self, at: usize, data: &Bytes, commit: &Commit) {
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
            self.mark_change(change);
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
}

/// Reads a transaction and applies it.
fn replay(state: &mut State, data: &Bytes, bug: Option<Bug>) -> Arc<Commit> {
    let mut tx = wire::log::decode_transaction(data).expect("R8: an entry reads back");
    if bug == Some(Bug::DropActions) && tx.version.is_multiple_of(40) {
        tx.actions.pop();
    }
    let commit = state.apply(&tx);
    let commit = commit.unwrap_or_else(|e| panic!("R7: a committed entry cannot be applied: {e}"));
    // What production tells of and goes on.
    assert!(
        tx.made(state),
        "R7: tables differ from the leader's at {}",
        tx.version
    );
    Arc::new(commit)
}
