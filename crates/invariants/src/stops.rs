//! Why a task that runs is told to stop (O12).

use std::collections::BTreeSet;

use store::{Diff, State};
use types::node::Membership;
use types::task::DISPLACED;
use types::{Availability, Node, NodeState, Service, ServiceMode, SlotKey, Task, TaskState};

use crate::desired::constraints;
use crate::slots::records;
use crate::{Verdict, must};

/// O12: a task that runs is told to stop only for a reason that is there when it is told. A step
/// may be older than a later one of the same transaction, so the tables before count as well. Who
/// is to take over is looked for among those that are left.
pub(crate) fn check((before, after): (&State, &State), diff: &Diff<Task>) -> Verdict {
    let (Some(old), Some(task)) = (&diff.old, &diff.new) else {
        return Ok(());
    };
    let runs = |t: &Task| t.status.state == TaskState::Running && t.is_runnable();
    let stops = task.desired_state > TaskState::Complete && task.status.state == TaskState::Running;
    if !runs(old) || !stops {
        return Ok(());
    }
    let reason = |state: &State| {
        let service = task.service_id.and_then(|s| state.services().get(s));
        service.is_none_or(|s| service_lets_go(state, s, task)) || node_lets_go(state, task)
    };
    must!(
        task.status.err.starts_with(DISPLACED)
            || reason(before)
            || reason(after)
            || has_successor(after, task),
        "O12",
        "task {} of service {:?} runs as it should and is told to stop",
        task.id,
        task.service_id
    );
    Ok(())
}

fn node_lets_go(state: &State, task: &Task) -> bool {
    let node = task.node_id.and_then(|n| state.nodes().get(n));
    node.is_none_or(|n| {
        n.status.state == NodeState::Down || n.spec.availability == Availability::Drain
    })
}

/// Whether another task of the slot is meant to run, or was and completed it.
fn has_successor(state: &State, task: &Task) -> bool {
    let fills = |t: &Task| t.is_runnable() || t.status.state == TaskState::Complete;
    let Some(service) = task.service_id else {
        return false;
    };
    let slot = records(state, service, SlotKey::of(task)).into_iter();
    let mut others = slot.filter(|t| t.id != task.id);
    others.any(|t| t.job_iteration == task.job_iteration && fills(t))
}

/// Whether the service has no use for the task where it is: it asks for another, for fewer, or for
/// none there.
fn service_lets_go(state: &State, service: &Service, task: &Task) -> bool {
    let run = service.job_status.map(|j| j.iteration);
    let outdated = task.spec_version != Some(service.spec_version)
        && (task.service_spec.task != service.spec.task
            || task.service_spec.endpoint != service.spec.endpoint
            || task.service_spec.networks != service.spec.networks);
    let too_many = match (service.spec.mode, SlotKey::of(task)) {
        (ServiceMode::Replicated { replicas }, _) => slots(state, service) > replicas,
        (
            ServiceMode::ReplicatedJob {
                total_completions, ..
            },
            SlotKey::Number(number),
        ) => task.job_iteration != run || number >= total_completions,
        (ServiceMode::Global | ServiceMode::GlobalJob, SlotKey::Node(node)) => {
            let node = state.nodes().get(node);
            task.job_iteration != run || node.is_none_or(|n| !belongs(n, service))
        }
        _ => true,
    };
    outdated || too_many
}

/// Slots of a service that are taken, or were when their last task ended.
fn slots(state: &State, service: &Service) -> u64 {
    let tasks = state.tasks().of_service(service.id);
    let kept = tasks.filter(|t| t.desired_state < TaskState::Remove);
    kept.map(|t| t.slot).collect::<BTreeSet<_>>().len() as u64
}

