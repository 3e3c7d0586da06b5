//! The simulated cluster: hosts, network, clients, operators and faults, driven by one queue of
//! events in simulated time. The driver around each member does its duties as the crate lists
//! them, and can die between any two.

use std::collections::{BTreeMap, BTreeSet};

use consensus::{
    Apply, Effects, Input, Member, Message, MessageKind, Payload, Persist, RaftId, Rejected,
    Removal, RequestId, SnapshotMeta, TICK_MS, bootstrap,
};

use crate::host::{Host, Process, SnapshotFile};
use crate::oracle::{Machine, Oracle, serial_of};
use crate::params::{Bug, Params};
use crate::rng::{Rng, fold};

/// Names of membership changes and transfers, so that they are never taken for writes.
pub const ADMIN_IDS: u64 = 1 << 40;
/// Simulated time from the end of all faults to a leader: ten of the longest election timeouts.
pub const LEADER_WITHIN_MS: u64 = 10 * 2 * consensus::ELECTION_TICKS as u64 * TICK_MS;
/// Simulated time from the end of all faults until every member has everything: as long again, for
/// logs and snapshots over slow links and disks.
pub const CONVERGED_WITHIN_MS: u64 = 3 * LEADER_WITHIN_MS;

#[derive(Debug)]
pub enum Event {
    Tick {
        host: RaftId,
        start: u64,
    },
    Deliver(Box<Packet>),
    Written {
        host: RaftId,
        start: u64,
    },
    /// A disk that lies does a write at last.
    Synced {
        host: RaftId,
        start: u64,
    },
    SnapshotMade {
        host: RaftId,
        start: u64,
        file: Box<SnapshotFile>,
    },
    SnapshotEnded {
        host: RaftId,
        start: u64,
        to: RaftId,
        ok: bool,
    },
    Unreachable {
        host: RaftId,
        start: u64,
        to: RaftId,
    },
    Boot {
        host: RaftId,
    },
    Client,
    Admin,
    Fault,
}

#[derive(Debug, Clone)]
pub struct Packet {
    from: RaftId,
    from_start: u64,
    to: RaftId,
    content: Content,
}

#[derive(Debug, Clone)]
pub enum Content {
    Message(Box<Message>, Option<SnapshotFile>),
    YouWereRemoved,
}

/// How often a situation occurred, so that a batch of runs can prove that it reached it.
pub type Marks = BTreeMap<&'static str, u64>;

pub struct World {
    pub params: Params,
    pub hosts: BTreeMap<RaftId, Host>,
    pub oracle: Oracle,
    pub now: u64,
    pub trace: u64,
    pub marks: Marks,
    pub bug: Option<Bug>,
    pub calm: bool,
    pub seed: u64,
    pub rng: Rng,
    pub queue: BTreeMap<(u64, u64), Event>,
    pub events: u64,
    pub cut: BTreeSet<(RaftId, RaftId)>,
    pub next_id: u64,
    pub next_serial: u64,
    pub quiet_until: u64,
    /// Whether the cluster has had its size once.
    pub grown: bool,
}

// === impl Event ===

impl Event {
    /// The host whose process has to deal with it.
    pub fn host(&self) -> Option<RaftId> {
        match self {
            Event::Tick { host, .. }
            | Event::Written { host, .. }
            | Event::SnapshotMade { host, .. }
            | Event::SnapshotEnded { host, .. }
            | Event::Unreachable { host, .. } => Some(*host),
            Event::Deliver(packet) => Some(packet.to),
            Event::Synced { .. } | Event::Boot { .. } => None,
            Event::Client | Event::Admin | Event::Fault => None,
        }
    }
}

// === impl World ===

