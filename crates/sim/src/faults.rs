//! What breaks, and how everything is mended.

use sim_script::params::{MS, SEC};
use sim_script::schedule::{Act, LEADER, Step};

use crate::files::{self, Found};
use crate::host::raft_id;
use crate::world::{Event, World};

impl World {
    /// Does a step of the schedule.
    pub(crate) fn act(&mut self, step: &Step) {
        if !step.act.is_fault() {
            return self.operate(step);
        }
        if self.calm {
            return;
        }
        let us = step.ms * MS;
        match step.act {
            act if act <= Act::Transfer => {
                if let Some(at) = self.manager(step.who) {
                    self.manager_fault(act, at, us, step.how);
                }
            }
            act => {
                if !self.agents.is_empty() {
                    let at = self.agent(step.who);
                    self.agent_fault(act, at, us, step.how);
                }
            }
        }
    }

    /// The manager that a number means, among those that there are.
    pub(crate) fn manager(&self, who: u64) -> Option<usize> {
        let there: Vec<_> = self
            .hosts
            .iter()
            .filter(|h| !h.gone)
            .map(|h| h.at)
            .collect();
        let chosen = usize::try_from(who % there.len().max(1) as u64).unwrap_or(0);
        let leader = self.leader().filter(|_| who == LEADER);
        leader.or_else(|| there.get(chosen).copied())
    }

    pub(crate) fn agent(&self, who: u64) -> usize {
        usize::try_from(who % self.agents.len().max(1) as u64).unwrap_or(0)
    }

    fn manager_fault(&mut self, act: Act, at: usize, us: u64, how: u64) {
        self.note(("m", at), act as u64, || format!("suffers {}", act.word()));
        match act {
            Act::CrashManager => {
                if let (Some(agent), true) = (self.agent_on(at), how % 2 == 1) {
                    self.engine_restarts(agent, us);
                }
                self.crash_manager(at, us);
            }
            Act::CrashAtEffect => self.hosts[at].dies_in = Some((how, us)),
            Act::CrashWriting => self.hosts[at].dies_writing = Some(us),
            Act::RestartStorm => self.restart_storm(us),
            Act::PauseManager => {
                self.hosts[at].paused_until = self.now + us;
                self.mark("manager paused");
            }
            Act::CutManager => self.cut_manager(at, how),
            Act::Split => self.split(how, None),
            Act::Bridge => self.split(how, Some(at)),
            Act::IsolateFromQuorum => {
                let leader = self.leader().unwrap_or(at);
                self.cut_manager(leader, 0);
                self.mark("leader hears agents and no manager");
            }
            Act::HideLeader => {
                let leader = self.leader().unwrap_or(at);
                self.agent_cut
                    .extend((0..self.agents.len()).map(|a| (a, leader)));
                self.mark("agents reach everybody but the leader");
            }
            Act::OldLeader => {
                let leader = self.leader().unwrap_or(at);
                self.cut_manager(leader, 0);
                self.hosts[leader].paused_until = self.now + us;
                self.act_later(us, Act::DropLinks, u64::MAX);
                self.mark("leader paused and cut off");
            }
            Act::Clog => self.hosts[at].clogged_until = self.now + us,
            Act::Reorder => self.reorder_until = self.now + us,
            Act::SlowSnapshots => self.slow_down_snapshots(us),
            Act::ResetManager => self.reset_manager(at),
            Act::Mend => self.mend(),
            Act::Transfer => {
                if let Some(at) = self.leader() {
                    self.transfer(at);
                }
            }
            _ => self.machine_fault(act, at, us, how),
        }
    }

    /// Faults of disks and clocks.
    fn machine_fault(&mut self, act: Act, at: usize, us: u64, how: u64) {
        match act {
            Act::SlowDisk => self.hosts[at].slow_until = self.now + us,
            Act::FullDisk => {
                self.hosts[at].full_until = self.now + us;
                self.mark("disk of a manager full");
            }
            Act::DiskError => {
                self.hosts[at].dies_writing = Some(us);
                self.mark("write of a manager's log fails");
            }
            Act::DamageLog => self.damage_log(at, us),
            Act::LoseState => self.lose_state(at, us),
            Act::JumpClock => {
                let ns = i64::try_from(us * 1_000).unwrap_or(0);
                self.hosts[at]
                    .clock
                    .jump(if how % 2 == 1 { -ns } else { ns });
                self.mark("clock of a manager jumps");
            }
            Act::FreezeClock => {
                self.hosts[at].clock.freeze(self.now + us);
                self.mark("clock of a manager frozen");
            }
            _ => {}
        }
    }

    /// Found when the log is read: the manager does not start, and its state is set aside, which
    /// is as if it was lost.
    fn damage_log(&mut self, at: usize, us: u64) {
        let content = self.hosts[at].disk.content();
        match files::after_damage(&content, &mut self.disk_rng(at)) {
            Ok(Found::Harmless) => self.mark("damage to a log does no harm"),
            Ok(Found::Reported) => {
                self.mark_if(self.may_lose(at), "damaged log found");
                self.lose_state(at, us);
            }
            Err(why) => self.violate("R5", format!("m{at}: {why}")),
        }
    }

