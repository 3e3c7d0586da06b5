//! The network between managers.

use consensus::{Input, Message, MessageKind};
use sim_script::params::{MS, SEC};

use crate::host::{index, raft_id};
use crate::snapshot::SnapshotFile;
use crate::world::{Event, ManagerEvent, World};

/// What travels between managers.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) from: usize,
    pub(crate) from_start: u64,
    pub(crate) to: usize,
    /// When it left: a reset of a connection loses what left before.
    left: u64,
    /// Nothing: the receiver was removed.
    message: Option<Box<Message>>,
    file: Option<Box<SnapshotFile>>,
}

impl World {
    pub(crate) fn post(&mut self, from: usize, message: Message) {
        let to = index(message.to);
        let disk = &self.hosts[from].disk;
        let verdict = self
            .oracle
            .members
            .sends(&message, (disk.hard_state, disk.last_index()));
        self.judge(verdict);
        let file = message.snapshot.as_ref().and_then(|meta| {
            let state = self.hosts[from].disk.file(meta)?.clone();
            let meta = meta.clone();
            Some(Box::new(SnapshotFile { meta, state }))
        });
        if message.kind == MessageKind::TimeoutNow {
            self.mark("a manager is told to campaign");
        }
        let packet = Packet {
            from,
            from_start: self.hosts[from].start,
            to,
            left: self.now,
            message: Some(Box::new(message)),
            file,
        };
        if !self.calm && self.rng.chance(self.params.duplicates) {
            self.mark("message between managers arrives twice");
            self.send_packet(packet.clone());
        }
        self.send_packet(packet);
    }

    /// Says to a manager that it was removed.
    pub(crate) fn tell(&mut self, from: usize, to: usize) {
        let from_start = self.hosts[from].start;
        let left = self.now;
        let packet = Packet {
            from,
            from_start,
            to,
            left,
            message: None,
            file: None,
        };
        self.send_packet(packet);
    }

    fn send_packet(&mut self, packet: Packet) {
        let now = self.now;
        let mut delay = self.rng.between(50, self.params.delay_max);
        if self.rng.chance(100) {
            delay *= 10;
        }
        if packet.file.is_some() && self.slow_snapshots.0 > now {
            delay += self.slow_snapshots.1;
            self.mark("snapshot travels slowly");
        }
        if self.reorder_until > now {
            delay += self.rng.under(300 * MS);
        }
        let clogged = self.hosts[packet.from].clogged_until.saturating_sub(now);
        if clogged > 0 {
            delay += clogged;
            self.mark("message held by a clogged link");
        }
        self.after(delay, Event::Packet(Box::new(packet)));
    }

    pub(crate) fn packet(&mut self, packet: Packet) {
        let (from, to) = (packet.from, packet.to);
        let loss = if self.calm { 0 } else { self.params.loss };
        let is_snapshot = packet
            .message
            .as_ref()
            .is_some_and(|m| m.snapshot.is_some());
        let reset = self.resets.get(&from).max(self.resets.get(&to));
        let lost = self.cut.contains(&(from, to))
            || self.hosts[to].process.is_none()
            || reset.is_some_and(|at| *at >= packet.left)
            || self.rng.chance(loss)
            || (is_snapshot && packet.file.is_none());
        if is_snapshot {
            let ended = ManagerEvent::SnapshotEnded(raft_id(to), !lost);
            self.after(5 * MS, Event::Manager(from, packet.from_start, ended));
            if lost {
                self.mark("snapshot lost on its way");
            }
        }
        if lost {
            if self.rng.chance(3_000) {
                let event = ManagerEvent::Unreachable(raft_id(to));
                self.after(MS, Event::Manager(from, packet.from_start, event));
            }
            return;
        }
        let host = &mut self.hosts[to];
        if host.paused_until > self.now {
            let wait = host.paused_until - self.now;
            return self.after(wait, Event::Packet(Box::new(packet)));
        }
        if let Some(file) = packet.file {
            host.disk.put(&file.meta, file.state);
        }
        match packet.message {
            Some(message) => self.raft(to, Input::Step(*message)),
            None => self.raft(to, Input::ToldRemoved { by: raft_id(from) }),
        }
    }

    /// The connections of a manager break: what is on its way is lost, and the others notice.
    pub(crate) fn reset_manager(&mut self, at: usize) {
        self.resets.insert(at, self.now);
        for other in (0..self.hosts.len()).filter(|o| *o != at) {
            for (one, two) in [(at, other), (other, at)] {
                self.schedule(one, MS, ManagerEvent::Unreachable(raft_id(two)));
            }
        }
        self.mark("connections of a manager reset");
    }

    /// Snapshots take so long from now on, for a minute.
    pub(crate) fn slow_down_snapshots(&mut self, us: u64) {
        self.slow_snapshots = (self.now + 60 * SEC, us);
    }
}
