//! The task table: its own indexes by service and slot and by node.

use std::sync::Arc;

use imbl::OrdSet;
use types::state::ALL_STATES;
use types::{Meta, NodeId, ServiceId, Task, TaskId, TaskState};

use crate::error::ApplyError;
use crate::table::{Replaced, Table};

const STATES: usize = ALL_STATES.len();

/// Tasks. Cloning is O(1); a clone never changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskTable {
    table: Table<Task>,
    by_slot: OrdSet<(ServiceId, u64, TaskId)>,
    by_node: OrdSet<(NodeId, TaskId)>,
    by_state: [usize; STATES],
}

impl TaskTable {
    /// The task of an id.
    pub fn get(&self, id: TaskId) -> Option<&Arc<Task>> {
        self.table.get(id)
    }

    /// All tasks in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.table.iter()
    }

    /// The tasks after `id` in the order of their ids, for paging.
    pub fn iter_after(&self, id: Option<TaskId>) -> impl Iterator<Item = &Arc<Task>> {
        self.table.iter_after(id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many are in an observed state.
    pub fn count(&self, state: TaskState) -> usize {
        self.by_state[place(state)]
    }

    /// Tasks of a service, slot by slot.
    pub fn of_service(&self, id: ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        self.slots((id, 0, TaskId::MIN), (id, u64::MAX, TaskId::MAX))
    }

    /// Tasks of one slot of a service.
    pub fn of_slot(&self, id: ServiceId, slot: u64) -> impl Iterator<Item = &Arc<Task>> {
        self.slots((id, slot, TaskId::MIN), (id, slot, TaskId::MAX))
    }

    /// The slots of services that hold more than `limit` tasks, without looking at the tasks. All
    /// tasks of a global service are in one.
    pub fn crowded_slots(&self, limit: usize) -> impl Iterator<Item = (ServiceId, u64)> + '_ {
        let (mut last, mut count) = (None, 0usize);
        self.by_slot.iter().filter_map(move |(service, slot, _)| {
            let slot = (*service, *slot);
            count = if last == Some(slot) { count + 1 } else { 1 };
            last = Some(slot);
            (count == limit.saturating_add(1)).then_some(slot)
        })
    }

    /// Tasks that have this node, in any state.
    pub fn on_node(&self, id: NodeId) -> impl Iterator<Item = &Arc<Task>> {
        self.by_node
            .range((id, TaskId::MIN)..=(id, TaskId::MAX))
            .filter_map(|(_, task)| self.table.get(*task))
    }

    /// Tasks observed before ASSIGNED: they wait for the allocator or the scheduler. Looks at every
    /// task: for stages that begin. An index would cost every task that is placed two changes.
    pub fn unplaced(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.iter().filter(|t| t.status.state < TaskState::Assigned)
    }

    /// Tasks with their own name.
    pub fn by_name(&self, name: &str) -> impl Iterator<Item = &Arc<Task>> {
        self.table.by_name(name)
    }

    /// Tasks whose written id begins so.
    pub fn by_id_prefix(&self, prefix: &str) -> impl Iterator<Item = &Arc<Task>> {
        self.table.by_id_prefix(prefix)
    }

    fn slots(
        &self,
        from: (ServiceId, u64, TaskId),
        to: (ServiceId, u64, TaskId),
    ) -> impl Iterator<Item = &Arc<Task>> {
        self.by_slot
            .range(from..=to)
            .filter_map(|(_, _, id)| self.table.get(*id))
    }

    pub(crate) fn expect(&self, id: TaskId) -> Result<&Arc<Task>, ApplyError> {
        self.table.expect(id)
    }

    pub(crate) fn create(&mut self, task: Task, stamp: Meta) -> Result<Arc<Task>, ApplyError> {
        let task = self.table.create(task, stamp)?;
        self.index(&task);
        Ok(task)
    }

    pub(crate) fn update(&mut self, task: Task, stamp: Meta) -> Result<Replaced<Task>, ApplyError> {
        let replaced = self.table.update(task, stamp)?;
        self.reindex(&replaced);
        Ok(replaced)
    }

    pub(crate) fn change(
        &mut self,
        id: TaskId,
        stamp: Meta,
        edit: impl FnOnce(&Task) -> Result<Task, ApplyError>,
    ) -> Result<Replaced<Task>, ApplyError> {
        let replaced = self.table.change(id, stamp, edit)?;
        self.reindex(&replaced);
        Ok(replaced)
    }

    pub(crate) fn remove(&mut self, id: TaskId) -> Result<Arc<Task>, ApplyError> {
        let task = self.table.remove(id)?;
        self.unindex(&task);
        Ok(task)
    }

    pub(crate) fn load(&mut self, task: Arc<Task>) {
        self.index(&task);
        self.table.load(task);
    }

    /// Moves a task in the indexes that its change concerns, and in no other.
    fn reindex(&mut self, replaced: &Replaced<Task>) {
        let (old, new) = (&replaced.old, &replaced.new);
        if (old.service_id, old.slot) != (new.service_id, new.slot) {
            self.unindex_slot(old);
            self.index_slot(new);
        }
        if old.node_id != new.node_id {
            self.unindex_node(old);
            self.index_node(new);
        }
        self.by_state[place(old.status.state)] -= 1;
        self.by_state[place(new.status.state)] += 1;
    }

    fn index(&mut self, task: &Task) {
        self.index_slot(task);
        self.index_node(task);
        self.by_state[place(task.status.state)] += 1;
    }

    fn unindex(&mut self, task: &Task) {
        self.unindex_slot(task);
        self.unindex_node(task);
        self.by_state[place(task.status.state)] -= 1;
    }

    fn index_slot(&mut self, task: &Task) {
        if let Some(service) = task.service_id {
            self.by_slot.insert((service, task.slot, task.id));
        }
    }

    fn unindex_slot(&mut self, task: &Task) {
        if let Some(service) = task.service_id {
            self.by_slot.remove(&(service, task.slot, task.id));
        }
    }

    fn index_node(&mut self, task: &Task) {
        if let Some(node) = task.node_id {
            self.by_node.insert((node, task.id));
        }
    }

    fn unindex_node(&mut self, task: &Task) {
        if let Some(node) = task.node_id {
            self.by_node.remove(&(node, task.id));
        }
    }
}

fn place(state: TaskState) -> usize {
    ALL_STATES.iter().position(|s| *s == state).unwrap_or(0)
}
