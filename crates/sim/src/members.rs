//! Which machines are managers: joining, leaving, and the role manager, as the shell does them.
//!
//! A machine whose state is lost, or that was removed and comes back, is a new member: its old
//! place in the list of hosts stays empty for ever, as its id in the log does.

use consensus::{Input, Member, MemberChange, Membership, ProposalId, RaftId, Role};
use sim_script::params::SEC;
use store::Draft;
use types::node::Membership as Accepted;
use types::{NodeId, NodeRole};

use crate::bugs::Bug;
use crate::disk::Disk;
use crate::host::{Host, Waiter, index, raft_id};
use crate::world::{Event, World};

/// How long the loss of a manager takes to be noticed at most. Until then no other one is taken
/// out: two managers less at the same moment is more than a cluster of three survives.
const NOTICED: u64 = 10 * SEC;

/// How long a membership change may take before another one is tried.
const CHANGE_MAX: u64 = 5 * SEC;

/// Most managers.
const MANAGERS_MAX: usize = 7;

/// What the role manager wants done next.
enum Duty {
    Role(NodeId, NodeRole),
    StepDown,
    Change(MemberChange),
}

impl World {
    /// What the leader does for its members at every tick: roles follow what operators ask for,
    /// who asks is let in, and who has caught up votes.
    pub(crate) fn roles(&mut self, at: usize) {
        if self.hosts[at]
            .process
            .as_ref()
            .is_none_or(|p| p.reign.is_none())
        {
            return;
        }
        self.forget_old_change(at);
        // One that is refused does not keep the others waiting.
        let duties = self.duties(at);
        let some = self.rng.under(duties.len().max(1) as u64);
        let Some(duty) = duties.into_iter().nth(usize::try_from(some).unwrap_or(0)) else {
            return;
        };
        match duty {
            Duty::Role(node, role) => self.set_role(at, node, role),
            Duty::StepDown => self.transfer(at),
            Duty::Change(change) => {
                let id = ProposalId(self.number());
                let now = self.now;
                if let Some(process) = self.process(at) {
                    process.changing = Some((id, now));
                }
                self.mark(match change {
                    MemberChange::AddLearner(_) => "a manager is let in",
                    MemberChange::Promote(_) => "a manager is given a vote",
                    MemberChange::Remove(_) => "a manager is taken out",
                    MemberChange::UpdateAddr(_) => "a manager changes its address",
                });
                self.raft(at, Input::Change { id, change });
            }
        }
    }

    fn forget_old_change(&mut self, at: usize) {
        let now = self.now;
        if let Some(process) = self.process(at)
            && process
                .changing
                .is_some_and(|(_, since)| now > since + CHANGE_MAX)
        {
            process.changing = None;
        }
    }

    /// A membership change ended, one way or the other.
    pub(crate) fn change_ended(&mut self, at: usize, id: ProposalId) {
        if let Some(process) = self.process(at)
            && process.changing.is_some_and(|(known, _)| known == id)
        {
            process.changing = None;
        }
    }

    fn duties(&self, at: usize) -> Vec<Duty> {
        let Some(process) = self.hosts[at].process.as_ref() else {
            return Vec::new();
        };
        let status = process.consensus.status();
        let members = &status.membership;
        let member_of = |node: NodeId| members.member_of_node(&node.to_string());
        let free = process.changing.is_none() && status.role == Role::Leader;
        let mut duties = Vec::new();
        for node in process.state.nodes().iter() {
            match (node.spec.desired_role, node.role, member_of(node.id)) {
                (NodeRole::Manager, NodeRole::Worker, _) => {
                    duties.push(Duty::Role(node.id, NodeRole::Manager));
                }
                (NodeRole::Worker, _, Some(m)) => duties.extend(self.remove(at, m.raft_id)),
                (NodeRole::Worker, NodeRole::Manager, None) => {
                    duties.push(Duty::Role(node.id, NodeRole::Worker));
                }
                _ => {}
            }
        }
        let gone = |m: &&Member| {
            let node = m.node_id.parse::<NodeId>().ok();
            node.is_none_or(|n| !process.state.nodes().contains(n))
        };
        for stray in members.members.values().filter(gone) {
            duties.extend(self.remove(at, stray.raft_id));
        }
        duties.extend(self.joiners(at, &process.state, members));
        let learners = members.learners.iter();
        duties.extend(learners.map(|l| Duty::Change(MemberChange::Promote(*l))));
        duties.retain(|d| free || matches!(d, Duty::Role(..)));
        duties
    }

