//! Jobs that run by a schedule.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use types::options::{Concurrency, MissedRuns, Schedule};
use types::{NodeState, ServiceMode, ServiceSpec, SlotKey, TaskState, Timestamp};

use super::cluster::{Behaviour, Cluster, set_image, spec};
use crate::{ON_TIME_MAX, next_run};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn job(cron: &str, edit: impl FnOnce(&mut Schedule)) -> ServiceSpec {
    let mut spec = spec(ServiceMode::ReplicatedJob {
        max_concurrent: 2,
        total_completions: 3,
    });
    let mut schedule = Schedule::of(cron);
    edit(&mut schedule);
    spec.options.schedule = Some(schedule);
    spec
}

/// A cluster with a job, at the beginning of a minute.
fn cluster(spec: ServiceSpec, behaviour: Behaviour) -> Cluster {
    let mut c = Cluster::new(2, spec);
    c.now = Timestamp::from_secs(1_020);
    let mut service = types::Service::clone(c.get());
    service.job_status.as_mut().unwrap().last_execution = c.now;
    c.act(store::Action::Update(store::Object::from(service)));
    c.images.insert("v1".to_owned(), behaviour);
    c.settle();
    c
}

/// Tasks in this state, by run.
fn by_run(c: &Cluster, state: TaskState) -> BTreeMap<u64, usize> {
    let mut runs = BTreeMap::new();
    for task in c.in_state(state) {
        *runs.entry(task.job_iteration.unwrap()).or_default() += 1;
    }
    runs
}

fn iteration(c: &Cluster) -> u64 {
    c.get().job_status.unwrap().iteration
}

#[test]
fn a_scheduled_job_has_no_task_before_it_is_due_and_runs_each_time_it_is() {
    let mut c = cluster(job("*/5 * * * *", |_| {}), Behaviour::Completes);
    let due = Timestamp::from_secs(1_200);
    assert_eq!(next_run(c.get(), c.now), Some(due));
    c.run(2 * MINUTE + 59 * SECOND);
    assert!(c.created.is_empty());
    c.run(2 * SECOND);
    assert_eq!(by_run(&c, TaskState::Complete), [(1, 3)].into());
    assert_eq!(c.get().job_status.unwrap().last_execution, due);
    let next = Timestamp::from_secs(1_500);
    assert_eq!(next_run(c.get(), c.now), Some(next));
    assert!(c.plan().steps.is_empty(), "planning again proposes nothing");
    c.run(5 * MINUTE);
    assert_eq!(by_run(&c, TaskState::Complete), [(1, 3), (2, 3)].into());
}

#[test]
fn a_scheduled_global_job_runs_on_every_node_also_on_one_that_joins_during_the_run() {
    let mut spec = job("* * * * *", |_| {});
    spec.mode = ServiceMode::GlobalJob;
    let mut c = cluster(spec, Behaviour::Completes);
    c.add_node();
    c.run(2 * SECOND);
    assert!(c.created.is_empty(), "nothing is due yet");
    c.run(MINUTE);
    assert_eq!(by_run(&c, TaskState::Complete), [(1, 3)].into());
    c.add_node();
    c.run(2 * SECOND);
    assert_eq!(by_run(&c, TaskState::Complete), [(1, 4)].into());
}

#[test]
fn upstream_has_no_schedules_and_a_run_that_is_not_over_is_left_alone_by_default() {
    let mut c = cluster(job("* * * * *", |_| {}), Behaviour::Runs);
    c.run(3 * MINUTE);
    assert_eq!((iteration(&c), c.created.len()), (1, 2));
    let newest_due = Timestamp::from_secs(1_200);
    assert_eq!(c.get().job_status.unwrap().last_execution, newest_due);
    c.images.insert("v1".to_owned(), Behaviour::Completes);
    c.run(30 * SECOND);
    assert_eq!(
        iteration(&c),
        1,
        "a time that was left out is not made up for"
    );
    c.run(MINUTE);
    assert_eq!(iteration(&c), 2);
}

