//! What one node was told to run and what it must still be told.
//!
//! Only ids are kept: a message is made from the newest committed state when it is sent, so a slow
//! node costs a set of ids and never a queue of messages.

use std::collections::{BTreeMap, BTreeSet};

use store::State;
use types::task::{ResourceKind, Task};
use types::{NodeId, TaskId, TaskState, Timestamp};

use crate::input::{AssignmentChange, AssignmentKind, Assignments, Item, ItemId, StreamId};
use crate::limits::ASSIGNMENTS_TASKS_MAX;

/// Why a task has to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dirty {
    /// Only what it holds may have changed: it ended, and the node knows.
    Dependencies,
    /// The node must be told the task.
    Task,
}

/// The assignments stream of one session.
#[derive(Debug)]
pub(crate) struct AssignmentSet {
    pub(crate) stream: StreamId,
    /// A message waits in the stream's queue.
    pub(crate) busy: bool,
    pub(crate) last_sent_at: Timestamp,
    sequence: u64,
    /// Tasks the node was told.
    told: BTreeSet<TaskId>,
    dirty: BTreeMap<TaskId, Dirty>,
    /// Live tasks by what they use.
    users: BTreeMap<ItemId, BTreeSet<TaskId>>,
    /// The same the other way round; tasks without dependencies have no entry.
    uses: BTreeMap<TaskId, Vec<ItemId>>,
}

/// Changes of one message, in the order they are sent.
#[derive(Default)]
struct Message {
    gained: Vec<AssignmentChange>,
    tasks: Vec<AssignmentChange>,
    released: BTreeSet<ItemId>,
}

impl AssignmentSet {
    /// A stream on which nothing was sent.
    pub(crate) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            busy: false,
            last_sent_at: Timestamp::ZERO,
            sequence: 0,
            told: BTreeSet::new(),
            dirty: BTreeMap::new(),
            users: BTreeMap::new(),
            uses: BTreeMap::new(),
        }
    }

    /// Notes a changed task; true if a message is due for it.
    pub(crate) fn note(&mut self, old: Option<&Task>, new: Option<&Task>) -> bool {
        let Some(id) = new.or(old).map(|t| t.id) else {
            return false;
        };
        let Some(why) = relevance(old, new) else {
            return false;
        };
        if new.is_none() && !self.told.contains(&id) && !self.dirty.contains_key(&id) {
            return false;
        }
        if why == Dirty::Dependencies && !self.uses.contains_key(&id) {
            return false;
        }
        let entry = self.dirty.entry(id).or_insert(why);
        *entry = (*entry).max(why);
        true
    }

    /// Notes that every task of the node has to be looked at.
    pub(crate) fn note_all(&mut self, view: &State, node: NodeId) {
        let present = view.tasks().on_node(node).map(|t| t.id);
        let all: Vec<_> = present.chain(self.told.iter().copied()).collect();
        self.dirty
            .extend(all.into_iter().map(|id| (id, Dirty::Task)));
    }

    /// Whether there is something to send.
    pub(crate) fn is_dirty(&self) -> bool {
        self.sequence == 0 || !self.dirty.is_empty()
    }

    /// The next message; `None` if the node knows everything.
    pub(crate) fn next(&mut self, view: &State, node: NodeId) -> Option<Assignments> {
        let mut message = Message::default();
        let kind = if self.sequence == 0 {
            self.dirty.clear();
            for task in view.tasks().on_node(node).filter(|t| is_for_node(t)) {
                self.tell(view, task, &mut message);
            }
            AssignmentKind::Complete
        } else {
            self.changed(view, node, &mut message);
            if message.is_empty(&self.users) {
                return None;
            }
            AssignmentKind::Incremental
        };
        let applies_to = self.sequence;
        self.sequence += 1;
        Some(Assignments {
            kind,
            applies_to,
            results_in: self.sequence,
            changes: message.finish(&self.users),
        })
    }

    fn changed(&mut self, view: &State, node: NodeId, message: &mut Message) {
        for _ in 0..ASSIGNMENTS_TASKS_MAX {
            let Some((id, why)) = self.dirty.pop_first() else {
                break;
            };
            let task = view.tasks().get(id);
            let task = task.filter(|t| t.node_id == Some(node) && is_for_node(t));
            match task {
                Some(task) if why == Dirty::Task || !self.told.contains(&id) => {
                    self.tell(view, task, message);
                }
                Some(task) => self.hold(view, task, message),
                None if self.told.remove(&id) => {
                    self.release(id, message);
                    let gone = AssignmentChange::Remove(ItemId::Task(id));
                    message.tasks.push(gone);
                }
                None => {}
            }
        }
    }

    fn tell(&mut self, view: &State, task: &std::sync::Arc<Task>, message: &mut Message) {
        self.hold(view, task, message);
        self.told.insert(task.id);
        let update = AssignmentChange::Update(Item::Task(task.clone()));
        message.tasks.push(update);
    }

    /// Makes the task hold its dependencies while it may run, and nothing after that.
    fn hold(&mut self, view: &State, task: &Task, message: &mut Message) {
        if !task.is_active() {
            self.release(task.id, message);
            return;
        }
        if self.uses.contains_key(&task.id) {
            return;
        }
        let mut held = Vec::new();
        for dependency in dependencies(task) {
            // What the store does not have cannot be sent; the node says what it misses.
            let Some(item) = lookup(view, dependency) else {
                continue;
            };
            let users = self.users.entry(dependency).or_default();
            if users.is_empty() {
                message.gained.push(AssignmentChange::Update(item));
            }
            users.insert(task.id);
            held.push(dependency);
        }
        if !held.is_empty() {
            self.uses.insert(task.id, held);
        }
    }

    fn release(&mut self, id: TaskId, message: &mut Message) {
        for dependency in self.uses.remove(&id).into_iter().flatten() {
            let Some(users) = self.users.get_mut(&dependency) else {
                continue;
            };
            users.remove(&id);
            if users.is_empty() {
                self.users.remove(&dependency);
                message.released.insert(dependency);
            }
        }
    }
}

