//! Tasks that wait for the scheduler, by what they wait for.
//!
//! Follows the tasks it is told of. What is tried again when is decided by the scheduler.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use types::{NodeId, ServiceId, Task, TaskId, TaskState};

use crate::classes::{ClassId, Classes};
use crate::failures::SpecKey;

/// The priority of a service; the highest comes first.
pub(crate) type Urgency = Reverse<u8>;

/// Tasks that are placed together: one spec of one service, asking the same of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupKey {
    pub(crate) urgency: Urgency,
    pub(crate) service: Option<ServiceId>,
    pub(crate) spec_version: Option<u64>,
    pub(crate) class: ClassId,
}

impl GroupKey {
    /// What its failures are counted under.
    pub(crate) fn spec(self) -> SpecKey {
        (self.service, self.spec_version)
    }

    /// Whether a task may be in it, whatever it asks.
    fn is_of(self, task: &Task) -> bool {
        self.service == task.service_id && self.spec_version == task.spec_version
    }

    fn first(urgency: Urgency) -> Self {
        Self {
            urgency,
            service: None,
            spec_version: None,
            class: 0,
        }
    }

    fn last(urgency: Urgency) -> Self {
        Self {
            urgency,
            service: Some(ServiceId::MAX),
            spec_version: Some(u64::MAX),
            class: ClassId::MAX,
        }
    }
}

/// Equal tasks without a node.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The tasks.
    pub(crate) tasks: BTreeSet<TaskId>,
    /// Why they wait, once all of them have been told.
    pub(crate) told: Option<Arc<str>>,
}

/// What a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// A node.
    Node,
    /// The check of the node that it was made for.
    Check(NodeId),
    /// Its end: it is not wanted any more and never had a node.
    End,
}

/// Tasks that wait for the scheduler.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    groups: BTreeMap<GroupKey, Group>,
    /// Groups to try; the others know that they fit nowhere.
    ready: BTreeSet<GroupKey>,
    made_for: BTreeMap<NodeId, BTreeSet<TaskId>>,
    /// Nodes whose tasks are to be checked.
    unchecked: BTreeSet<NodeId>,
    unwanted: BTreeSet<TaskId>,
    /// The group that a task left last. Those that are placed together leave together, and a look
    /// into it is cheaper than to work out again what a task asks.
    left: Option<GroupKey>,
}

fn wait_of(task: &Task) -> Option<Wait> {
    if task.status.state != TaskState::Pending {
        return None;
    }
    Some(match task.node_id {
        _ if task.desired_state >= TaskState::Shutdown => Wait::End,
        Some(node) => Wait::Check(node),
        None => Wait::Node,
    })
}

impl Queue {
    /// A task changed, appeared or went.
    pub(crate) fn follow(&mut self, old: Option<&Task>, new: Option<&Task>, classes: &mut Classes) {
        let (was, is) = (old.and_then(wait_of), new.and_then(wait_of));
        if was.is_none() && is.is_none() {
            return;
        }
        if let (Some(old), Some(new)) = (old, new)
            && was == is
            && asks_alike(old, new)
        {
            // A text that this stage wrote is no reason to look again. Any other change is: a
            // step made for the version before was dropped.
            if old.status.err == new.status.err {
                self.retry(new, is, classes);
            }
            return;
        }
        if let (Some(task), Some(wait)) = (old, was) {
            self.remove(task, wait, classes);
        }
        if let (Some(task), Some(wait)) = (new, is) {
            self.insert(task, wait, classes);
        }
    }

    /// The group of a key.
    pub(crate) fn group(&self, key: GroupKey) -> Option<&Group> {
        self.groups.get(&key)
    }

    /// The group of a key, for change.
    pub(crate) fn group_mut(&mut self, key: GroupKey) -> Option<&mut Group> {
        self.groups.get_mut(&key)
    }

    /// The first group to try of an urgency, after `after`.
    pub(crate) fn next_ready(&self, urgency: Urgency, after: Option<GroupKey>) -> Option<GroupKey> {
        let from = after.map_or(Included(GroupKey::first(urgency)), Excluded);
        let until = Included(GroupKey::last(urgency));
        self.ready.range((from, until)).next().copied()
    }

    /// The most urgent of the groups to try that come after all of `after`.
    pub(crate) fn next_urgency(&self, after: Option<Urgency>) -> Option<Urgency> {
        let first = match after {
            None => self.ready.first(),
            Some(urgency) => {
                let rest = Excluded(GroupKey::last(urgency));
                self.ready.range((rest, std::ops::Bound::Unbounded)).next()
            }
        };
        first.map(|key| key.urgency)
    }

    /// The first group to try of some classes.
    pub(crate) fn first_of(&self, classes: &BTreeSet<ClassId>) -> Option<GroupKey> {
        let mut ready = self.ready.iter();
        ready.find(|key| classes.contains(&key.class)).copied()
    }