fn belongs(node: &Node, service: &Service) -> bool {
    let asked = constraints(&service.spec.task);
    node.spec.membership == Membership::Accepted && scheduler::constraint::check_all(&asked, node)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::{Action, Change, NewTask, Object};
    use types::{NodeId, NodeSpec, ServiceSpec, Timestamp};

    use super::*;
    use crate::testing::{applied, report, service, task, want};

    fn born(n: u128, slot: u64) -> Action {
        Action::NewTask(NewTask {
            id: task(n),
            service: service(),
            spec_version: 0,
            slot,
            node: Some(NodeId::MAX),
            desired_state: TaskState::Running,
            job_iteration: None,
        })
    }

    fn runs(n: u128) -> Action {
        report(n, TaskState::Running)
    }

    fn stop(n: u128) -> Action {
        want(n, TaskState::Shutdown)
    }

    fn apply(state: &mut State, actions: Vec<Action>) -> Verdict {
        let (commit, after) = applied(state, Timestamp::from_secs(1), actions);
        let before = std::mem::replace(state, after);
        let tasks = commit.changes.iter().filter_map(|change| match change {
            Change::Task(diff) => Some(diff),
            _ => None,
        });
        let mut verdicts = tasks.map(|diff| check((&before, state), diff));
        verdicts.find(Result::is_err).unwrap_or(Ok(()))
    }

    /// A service of two slots, in which tasks 1 and 2 run on a ready node.
    fn two_that_run() -> State {
        let mut state = State::default();
        let mut node = Node::new(NodeId::MAX, NodeSpec::default());
        node.status.state = NodeState::Ready;
        let spec = ServiceSpec {
            mode: ServiceMode::Replicated { replicas: 2 },
            ..ServiceSpec::default()
        };
        let service = Service::new(service(), spec);
        let objects = [Object::from(node), Object::from(service)].map(Action::Create);
        let tasks = [born(1, 1), born(2, 2), runs(1), runs(2)];
        let all = objects.into_iter().chain(tasks).collect();
        assert_eq!(apply(&mut state, all), Ok(()));
        state
    }

    fn edit_service(state: &State, edit: impl FnOnce(&mut ServiceSpec)) -> Action {
        let mut service = Service::clone(state.services().get(service()).unwrap());
        edit(Arc::make_mut(&mut service.spec));
        service.spec_version = service.meta.version;
        Action::Update(Object::from(service))
    }

    fn edit_node(state: &State, edit: impl FnOnce(&mut Node)) -> Action {
        let mut node = Node::clone(state.nodes().get(NodeId::MAX).unwrap());
        edit(&mut node);
        Action::Update(Object::from(node))
    }

    #[test]
    fn a_task_that_is_stopped_for_nothing_is_seen() {
        let mut state = two_that_run();
        let seen = apply(&mut state, vec![stop(1)]).map_err(|v| v.rule);
        assert_eq!(seen, Err("O12"));
    }

    #[test]
    fn a_task_may_be_stopped_for_its_node_its_service_or_its_successor() {
        let drained = |s: &State| edit_node(s, |n| n.spec.availability = Availability::Drain);
        let down = |s: &State| edit_node(s, |n| n.status.state = NodeState::Down);
        let scaled =
            |s: &State| edit_service(s, |s| s.mode = ServiceMode::Replicated { replicas: 1 });
        let updated = |s: &State| edit_service(s, |s| s.task.force_update = 1);
        let followed = |_: &State| born(3, 1);
        let reasons: [&dyn Fn(&State) -> Action; 5] =
            [&drained, &down, &scaled, &updated, &followed];
        for reason in reasons {
            let mut state = two_that_run();
            let given = reason(&state);
            assert_eq!(apply(&mut state, vec![given]), Ok(()));
            assert_eq!(apply(&mut state, vec![stop(1)]), Ok(()));
        }
    }

    #[test]
    fn a_reason_that_was_taken_back_is_none() {
        let mut state = two_that_run();
        for replicas in [1, 2] {
            let scaled = edit_service(&state, |s| s.mode = ServiceMode::Replicated { replicas });
            assert_eq!(apply(&mut state, vec![scaled]), Ok(()));
        }
        let seen = apply(&mut state, vec![stop(1)]).map_err(|v| v.rule);
        assert_eq!(seen, Err("O12"));
    }
}