#[test]
fn a_run_replaces_the_one_before_where_the_schedule_says_so() {
    let spec = job("* * * * *", |s| s.concurrency = Concurrency::Replace);
    let mut c = cluster(spec, Behaviour::Runs);
    c.stop_time = 5 * SECOND;
    c.run(2 * MINUTE + SECOND);
    assert_eq!(iteration(&c), 2);
    let live = |c: &Cluster| by_run(c, TaskState::Running);
    assert_eq!(live(&c), [(1, 2)].into(), "the old tasks stop first");
    c.run(5 * SECOND);
    assert_eq!(live(&c), [(2, 2)].into());
    assert_eq!(by_run(&c, TaskState::Shutdown), [(1, 2)].into());
}

#[test]
fn runs_go_on_beside_one_another_to_their_end_where_the_schedule_says_so() {
    for leaders in [false, true] {
        let spec = job("* * * * *", |s| s.concurrency = Concurrency::Allow);
        let mut c = cluster(spec, Behaviour::Runs);
        c.expect_runs_side_by_side();
        c.run(3 * MINUTE + SECOND);
        let each = |n| (1..=3).map(|run| (run, n)).collect::<BTreeMap<_, _>>();
        assert_eq!(by_run(&c, TaskState::Running), each(2));
        let failed = c.in_state(TaskState::Running)[0].id;
        c.fail(failed);
        c.run(10 * SECOND);
        assert_eq!(
            by_run(&c, TaskState::Running),
            each(2),
            "it is run again in its run"
        );
        c.images.insert("v1".to_owned(), Behaviour::Completes);
        for _ in 0..20 {
            if leaders {
                c.change_leader();
            }
            c.run(SECOND);
        }
        assert_eq!(by_run(&c, TaskState::Complete), each(3));
        assert_eq!(c.created.len(), 10);
        assert!(c.plan().steps.is_empty());
    }
}

#[test]
fn an_earlier_run_that_is_over_is_not_begun_again_when_more_completions_are_asked_for() {
    let spec = job("* * * * *", |s| {
        s.concurrency = Concurrency::Allow;
        s.history = 5;
    });
    let mut c = cluster(spec, Behaviour::Completes);
    c.run(2 * MINUTE + SECOND);
    c.update(|s| {
        s.mode = ServiceMode::ReplicatedJob {
            max_concurrent: 5,
            total_completions: 5,
        };
    });
    c.run(20 * SECOND);
    assert_eq!(by_run(&c, TaskState::Complete), [(1, 3), (2, 5)].into());
    c.change_leader();
    c.run(MINUTE);
    assert_eq!(
        by_run(&c, TaskState::Complete),
        [(1, 3), (2, 5), (3, 5)].into()
    );
}

#[test]
fn tasks_of_as_many_finished_runs_as_asked_for_are_kept_besides_the_newest_run() {
    for (history, limit) in [(0, 5), (2, 5), (2, 0), (2, -1)] {
        let spec = job("* * * * *", |s| s.history = history);
        let mut c = cluster(spec, Behaviour::Completes);
        c.set_history(limit);
        c.run(6 * MINUTE + SECOND);
        let kept = by_run(&c, TaskState::Complete);
        let first = 6 - u64::from(history);
        assert_eq!(
            kept,
            (first..=6).map(|run| (run, 3)).collect(),
            "{history} {limit}"
        );
        c.change_leader();
        c.settle();
        assert_eq!(by_run(&c, TaskState::Complete), kept);
        assert_eq!(c.created.len(), 18);
    }
}

#[test]
fn history_that_is_shortened_goes_at_once() {
    let mut c = cluster(job("* * * * *", |s| s.history = 4), Behaviour::Completes);
    c.run(5 * MINUTE + SECOND);
    assert_eq!(by_run(&c, TaskState::Complete).len(), 5);
    c.update(|s| s.options.schedule.as_mut().unwrap().history = 1);
    c.settle();
    assert_eq!(by_run(&c, TaskState::Complete).len(), 2);
}

/// Nobody leads for this long.
fn without_leader(c: &mut Cluster, time: Duration) {
    c.now = c.now.plus(time);
    c.change_leader();
    c.settle();
}

