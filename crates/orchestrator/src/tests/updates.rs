//! Rolling updates and rollbacks.

use std::time::Duration;

use store::{Action, Key, Object};
use types::container::{ConfigReference, ConfigTarget, FileTarget};
use types::service::{FailureAction, UpdateConfig, UpdateOrder, UpdateState};
use types::task::{RestartCondition, RestartPolicy};
use types::{
    Annotations, Availability, Config, ConfigId, ConfigSpec, Meta, NodeState, ServiceMode,
    ServiceSpec, TaskState,
};

use super::cluster::{Behaviour, Cluster, replicated, restart, set_image, spec, update_config};

const SECOND: Duration = Duration::from_secs(1);

fn service(replicas: u64, edit: impl FnOnce(&mut UpdateConfig)) -> Cluster {
    let mut spec = replicated(replicas);
    let mut config = update_config(1).unwrap();
    edit(&mut config);
    spec.update = Some(config);
    spec.rollback = update_config(1);
    let mut c = Cluster::new(3, spec);
    c.images.insert("bad".to_owned(), Behaviour::Crashes);
    c.settle();
    c
}

fn to(image: &str) -> impl FnOnce(&mut ServiceSpec) {
    let image = image.to_owned();
    move |s| set_image(s, &image)
}

fn all_run(c: &Cluster, image: &str, count: usize) {
    let images = c.images_running();
    assert_eq!(images.len(), count);
    assert!(images.values().all(|i| i == image), "{images:?}");
}

#[test]
fn an_update_replaces_every_slot_once_with_no_more_in_flight_than_allowed() {
    for parallelism in [1, 2, 0] {
        let mut c = service(6, |u| u.parallelism = parallelism);
        c.stop_time = SECOND;
        c.update(to("v2"));
        c.run(30 * SECOND);
        all_run(&c, "v2", 6);
        assert_eq!(c.created.len(), 12);
        let expected = if parallelism == 0 {
            6
        } else {
            parallelism as usize
        };
        assert_eq!(c.slots_in_flight_max, expected);
        assert_eq!(c.update_state(), UpdateState::Completed);
        assert_eq!(c.update_message(), "update completed");
    }
}

#[test]
fn the_delay_passes_between_one_slot_and_the_next_also_across_leaders() {
    let mut c = service(3, |u| u.delay = 10 * SECOND);
    c.update(to("v2"));
    c.run(9 * SECOND);
    assert_eq!(c.created.len(), 4);
    c.change_leader();
    c.run(Duration::from_millis(900));
    assert_eq!(
        c.created.len(),
        4,
        "a new leader does not start the delay again or skip it"
    );
    c.run(Duration::from_millis(200));
    assert_eq!(c.created.len(), 5);
}

#[test]
fn a_leader_change_at_every_step_repeats_no_slot_and_skips_none() {
    let mut c = service(8, |u| u.parallelism = 2);
    c.stop_time = SECOND;
    c.update(to("v2"));
    for _ in 0..200 {
        c.change_leader();
        c.run(Duration::from_millis(250));
    }
    all_run(&c, "v2", 8);
    assert_eq!((c.created.len(), c.slots_in_flight_max), (16, 2));
    assert_eq!(c.update_state(), UpdateState::Completed);
}

