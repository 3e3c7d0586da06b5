//! What breaks, and how everything is mended.

use crate::params::{MS, SEC};
use crate::world::{Event, World};

impl World {
    pub(crate) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let pause = self.rng.between(0, self.params.fault_max);
        self.after(pause, Event::Fault);
        match self.rng.under(12) {
            0 => self.fault_crash_manager(),
            1 => self.fault_pause_manager(),
            2 => self.fault_cut_manager(),
            3 => self.fault_mend(),
            4 | 5 => self.fault_kill_agent(),
            6 => self.fault_reboot_node(),
            7 => self.fault_cut_agent(),
            8 => self.fault_pause_agent(),
            9 => {
                let at = self.some_agent();
                self.engine_restarts(at);
            }
            10 => self.fault_drop_links(),
            _ => self.fault_transfer(),
        }
    }

    fn some_agent(&mut self) -> usize {
        let some = self.rng.under(self.agents.len() as u64);
        usize::try_from(some).unwrap_or(0)
    }

    /// The leader more often than the others.
    fn some_manager(&mut self) -> usize {
        match self.leader().filter(|_| self.rng.chance(5_000)) {
            Some(leader) => leader,
            None => {
                let some = self.rng.under(self.hosts.len() as u64);
                usize::try_from(some).unwrap_or(0)
            }
        }
    }

    fn fault_crash_manager(&mut self) {
        let at = self.some_manager();
        let longest = self.rng.one_of(&[MS, SEC, 20 * SEC]);
        let down = self.rng.between(0, longest);
        self.crash_manager(at);
        self.after(down, Event::BootManager(at));
    }

    fn fault_pause_manager(&mut self) {
        let at = self.some_manager();
        let longest = self.rng.one_of(&[SEC, 5 * SEC, 30 * SEC]);
        self.hosts[at].paused_until = self.now + self.rng.between(0, longest);
        self.mark("manager paused");
        self.note(("m", at), 31, || "is paused".into());
    }

    /// One manager is cut off from the others, wholly or in one direction.
    fn fault_cut_manager(&mut self) {
        let at = self.some_manager();
        let way = self.rng.under(3);
        for other in (0..self.hosts.len()).filter(|o| *o != at) {
            if way != 1 {
                self.cut.insert((at, other));
            }
            if way != 2 {
                self.cut.insert((other, at));
            }
        }
        self.mark("manager cut off");
        self.note(("m", at), 32 + way, || format!("is cut off, way {way}"));
    }

    fn fault_mend(&mut self) {
        self.cut.clear();
        self.agent_cut.clear();
        self.note(("net", 0), 36, || "is whole again".into());
    }

    fn fault_kill_agent(&mut self) {
        let at = self.some_agent();
        self.kill_agent(at);
        if self.rng.chance(1_500) {
            self.lose_database(at);
        }
        let longest = self.rng.one_of(&[SEC, 5 * SEC, 60 * SEC]);
        let down = self.rng.between(0, longest);
        self.after(down, Event::BootAgent(at));
    }

    fn fault_reboot_node(&mut self) {
        let at = self.some_agent();
        self.kill_agent(at);
        self.engine_restarts(at);
        if self.rng.chance(1_500) {
            self.lose_database(at);
        }
        let down = self.rng.between(SEC, 60 * SEC);
        self.after(down, Event::BootAgent(at));
        self.mark("node rebooted");
    }

    fn fault_cut_agent(&mut self) {
        let at = self.some_agent();
        let one = self.rng.chance(3_000).then(|| self.some_manager());
        for manager in 0..self.hosts.len() {
            if one.is_none_or(|m| m == manager) {
                self.agent_cut.insert((at, manager));
            }
        }
        self.mark("agent cut off");
        self.note(("a", at), 37, || "is cut off".into());
    }

    fn fault_pause_agent(&mut self) {
        let at = self.some_agent();
        let longest = self.rng.one_of(&[SEC, 10 * SEC, 60 * SEC]);
        self.agents[at].paused_until = self.now + self.rng.between(0, longest);
        self.mark("agent paused");
        self.note(("a", at), 38, || "is paused".into());
    }

    fn fault_drop_links(&mut self) {
        for at in 0..self.agents.len() {
            if self.rng.chance(5_000) {
                self.drop_link(at, true);
            }
        }
    }

    fn fault_transfer(&mut self) {
        if let Some(at) = self.leader() {
            let id = consensus::ProposalId(self.number());
            self.raft(at, consensus::Input::TransferLeader { id, to: None });
            self.mark("leadership transferred");
        }
    }

    /// Ends all faults and brings everything back.
    pub fn heal(&mut self) {
        self.calm = true;
        self.cut.clear();
        self.agent_cut.clear();
        for at in 0..self.hosts.len() {
            self.hosts[at].paused_until = 0;
            self.boot_manager(at);
        }
        for at in 0..self.agents.len() {
            self.agents[at].paused_until = 0;
            self.agents[at].engine_down_until = 0;
            self.boot_agent(at);
        }
        self.note(("net", 0), 39, || "everything is healed".into());
    }
}
