//! What agents are told: that it is committed, theirs, and no more than they need (X1, X4).

use std::collections::BTreeSet;
use std::sync::Arc;

use dispatcher::{AssignmentChange, AssignmentKind, Assignments, Item, ItemId};
use sim_script::params::SEC;
use store::{Action, Object, Plan, State};
use types::{NodeId, NodeState, Task, TaskState};

use crate::bugs::Bug;
use crate::world::World;

/// Secrets and configs that tasks on a node need: those from ASSIGNED until they end.
pub(crate) fn needed_files(state: &State, node: NodeId) -> BTreeSet<ItemId> {
    let mut needed = BTreeSet::new();
    let tasks = state.tasks().on_node(node);
    let live =
        tasks.filter(|t| (TaskState::Assigned..=TaskState::Running).contains(&t.status.state));
    for container in live.filter_map(|t| t.spec().container()) {
        let secrets = container.secrets.iter();
        needed.extend(secrets.map(|r| ItemId::Secret(r.secret_id)));
        let configs = container.configs.iter();
        needed.extend(configs.map(|r| ItemId::Config(r.config_id)));
    }
    needed
}

/// The secret or config that an item is.
fn file_of(item: &Item) -> Option<ItemId> {
    match item {
        Item::Task(_) => None,
        Item::Secret(s) => Some(ItemId::Secret(s.id)),
        Item::Config(c) => Some(ItemId::Config(c.id)),
    }
}

/// Plants a bug: no node is ever called down.
pub(crate) fn never_down(plan: &mut Plan) {
    let calls_down = |a: &Action| match a {
        Action::Update(Object::Node(n)) => n.status.state == NodeState::Down,
        _ => false,
    };
    plan.steps.retain(|s| !s.actions.iter().any(calls_down));
}

/// How long a node that is connected may keep a secret or config that no task of it needs: its
/// tasks have ended, which the manager must hear and the node be told.
const KEEPS_FILE: u64 = 60 * SEC;

impl World {
    /// X1: what is no longer needed is taken away from nodes that are connected.
    pub(crate) fn check_files(&mut self) {
        for at in 0..self.agents.len() {
            let (now, agent) = (self.now, &mut self.agents[at]);
            let since = agent
                .link
                .as_ref()
                .filter(|l| l.session.is_some())
                .map(|l| l.since);
            let steady = since.is_some_and(|s| now >= s + KEEPS_FILE);
            if agent.files.is_empty() || !steady || agent.paused_until > now {
                agent.idle_files.clear();
                continue;
            }
            let needed = needed_files(self.oracle.state(), agent.node);
            let held = &agent.files;
            agent
                .idle_files
                .retain(|s, _| held.contains(s) && !needed.contains(s));
            for id in held.difference(&needed) {
                let since = *agent.idle_files.entry(*id).or_insert(now);
                if now > since + KEEPS_FILE {
                    let text = format!("a{at} keeps {id:?}, which no task of it needs");
                    return self.violate("X1", text);
                }
            }
        }
    }

    /// What an agent is told is committed, and its own.
    pub(crate) fn check_told(&mut self, agent: usize, view: &State, message: &Assignments) {
        let node = self.agents[agent].node;
        let truth = self.oracle.state().version();
        let needed = needed_files(view, node);
        for change in &message.changes {
            match change {
                AssignmentChange::Update(Item::Task(task)) if task.meta.version > truth => {
                    let text = format!("a{agent} is told of task {} too early", task.id);
                    return self.violate("O6", text);
                }
                AssignmentChange::Update(Item::Task(task)) if task.node_id != Some(node) => {
                    let text = format!("a{agent} is told of task {} of another node", task.id);
                    return self.violate("X4", text);
                }
                AssignmentChange::Update(item) => {
                    let file = file_of(item).filter(|f| !needed.contains(f));
                    if let Some(file) = file {
                        let text = format!("a{agent} is sent {file:?} without need");
                        return self.violate("X1", text);
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether assignments come over the connection and the stream that an agent has now.
    pub(crate) fn is_current(&mut self, at: usize, (link, generation): (u64, u64)) -> bool {
        let agent = &self.agents[at];
        if agent.worker.is_none() {
            return false;
        }
        let side = agent.link.as_ref();
        let current = side.is_some_and(|l| l.id == link && l.generation == generation);
        let replaced = side.is_some_and(|l| l.session.is_some());
        self.mark_if(
            !current && replaced,
            "assignments of a stream that was replaced",
        );
        current || self.bug == Some(Bug::OldGeneration)
    }

    /// R4: an agent never goes back to what was true before.
    pub(crate) fn check_generation(&mut self, at: usize, version: u64) {
        let last = std::mem::replace(&mut self.agents[at].told, version);
        if version < last {
            let text = format!("a{at} goes back from what it was told at {last} to {version}");
            self.violate("R4", text);
        }
    }

    pub(crate) fn spoil_message(&mut self, agent: usize, view: &State, message: &mut Assignments) {
        let removes = |c: &AssignmentChange, file: bool| match c {
            AssignmentChange::Remove(ItemId::Task(_)) => !file,
            AssignmentChange::Remove(ItemId::Secret(_) | ItemId::Config(_)) => file,
            AssignmentChange::Update(_) => false,
        };
        match self.bug {
            Some(Bug::DropRemovals) => message.changes.retain(|c| !removes(c, false)),
            Some(Bug::SecretForever) => message.changes.retain(|c| !removes(c, true)),
            Some(Bug::TellOthers) => {
                let own = Some(self.agents[agent].node);
                let other = |t: &&Arc<Task>| t.node_id.is_some() && t.node_id != own;
                let some = view.tasks().iter().find(other).cloned();
                message
                    .changes
                    .extend(some.map(|t| AssignmentChange::Update(Item::Task(t))));
            }
            Some(Bug::SecretEarly) => {
                let some = view.secrets().iter().next().cloned();
                message
                    .changes
                    .extend(some.map(|s| AssignmentChange::Update(Item::Secret(s))));
            }
            _ => {}
        }
    }

    pub(crate) fn mark_message(&mut self, message: &Assignments) {
        let complete = message.kind == AssignmentKind::Complete;
        self.mark_if(
            complete && !message.changes.is_empty(),
            "complete set with tasks sent",
        );
        for change in &message.changes {
            match change {
                AssignmentChange::Update(Item::Secret(_)) => self.mark("secret sent"),
                AssignmentChange::Remove(ItemId::Secret(_)) => self.mark("secret taken away"),
                AssignmentChange::Update(Item::Config(_)) => self.mark("config sent"),
                AssignmentChange::Remove(ItemId::Config(_)) => self.mark("config taken away"),
                _ => {}
            }
        }
    }
}
