//! Names of tasks as users and containers see them.

use crate::task::Task;

/// The task's own name, else `service.slot.id`, or `service.node.id` where the node is the slot.
pub fn task_name(task: &Task) -> String {
    if let Some(own) = task.annotations.as_ref().filter(|a| !a.name.is_empty()) {
        return own.name.clone();
    }
    let service = &task.service_annotations().name;
    if task.service_spec.mode.is_global()
        && let Some(node) = task.node_id
    {
        return format!("{service}.{node}.{}", task.id);
    }
    format!("{service}.{}.{}", task.slot, task.id)
}
