//! What holds for every change of one task (O1, O2, O3) and for the node it goes to (O4).

use store::{Diff, State};
use types::{Actor, Availability, GenericResource, Node, NodeState, Task, TaskState};

use crate::desired::{clash, host_ports};
use crate::{Verdict, must};

const ACTORS: [Actor; 6] = [
    Actor::Allocator,
    Actor::Scheduler,
    Actor::Agent,
    Actor::Enforcer,
    Actor::Dispatcher,
    Actor::Orchestrator,
];

/// Checks one change of a task; `before` and `after` are the tables around its transaction.
pub(crate) fn check(before: &State, after: &State, diff: &Diff<Task>) -> Verdict {
    match (&diff.old, &diff.new) {
        (None, Some(new)) => {
            must!(
                new.status.state == TaskState::New,
                "O1",
                "task {} is born {}",
                new.id,
                new.status.state
            );
            must!(
                new.desired_state < TaskState::Shutdown,
                "O1",
                "task {} is born to be {}",
                new.id,
                new.desired_state
            );
        }
        (Some(old), Some(new)) => {
            moves_along_the_table(after, old, new)?;
            stays_itself(old, new)?;
            has_a_node(new)?;
            if old.status.state < TaskState::Assigned && new.status.state == TaskState::Assigned {
                fits(before, after, new)?;
            }
        }
        (Some(old), None) => {
            let node = old.node_id.filter(|n| after.nodes().contains(*n));
            must!(
                !old.is_active() || node.is_none(),
                "O2",
                "the record of task {} is deleted while it is {} on a node",
                old.id,
                old.status.state
            );
        }
        (None, None) => {}
    }
    Ok(())
}

fn moves_along_the_table(after: &State, old: &Task, new: &Task) -> Verdict {
    let (from, to) = (old.status.state, new.status.state);
    let node_removed = || old.node_id.is_some_and(|n| !after.nodes().contains(n));
    let given_up = to == TaskState::Orphaned && from < to && node_removed();
    must!(
        from == to || given_up || ACTORS.iter().any(|a| from.may_become(to, *a)),
        "O1",
        "task {} went from {from} to {to}",
        new.id
    );
    must!(
        new.desired_state >= old.desired_state,
        "O1",
        "task {} is wanted {} and was wanted {}",
        new.id,
        new.desired_state,
        old.desired_state
    );
    Ok(())
}

fn stays_itself(old: &Task, new: &Task) -> Verdict {
    let facts = |t: &Task| (t.id, t.service_id, t.slot, t.spec_version, t.job_iteration);
    must!(
        facts(old) == facts(new),
        "O2",
        "task {:?} became {:?}",
        facts(old),
        facts(new)
    );
    must!(
        old.node_id.is_none() || old.node_id == new.node_id,
        "O2",
        "task {} moved from {:?} to {:?}",
        new.id,
        old.node_id,
        new.node_id
    );
    Ok(())
}

fn has_a_node(task: &Task) -> Verdict {
    must!(
        !task.is_active() || task.node_id.is_some(),
        "O3",
        "task {} is {} without a node",
        task.id,
        task.status.state
    );
    Ok(())
}

/// O3 and O4 at the moment of assignment.
fn fits(before: &State, after: &State, task: &Task) -> Verdict {
    let node = task.node_id.and_then(|n| before.nodes().get(n));
    must!(
        node.is_some(),
        "O3",
        "task {} is assigned to a node that does not exist",
        task.id
    );
    let Some(node) = node else { return Ok(()) };
    let may = node.spec.availability == Availability::Active
        || (task.service_spec.mode.is_global() && node.spec.availability == Availability::Pause);
    must!(
        node.status.state == NodeState::Ready && may,
        "O3",
        "task {} is assigned to node {}, which is {} and {}",
        task.id,
        node.id,
        node.status.state.name(),
        node.spec.availability.name()
    );
    let constraints = task.spec().placement.iter().flat_map(|p| &p.constraints);
    let constraints: Vec<_> = constraints.cloned().collect();
    must!(
        scheduler::constraint::check_all(&constraints, node),
        "O3",
        "task {} is assigned to node {} against {constraints:?}",
        task.id,
        node.id
    );
    ports_are_free(after, node, task)?;
    capacity(after, node)
}

