//! What happens to a simulated cluster from outside: clients, operators and faults.

use bytes::Bytes;
use consensus::{Input, Member, MemberChange, ProposalId, RaftId, ReadId};

use crate::host::Host;
use crate::params::Bug;
use crate::world::{ADMIN_IDS, Event, World};

impl World {
    pub fn client(&mut self) {
        if self.calm {
            return;
        }
        let ms = self.rng.between(1, self.params.client_ms_max);
        self.after(ms, Event::Client);
        if self.now < self.quiet_until {
            return;
        }
        if self.rng.chance(20) {
            self.quiet_until = self.now + self.rng.between(1_000, 6_000);
        }
        let up: Vec<RaftId> = self
            .hosts
            .values()
            .filter(|h| h.up().is_some() && h.paused_until <= self.now)
            .map(|h| h.id)
            .collect();
        let leaders = self.leaders();
        // Mostly leaders, sometimes somebody who has to refuse.
        let chosen = if self.rng.chance(9_000) {
            self.rng.pick(&leaders)
        } else {
            self.rng.pick(&up)
        };
        let Some(id) = chosen else { return };
        if self.rng.chance(3_000) {
            self.read(id);
        }
        // While an old leader does not know better, its clients ask it as well.
        for stale in leaders.iter().copied().filter(|_| leaders.len() > 1) {
            self.mark("two believe to lead");
            self.read(stale);
            self.drain(stale);
        }
        for _ in 0..self.rng.between(1, 4) {
            self.write(id);
        }
        self.drain(id);
    }