    fn agent_fault(&mut self, act: Act, at: usize, us: u64, how: u64) {
        self.note(("a", at), act as u64, || format!("suffers {}", act.word()));
        match act {
            Act::KillAgent | Act::RebootNode => self.stop_node(act, at, us, how == 1),
            Act::PauseAgent => {
                self.agents[at].paused_until = self.now + us;
                self.mark("agent paused");
            }
            Act::CutAgent => self.cut_agent(at, how),
            Act::HoldAgent => {
                let until = self.now + us;
                if let Some(link) = &mut self.agents[at].link {
                    link.arrives = link.arrives.max(until);
                }
                self.mark("connection of an agent stalls");
            }
            Act::DropLinks => {
                for at in (0..self.agents.len()).filter(|a| how >> (a % 16) & 1 == 1) {
                    self.drop_link(at, true);
                }
            }
            Act::RestartEngine => self.engine_restarts(at, us),
            Act::RepeatReports => self.repeat_reports(at),
            Act::Intrude => self.intrude(at, how),
            _ => {}
        }
    }

    fn restart_storm(&mut self, us: u64) {
        for at in 0..self.hosts.len() {
            let down = self.rng.between(0, us);
            self.crash_manager(at, down);
        }
        self.mark("every manager restarted at once");
    }

    /// One manager is cut off from the others, wholly or in one direction.
    fn cut_manager(&mut self, at: usize, way: u64) {
        for other in (0..self.hosts.len()).filter(|o| *o != at) {
            if way != 1 {
                self.cut.insert((other, at));
            }
            if way != 2 {
                self.cut.insert((at, other));
            }
        }
        self.mark("manager cut off");
        self.mark_if(way > 0, "manager cut off in one direction");
    }

    fn split(&mut self, sides: u64, bridge: Option<usize>) {
        let side = |at: usize| sides >> (at % 16) & 1;
        for one in 0..self.hosts.len() {
            for two in 0..self.hosts.len() {
                let sees_both = bridge.is_some_and(|b| b == one || b == two);
                if side(one) != side(two) && !sees_both {
                    self.cut.insert((one, two));
                }
            }
        }
        self.mark(if bridge.is_some() {
            "managers split but for one"
        } else {
            "managers split"
        });
    }

    fn mend(&mut self) {
        self.cut.clear();
        self.agent_cut.clear();
        self.note(("net", 0), 36, || "is whole again".into());
    }

    /// An agent's process, or its whole machine, is gone for a while.
    fn stop_node(&mut self, act: Act, at: usize, us: u64, loses: bool) {
        if act == Act::RebootNode {
            self.engine_restarts(at, us);
            self.mark("node rebooted");
        }
        // On a manager's machine it is one process.
        match self.host_on(at) {
            Some(host) if self.hosts[host].process.is_some() => self.crash_manager(host, us),
            _ => {
                self.kill_agent(at);
                self.after(us, Event::BootAgent(at));
            }
        }
        if loses {
            self.lose_database(at);
        }
    }

    fn cut_agent(&mut self, at: usize, how: u64) {
        let one = if how > 0 { self.manager(how) } else { None };
        let own = self.host_on(at);
        for manager in (0..self.hosts.len()).filter(|m| Some(*m) != own) {
            if one.is_none_or(|m| m == manager) {
                self.agent_cut.insert((at, manager));
            }
        }
        self.mark("agent cut off");
    }

    /// Ends all faults and brings everything back but what is lost for good: a minority of the
    /// managers and some agents, if the seed says so.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.agent_cut.clear();
        self.lose_for_good();
        self.calm = true;
        for at in 0..self.hosts.len() {
            let host = &mut self.hosts[at];
            (host.paused_until, host.slow_until, host.full_until) = (0, 0, 0);
            (host.dies_in, host.dies_writing, host.clogged_until) = (None, None, 0);
            self.boot_manager(at);
        }
        for at in 0..self.agents.len() {
            self.agents[at].paused_until = 0;
            self.agents[at].engine_down_until = 0;
            let host = self.host_on(at);
            if host.is_none_or(|h| self.hosts[h].process.is_some()) {
                self.boot_agent(at);
            }
        }
        self.note(("net", 0), 39, || "everything is healed".into());
    }

    fn lose_for_good(&mut self) {
        if self.params.lost_managers > 0 {
            let some = self.rng.under(self.hosts.len() as u64);
            if let Some(at) = self.manager(some).filter(|at| self.may_lose(*at)) {
                self.lose_manager(at);
            }
        }
        for _ in 0..self.params.lost_agents {
            let some = self.rng.next_number();
            let at = self.agent(some);
            let others = self.agents.iter().filter(|a| !a.lost && !a.removed).count();
            if others > 1 && self.host_on(at).is_none() {
                self.kill_agent(at);
                self.agents[at].lost = true;
                self.mark("agent lost for good");
            }
        }
    }

    /// A manager never comes back, or from now on hears nothing, or is not heard.
    fn lose_manager(&mut self, at: usize) {
        if !self.voters.contains(&raft_id(at)) {
            return;
        }
        self.hosts[at].lost = true;
        self.newest_loss = self.now;
        let way = self.rng.under(3);
        if way == 0 || self.hosts[at].process.is_none() {
            self.crash_manager(at, SEC);
            if let Some(agent) = self.agent_on(at) {
                self.agents[agent].lost = true;
            }
            self.mark("manager lost for good");
        } else {
            self.cut_manager(at, way);
            self.mark("manager cut off in one direction for good");
        }
    }
}