/// W2: a port of a node belongs to one task.
fn ports_are_free(after: &State, node: &Node, task: &Task) -> Verdict {
    let wanted = host_ports(task);
    let taken = |t: &&std::sync::Arc<Task>| {
        t.is_active() && t.id != task.id && clash(&host_ports(t), &wanted)
    };
    let other = after.tasks().on_node(node.id).find(taken);
    must!(
        wanted.is_empty() || other.is_none(),
        "W2",
        "tasks {} and {} on node {} want the same of its ports {wanted:?}",
        task.id,
        other.map(|t| t.id.to_string()).unwrap_or_default(),
        node.id
    );
    Ok(())
}

/// What tasks on a node reserve is there.
fn capacity(after: &State, node: &Node) -> Verdict {
    let Some(has) = node.description.as_ref().map(|d| &d.resources) else {
        return Ok(());
    };
    let (mut cpus, mut memory) = (0, 0);
    let mut claimed = std::collections::BTreeSet::new();
    for task in after.tasks().on_node(node.id).filter(|t| t.is_active()) {
        let reserved = task.spec().reservations();
        cpus += reserved.map_or(0, |r| r.nano_cpus);
        memory += reserved.map_or(0, |r| r.memory_bytes);
        for unit in &task.assigned_generic_resources {
            let named = matches!(unit, GenericResource::Named { .. });
            must!(
                !named || claimed.insert(unit),
                "O4",
                "{unit:?} of node {} is claimed twice",
                node.id
            );
        }
    }
    must!(
        cpus <= has.nano_cpus && memory <= has.memory_bytes,
        "O4",
        "tasks on node {} reserve {cpus} of {} and {memory} of {}",
        node.id,
        has.nano_cpus,
        has.memory_bytes
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::{Action, Transaction};
    use types::node::NodeDescription;
    use types::{NodeId, NodeSpec, Resources, ServiceSpec, TaskId, Timestamp};

    use super::*;

    const GPU: GenericResource = GenericResource::Discrete {
        kind: String::new(),
        value: 1,
    };

    fn cpus(nano_cpus: i64) -> Resources {
        Resources {
            nano_cpus,
            ..Resources::default()
        }
    }

    /// Tasks that reserve half a processor each, and hold a unit, on a node with one processor.
    fn tasks_on_a_node(units: &[GenericResource]) -> Verdict {
        let mut node = Node::new(NodeId::MAX, NodeSpec::default());
        node.description = Some(Arc::new(NodeDescription {
            resources: cpus(1_000_000_000),
            ..NodeDescription::default()
        }));
        let mut spec = ServiceSpec::default();
        spec.task.resources.reservations = Some(cpus(500_000_000));
        let spec = Arc::new(spec);
        let tasks = (1..).zip(units).map(|(n, unit)| {
            let mut task = Task::new(TaskId::from_u128(n).unwrap(), spec.clone());
            task.node_id = Some(node.id);
            task.status.state = TaskState::Running;
            task.assigned_generic_resources = vec![unit.clone()];
            Action::Create(task.into())
        });
        let mut state = State::default();
        let placed = Transaction {
            version: 1,
            at: Timestamp::ZERO,
            actions: tasks.collect(),
            digest: None,
        };
        state.apply(&placed).unwrap();
        capacity(&state, &node)
    }

    #[test]
    fn what_tasks_on_a_node_reserve_beyond_what_it_has_is_seen() {
        assert_eq!(tasks_on_a_node(&[GPU, GPU]), Ok(()));
        assert_eq!(tasks_on_a_node(&[GPU, GPU, GPU]).unwrap_err().rule, "O4");
    }

    #[test]
    fn a_named_unit_that_two_tasks_hold_is_seen() {
        let unit = |value: &str| GenericResource::Named {
            kind: "gpu".into(),
            value: value.into(),
        };
        assert_eq!(tasks_on_a_node(&[unit("a"), unit("b")]), Ok(()));
        let twice = tasks_on_a_node(&[unit("a"), unit("a")]);
        assert_eq!(twice.unwrap_err().rule, "O4");
    }
}