impl World {
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = Rng::new(seed);
        let params = Params::from_rng(&mut rng);
        let mut world = Self {
            params,
            hosts: BTreeMap::new(),
            oracle: Oracle::default(),
            now: 0,
            trace: 0,
            marks: Marks::new(),
            bug,
            calm: false,
            seed,
            rng,
            queue: BTreeMap::new(),
            events: 0,
            cut: BTreeSet::new(),
            next_id: 1,
            next_serial: 1,
            quiet_until: 0,
            grown: false,
        };
        let founder = world.new_host();
        let member = world.member(founder);
        let (_, persist) = bootstrap(&member);
        world.host(founder).disk.write(persist);
        world.boot(founder);
        for event in [Event::Client, Event::Admin, Event::Fault] {
            world.after(1_000, event);
        }
        world
    }

    /// Runs until a moment of simulated time.
    pub fn run_until(&mut self, end: u64) {
        while let Some(next) = self.queue.first_entry() {
            if next.key().0 > end {
                break;
            }
            let ((at, _), event) = next.remove_entry();
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    /// Ends all faults and brings every host back.
    pub fn heal(&mut self) {
        self.calm = true;
        self.cut.clear();
        self.hosts
            .values_mut()
            .for_each(|host| host.paused_until = 0);
        let down: Vec<RaftId> = self
            .hosts
            .values()
            .filter(|h| h.process.is_none())
            .map(|h| h.id)
            .collect();
        down.into_iter().for_each(|id| self.boot(id));
    }

    /// Takes a minority of the voters away for good: they crash, or hear nothing any more, or are
    /// heard no more.
    pub fn break_minority(&mut self) {
        let voters: Vec<RaftId> = self.oracle.membership.voters.iter().copied().collect();
        for _ in 0..(voters.len() - 1) / 2 {
            let id = self.rng.pick(&voters).expect("there are voters");
            self.host(id).broken = true;
            match self.rng.below(3) {
                0 => self.crash(id),
                way => {
                    for other in self.hosts.keys().filter(|other| **other != id) {
                        self.cut
                            .insert(if way == 1 { (id, *other) } else { (*other, id) });
                    }
                }
            }
        }
    }

    pub fn mark(&mut self, name: &'static str) {
        *self.marks.entry(name).or_default() += 1;
    }

    pub fn note(&mut self, kind: u64, who: RaftId, what: u64) {
        let hash = fold(fold(self.trace, self.now), kind);
        self.trace = fold(fold(hash, who.get()), what);
    }

    pub fn host(&mut self, id: RaftId) -> &mut Host {
        self.hosts
            .get_mut(&id)
            .expect("asked for a host that exists")
    }

    pub fn process(&mut self, id: RaftId) -> Option<&mut Process> {
        self.hosts
            .get_mut(&id)
            .and_then(|host| host.process.as_mut())
    }

    fn is_start(&self, id: RaftId, start: u64) -> bool {
        self.hosts
            .get(&id)
            .is_some_and(|h| h.process.is_some() && h.start == start)
    }

    pub fn after(&mut self, ms: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + ms, self.events), event);
    }

    pub fn new_host(&mut self) -> RaftId {
        let id = RaftId::new(self.next_id).expect("ids begin at one");
        self.next_id += 1;
        self.hosts.insert(id, Host::new(id, format!("node-{id}")));
        id
    }

    pub fn member(&self, id: RaftId) -> Member {
        let node_id = self.hosts[&id].node_id.clone();
        Member {
            raft_id: id,
            node_id,
            addr: format!("10.0.0.{id}:2377"),
        }
    }

    pub fn boot(&mut self, id: RaftId) {
        let (seed, bug) = (self.seed ^ id.get(), self.bug);
        let params = self.params.clone();
        let host = self.host(id);
        host.boot(&params, seed, bug);
        let start = host.start;
        if bug != Some(Bug::ApplyTwice) {
            let machine = host.up().expect("it has just been started").machine.clone();
            self.oracle.restored(id, &machine);
        }
        self.note(1, id, start);
        let phase = self.rng.below(TICK_MS);
        self.after(phase, Event::Tick { host: id, start });
        self.drain(id);
    }

    /// Power off. A write that was under way may or may not have reached the disk.
    pub fn crash(&mut self, id: RaftId) {
        let reached = self.rng.chance(5_000);
        let host = self.host(id);
        host.disk.unsynced.clear();
        let Some(process) = host.process.take() else {
            return;
        };
        if let (Some(persist), true) = (process.writing, reached) {
            host.disk.write(persist);
        }
        self.note(2, id, 0);
        self.mark("crash");
        let down_ms = self.rng.between(0, self.params.down_ms_max);
        self.after(down_ms, Event::Boot { host: id });
    }

    fn maybe_crash(&mut self, id: RaftId) -> bool {
        let Some(process) = self.hosts[&id].up() else {
            return true;
        };
        let factor = if process.writing.is_some() { 10 } else { 1 };
        if self.calm || !self.rng.chance(self.params.crash_per_effect * factor) {
            return false;
        }
        self.mark("crash between effects");
        self.crash(id);
        true
    }

    fn happen(&mut self, event: Event) {
        let paused_until = event
            .host()
            .and_then(|id| self.hosts.get(&id))
            .map(|h| h.paused_until);
        if let Some(until) = paused_until.filter(|until| *until > self.now) {
            return self.after(until - self.now, event);
        }
        match event {
            Event::Tick { host, start } if self.is_start(host, start) => {
                self.after(TICK_MS, Event::Tick { host, start });
                self.input(host, Input::Tick);
                self.maybe_make_snapshot(host, false);
            }
            Event::Deliver(packet) => self.deliver(*packet),
            Event::Written { host, start } if self.is_start(host, start) => self.written(host),
            Event::Synced { host, start } if self.is_start(host, start) => {
                let disk = &mut self.host(host).disk;
                let persist = disk.unsynced.pop_front().expect("one event for each write");
                disk.write(persist);
            }
            Event::SnapshotMade { host, start, file } if self.is_start(host, start) => {
                self.snapshot_made(host, *file);
            }
            Event::SnapshotEnded {
                host,
                start,
                to,
                ok,
            } if self.is_start(host, start) => {
                self.input(host, Input::SnapshotSent { to, ok });
            }
            Event::Unreachable { host, start, to } if self.is_start(host, start) => {
                self.input(host, Input::Unreachable(to));
            }
            Event::Boot { host } => {
                let down = |h: &Host| h.process.is_none() && !h.broken;
                if self.hosts.get(&host).is_some_and(down) {
                    self.boot(host);
                }
            }
            Event::Client => self.client(),
            Event::Admin => self.admin(),
            Event::Fault => self.fault(),
            _ => {} // For a process that is no more.
        }
    }

    // The driver of one member.

    pub fn input(&mut self, id: RaftId, input: Input) {
        if let Some(process) = self.process(id) {
            process.consensus.handle(input);
            self.drain(id);
        }
    }

    pub fn drain(&mut self, id: RaftId) {
        while let Some(effects) = self.process(id).and_then(|p| p.consensus.ready()) {
            self.perform(id, effects);
        }
        self.check_order(id);
    }

    /// The duties of the caller, in their order.
    fn perform(&mut self, id: RaftId, effects: Effects) {
        if self.maybe_crash(id) {
            return;
        }
        if let Some(persist) = effects.persist {
            self.persist(id, persist);
        }
        for message in effects.send {
            if self.maybe_crash(id) {
                return;
            }
            let votes = message.kind == MessageKind::RequestVoteResponse;
            self.send(id, message);
            if votes && !self.calm && self.rng.chance(self.params.crash_after_vote) {
                self.mark("crash after vote");
                self.crash(id);
                return;
            }
        }
        let applied = effects.apply.len();
        for apply in effects.apply {
            if self.maybe_crash(id) {
                return;
            }
            self.apply(id, apply);
        }
        if applied > 0 {
            self.report_applied(id);
        }
        for read in effects.reads {
            let Some(process) = self.process(id) else {
                return;
            };
            if let Some(floor) = process.reads.remove(&read.id) {
                let machine = process.machine.clone();
                self.oracle.read(id, floor, &machine);
                self.mark("read");
            }
        }
        for (request, reason) in effects.rejected {
            self.rejected(id, request, &reason);
        }
        assert_eq!(effects.refused, [], "{id} refused what another member sent");
        for to in effects.tell_removed {
            self.post(id, to, Content::YouWereRemoved);
        }
        if effects.want_snapshot {
            self.mark("snapshot wanted");
            self.maybe_make_snapshot(id, true);
        }
        if let Some(status) = effects.status {
            self.status(id, &status);
        }
    }

    fn persist(&mut self, id: RaftId, persist: Persist) {
        self.note(3, id, persist.number);
        let Some(process) = self.process(id) else {
            return;
        };
        process.waiting.push_back(persist);
        self.start_write(id);
    }

    /// Group commit: all that waits goes into one write.
    fn start_write(&mut self, id: RaftId) {
        let Some(process) = self.process(id) else {
            return;
        };
        if process.writing.is_some() {
            return;
        }
        let Some(mut persist) = process.waiting.pop_front() else {
            return;
        };
        let joined = !process.waiting.is_empty();
        process
            .waiting
            .drain(..)
            .for_each(|later| persist.absorb(later));
        process.writing = Some(persist);
        if joined {
            self.mark("writes joined");
        }
        let ms = self.rng.between(0, self.params.disk_ms_max);
        let start = self.hosts[&id].start;
        self.after(ms, Event::Written { host: id, start });
    }

    fn written(&mut self, id: RaftId) {
        let bug = self.bug;
        let Some(process) = self.process(id) else {
            return;
        };
        let mut persist = process.writing.take().expect("a write has ended");
        let number = persist.number;
        if bug == Some(Bug::DropHardState) && !persist.entries.is_empty() {
            persist.hard_state = None;
        }
        let host = self.host(id);
        if bug == Some(Bug::SkipSync) {
            host.disk.unsynced.push_back(persist);
            let start = host.start;
            self.after(400, Event::Synced { host: id, start });
        } else {
            host.disk.write(persist);
        }
        if self.maybe_crash(id) {
            return;
        }
        self.input(id, Input::Persisted { number });
        self.start_write(id);
    }

    fn apply(&mut self, id: RaftId, apply: Apply) {
        let bug = self.bug;
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let Some(process) = host.process.as_mut() else {
            return;
        };
        match apply {
            Apply::Snapshot(meta) => {
                assert!(meta.index >= process.machine.applied, "R4: state went back");
                let file = &host.disk.files[&(meta.index, meta.term)];
                if bug == Some(Bug::IgnoreSnapshotContent) {
                    process.machine.applied = meta.index;
                } else {
                    process.machine = file.clone();
                }
                let machine = process.machine.clone();
                self.oracle.restored(id, &machine);
                self.mark("snapshot installed");
            }
            Apply::Entry(entry) => {
                assert_eq!(
                    entry.index,
                    process.machine.applied + 1,
                    "R4: entries in order"
                );
                if bug == Some(Bug::SkipApply) && process.making_snapshot {
                    process.machine.applied = entry.index;
                } else {
                    process.machine.apply(&entry);
                }
                let machine = process.machine.clone();
                let mine = entry.id.filter(|name| process.proposals.remove(name));
                let member = (id, process.consensus.status().term);
                self.oracle.applied(member, &entry, &machine);
                self.note(4, id, entry.index);
                if let (Some(name), Payload::Normal(data)) = (mine, &entry.payload) {
                    assert_eq!(serial_of(data), name.0, "a client got another one's answer");
                    self.oracle.acked(name.0, entry.index);
                    self.mark("write");
                }
            }
        }
    }

    fn report_applied(&mut self, id: RaftId) {
        let Some(process) = self.process(id) else {
            return;
        };
        let index = process.machine.applied;
        process.consensus.handle(Input::Applied { index });
        self.maybe_make_snapshot(id, false);
    }

    fn rejected(&mut self, id: RaftId, request: RequestId, reason: &Rejected) {
        let unknown = matches!(reason, Rejected::LostLeadership { .. });
        let treat_as_failure = !unknown || self.bug == Some(Bug::UnknownIsFailure);
        self.mark(match reason {
            Rejected::LostLeadership { .. } => "outcome unknown",
            Rejected::Busy => "busy",
            Rejected::StaleTerm { .. } => "stale term",
            Rejected::Change(_) => "change refused",
            Rejected::Transferring { .. } => "write during transfer",
            _ => "other rejection",
        });
        let Some(process) = self.process(id) else {
            return;
        };
        match request {
            RequestId::Read(read) => drop(process.reads.remove(&read)),
            RequestId::Proposal(name) => {
                let known = process.proposals.remove(&name);
                if known && treat_as_failure && name.0 < ADMIN_IDS {
                    self.oracle.failed(name.0);
                }
            }
        }
    }

    fn status(&mut self, id: RaftId, status: &consensus::Status) {
        let Some(process) = self.process(id) else {
            return;
        };
        let before = process.status.replace(status.clone());
        assert!(
            before.is_none_or(|b| b.term <= status.term),
            "R4: the term went back"
        );
        let last = process.consensus.last_index();
        self.note(5, id, status.term);
        if status.role == consensus::Role::Leader {
            self.oracle.leads(id, status.term, last, &status.membership);
            self.mark("leader");
        }
        if status.removal == Removal::Done {
            self.mark("removed");
            self.hosts.remove(&id);
        }
    }

    /// R4: snapshot ≤ applied ≤ committed ≤ last, and none of them goes back.
    fn check_order(&mut self, id: RaftId) {
        let Some(process) = self.process(id) else {
            return;
        };
        let consensus = &process.consensus;
        let applied = process.machine.applied;
        let (commit, last) = (consensus.commit_index(), consensus.last_index());
        assert!(
            commit >= process.commit,
            "R4: the commit index of {id} went back"
        );
        assert!(commit <= last, "R4: {id} committed {commit} of {last}");
        assert!(
            applied <= commit,
            "R4: {id} applied {applied} of {commit} committed"
        );
        process.commit = commit;
    }

    // Snapshots.

    fn maybe_make_snapshot(&mut self, id: RaftId, wanted: bool) {
        let (every, bug) = (self.params.snapshot_every, self.bug);
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let covered = host.disk.mark.as_ref().map_or(0, |m| m.index);
        let Some(process) = host.process.as_mut() else {
            return;
        };
        let applied = process.machine.applied;
        let due = applied >= covered + every || (wanted && applied > covered);
        if process.making_snapshot || !due {
            return;
        }
        let Some(mut meta) = process.consensus.snapshot_meta() else {
            return;
        };
        if meta.index != applied {
            return; // A snapshot was received and is not yet reported as applied.
        }
        process.making_snapshot = true;
        let machine = process.machine.clone();
        if bug == Some(Bug::SnapshotWithoutMembership) {
            meta.membership.learners.clear();
            meta.membership.removed.clear();
            let voters = &meta.membership.voters;
            meta.membership.members.retain(|id, _| voters.contains(id));
        }
        let file = Box::new(SnapshotFile { meta, machine });
        let start = host.start;
        let ms = self.rng.between(1, 500);
        self.after(
            ms,
            Event::SnapshotMade {
                host: id,
                start,
                file,
            },
        );
    }

    fn snapshot_made(&mut self, id: RaftId, mut file: SnapshotFile) {
        let keep_entries = self.params.keep_entries;
        let bug = self.bug;
        let host = self.host(id);
        let Some(process) = host.process.as_mut() else {
            return;
        };
        process.making_snapshot = false;
        if bug == Some(Bug::SnapshotTooEarly) {
            file.machine = process.machine.clone();
        }
        let SnapshotFile { meta, machine } = file;
        if host
            .disk
            .mark
            .as_ref()
            .is_some_and(|m| m.index >= meta.index)
        {
            return; // A newer one was received meanwhile.
        }
        host.disk.files.insert((meta.index, meta.term), machine);
        process.consensus.handle(Input::Compact {
            snapshot: meta.clone(),
            keep_entries,
        });
        let first = process.consensus.first_index();
        host.disk.truncate(meta, first);
        self.mark("snapshot made");
        self.drain(id);
    }

    // The network.

    fn send(&mut self, id: RaftId, message: Message) {
        self.note(6, message.to, message.index ^ (message.kind as u64) << 32);
        self.oracle.sends(&message, &self.hosts[&id].disk);
        let to = message.to;
        let file = message
            .snapshot
            .as_ref()
            .map(|meta| self.snapshot_file(id, meta));
        match file {
            Some(None) => {
                let start = self.hosts[&id].start;
                self.after(
                    1,
                    Event::SnapshotEnded {
                        host: id,
                        start,
                        to,
                        ok: false,
                    },
                );
            }
            Some(Some(file)) => self.post(id, to, Content::Message(Box::new(message), Some(file))),
            None => self.post(id, to, Content::Message(Box::new(message), None)),
        }
    }

    fn snapshot_file(&self, id: RaftId, meta: &SnapshotMeta) -> Option<SnapshotFile> {
        let machine = self.hosts[&id].disk.files.get(&(meta.index, meta.term))?;
        Some(SnapshotFile {
            meta: meta.clone(),
            machine: Machine::clone(machine),
        })
    }

    fn post(&mut self, from: RaftId, to: RaftId, content: Content) {
        let copies = 1 + u64::from(!self.calm && self.rng.chance(self.params.duplicates));
        let from_start = self.hosts[&from].start;
        for _ in 0..copies {
            let heavy = if !self.calm && self.rng.chance(100) {
                10
            } else {
                1
            };
            let ms = self.rng.between(0, self.params.delay_ms_max * heavy);
            let packet = Packet {
                from,
                from_start,
                to,
                content: content.clone(),
            };
            self.after(ms, Event::Deliver(Box::new(packet)));
        }
    }

    fn deliver(&mut self, packet: Packet) {
        let Packet {
            from,
            from_start,
            to,
            content,
        } = packet;
        let lost = self.cut.contains(&(from, to))
            || (!self.calm && self.rng.chance(self.params.loss))
            || self.hosts.get(&to).is_none_or(|h| h.process.is_none());
        let is_snapshot = matches!(&content, Content::Message(_, Some(_)));
        if is_snapshot {
            let ended = Event::SnapshotEnded {
                host: from,
                start: from_start,
                to,
                ok: !lost,
            };
            self.after(5, ended);
        }
        if lost {
            if self.rng.chance(3_000) {
                self.after(
                    1,
                    Event::Unreachable {
                        host: from,
                        start: from_start,
                        to,
                    },
                );
            }
            return;
        }
        match content {
            Content::YouWereRemoved => self.input(to, Input::ToldRemoved { by: from }),
            Content::Message(message, file) => {
                if let Some(SnapshotFile { meta, machine }) = file {
                    self.host(to)
                        .disk
                        .files
                        .insert((meta.index, meta.term), machine);
                }
                let asks = message.kind == MessageKind::RequestVote;
                if asks && !self.calm && self.rng.chance(self.params.crash_after_vote) {
                    self.mark("restart before vote");
                    self.crash(to);
                    self.boot(to);
                }
                if message.kind == MessageKind::TimeoutNow {
                    self.mark("transfer");
                }
                self.input(to, Input::Step(*message));
            }
        }
    }
}