    /// The members of the log as the leader shows them to operators.
    pub(crate) fn log_members(&self, at: usize) -> Vec<control::Member> {
        let Some(process) = self.hosts[at].process.as_ref() else {
            return Vec::new();
        };
        let status = process.consensus.status();
        let shown = |m: &Member| {
            let progress = process.consensus.progress(m.raft_id);
            let own = m.raft_id == status.raft_id;
            Some(control::Member {
                raft_id: m.raft_id.get(),
                node_id: m.node_id.parse().ok()?,
                addr: m.addr.clone(),
                leader: status.leader == Some(m.raft_id),
                voter: status.membership.voters.contains(&m.raft_id),
                reachable: own || progress.is_some_and(|p| p.active),
                match_index: progress.map_or(0, |p| p.matched),
            })
        };
        let members = status.membership.members.values();
        members.filter_map(shown).collect()
    }

    fn remove(&self, at: usize, id: RaftId) -> Option<Duty> {
        if id == raft_id(at) {
            return Some(Duty::StepDown);
        }
        self.may_remove(id)
            .then_some(Duty::Change(MemberChange::Remove(id)))
    }

    /// Machines that ask to be let in and may be.
    fn joiners(&self, at: usize, state: &store::State, members: &Membership) -> Vec<Duty> {
        let asks = |h: &&Host| {
            let id = raft_id(h.at);
            let known = members.members.contains_key(&id) || members.removed.contains(&id);
            let reaches = h.at == at || !self.cut.contains(&(h.at, at));
            let up = h.process.is_some() && h.paused_until <= self.now;
            !h.gone && !known && up && reaches
        };
        let may = |h: &&Host| {
            let node = state.nodes().get(h.node);
            node.is_some_and(|n| {
                n.role == NodeRole::Manager
                    && n.spec.desired_role == NodeRole::Manager
                    && n.spec.membership == Accepted::Accepted
            })
        };
        let hosts = self.hosts.iter().filter(asks).filter(may);
        // A node that asks again has lost its log: its old identity is never used again.
        let duties =
            hosts.filter_map(
                |host| match members.member_of_node(&host.node.to_string()) {
                    Some(old) => self.remove(at, old.raft_id),
                    None => Some(Duty::Change(MemberChange::AddLearner(host.member()))),
                },
            );
        duties.collect()
    }

    /// Whether a manager may be taken out, as far as recent losses are noticed by now.
    fn may_remove(&self, id: RaftId) -> bool {
        self.now >= self.newest_loss + NOTICED || self.hosts[index(id)].gone
    }

    fn set_role(&mut self, at: usize, id: NodeId, role: NodeRole) {
        let clock = self.clock(at);
        let Some(leading) = self.leading(at) else {
            return;
        };
        let mut draft = Draft::new(leading.view.head(), clock);
        let followed = control::node::follow_role(&mut draft, id, role);
        if followed.is_ok() && !draft.is_empty() {
            self.accept(at, draft, Waiter::Pipeline);
        }
    }

    /// The members changed, as a manager sees it.
    pub(crate) fn members_changed(&mut self, at: usize, entry: u64, members: &Membership) {
        if entry > self.members_index {
            self.members_index = entry;
            self.voters = members.voters.clone();
            self.learners = members.learners.clone();
            self.mark("members changed");
            let shown: Vec<_> = members
                .voters
                .iter()
                .map(|id| format!("m{}", index(*id)))
                .collect();
            let learners = members.learners.len();
            self.note(("m", at), entry, || {
                format!("sees voters {} and {learners} learners", shown.join(" "))
            });
            self.start_promoted();
        }
        let list = self.manager_list(members);
        if self.leading(at).is_some() {
            self.feed(at, dispatcher::Input::Managers(list));
        }
    }

    /// A manager was removed and knows it: its process ends, and its state is set aside.
    pub(crate) fn manager_leaves(&mut self, at: usize) {
        self.end_reign(at, "removed");
        let host = &mut self.hosts[at];
        (host.process, host.gone) = (None, true);
        self.mark("a removed manager stops");
        self.note(("m", at), 3, || "was removed and stops".into());
    }

    /// Nodes that are managers by their role and run none start one. A machine whose agent does
    /// not run cannot.
    pub(crate) fn start_promoted(&mut self) {
        let wanted: Vec<NodeId> = {
            let nodes = self.oracle.state().nodes();
            let managers = nodes.iter().filter(|n| {
                n.role == NodeRole::Manager && n.spec.desired_role == NodeRole::Manager
            });
            managers.map(|n| n.id).collect()
        };
        for node in wanted {
            let runs = self.hosts.iter().any(|h| h.node == node && !h.gone);
            let machine = self.agents.iter().find(|a| a.node == node);
            let may = machine.is_none_or(|a| a.worker.is_some() && !a.removed);
            // It starts one when its certificate says so.
            let certified = self.identities.role(node) == Some(NodeRole::Manager);
            if !runs && may && certified {
                self.mark("a promoted node starts a manager");
                self.new_host(node);
            }
        }
    }

