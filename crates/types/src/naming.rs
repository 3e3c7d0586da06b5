//! Names of tasks as users and containers see them.

use crate::{SlotKey, Task};

/// The task's own name, else `service.slot.id`, or `service.node.id` where the node is the slot.
pub fn task_name(task: &Task) -> String {
    if let Some(own) = task.annotations.as_ref().filter(|a| !a.name.is_empty()) {
        return own.name.clone();
    }
    let service = &task.service_annotations().name;
    format!("{service}.{}.{}", SlotKey::of(task), task.id)
}