    /// A group is to be tried.
    pub(crate) fn set_ready(&mut self, key: GroupKey) {
        if self.groups.contains_key(&key) {
            self.ready.insert(key);
        }
    }

    /// A group knows that it fits nowhere.
    pub(crate) fn set_waiting(&mut self, key: GroupKey) {
        self.ready.remove(&key);
    }

    /// Nodes whose tasks are to be checked.
    pub(crate) fn unchecked(&self) -> impl Iterator<Item = NodeId> {
        self.unchecked.iter().copied()
    }

    /// Tasks made for a node.
    pub(crate) fn made_for(&self, node: NodeId) -> impl Iterator<Item = TaskId> {
        self.made_for.get(&node).into_iter().flatten().copied()
    }

    /// The tasks made for a node are to be checked, if there are any.
    pub(crate) fn set_unchecked(&mut self, node: NodeId) {
        if self.made_for.contains_key(&node) {
            self.unchecked.insert(node);
        }
    }

    /// The tasks made for a node know that they do not fit there.
    pub(crate) fn set_checked(&mut self, node: NodeId) {
        self.unchecked.remove(&node);
    }

    /// Tasks that are not wanted any more and never had a node.
    pub(crate) fn unwanted(&self) -> impl Iterator<Item = TaskId> {
        self.unwanted.iter().copied()
    }

    /// All tasks in it.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> BTreeSet<TaskId> {
        let grouped = self.groups.values().flat_map(|g| &g.tasks);
        let made_for = self.made_for.values().flatten();
        grouped
            .chain(made_for)
            .chain(&self.unwanted)
            .copied()
            .collect()
    }

    fn retry(&mut self, task: &Task, wait: Option<Wait>, classes: &mut Classes) {
        match wait {
            Some(Wait::Node) => {
                let key = key_of(task, classes.id_of(task));
                if let Some(group) = self.groups.get_mut(&key) {
                    group.told = None;
                    self.ready.insert(key);
                }
            }
            Some(Wait::Check(node)) => self.set_unchecked(node),
            Some(Wait::End) | None => {}
        }
    }

    fn insert(&mut self, task: &Task, wait: Wait, classes: &mut Classes) {
        match wait {
            Wait::End => {
                self.unwanted.insert(task.id);
            }
            Wait::Check(node) => {
                self.made_for.entry(node).or_default().insert(task.id);
                self.unchecked.insert(node);
            }
            Wait::Node => {
                let key = key_of(task, classes.enter(task));
                let group = self.groups.entry(key).or_default();
                group.tasks.insert(task.id);
                group.told = None;
                self.ready.insert(key);
            }
        }
    }

    fn remove(&mut self, task: &Task, wait: Wait, classes: &mut Classes) {
        match wait {
            Wait::End => {
                self.unwanted.remove(&task.id);
            }
            Wait::Check(node) => self.remove_made_for(node, task.id),
            Wait::Node => {
                if let Some(key) = self.left.filter(|key| key.is_of(task))
                    && self.remove_from_group(key, task.id, classes)
                {
                    return;
                }
                let key = key_of(task, classes.id_of(task));
                self.remove_from_group(key, task.id, classes);
                self.left = Some(key);
            }
        }
    }

    fn remove_made_for(&mut self, node: NodeId, task: TaskId) {
        let Some(tasks) = self.made_for.get_mut(&node) else {
            return;
        };
        tasks.remove(&task);
        if tasks.is_empty() {
            self.made_for.remove(&node);
            self.unchecked.remove(&node);
        }
    }

    /// Returns whether the task was in the group.
    fn remove_from_group(&mut self, key: GroupKey, task: TaskId, classes: &mut Classes) -> bool {
        let Some(group) = self.groups.get_mut(&key) else {
            return false;
        };
        if !group.tasks.remove(&task) {
            return false;
        }
        if group.tasks.is_empty() {
            self.groups.remove(&key);
            self.ready.remove(&key);
            if let Some(waiting) = classes.get_mut(key.class).and_then(|c| c.waiting.as_mut()) {
                waiting.groups.remove(&key);
            }
        }
        classes.leave(key.class);
        true
    }
}

fn key_of(task: &Task, class: ClassId) -> GroupKey {
    GroupKey {
        urgency: Reverse(task.service_spec.options.priority),
        service: task.service_id,
        spec_version: task.spec_version,
        class,
    }
}

/// Whether two versions of a task belong to one group: nothing that its class is made of changed.
fn asks_alike(old: &Task, new: &Task) -> bool {
    Arc::ptr_eq(&old.service_spec, &new.service_spec)
        && old.spec_version == new.spec_version
        && old.endpoint == new.endpoint
        && old.networks == new.networks
        && old.log_driver == new.log_driver
}