    /// One write by one client. Returns its serial.
    pub fn write(&mut self, id: RaftId) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        let filler = self.rng.below(200) as usize;
        let stale = u64::from(self.rng.chance(100));
        let mut data = serial.to_be_bytes().to_vec();
        data.resize(8 + filler, 0xa5);
        let bug = self.bug;
        let Some(process) = self.process(id) else {
            return serial;
        };
        let term = process.consensus.status().term - stale.min(process.consensus.status().term);
        let name = ProposalId(serial);
        process.proposals.insert(name);
        let before = process.consensus.last_index();
        let data = Bytes::from(data);
        process.consensus.handle(Input::Propose {
            id: name,
            term,
            data,
        });
        let index = process.consensus.last_index();
        if bug == Some(Bug::AckBeforeQuorum) && index > before {
            process.proposals.remove(&name);
            self.oracle.acked(serial, index);
        }
        serial
    }

    /// One read by one client.
    pub fn read(&mut self, id: RaftId) {
        let name = ReadId(self.next_serial);
        self.next_serial += 1;
        let floor = self.oracle.newest_ack;
        let bug = self.bug;
        let Some(process) = self.process(id) else {
            return;
        };
        if bug == Some(Bug::StaleRead) && process.consensus.status().ready_term.is_some() {
            let machine = process.machine.clone();
            self.oracle.read(id, floor, &machine);
            return;
        }
        process.reads.insert(name, floor);
        process.consensus.handle(Input::ReadIndex { id: name });
    }

    pub fn admin(&mut self) {
        if self.calm {
            return;
        }
        // A cluster grows fast until it has its size once, and changes slowly afterwards.
        let is_grown = self.oracle.membership.voters.len() as u64 >= self.params.members_target;
        self.grown |= is_grown;
        let ms_max = if self.grown {
            self.params.admin_ms_max
        } else {
            300
        };
        let ms = self.rng.between(1, ms_max);
        self.after(ms, Event::Admin);
        let leaders = self.leaders();
        let Some(leader) = self.rng.pick(&leaders) else {
            return;
        };
        let name = ProposalId(ADMIN_IDS + self.next_serial);
        self.next_serial += 1;
        let status = self.hosts[&leader]
            .up()
            .expect("it leads")
            .consensus
            .status();
        let members: Vec<RaftId> = status.membership.members.keys().copied().collect();
        let learners: Vec<RaftId> = status.membership.learners.iter().copied().collect();
        let size = members.len() as u64;
        let change = match self.rng.below(10) {
            0..=3 if size < self.params.members_target => self.join(&members),
            0..=5 => self.rng.pick(&learners).map(MemberChange::Promote),
            6 | 7 => self.rng.pick(&members).map(MemberChange::Remove),
            8 => self.rng.pick(&members).map(|id| {
                let addr = format!("10.0.1.{}:2377", self.rng.below(250));
                MemberChange::UpdateAddr(Member {
                    addr,
                    ..self.member_of(&status, id)
                })
            }),
            _ => None,
        };
        let input = match change {
            Some(MemberChange::Remove(id)) if id == leader => {
                Input::TransferLeader { id: name, to: None }
            }
            Some(change) => Input::Change { id: name, change },
            None => {
                let to = self.rng.pick(&members).filter(|_| self.rng.chance(5_000));
                Input::TransferLeader { id: name, to }
            }
        };
        self.input(leader, input);
    }

    fn member_of(&self, status: &consensus::Status, id: RaftId) -> Member {
        status.membership.members[&id].clone()
    }

    /// A host that is no member yet, or a new one.
    fn join(&mut self, members: &[RaftId]) -> Option<MemberChange> {
        let removed = self.oracle.membership.removed.clone();
        let known = |id: &RaftId| members.contains(id) || removed.contains(id);
        let waiting = self.hosts.keys().find(|id| !known(id)).copied();
        let id = waiting.unwrap_or_else(|| {
            let id = self.new_host();
            self.boot(id);
            id
        });
        Some(MemberChange::AddLearner(self.member(id)))
    }

    pub fn fault(&mut self) {
        if self.calm {
            return;
        }
        let ms = self.rng.between(1, self.params.fault_ms_max);
        self.after(ms, Event::Fault);
        let ids: Vec<RaftId> = self.hosts.keys().copied().collect();
        let Some(id) = self.rng.pick(&ids) else {
            return;
        };
        let leader = self.rng.pick(&self.leaders());
        match (self.rng.below(12), leader) {
            (0 | 1, _) => self.cut.clear(),
            (2, _) => self.isolate(id, &ids, true, true),
            (3, _) => self.isolate(id, &ids, true, false),
            (4, _) => self.isolate(id, &ids, false, true),
            (5, _) => self.split(&ids),
            (6 | 7, Some(leader)) => {
                self.mark("leader isolated");
                self.cut.clear();
                self.isolate(leader, &ids, true, true);
            }
            (8, leader) => {
                self.mark("pause");
                let chosen = leader.filter(|_| self.rng.chance(5_000));
                let until = self.now + self.rng.between(100, 4_000);
                self.host(chosen.unwrap_or(id)).paused_until = until;
            }
            (9 | 10, _) => self.leap(&ids),
            (11, _) if self.params.crash_per_effect > 0 => self.crash(id),
            _ => {}
        }
    }

    /// Clocks leap over an election timeout, on most hosts at the same moment.
    fn leap(&mut self, ids: &[RaftId]) {
        self.mark("clock leap");
        for id in ids {
            let ticks = self.rng.below(3 * consensus::ELECTION_TICKS as u64);
            (0..ticks).for_each(|_| self.input(*id, Input::Tick));
        }
    }

    /// Who believes to lead and gets time to do so.
    fn leaders(&self) -> Vec<RaftId> {
        let leads = |h: &&Host| h.leads_ready().is_some() && h.paused_until <= self.now;
        self.hosts.values().filter(leads).map(|h| h.id).collect()
    }

    fn isolate(&mut self, id: RaftId, all: &[RaftId], speaks: bool, hears: bool) {
        for other in all.iter().filter(|other| **other != id) {
            if speaks {
                self.cut.insert((id, *other));
            }
            if hears {
                self.cut.insert((*other, id));
            }
        }
    }

    fn split(&mut self, all: &[RaftId]) {
        self.mark("split");
        let (left, right): (Vec<RaftId>, Vec<RaftId>) =
            all.iter().partition(|_| self.rng.chance(5_000));
        for (a, b) in left
            .iter()
            .flat_map(|a| right.iter().map(move |b| (*a, *b)))
        {
            self.cut.insert((a, b));
            self.cut.insert((b, a));
        }
    }
}