impl Message {
    fn is_empty(&self, users: &BTreeMap<ItemId, BTreeSet<TaskId>>) -> bool {
        self.gained.is_empty()
            && self.tasks.is_empty()
            && self.released.iter().all(|d| users.contains_key(d))
    }

    /// What a task needs comes before it; what nothing needs any more goes last.
    fn finish(self, users: &BTreeMap<ItemId, BTreeSet<TaskId>>) -> Vec<AssignmentChange> {
        let unused = self.released.into_iter().filter(|d| !users.contains_key(d));
        let mut changes = self.gained;
        changes.extend(self.tasks);
        changes.extend(unused.map(AssignmentChange::Remove));
        changes
    }
}

/// Whether the node may see the task: the scheduler has committed it there.
fn is_for_node(task: &Task) -> bool {
    task.status.state >= TaskState::Assigned
}

/// Whether a node must hear of a change of one of its tasks.
fn relevance(old: Option<&Task>, new: Option<&Task>) -> Option<Dirty> {
    let Some(new) = new else {
        return Some(Dirty::Task);
    };
    if !is_for_node(new) {
        return None;
    }
    let Some(old) = old else {
        return Some(Dirty::Task);
    };
    let ended = !old.status.state.is_terminal() && new.status.state.is_terminal();
    // Managers give a task up in these two states; the node must stop it if it runs.
    let given_up = matches!(new.status.state, TaskState::Orphaned | TaskState::Rejected);
    if new.status.state == TaskState::Assigned || (ended && given_up) || !same_order(old, new) {
        Some(Dirty::Task)
    } else {
        ended.then_some(Dirty::Dependencies)
    }
}

/// Whether two versions of a task ask the same of its node.
fn same_order(old: &Task, new: &Task) -> bool {
    let same_spec = std::sync::Arc::ptr_eq(&old.service_spec, &new.service_spec)
        || old.service_spec == new.service_spec;
    same_spec
        && old.desired_state == new.desired_state
        && old.annotations == new.annotations
        && old.networks == new.networks
        && old.endpoint == new.endpoint
        && old.log_driver == new.log_driver
        && old.assigned_generic_resources == new.assigned_generic_resources
        && old.volumes == new.volumes
}

/// Secrets and configs a task may read, each once.
fn dependencies(task: &Task) -> BTreeSet<ItemId> {
    let spec = task.spec();
    let container = spec.container();
    let secrets = container.into_iter().flat_map(|c| &c.secrets);
    let configs = container.into_iter().flat_map(|c| &c.configs);
    let listed = spec
        .resource_references
        .iter()
        .filter_map(|r| match r.kind {
            ResourceKind::Secret => r.resource_id.parse().ok().map(ItemId::Secret),
            ResourceKind::Config => r.resource_id.parse().ok().map(ItemId::Config),
            ResourceKind::Task | ResourceKind::Volume => None,
        });
    secrets
        .map(|r| ItemId::Secret(r.secret_id))
        .chain(configs.map(|r| ItemId::Config(r.config_id)))
        .chain(listed)
        .collect()
}

fn lookup(view: &State, id: ItemId) -> Option<Item> {
    match id {
        ItemId::Secret(id) => view.secrets().get(id).cloned().map(Item::Secret),
        ItemId::Config(id) => view.configs().get(id).cloned().map(Item::Config),
        ItemId::Task(id) => view.tasks().get(id).cloned().map(Item::Task),
    }
}