#[test]
fn a_failing_update_pauses_and_leaves_the_other_slots_alone() {
    let mut c = service(4, |u| u.delay = SECOND);
    c.update(to("bad"));
    c.run(30 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    let message = c.update_message();
    assert!(message.starts_with("update paused due to failure or early termination of task "));
    let names_it = message.contains(" (web.") && message.ends_with("): it is failed");
    assert!(names_it, "{message}");
    all_run(&c, "v1", 3);
    let victim = c.running()[0].id;
    c.fail(victim);
    c.run(10 * SECOND);
    all_run(&c, "v1", 3);
    c.update(to("v2"));
    c.run(30 * SECOND);
    all_run(&c, "v2", 4);
}

#[test]
fn a_failing_update_rolls_back_to_exactly_the_previous_spec() {
    let mut c = service(4, |u| u.failure_action = FailureAction::Rollback);
    let before = c.get().spec.clone();
    c.update(to("bad"));
    c.run(Duration::from_millis(500));
    assert_eq!(c.update_state(), UpdateState::RollbackStarted);
    c.change_leader();
    c.run(30 * SECOND);
    assert_eq!(c.update_state(), UpdateState::RollbackCompleted);
    let message = c.update_message();
    assert!(message.starts_with("rollback completed; update rolled back due to failure"));
    assert_eq!(c.get().spec, before);
    all_run(&c, "v1", 4);
}

#[test]
fn a_rollback_that_fails_pauses_whatever_its_failure_action() {
    let mut c = service(4, |u| u.failure_action = FailureAction::Rollback);
    c.update(|s| {
        set_image(s, "bad");
        s.rollback = s.update;
    });
    c.images.insert("v1".to_owned(), Behaviour::Crashes);
    let rollback = UpdateConfig {
        failure_action: FailureAction::Rollback,
        ..update_config(1).unwrap()
    };
    assert_eq!(
        c.get().spec.rollback.unwrap().failure_action,
        rollback.failure_action
    );
    c.run(60 * SECOND);
    assert_eq!(c.update_state(), UpdateState::RollbackPaused);
}

#[test]
fn without_a_previous_spec_a_rollback_becomes_a_pause_that_says_so() {
    let mut c = service(2, |u| u.failure_action = FailureAction::Rollback);
    c.update(to("bad"));
    let mut service = types::Service::clone(c.get());
    service.previous_spec = None;
    service.previous_spec_version = None;
    c.act(store::Action::Update(store::Object::from(service)));
    c.run(5 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    assert!(c.update_message().contains("no previous spec"));
}

#[test]
fn continue_goes_on_through_failures() {
    let mut c = service(4, |u| u.failure_action = FailureAction::Continue);
    c.update(to("bad"));
    c.run(30 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Completed);
    assert!(c.images_running().values().all(|i| i == "bad"));
}

#[test]
fn the_failure_ratio_is_a_share_of_the_slots_to_update() {
    for (ratio, state) in [(0.5, UpdateState::Completed), (0.2, UpdateState::Paused)] {
        let mut c = service(4, |u| u.max_failure_ratio = ratio);
        c.update(to("v2"));
        c.settle();
        let first = c
            .running()
            .iter()
            .find(|t| t.spec_version != Some(0))
            .unwrap()
            .id;
        c.fail(first);
        c.run(60 * SECOND);
        assert_eq!(c.update_state(), state, "ratio {ratio}");
    }
}

#[test]
fn a_task_that_fails_after_its_monitor_period_does_not_fail_the_update() {
    let mut c = service(4, |u| u.delay = 5 * SECOND);
    c.update(to("v2"));
    c.run(4 * SECOND);
    let first = c
        .running()
        .iter()
        .find(|t| t.spec_version != Some(0))
        .unwrap()
        .id;
    c.fail(first);
    c.run(60 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Completed);
}

#[test]
fn start_first_keeps_the_old_task_until_the_new_one_runs() {
    let mut c = service(3, |u| u.order = UpdateOrder::StartFirst);
    c.full = true;
    c.update(to("v2"));
    c.run(10 * SECOND);
    all_run(&c, "v1", 3);
    c.full = false;
    c.run(30 * SECOND);
    all_run(&c, "v2", 3);
    assert_eq!(c.created.len(), 6);
}

#[test]
fn start_first_with_a_bad_image_never_stops_an_old_task() {
    let mut c = service(3, |u| {
        u.order = UpdateOrder::StartFirst;
        u.failure_action = FailureAction::Rollback;
    });
    c.images.insert("gone".to_owned(), Behaviour::Missing);
    let before: Vec<_> = c.running().iter().map(|t| t.id).collect();
    c.update(to("gone"));
    c.run(60 * SECOND);
    let after: Vec<_> = c.running().iter().map(|t| t.id).collect();
    assert_eq!(before, after);
    assert_eq!(c.update_state(), UpdateState::RollbackCompleted);
}

#[test]
fn start_first_drains_by_starting_the_replacement_first() {
    let mut c = service(3, |u| u.order = UpdateOrder::StartFirst);
    c.full = true;
    c.set_availability(0, types::Availability::Drain);
    c.run(5 * SECOND);
    assert_eq!(c.running().len(), 3);
    c.full = false;
    c.run(5 * SECOND);
    assert_eq!(c.slots_running(), [1, 2, 3]);
    assert!(c.running().iter().all(|t| t.node_id != Some(c.nodes[0])));
}

#[test]
fn an_update_that_cannot_be_placed_pauses_with_the_reason() {
    let mut c = service(2, |_| {});
    c.full = true;
    c.update(to("v2"));
    c.run(Duration::from_secs(590));
    assert_eq!(c.update_state(), UpdateState::Updating);
    c.run(20 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    assert!(
        c.update_message()
            .contains("did not run within 10 minutes, it is pending")
    );
}

#[test]
fn what_does_not_run_is_updated_first() {
    let mut c = service(4, |u| u.parallelism = 1);
    let broken = c.running()[2].clone();
    c.fail(broken.id);
    c.update(to("v2"));
    c.settle();
    let first = c
        .tasks()
        .into_iter()
        .find(|t| t.spec_version != Some(0))
        .unwrap();
    assert_eq!(first.slot, broken.slot);
}

#[test]
fn changing_only_the_number_of_replicas_replaces_nothing() {
    let mut c = service(3, |_| {});
    c.update(|s| {
        s.mode = ServiceMode::Replicated { replicas: 5 };
        s.annotations.labels.insert("a".to_owned(), "b".to_owned());
    });
    c.run(5 * SECOND);
    assert_eq!(
        (c.created.len(), c.update_state()),
        (5, UpdateState::Unknown)
    );
}

#[test]
fn pull_credentials_and_placement_replace_only_what_they_matter_to() {
    let mut c = service(3, |_| {});
    c.update(|s| {
        let container = s.task.container_mut().unwrap();
        container.pull_options = Some(types::container::PullOptions {
            registry_auth: "e30".to_owned(),
        });
        s.task.placement = Some(types::task::Placement {
            constraints: vec!["node.role==worker".to_owned()],
            ..types::task::Placement::default()
        });
    });
    c.run(5 * SECOND);
    assert_eq!(c.created.len(), 3);
    c.update(|s| {
        let placement = s.task.placement.as_mut().unwrap();
        placement.constraints = vec!["node.role==manager".to_owned()];
    });
    c.settle();
    assert_eq!(c.update_state(), UpdateState::Updating);
}

#[test]
fn a_global_service_is_updated_node_by_node_and_a_paused_node_keeps_what_it_has() {
    let mut global = spec(ServiceMode::Global);
    global.update = update_config(1);
    let mut c = Cluster::new(3, global);
    c.settle();
    c.set_availability(0, types::Availability::Pause);
    c.update(to("v2"));
    c.run(20 * SECOND);
    assert_eq!(c.slots_in_flight_max, 1);
    assert_eq!(c.update_state(), UpdateState::Completed);
    let images = c.images_running();
    let old = images.values().filter(|i| *i == "v1").count();
    assert_eq!((images.len(), old), (3, 1));
}

#[test]
fn a_node_lost_during_an_update_does_not_stop_it() {
    let mut c = service(6, |_| {});
    c.update(to("v2"));
    c.run(Duration::from_millis(100));
    c.set_node_state(1, NodeState::Down);
    c.run(60 * SECOND);
    all_run(&c, "v2", 6);
    assert!(c.in_state(TaskState::Pending).is_empty());
}

#[test]
fn an_update_that_may_fail_waits_past_its_deadline_without_spinning() {
    let mut c = service(2, |u| u.failure_action = FailureAction::Continue);
    c.full = true;
    c.update(to("v2"));
    c.run(Duration::from_secs(700));
    assert_eq!(c.update_state(), UpdateState::Updating);
    c.full = false;
    c.run(10 * SECOND);
    all_run(&c, "v2", 2);
}

#[test]
fn a_rollback_that_a_user_asks_for_is_walked_like_an_update() {
    let mut c = service(3, |_| {});
    c.update(to("v2"));
    c.run(10 * SECOND);
    c.roll_back();
    c.run(20 * SECOND);
    assert_eq!(c.update_state(), UpdateState::RollbackCompleted);
    all_run(&c, "v1", 3);
    assert_eq!(c.slots_in_flight_max, 1);
}

/// What the simulator suspected: while the first new task of a slot was stopped before it ran (its
/// node was drained), the slot is in flight until the one after it runs.
#[test]
fn a_slot_whose_new_task_was_stopped_before_it_ran_is_still_in_flight() {
    for leaders in [false, true] {
        let mut c = service(4, |_| {});
        c.images.insert("v2".to_owned(), Behaviour::Slow);
        c.update(to("v2"));
        c.settle();
        let first = c.tasks().into_iter().find(|t| t.spec_version != Some(0));
        let node = first.unwrap().node_id;
        let at = c.nodes.iter().position(|n| Some(*n) == node).unwrap();
        c.full = true;
        c.set_availability(at, types::Availability::Drain);
        for _ in 0..20 {
            c.run(SECOND);
            if leaders {
                c.change_leader();
            }
        }
        assert_eq!(c.slots_in_flight_max, 1);
        c.full = false;
        c.images.remove("v2");
        c.run(60 * SECOND);
        assert_eq!(c.slots_in_flight_max, 1);
        assert_eq!(c.update_state(), UpdateState::Completed);
    }
}

#[test]
fn the_task_that_follows_one_stopped_before_it_ran_is_judged_in_its_place() {
    let mut c = service(4, |_| {});
    c.images.insert("bad".to_owned(), Behaviour::Slow);
    c.update(to("bad"));
    c.settle();
    let first = c.tasks().into_iter().find(|t| t.spec_version != Some(0));
    let node = first.unwrap().node_id;
    let at = c.nodes.iter().position(|n| Some(*n) == node).unwrap();
    c.set_availability(at, types::Availability::Drain);
    c.settle();
    c.images.insert("bad".to_owned(), Behaviour::Crashes);
    c.run(10 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
}

#[test]
fn the_progress_deadline_of_the_service_replaces_the_default() {
    for (deadline, paused_after, going_after) in [(30, 31, 29), (1_200, 1_201, 1_199)] {
        let mut c = service(2, |_| {});
        c.full = true;
        c.update(|s| {
            set_image(s, "v2");
            s.options.progress_deadline = Some(Duration::from_secs(deadline));
        });
        c.run(Duration::from_secs(going_after));
        assert_eq!(c.update_state(), UpdateState::Updating);
        c.change_leader();
        c.run(Duration::from_secs(paused_after - going_after));
        assert_eq!(
            c.update_state(),
            UpdateState::Paused,
            "{}",
            c.update_message()
        );
    }
}

#[test]
fn a_progress_deadline_of_zero_waits_for_ever_and_one_that_passes_can_roll_back() {
    let mut c = service(2, |_| {});
    c.full = true;
    c.update(|s| {
        set_image(s, "v2");
        s.options.progress_deadline = Some(Duration::ZERO);
    });
    c.run(Duration::from_secs(5_000));
    assert_eq!(c.update_state(), UpdateState::Updating);

    let mut c = service(2, |u| u.failure_action = FailureAction::Rollback);
    c.images.insert("v2".to_owned(), Behaviour::Slow);
    c.update(|s| {
        set_image(s, "v2");
        s.options.progress_deadline = Some(Duration::from_secs(20));
    });
    c.run(Duration::from_secs(22));
    assert_eq!(c.update_state(), UpdateState::RollbackStarted);
    assert!(
        c.update_message()
            .contains("did not run within 20 seconds, it is preparing")
    );
    c.run(20 * SECOND);
    assert_eq!(c.update_state(), UpdateState::RollbackCompleted);
    all_run(&c, "v1", 2);
}

#[test]
fn a_start_first_update_goes_on_after_its_node_was_drained_and_is_back() {
    let mut spec = replicated(2);
    let mut config = update_config(2).unwrap();
    config.order = UpdateOrder::StartFirst;
    spec.update = Some(config);
    spec.rollback = spec.update;
    let mut c = Cluster::new(4, spec);
    c.set_history(0);
    c.settle();
    c.set_availability(1, types::Availability::Pause);
    let failed = c.in_state(TaskState::Running)[0].id;
    c.fail(failed);
    c.settle();
    c.update(to("v3"));
    c.settle();
    for image in ["v0", "v1", "v3"] {
        c.images.insert(image.to_owned(), Behaviour::Slow);
    }
    c.settle();
    c.update(to("v0"));
    c.settle();
    c.set_availability(0, types::Availability::Drain);
    c.settle();
    for image in ["v0", "v1", "v3"] {
        c.images.insert(image.to_owned(), Behaviour::Runs);
    }
    c.set_availability(0, types::Availability::Active);
    c.set_availability(1, types::Availability::Active);
    c.run(60 * SECOND);
    all_run(&c, "v0", 2);
    assert_eq!(c.update_state(), UpdateState::Completed);
}

/// Found by the simulator.
#[test]
fn an_update_ends_although_its_tasks_were_stopped_and_may_not_be_replaced() {
    for action in [FailureAction::Continue, FailureAction::Pause] {
        let mut c = service(1, |u| u.failure_action = action);
        c.images.insert("v2".to_owned(), Behaviour::Slow);
        c.update(|s| {
            s.task.restart = restart(RestartCondition::None, 0);
            set_image(s, "v2");
        });
        c.settle();
        for at in 0..3 {
            c.set_availability(at, types::Availability::Drain);
        }
        c.run(60 * SECOND);
        assert_eq!(c.update_state(), UpdateState::Completed, "{action:?}");
    }
}

#[test]
fn an_update_that_goes_to_and_fro_leaves_no_slot_behind() {
    let mut spec = spec(ServiceMode::Global);
    let mut config = update_config(2).unwrap();
    config.order = UpdateOrder::StartFirst;
    spec.update = Some(config);
    spec.rollback = spec.update;
    spec.task.restart = restart(RestartCondition::Any, 0);
    let mut c = Cluster::new(4, spec);
    c.set_history(0);
    c.settle();
    c.update(to("v0"));
    c.settle();
    for image in ["v0", "v1", "v2"] {
        c.images.insert(image.to_owned(), Behaviour::Missing);
    }
    c.settle();
    let failed = c.in_state(TaskState::Running)[0].id;
    c.fail(failed);
    c.settle();
    for image in ["v2", "v0", "v2"] {
        c.update(to(image));
        c.settle();
    }
    for image in ["v0", "v1", "v2"] {
        c.images.insert(image.to_owned(), Behaviour::Runs);
    }
    if c.update_state() == UpdateState::Paused {
        c.update(|_| {});
    }
    c.run(60 * SECOND);
    all_run(&c, "v2", 4);
}

/// What ends before its turn is replaced by its like first: the update owes the slot its turn then.
#[test]
fn a_rollback_is_not_over_when_everything_that_it_is_to_replace_ends_at_once() {
    let mut c = service(6, |u| u.parallelism = 2);
    c.update(to("v2"));
    c.run(30 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Completed);
    c.roll_back();
    let begin = c.plan();
    c.apply(begin.steps);
    let ids: Vec<_> = c.running().iter().map(|t| t.id).collect();
    ids.into_iter().for_each(|id| c.fail(id));
    for _ in 0..60 {
        c.run(SECOND);
        let over = c.update_state() == UpdateState::RollbackCompleted;
        let back = c.images_running().values().filter(|i| *i == "v1").count();
        assert!(!over || back == 6, "over with {back} of 6 slots");
    }
    assert_eq!(c.update_state(), UpdateState::RollbackCompleted);
    assert_eq!(c.slots_in_flight_max, 1);
}

/// The old tasks end while their replacements are on their way, and a rollback makes them the
/// current ones: what is on its way is replaced slot by slot all the same.
#[test]
fn a_rollback_takes_its_turns_where_only_replacements_are_left() {
    let mut c = service(2, |u| {
        u.parallelism = 2;
        u.order = UpdateOrder::StartFirst;
    });
    c.expect_overlap();
    let at_once = RestartPolicy {
        delay: Some(Duration::ZERO),
        ..RestartPolicy::default()
    };
    c.update(|s| s.task.restart = Some(at_once));
    c.run(10 * SECOND);
    c.images.insert("v2".to_owned(), Behaviour::Slow);
    c.update(to("v2"));
    c.settle();
    let old: Vec<_> = c.running().iter().map(|t| t.id).collect();
    assert_eq!((old.len(), c.in_state(TaskState::Preparing).len()), (2, 2));
    c.roll_back();
    old.into_iter().for_each(|id| c.fail(id));
    let before = c.created.len();
    for _ in 0..3 {
        let plan = c.plan();
        c.apply(plan.steps);
        assert!(c.created.len() <= before + 1, "no agent has run anything");
    }
    c.run(30 * SECOND);
    assert_eq!(c.update_state(), UpdateState::RollbackCompleted);
    all_run(&c, "v1", 2);
}

/// What failed beside the old task is not tried beside it again once the order is another.
#[test]
fn a_service_that_starts_first_no_more_stops_the_old_task_before_it_tries_again() {
    let mut c = service(1, |u| {
        u.order = UpdateOrder::StartFirst;
        u.failure_action = FailureAction::Continue;
    });
    c.expect_overlap();
    c.images.insert("v2".to_owned(), Behaviour::Missing);
    c.update(to("v2"));
    c.settle();
    assert_eq!(c.running().len(), 1);
    c.update(|s| s.update = update_config(1));
    c.now = c.now.plus(10 * SECOND);
    for _ in 0..3 {
        let plan = c.plan();
        c.apply(plan.steps);
        let live = |t: &&&std::sync::Arc<types::Task>| t.desired_state == TaskState::Running;
        assert!(c.tasks().iter().filter(live).count() <= 1);
    }
    c.images.insert("v2".to_owned(), Behaviour::Runs);
    c.run(30 * SECOND);
    all_run(&c, "v2", 1);
}

/// A service whose present spec asks for a config. Updates [`to`] another image do without it.
fn service_with_config(replicas: u64, edit: impl FnOnce(&mut UpdateConfig)) -> (Cluster, ConfigId) {
    let mut c = service(replicas, edit);
    let id = ConfigId::random(&mut c.entropy);
    let config = Config {
        id,
        meta: Meta::default(),
        spec: ConfigSpec {
            annotations: Annotations::named("site"),
            ..ConfigSpec::default()
        },
    };
    c.act(Action::Create(Object::from(config)));
    c.update(|s| {
        let container = s.task.container_mut().unwrap();
        container.configs.push(ConfigReference {
            config_id: id,
            config_name: "site".to_owned(),
            target: ConfigTarget::File(FileTarget::named("site")),
        });
    });
    c.run(60 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Completed);
    (c, id)
}

#[test]
fn an_update_is_not_rolled_back_to_a_spec_whose_config_was_removed() {
    let (mut c, config) = service_with_config(3, |u| {
        u.delay = SECOND;
        u.failure_action = FailureAction::Rollback;
    });
    c.update(to("bad"));
    c.act(Action::Remove(Key::Config(config)));
    c.run(30 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    let message = c.update_message();
    let why = "it cannot be rolled back: config \"site\" was removed from the cluster";
    assert!(message.ends_with(why), "{message}");
    all_run(&c, "v1", 2);
}

#[test]
fn what_cannot_be_replaced_by_its_like_while_an_update_is_paused_gets_the_new_spec() {
    let (mut c, config) = service_with_config(3, |u| u.delay = SECOND);
    c.update(to("bad"));
    c.run(30 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    c.act(Action::Remove(Key::Config(config)));
    c.run(5 * SECOND);
    all_run(&c, "v1", 2);
    c.images.insert("bad".to_owned(), Behaviour::Runs);
    let victim = c.running()[0].clone();
    c.fail(victim.id);
    c.run(10 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    let images = c.images_running();
    assert_eq!(images.len(), 3);
    assert_eq!(images[&types::SlotKey::of(&victim)], "bad");
    assert!(images.values().any(|i| i == "v1"), "{images:?}");
}

#[test]
fn attempts_of_a_paused_update_do_not_count_for_the_like_of_a_drained_task() {
    let mut c = service(2, |u| u.order = UpdateOrder::StartFirst);
    c.images.insert("gone".to_owned(), Behaviour::Missing);
    c.update(|s| {
        set_image(s, "gone");
        s.task.restart = restart(RestartCondition::Any, 1);
    });
    c.run(60 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    all_run(&c, "v1", 2);
    for at in 0..2 {
        c.set_availability(at, Availability::Drain);
        c.run(60 * SECOND);
        all_run(&c, "v1", 2);
        assert!(c.running().iter().all(|t| t.node_id != Some(c.nodes[at])));
    }
}

#[test]
fn a_drained_task_whose_like_cannot_start_goes_on_until_the_new_spec_runs() {
    let (mut c, config) = service_with_config(3, |u| u.order = UpdateOrder::StartFirst);
    c.images.insert("gone".to_owned(), Behaviour::Missing);
    c.update(to("gone"));
    c.run(30 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    c.act(Action::Remove(Key::Config(config)));
    all_run(&c, "v1", 3);
    c.set_availability(0, Availability::Drain);
    c.run(5 * SECOND);
    all_run(&c, "v1", 3);
    c.images.insert("gone".to_owned(), Behaviour::Runs);
    c.run(60 * SECOND);
    let running = c.running();
    assert_eq!(running.len(), 3);
    assert!(running.iter().all(|t| t.node_id != Some(c.nodes[0])));
}

#[test]
fn a_drained_task_whose_like_cannot_start_has_its_turn_in_the_update() {
    let (mut c, config) = service_with_config(3, |u| u.order = UpdateOrder::StartFirst);
    c.update(to("v2"));
    c.act(Action::Remove(Key::Config(config)));
    c.set_availability(0, Availability::Drain);
    c.slots_in_flight_max = 0;
    c.run(60 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Completed);
    all_run(&c, "v2", 3);
    assert_eq!(c.slots_in_flight_max, 1);
    assert!(c.running().iter().all(|t| t.node_id != Some(c.nodes[0])));
}
