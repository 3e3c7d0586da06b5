//! Looks at the whole cluster: what really runs where (O6, O11), whether it came to be as desired
//! (L1), and whether it then rests (L3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use invariants::{
    Verdict, Violation, as_desired, history_is_bounded, is_updating, must_run, nothing_misplaced,
    state_hash, updates_gave_up,
};
use sim_script::params::SEC;
use types::defaults::UPDATE_MONITOR;
use types::node::IssuanceState;
use types::options::Rebalance;
use types::{NodeState, ServiceId, Task, TaskState, Timestamp};

use crate::host::{Host, index, raft_id};
use crate::node::Stage;
use crate::world::World;

/// How long a node must have been connected, to a leader that has led as long, before two
/// containers of a slot on such nodes are a fault: three heartbeats, the longest back-off, the
/// longest wait for an old task (a stop grace of 70 s is among the scripts) and its kill.
const CONNECTED: u64 = 180 * SEC;

/// Time from the end of all faults until everything is as desired. The longest lawful waits are
/// the delay of a crash loop (60 s), an old task that is waited for (110 s), and an update of ten
/// slots, one after another, that roll back again.
pub const CONVERGED_WITHIN: u64 = 1_500 * SEC;

/// How long an update waits for room, and its rollback after it.
const GIVES_UP: u64 = 1_300 * SEC;

/// How long a cluster that came to rest must then be quiet.
pub const QUIET: u64 = 90 * SEC;

/// How long after the last move has settled the next one is made.
const NEXT_MOVE: Duration = Duration::from_secs(10);

/// Passes of the pipeline in the quiet time; there are none in a cluster at rest but those that
/// were asked for before.
const QUIET_PASSES_MAX: u64 = 30;

impl World {
    /// O3: a leader's pipeline rests only when everything is where it fits.
    pub(crate) fn check_pipeline(&mut self) {
        let Some(at) = self.leader() else { return };
        let clock = self.clock(at);
        let head = self.leading(at).and_then(|l| l.at_rest(clock)).cloned();
        if let Some(head) = head {
            self.judge(nothing_misplaced(&head));
        }
    }

    /// O6: what holds at every moment.
    pub(crate) fn look(&mut self) -> Verdict {
        let Some(leader) = self.leader() else {
            return Ok(());
        };
        let since = self.leading(leader).map_or(u64::MAX, |l| l.since);
        if self.now < since.saturating_add(CONNECTED) {
            return Ok(());
        }
        // What an earlier policy left running beside another is given as long to stop.
        let (checker, recent) = (self.oracle.checker(), Duration::from_micros(CONNECTED));
        let two_may_run = |service| checker.starts_first_within(recent, self.time(), service);
        let mut running: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (at, agent) in self.agents.iter().enumerate() {
            let link = agent.link.as_ref();
            let steady = link.is_some_and(|l| {
                l.manager == leader && l.session.is_some() && self.now >= l.since + CONNECTED
            });
            // One that slept does not know yet what its manager knows, that they lost each other.
            let node = self.oracle.state().nodes().get(agent.node);
            let is_down = node.is_none_or(|n| n.status.state != NodeState::Ready);
            let gone = agent.removed || agent.lost || is_down;
            if !steady || gone || agent.paused_until > self.now {
                continue;
            }
            let wanted = must_run(self.oracle.state(), agent.node);
            for (task, thing) in &agent.things {
                // Where replacements start first, those on their way out are not counted: each
                // of several updates in a row may have left one.
                let counts = |slot: (ServiceId, _)| !two_may_run(slot.0) || wanted.contains(task);
                if let (Stage::Running, Some(slot)) = (thing.stage, thing.slot)
                    && counts(slot)
                {
                    running
                        .entry(slot)
                        .or_default()
                        .push(format!("{task} on a{at}"));
                }
            }
        }
        for ((service, slot), tasks) in running {
            let allowed = 1 + usize::from(two_may_run(service));
            if tasks.len() > allowed {
                let text = format!("slot {slot:?} of service {service} runs {tasks:?}");
                return Err(Violation::new("O6", text));
            }
        }
        Ok(())
    }

