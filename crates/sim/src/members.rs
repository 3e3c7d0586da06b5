//! Which machines are managers: joining, leaving, and the role manager, as the shell does them.
//!
//! A machine whose state is lost, or that was removed and comes back, is a new member: its old
//! place in the list of hosts stays empty for ever, as its id in the log does.

use consensus::{Input, Member, MemberChange, Membership, ProposalId, RaftId, Role};
use store::{Action, Draft, Object, Step};
use types::node::Membership as Accepted;
use types::{Node, NodeId, NodeRole};

use crate::host::{Host, Waiter, index, raft_id};
use crate::params::SEC;
use crate::world::World;

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
        if self.hosts[at].process.as_ref().is_none_or(|p| p.reign.is_none()) {
            return;
        }
        self.forget_old_change(at);
        let Some(duty) = self.duty(at) else { return };
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
            && process.changing.is_some_and(|(_, since)| now > since + CHANGE_MAX)
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

    fn duty(&self, at: usize) -> Option<Duty> {
        let process = self.hosts[at].process.as_ref()?;
        let status = process.consensus.status();
        let members = &status.membership;
        let node_of = |m: &Member| m.node_id.parse::<NodeId>().ok();
        let member_of = |node: NodeId| {
            let mut all = members.members.values();
            all.find(|m| node_of(m) == Some(node))
        };
        let free = process.changing.is_none() && status.role == Role::Leader;
        let own = raft_id(at);
        let remove = |id: RaftId| match id == own {
            true => Some(Duty::StepDown),
            false => self.may_remove(id).then_some(Duty::Change(MemberChange::Remove(id))),
        };
        for node in process.state.nodes().iter() {
            let member = member_of(node.id);
            match (node.spec.desired_role, node.role, member) {
                (NodeRole::Manager, NodeRole::Worker, _) => {
                    return Some(Duty::Role(node.id, NodeRole::Manager));
                }
                (NodeRole::Worker, _, Some(m)) if free => {
                    if let Some(duty) = remove(m.raft_id) {
                        return Some(duty);
                    }
                }
                (NodeRole::Worker, NodeRole::Manager, None) => {
                    return Some(Duty::Role(node.id, NodeRole::Worker));
                }
                _ => {}
            }
        }
        if !free {
            return None;
        }
        let gone = |m: &&Member| node_of(m).is_none_or(|n| !process.state.nodes().contains(n));
        let stray = members.members.values().find(gone);
        if let Some(duty) = stray.and_then(|m| remove(m.raft_id)) {
            return Some(duty);
        }
        self.joiner(at, &process.state, members).or_else(|| {
            let learner = members.learners.first()?;
            Some(Duty::Change(MemberChange::Promote(*learner)))
        })
    }

    /// A machine that asks to be let in and may be.
    fn joiner(&self, at: usize, state: &store::State, members: &Membership) -> Option<Duty> {
        let asks = |h: &&Host| {
            let known = members.members.contains_key(&raft_id(h.at));
            let reaches = h.at == at || !self.cut.contains(&(h.at, at));
            let up = h.process.is_some() && h.paused_until <= self.now;
            !h.gone && !known && up && reaches && !members.removed.contains(&raft_id(h.at))
        };
        let may = |h: &&Host| {
            let node = state.nodes().get(h.node);
            node.is_some_and(|n| {
                n.role == NodeRole::Manager
                    && n.spec.desired_role == NodeRole::Manager
                    && n.spec.membership == Accepted::Accepted
            })
        };
        let host = self.hosts.iter().filter(asks).find(may)?;
        // A node that asks again has lost its log: its old identity is never used again.
        let mut all = members.members.values();
        let change = match all.find(|m| m.node_id == host.node.to_string()) {
            Some(old) if old.raft_id == raft_id(at) => return Some(Duty::StepDown),
            Some(old) => MemberChange::Remove(old.raft_id),
            None => MemberChange::AddLearner(host.member()),
        };
        Some(Duty::Change(change))
    }

    /// Whether a manager may be taken out, as far as recent losses are noticed by now.
    fn may_remove(&self, id: RaftId) -> bool {
        self.now >= self.newest_loss + NOTICED || self.hosts[index(id)].gone
    }

    fn set_role(&mut self, at: usize, id: NodeId, role: NodeRole) {
        let clock = self.clock(at);
        let Some(leading) = self.leading(at) else { return };
        let head = leading.view.head();
        let Some(node) = head.nodes().get(id) else { return };
        if node.role == role || node.spec.desired_role != role {
            return;
        }
        let node = Node { role, ..Node::clone(node) };
        let mut draft = Draft::new(head, clock);
        if draft.add(Step::unguarded(Action::Update(Object::from(node)))).is_ok() {
            self.accept(at, draft, Waiter::Pipeline);
        }
    }

    /// The members changed, as a manager sees it.
    pub(crate) fn members_changed(&mut self, at: usize, entry: u64, members: &Membership) {
        if entry > self.members_index {
            self.members_index = entry;
            self.voters = members.voters.clone();
            self.mark("members changed");
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
            if !runs && machine.is_none_or(|a| a.worker.is_some() && !a.removed) {
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
    /// comes back.
    pub(crate) fn may_lose(&self, at: usize) -> bool {
        let id = raft_id(at);
        if self.hosts[at].gone || !self.voters.contains(&id) {
            return !self.hosts[at].gone;
        }
        let broken = |id: &&RaftId| self.hosts[index(**id)].gone || self.hosts[index(**id)].lost;
        let lost = self.voters.iter().filter(broken).count();
        let changes = |h: &Host| h.changes_members_after(self.members_index);
        lost < (self.voters.len() - 1) / 2 && !self.hosts.iter().any(changes)
    }

    /// The state of a manager is lost. It joins again as a new member after a while.
    pub(crate) fn lose_state(&mut self, at: usize, down: u64) {
        if !self.may_lose(at) {
            return;
        }
        self.crash_manager(at, down);
        self.newest_loss = self.now;
        self.mark("state of a manager lost");
        self.note(("m", at), 4, || "loses its state".into());
        if self.bug == Some(crate::bugs::Bug::ReuseRaftId) {
            self.hosts[at].disk = crate::disk::Disk::default();
            return;
        }
        self.hosts[at].gone = true;
        let node = self.hosts[at].node;
        let agent = self.agent_on(at);
        let clock = self.hosts[at].clock.clone();
        let new = self.hosts.len();
        self.hosts.push(Host::new(new, node, clock));
        self.after(down, crate::world::Event::BootManager(new));
        if let Some(agent) = agent {
            self.after(down, crate::world::Event::BootAgent(agent));
        }
    }

    /// How many managers there may still be.
    pub(crate) fn room_for_managers(&self) -> usize {
        let nodes = self.oracle.state().nodes();
        let wanted = nodes.iter().filter(|n| n.spec.desired_role == NodeRole::Manager);
        MANAGERS_MAX.saturating_sub(wanted.count())
    }
}