#[test]
fn runs_missed_while_nobody_led_are_made_up_for_once_or_left_out() {
    for (missed, runs) in [(MissedRuns::Once, 2), (MissedRuns::Skip, 1)] {
        let spec = job("0 * * * *", |s| s.missed = missed);
        let mut c = cluster(spec, Behaviour::Completes);
        c.run(3_580 * SECOND - 1_020 * SECOND);
        c.run(30 * SECOND);
        assert_eq!(iteration(&c), 1);
        without_leader(&mut c, 5 * 60 * MINUTE + 10 * MINUTE);
        c.run(MINUTE);
        assert_eq!(iteration(&c), runs, "{missed:?}");
        let due = Timestamp::from_secs(6 * 3_600);
        assert_eq!(c.get().job_status.unwrap().last_execution, due);
        c.run(50 * MINUTE);
        assert_eq!(iteration(&c), runs + 1, "the next one is on time");
    }
}

#[test]
fn a_change_of_leader_makes_no_run_missed() {
    let spec = job("*/2 * * * *", |s| s.missed = MissedRuns::Skip);
    let mut c = cluster(spec, Behaviour::Completes);
    c.run(175 * SECOND);
    assert_eq!(iteration(&c), 1);
    without_leader(&mut c, ON_TIME_MAX);
    assert_eq!(iteration(&c), 2);
}

#[test]
fn an_update_waits_for_the_next_run_unless_it_is_forced() {
    let mut c = cluster(job("*/10 * * * *", |_| {}), Behaviour::Completes);
    c.run(4 * MINUTE);
    assert_eq!(iteration(&c), 1);
    c.update(|s| set_image(s, "v2"));
    c.images.insert("v2".to_owned(), Behaviour::Completes);
    c.run(MINUTE);
    assert_eq!((iteration(&c), c.created.len()), (1, 3));
    c.update(|s| s.task.force_update += 1);
    c.run(MINUTE);
    assert_eq!((iteration(&c), c.created.len()), (2, 6));
    c.run(10 * MINUTE);
    assert_eq!((iteration(&c), c.created.len()), (3, 9));
}

#[test]
fn a_schedule_that_changes_counts_from_now_on() {
    let mut c = cluster(job("0 0 1 1 *", |_| {}), Behaviour::Completes);
    c.run(10 * MINUTE);
    c.update(|s| s.options.schedule.as_mut().unwrap().cron = "* * * * *".into());
    c.settle();
    assert_eq!(
        iteration(&c),
        0,
        "what would have been due is not made up for"
    );
    c.run(MINUTE);
    assert_eq!(iteration(&c), 1);
}

#[test]
fn a_job_that_loses_its_schedule_runs_at_once_like_any_that_is_updated() {
    let mut c = cluster(job("0 0 1 1 *", |_| {}), Behaviour::Completes);
    c.update(|s| s.options.schedule = None);
    c.run(SECOND);
    assert_eq!(by_run(&c, TaskState::Complete), [(1, 3)].into());
    c.update(|s| s.options.schedule = Some(Schedule::of("* * * * *")));
    c.run(5 * SECOND);
    assert_eq!(iteration(&c), 1, "one that gets a schedule waits for it");
}