    /// A machine starts a manager without a log.
    pub(crate) fn new_host(&mut self, node: NodeId) -> usize {
        let at = self.hosts.len();
        let clock = self.new_clock();
        self.hosts.push(Host::new(at, node, clock));
        // What cuts off the machine cuts off its new manager.
        self.boot_manager(at);
        at
    }

    /// Whether the cluster survives it if the state of this manager is lost for good, or it never
    /// comes back: one that is left can win an election. Members vote and count by the newest
    /// membership that they know to be committed, so until those that are left have heard of a
    /// change, the cluster bears only what it bore before; and none while one is under way, which
    /// may make a voter of the one that is lost. So may the next one, of a learner that its leader
    /// does not miss yet: a lost learner counts like a lost voter.
    pub(crate) fn may_lose(&self, at: usize) -> bool {
        let changes = |h: &Host| h.changes_members_after(self.members_index);
        if self.hosts[at].gone || self.hosts.iter().any(changes) {
            return false;
        }
        let there = |h: &&Host| h.at != at && !h.gone && !h.lost;
        let member = |id: &RaftId| &self.hosts[index(*id)];
        let left: Vec<_> = self.voters.iter().map(member).filter(there).collect();
        let learners = self.learners.iter().map(member);
        let lost_learners = learners.filter(|h| !there(h)).count();
        let members = self.voters.len() + lost_learners;
        let wins = |candidate: &&Host| {
            let votes = |h: &&&Host| h.newest_entry() <= candidate.disk.last();
            let votes = left.iter().filter(votes).count();
            candidate.disk.hard_state.commit >= self.members_index && votes > members / 2
        };
        let is_member = self.voters.contains(&raft_id(at)) || self.learners.contains(&raft_id(at));
        !is_member || left.iter().any(wins)
    }

    /// The state of a manager is lost. It joins again as a new member after a while.
    pub(crate) fn lose_state(&mut self, at: usize, down: u64) {
        if !self.may_lose(at) {
            return;
        }
        self.newest_loss = self.now;
        self.mark("state of a manager lost");
        self.note(("m", at), 4, || "loses its state".into());
        self.join_again(at, down);
    }

    /// A machine's manager starts again without a log.
    fn join_again(&mut self, at: usize, down: u64) {
        self.crash_manager(at, down);
        if self.bug == Some(Bug::ReuseRaftId) {
            self.hosts[at].disk = Disk::default();
            return;
        }
        self.hosts[at].gone = true;
        let (node, clock) = (self.hosts[at].node, self.hosts[at].clock.clone());
        let new = self.hosts.len();
        self.hosts.push(Host::new(new, node, clock));
        self.after(down, Event::BootManager(new));
    }

    /// Every second: nodes learn of their roles, and operators of managers that are stranded.
    pub(crate) fn look_after_managers(&mut self) {
        self.start_promoted();
        self.stop_demoted();
        if self.calm {
            self.help_stranded();
        }
    }

    /// A node that hears that it is a worker stops its manager.
    fn stop_demoted(&mut self) {
        for at in 0..self.hosts.len() {
            let host = &self.hosts[at];
            let node = self.oracle.state().nodes().get(host.node);
            let worker = node.is_none_or(|n| {
                n.role == NodeRole::Worker && n.spec.desired_role == NodeRole::Worker
            });
            let hears = self.agent_on(at).is_some_and(|a| {
                self.agents[a]
                    .link
                    .as_ref()
                    .is_some_and(|l| l.session.is_some())
            });
            let votes = self.voters.contains(&raft_id(at));
            let runs = !host.gone && host.process.is_some() && self.members_index > 0;
            if runs && worker && hears && !votes && node.is_some() {
                self.mark("a node hears that it is a worker");
                self.manager_leaves(at);
            }
        }
    }

    /// A manager that was cut off while all others it knows were replaced finds nobody who could
    /// tell it that it was removed. Its operator joins it again by hand.
    fn help_stranded(&mut self) {
        for at in 0..self.hosts.len() {
            let host = &self.hosts[at];
            let Some(process) = host.process.as_ref().filter(|_| !host.gone) else {
                continue;
            };
            let known = process.consensus.status().membership;
            let votes = self.voters.contains(&raft_id(at));
            let stranded = !known.voters.is_empty() && known.voters.is_disjoint(&self.voters);
            if stranded && !votes {
                self.mark("a stranded manager joins again by hand");
                self.join_again(at, SEC);
            }
        }
    }

    /// How many managers there may still be.
    pub(crate) fn room_for_managers(&self) -> usize {
        let nodes = self.oracle.state().nodes();
        let wanted = nodes
            .iter()
            .filter(|n| n.spec.desired_role == NodeRole::Manager);
        MANAGERS_MAX.saturating_sub(wanted.count())
    }
}