    /// After everything healed: convergence, rest, fresh writes, and nothing lost.
    ///
    /// # Errors
    /// The first of these that fails.
    pub fn prove_alive(&mut self) -> Verdict {
        let end = self.now + CONVERGED_WITHIN;
        self.run_until(self.now + 10 * SEC)?;
        loop {
            self.run_until(self.now + 5 * SEC)?;
            match self.at_rest() {
                Ok(()) => break,
                Err(why) if self.now >= end => return Err(why),
                Err(_) => {}
            }
        }
        let took = self.now + CONVERGED_WITHIN - end;
        self.mark_if(took > 60 * SEC, "convergence takes more than a minute");
        if is_updating(self.oracle.state()) {
            // It waits for room, until it gives up or for ever, as its failure action says.
            self.run_until(self.now + GIVES_UP)?;
            updates_gave_up(self.oracle.state())?;
        }
        self.rests()?;
        history_is_bounded(self.oracle.state())?;
        self.writes()?;
        self.oracle.check_answers()?;
        self.nobody_else_is_let_in()?;
        self.same_everywhere()
    }

    /// Whether everything is as desired, on paper and on the nodes.
    fn at_rest(&self) -> Verdict {
        let state = self.oracle.state();
        let Some(leader) = self.leader() else {
            return Err(Violation::new("L2", "nobody leads"));
        };
        as_desired(state)?;
        self.is_level(self.clock(leader))?;
        self.members_settled()?;
        for (at, agent) in self.agents.iter().enumerate() {
            if agent.removed || agent.lost {
                continue;
            }
            let alone = agent.link.as_ref().is_none_or(|l| l.session.is_none());
            if alone && state.nodes().contains(agent.node) {
                return Err(Violation::new("L1", format!("a{at} has no session")));
            }
            let needed = crate::told::needed_files(state, agent.node);
            if let Some(extra) = agent.files.difference(&needed).next() {
                let text = format!("a{at} keeps {extra:?}, which no task of it needs");
                return Err(Violation::new("X1", text));
            }
            let record = state.nodes().get(agent.node);
            let role = self.identities.role(agent.node);
            if let Some(record) = record
                .filter(|r| role != Some(r.role) || r.certificate.state == IssuanceState::Rotate)
            {
                let text = format!(
                    "a{at} has a certificate as {role:?} and is {:?}",
                    record.role
                );
                return Err(Violation::new("X2", text));
            }
            let wanted = must_run(state, agent.node);
            let running = |t: &&crate::node::Thing| t.stage == Stage::Running;
            let things = agent.things.iter().filter(|(_, t)| running(t));
            let there: BTreeSet<_> = things.map(|(id, _)| *id).collect();
            if wanted != there {
                let text = format!("a{at} runs {there:?} and should run {wanted:?}");
                return Err(Violation::new("O11", text));
            }
            let known = |id| state.tasks().get(id).is_some();
            if let Some(left) = agent.things.keys().find(|id| !known(**id)) {
                let text = format!("a{at} keeps what is left of task {left}, which is deleted");
                return Err(Violation::new("O11", text));
            }
        }
        Ok(())
    }

    /// L1: no request to level is left, and what levels itself has made its last move: the next
    /// one follows when the task of the one before has run as long as an update would watch it. By
    /// the leader's clock: that is never behind what it or another wrote, true time may be.
    fn is_level(&self, now: Timestamp) -> Verdict {
        let state = self.oracle.state();
        let request = state.cluster().and_then(|c| c.spec.options.rebalancing);
        if let Some(request) = request {
            let text = format!("{} moves are still to be made", request.moves_left);
            return Err(Violation::new("L1", text));
        }
        let services = state.services().iter();
        for service in services.filter(|s| s.spec.options.rebalance == Rebalance::Auto) {
            let config = service.spec.update.unwrap_or_default();
            let watched = config.delay.max(config.monitor.unwrap_or(UPDATE_MONITOR));
            let settled = |t: &Task| now >= t.status.applied_at.plus(watched).plus(NEXT_MOVE);
            let mut tasks = state.tasks().of_service(service.id);
            let young = |t: &&Arc<Task>| t.status.state == TaskState::Running && !settled(t);
            if let Some(task) = tasks.find(young) {
                let text = format!("task {} may be followed by another move", task.id);
                return Err(Violation::new("L1", text));
            }
        }
        Ok(())
    }

