//! What counts as a turn of an update, and what does not.

use store::{Action, NewTask, Object};
use types::service::UpdateStatus;
use types::task::RestartPolicy;
use types::{ContainerSpec, Runtime, Timestamp};

use super::*;
use crate::testing::{applied, report, service, task, want};

/// A service of two slots that starts replacements first and rolls back one slot at a time.
struct World {
    state: State,
    checker: Checker,
}

fn spec(image: &str) -> Arc<ServiceSpec> {
    let mut spec = ServiceSpec {
        mode: ServiceMode::Replicated { replicas: 2 },
        update: Some(UpdateConfig {
            parallelism: 0,
            order: UpdateOrder::StartFirst,
            ..UpdateConfig::default()
        }),
        rollback: Some(UpdateConfig::default()),
        ..ServiceSpec::default()
    };
    spec.task.runtime = Runtime::Container(Box::new(ContainerSpec {
        image: image.to_owned(),
        ..ContainerSpec::default()
    }));
    Arc::new(spec)
}

impl World {
    /// A service without tasks.
    fn of(spec: &ServiceSpec) -> Self {
        let mut world = Self {
            state: State::default(),
            checker: Checker::new(),
        };
        let new = Service::new(service(), spec.clone());
        world.must(vec![Action::Create(Object::from(new))]);
        world
    }

    /// Slots 1 and 2 run tasks 1 and 2; an update put tasks 3 and 4 beside them and is rolled back.
    fn rolling_back() -> Self {
        let mut world = Self::of(&spec("v1"));
        world.must(vec![world.born(1, 1), world.born(2, 2)]);
        world.must(vec![world.goes_to("v2", UpdateState::Updating)]);
        world.must(vec![world.born(3, 1), world.born(4, 2)]);
        world.must(vec![world.goes_to("v1", UpdateState::RollbackStarted)]);
        world
    }

    fn goes_to(&self, image: &str, state: UpdateState) -> Action {
        let mut new = Service::clone(self.state.services().get(service()).unwrap());
        let previous = (new.spec, new.spec_version);
        (new.spec, new.spec_version) = match (new.previous_spec, new.previous_spec_version) {
            (Some(spec), Some(version)) => (spec, version),
            _ => (spec(image), new.meta.version),
        };
        (new.previous_spec, new.previous_spec_version) = (Some(previous.0), Some(previous.1));
        new.update_status = Some(UpdateStatus {
            state,
            started_at: self.now(),
            ..UpdateStatus::default()
        });
        Action::Update(Object::from(new))
    }

    fn born(&self, id: u128, slot: u64) -> Action {
        let of = self.state.services().get(service()).unwrap();
        Action::NewTask(NewTask {
            id: task(id),
            service: service(),
            spec_version: of.spec_version,
            slot,
            node: None,
            desired_state: TaskState::Running,
            job_iteration: None,
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_secs(100 + self.state.version())
    }

    fn apply(&mut self, actions: Vec<Action>) -> Verdict {
        let (commit, after) = applied(&self.state, self.now(), actions);
        let verdict = self
            .checker
            .check((&self.state, &after), &commit, commit.at);
        self.state = after;
        verdict
    }

    fn must(&mut self, actions: Vec<Action>) {
        assert_eq!(self.apply(actions), Ok(()));
    }
}

fn stop(n: u128) -> Action {
    want(n, TaskState::Shutdown)
}

/// A service that never restarts, whose one task was rejected.
fn rejected_for_good() -> World {
    let mut once = ServiceSpec::clone(&spec("v1"));
    once.task.restart = Some(RestartPolicy {
        condition: RestartCondition::None,
        ..RestartPolicy::default()
    });
    let mut world = World::of(&once);
    world.must(vec![world.born(1, 1)]);
    world.must(vec![report(1, TaskState::Rejected)]);
    world.must(vec![stop(1)]);
    world
}

#[test]
fn a_task_that_is_replaced_against_its_policy_is_seen() {
    let mut world = rejected_for_good();
    let seen = world.apply(vec![world.born(2, 1)]).map_err(|v| v.rule);
    assert_eq!(seen, Err("O8"));
}

#[test]
fn a_slot_that_was_scaled_away_begins_anew_whatever_the_policy() {
    let mut world = rejected_for_good();
    world.must(vec![want(1, TaskState::Remove)]);
    world.must(vec![world.born(2, 1)]);
}

#[test]
fn a_rollback_that_takes_two_slots_at_once_where_one_is_allowed_is_seen() {
    let mut world = World::rolling_back();
    world.must(vec![stop(1), stop(2)]);
    let both = vec![stop(3), world.born(5, 1), stop(4), world.born(6, 2)];
    let seen = world.apply(both).map_err(|v| v.rule);
    assert_eq!(seen, Err("O7"));
}

#[test]
fn tasks_of_the_present_spec_that_are_moved_are_no_turns_whatever_ran_beside_them() {
    let mut world = World::rolling_back();
    let mut all: Vec<_> = (1..=4).map(stop).collect();
    all.extend([world.born(5, 1), world.born(6, 2)]);
    world.must(all);
}