#[test]
fn a_clock_that_is_behind_repeats_no_run() {
    let mut c = cluster(job("* * * * *", |_| {}), Behaviour::Completes);
    c.run(2 * MINUTE + SECOND);
    c.now = c.now.minus(90 * SECOND);
    c.change_leader();
    c.run(80 * SECOND);
    assert_eq!(iteration(&c), 2);
    c.run(75 * SECOND);
    assert_eq!(iteration(&c), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn leader_changes_neither_skip_nor_double_a_run(
        concurrency in prop::sample::select(vec![
            Concurrency::Allow, Concurrency::Forbid, Concurrency::Replace,
        ]),
        missed in prop::sample::select(vec![MissedRuns::Skip, MissedRuns::Once]),
        global in any::<bool>(),
        history in 0..3u32,
        gaps in prop::collection::vec((1..9_000u64, 0..40u64, any::<bool>()), 10..40),
    ) {
        let mut spec = job("*/1 * * * *", |s| {
            s.concurrency = concurrency;
            s.missed = missed;
            s.history = history;
        });
        if global {
            spec.mode = ServiceMode::GlobalJob;
        }
        let mut c = cluster(spec, Behaviour::Completes);
        c.expect_runs_side_by_side();
        for (wait_ms, gap_secs, drop_plan) in gaps {
            c.run(Duration::from_millis(wait_ms));
            if drop_plan {
                // The old leader planned, and what it planned was never appended.
                let _lost = c.plan();
            }
            without_leader(&mut c, Duration::from_secs(gap_secs));
        }
        c.run(5 * SECOND);
        let minutes = c.now.secs() / 60 - 1_020 / 60;
        prop_assert_eq!(iteration(&c), minutes);
        let size = if global { 2 } else { 3 };
        prop_assert_eq!(c.created.len() as u64, minutes * size);
        prop_assert!(c.plan().steps.is_empty());
        c.change_leader();
        prop_assert!(c.plan().steps.is_empty());
    }

    #[test]
    fn runs_complete_exactly_whatever_happens_to_nodes_tasks_and_leaders(
        concurrency in prop::sample::select(vec![
            Concurrency::Allow, Concurrency::Forbid, Concurrency::Replace,
        ]),
        global in any::<bool>(),
        limit in -1..3i64,
        events in prop::collection::vec((0..8u8, 0..3usize, 1..40u64), 5..40),
    ) {
        let mut spec = job("* * * * *", |s| {
            s.concurrency = concurrency;
            s.history = 100;
        });
        if global {
            spec.mode = ServiceMode::GlobalJob;
        }
        let mut c = cluster(spec, Behaviour::Runs);
        c.add_node();
        c.set_history(limit);
        if concurrency == Concurrency::Allow {
            c.expect_runs_side_by_side();
        }
        let (began, mut asked) = (c.now, 0);
        for (event, which, secs) in events {
            happen(&mut c, event, which);
            asked += u64::from(event == FORCE);
            c.run(Duration::from_secs(secs));
            c.check_concurrency();
            let due = c.now.since(began).as_secs() / 60;
            prop_assert!(iteration(&c) <= due + asked, "a due time is one run");
            let idle = c.plan().steps.is_empty();
            prop_assert!(idle, "planning on the planned state proposes nothing");
        }
        for node in 0..3 {
            c.set_node_state(node, NodeState::Ready);
        }
        c.images.insert("v1".to_owned(), Behaviour::Completes);
        c.run(3 * MINUTE);
        check_completions(&c, concurrency, 3);
    }
}

/// A run that somebody asks for.
const FORCE: u8 = 5;

fn happen(c: &mut Cluster, event: u8, which: usize) {
    let behave = |c: &mut Cluster, behaviour| _ = c.images.insert("v1".to_owned(), behaviour);
    match event {
        0 => behave(c, Behaviour::Completes),
        1 => behave(c, Behaviour::Runs),
        2 => behave(c, Behaviour::Crashes),
        3 => c.set_node_state(which, NodeState::Down),
        4 => c.set_node_state(which, NodeState::Ready),
        FORCE => c.update(|s| s.task.force_update += 1),
        6 => c.change_leader(),
        _ => {
            let running = c.in_state(TaskState::Running);
            if let Some(id) = running.get(which).map(|t| t.id) {
                c.fail(id);
            }
        }
    }
}

/// Each slot of a run completed once; where runs go on beside one another, each of them is whole (a
/// node that was away during an earlier run of a global job had no part in it).
fn check_completions(c: &Cluster, concurrency: Concurrency, slots: usize) {
    let mut done: BTreeMap<(u64, SlotKey), usize> = BTreeMap::new();
    for task in c.in_state(TaskState::Complete) {
        let run = task.job_iteration.unwrap();
        *done.entry((run, SlotKey::of(task))).or_default() += 1;
    }
    assert!(done.values().all(|n| *n == 1), "{done:?}");
    let whole = |run| done.keys().filter(|(r, _)| *r == run).count() == slots;
    assert!(whole(iteration(c)), "{done:?}");
    let is_global = c.get().spec.mode.is_global();
    if concurrency == Concurrency::Allow && !is_global {
        assert!((1..=iteration(c)).all(whole), "{done:?}");
    }
}