    /// L1: the managers are those that operators want, as far as they are there.
    fn members_settled(&self) -> Verdict {
        let must = self.voters.iter().filter(|id| {
            let host = &self.hosts[index(**id)];
            !host.lost && host.process.is_none()
        });
        if let Some(id) = must.min() {
            return Err(Violation::new("L1", format!("voter {id} does not run")));
        }
        for node in self.oracle.state().nodes().iter() {
            let host = self.hosts.iter().find(|h| h.node == node.id && !h.gone);
            if node.role != node.spec.desired_role && !host.is_some_and(|h| self.must_stay(h)) {
                let text = format!("node {} is {:?} and is to be another", node.id, node.role);
                return Err(Violation::new("L1", text));
            }
            let votes = host.is_some_and(|h| self.voters.contains(&raft_id(h.at)));
            let lost = host.is_some_and(|h| h.lost)
                || self.agents.iter().any(|a| a.node == node.id && a.lost);
            let manages = node.role == types::NodeRole::Manager;
            if manages != votes && !lost {
                let runs = host.map(|h| (h.at, h.process.as_ref().map(|p| p.consensus.status())));
                let text = format!(
                    "node {} is {:?} and votes: {votes}; {runs:?}",
                    node.id, node.role
                );
                return Err(Violation::new("L1", text));
            }
        }
        Ok(())
    }

    /// Whether a manager has to stay although it is to be a worker: without it, too few of the
    /// voters answer.
    fn must_stay(&self, host: &Host) -> bool {
        let id = raft_id(host.at);
        let rest = self.voters.iter().filter(|voter| **voter != id);
        let answers = |voter: &&consensus::RaftId| !self.hosts[index(**voter)].lost;
        let answering = rest.clone().filter(answers).count();
        self.voters.contains(&id) && answering < rest.count() / 2 + 1
    }

    /// L3: nothing happens in a cluster that has what it wants.
    fn rests(&mut self) -> Verdict {
        self.run_until(self.now + 70 * SEC)?;
        let (version, passes) = (self.oracle.state().version(), self.passes);
        self.run_until(self.now + QUIET)?;
        let after = self.oracle.state().version();
        if after != version {
            let text = format!("{} transactions while nothing changes", after - version);
            return Err(Violation::new("L3", text));
        }
        let passes = self.passes - passes;
        if passes > QUIET_PASSES_MAX {
            let text = format!("{passes} passes of the pipeline while nothing changes");
            return Err(Violation::new("L3", text));
        }
        self.at_rest()
    }

    /// Fresh writes succeed.
    fn writes(&mut self) -> Verdict {
        let before = self.oracle.acknowledged_count();
        for _ in 0..3 {
            let told = self.fresh_write();
            if told.is_none() {
                return Err(Violation::new("L2", "nobody takes writes"));
            }
        }
        self.run_until(self.now + 10 * SEC)?;
        let done = self.oracle.acknowledged_count() - before;
        if done < 3 {
            let text = format!("{done} of 3 writes were acknowledged");
            return Err(Violation::new("L2", text));
        }
        Ok(())
    }

    /// R7: every manager holds the same tables.
    fn same_everywhere(&mut self) -> Verdict {
        self.run_until(self.now + 10 * SEC)?;
        let truth = self.oracle.state();
        let (version, hash) = (truth.version(), state_hash(truth));
        for (at, host) in self.hosts.iter().enumerate() {
            let process = host.process.as_ref().filter(|_| !host.lost);
            let member = self.voters.contains(&raft_id(at));
            let Some(process) = process.filter(|_| member) else {
                continue;
            };
            let state = &process.state;
            if state.version() != version || state_hash(state) != hash {
                let have = state.version();
                let text = format!("m{at} holds version {have} and differs from {version}");
                return Err(Violation::new("R7", text));
            }
        }
        Ok(())
    }
}
