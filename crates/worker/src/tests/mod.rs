//! Tests of the worker: the way of one task, and any history with crashes.

mod history;
mod rig;

use std::time::Duration;

use types::TaskState::*;

use crate::*;
use rig::*;

fn connected() -> Rig {
    let mut rig = Rig::new();
    rig.connect();
    rig
}

#[test]
fn a_task_goes_up_step_by_step_and_its_states_are_said_in_words() {
    let mut rig = connected();
    rig.assign(task(task_id(1), &[]));
    let id = task_id(1);
    let expected = [
        (Preparing, "preparing"),
        (Starting, "starting"),
        (Running, "started"),
    ];
    for (state, text) in expected {
        let status = rig.status(id);
        assert_eq!((status.state, status.message.as_ref()), (state, text));
        rig.finish(id);
    }
    rig.exit(id, 0);
    rig.finish(id);
    let status = rig.status(id);
    assert_eq!(
        (status.state, status.message.as_ref()),
        (Complete, "finished")
    );
    let names: Vec<_> = rig.commands.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, ["prepare", "start", "wait"]);
}

#[test]
fn a_task_stays_ready_until_more_is_wanted() {
    let mut rig = connected();
    let mut waiting = task(task_id(1), &[]);
    waiting.desired_state = Ready;
    rig.assign(waiting);
    rig.settle();
    assert_eq!(rig.state(task_id(1)), Ready);
    rig.desire(task_id(1), Running);
    rig.settle();
    assert_eq!(rig.state(task_id(1)), Running);
}

#[test]
fn a_fatal_error_rejects_before_starting_and_fails_from_then_on() {
    for (steps, expected) in [(0, Rejected), (1, Failed), (2, Failed)] {
        let mut rig = connected();
        let id = task_id(1);
        rig.assign(task(id, &[]));
        for _ in 0..steps {
            rig.finish(id);
        }
        rig.fail(id, Failure::Fatal("cannot".into()));
        let status = rig.status(id);
        assert_eq!((status.state, &*status.err), (expected, "cannot"));
        rig.settle();
        assert_ne!(
            rig.things.get(&id),
            Some(&Thing::Running),
            "nothing is left running"
        );
    }
}

#[test]
fn an_exit_is_complete_or_failed_with_its_code() {
    for (code, expected) in [(0, Complete), (3, Failed)] {
        let mut rig = connected();
        let id = task_id(1);
        rig.assign(task(id, &[]));
        rig.settle();
        rig.exit(id, code);
        rig.settle();
        let status = rig.status(id);
        assert_eq!(status.state, expected);
        assert_eq!(status.container.unwrap().exit_code, code);
        assert_eq!(rig.tasks[&id].status.state, expected);
    }
}

#[test]
fn a_passing_error_is_tried_again_ever_slower_and_its_reason_is_seen() {
    let mut rig = connected();
    let id = task_id(1);
    rig.assign(task(id, &[]));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        rig.fail(id, Failure::Retry("engine does not answer".into()));
        while rig.take_report() {}
        assert_eq!(&*rig.tasks[&id].status.err, "engine does not answer");
        assert_eq!(rig.state(id), Preparing);
        let since = rig.now;
        while !rig.under_way.contains_key(&id) {
            rig.pass(Duration::from_secs(1));
        }
        pauses.push(rig.now.since(since).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    rig.settle();
    assert_eq!(&*rig.status(id).err, "", "success ends the complaint");
}

#[test]
fn a_stop_does_not_wait_for_the_pause_of_a_failing_start() {
    let mut rig = connected();
    let id = task_id(1);
    rig.assign(task(id, &[]));
    rig.fail(id, Failure::Retry("no".into()));
    rig.desire(id, Shutdown);
    assert_eq!(rig.commands.last(), Some(&(id, "stop")));
    rig.finish(id);
    assert_eq!(rig.state(id), Shutdown);
}

#[test]
fn a_stop_replaces_a_running_prepare_and_late_answers_are_ignored() {
    let mut rig = connected();
    let id = task_id(1);
    rig.assign(task(id, &[]));
    let prepare = rig.under_way[&id].attempt;
    rig.desire(id, Shutdown);
    rig.answer(id, prepare, Outcome::Prepared);
    assert_eq!(rig.state(id), Preparing);
    rig.finish(id);
    assert_eq!(rig.state(id), Shutdown);
}

#[test]
fn a_stop_that_hangs_beyond_its_grace_becomes_a_kill() {
    let mut rig = connected();
    let id = task_id(1);
    rig.assign(task(id, &[]));
    rig.settle();
    rig.desire(id, Shutdown);
    rig.pass(Duration::from_secs(39));
    assert_eq!(rig.commands.last(), Some(&(id, "stop")));
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.commands.last(), Some(&(id, "kill")));
}

#[test]
fn a_removed_task_is_stopped_then_removed_then_forgotten() {
    let mut rig = connected();
    let id = task_id(1);
    rig.assign(task(id, &[]));
    rig.settle();
    rig.commands.clear();
    rig.remove(id);
    rig.settle();
    assert_eq!(rig.commands, [(id, "stop"), (id, "remove")]);
    assert!(rig.worker.is_empty() && rig.things.is_empty());
    assert!(matches!(rig.writes.last(), Some(Write::Forget(_))));
}

#[test]
fn a_task_given_up_by_the_managers_is_stopped() {
    let mut rig = connected();
    let id = task_id(1);
    rig.assign(task(id, &[]));
    rig.settle();
    let mut given_up = types::Task::clone(&rig.tasks[&id]);
    given_up.status.state = Orphaned;
    rig.assign(given_up);
    rig.settle();
    assert_eq!(rig.things[&id], Thing::Exited(143));
    assert_eq!(rig.state(id), Orphaned);
}

#[test]
fn a_task_waits_in_words_for_its_secret_until_a_manager_has_sent_everything() {
    let mut rig = connected();
    let id = task_id(1);
    rig.assign(task(id, &[3]));
    rig.crash(0, false);
    assert!(rig.status(id).err.contains("waiting for secret \"s3\""));
    assert!(rig.under_way.is_empty());
    rig.connect();
    rig.settle();
    assert_eq!(rig.state(id), Running);
}

#[test]
fn a_task_whose_secret_was_removed_is_rejected_with_the_reason() {
    let mut rig = connected();
    let id = task_id(1);
    rig.assign(task(id, &[9]));
    rig.settle();
    let status = rig.status(id);
    let why = "secret \"s9\" was removed from the cluster";
    assert_eq!((status.state, &*status.err), (Rejected, why));
    assert_eq!(rig.tasks[&id].status.state, Rejected, "the managers know");
}

#[test]
fn a_task_that_lost_its_secret_while_it_started_fails_and_is_stopped() {
    let mut rig = connected();
    let id = task_id(1);
    rig.increment(vec![Change::UpdateSecret(secret(9))]);
    rig.assign(task(id, &[9]));
    rig.finish(id);
    assert_eq!(rig.state(id), Starting);
    rig.crash(0, true);
    rig.commands.clear();
    rig.connect();
    rig.settle();
    assert_eq!(rig.state(id), Failed);
    assert_eq!(rig.commands, [(id, "stop")]);
    assert_eq!(rig.things[&id], Thing::Exited(143));
}

#[test]
fn a_gap_in_the_chain_is_noticed_once_and_nothing_is_applied() {
    let mut rig = connected();
    rig.sequence = 7;
    rig.increment(vec![Change::UpdateTask(task(task_id(1), &[]).into())]);
    rig.sequence = 8;
    rig.increment(vec![Change::UpdateTask(task(task_id(2), &[]).into())]);
    assert_eq!((rig.resyncs, rig.worker.len()), (1, 0));
    rig.sequence = 0;
    rig.assign(task(task_id(3), &[]));
    assert_eq!(rig.worker.len(), 1);
}

#[test]
fn losing_the_managers_leaves_tasks_running_and_reports_wait() {
    let mut rig = connected();
    let id = task_id(1);
    rig.assign(task(id, &[]));
    rig.settle();
    rig.disconnect();
    rig.pass(Duration::from_secs(100_000));
    assert_eq!(rig.state(id), Running);
    rig.exit(id, 1);
    rig.finish(id);
    assert_eq!((rig.state(id), rig.reports.len()), (Failed, 0));
    rig.connect();
    rig.settle();
    assert_eq!(rig.tasks[&id].status.state, Failed);
}

#[test]
fn after_a_reconnect_only_statuses_that_the_managers_lack_are_reported() {
    let mut rig = connected();
    for n in 0..5 {
        rig.assign(task(task_id(n), &[]));
    }
    rig.settle();
    rig.disconnect();
    rig.exit(task_id(2), 0);
    rig.finish(task_id(2));
    rig.connect();
    let reported: Vec<_> = rig
        .reports
        .iter()
        .flat_map(|(_, s)| s)
        .map(|s| s.0)
        .collect();
    assert_eq!(reported, [task_id(2)]);
}

#[test]
fn a_refused_report_is_sent_again_after_a_pause() {
    let mut rig = connected();
    rig.assign(task(task_id(1), &[]));
    let (report, _) = rig.reports.remove(0);
    rig.input(Input::Reported {
        report,
        accepted: false,
    });
    assert!(rig.reports.is_empty());
    rig.pass(limits::REPORT_RETRY_PAUSE);
    assert_eq!(rig.reports.len(), 1);
}

#[test]
fn remains_that_no_manager_claims_go_only_after_a_complete_set() {
    let mut rig = Rig::new();
    rig.things.insert(task_id(1), Thing::Running);
    rig.things.insert(task_id(2), Thing::Running);
    rig.boot();
    rig.pass(Duration::from_secs(1000));
    assert!(rig.commands.is_empty());
    let mut known = task(task_id(2), &[]);
    known.status.state = Running;
    rig.tasks.insert(task_id(2), known.into());
    rig.connect();
    rig.settle();
    assert_eq!(rig.things.keys().collect::<Vec<_>>(), [&task_id(2)]);
    assert_eq!(rig.things[&task_id(2)], Thing::Running, "adopted");
    assert_eq!(rig.starts.get(&task_id(2)), None, "not started anew");
}

#[test]
fn a_task_without_its_credentials_waits_for_a_manager_before_it_is_prepared() {
    let mut rig = Rig::new();
    let known = task(task_id(1), &[]);
    rig.worker = Worker::new([StoredTask {
        task: known.clone().into(),
        status: None,
        assigned: true,
        incomplete: true,
    }]);
    rig.input(Input::Tick);
    assert!(rig.under_way.is_empty());
    rig.tasks.insert(known.id, known.into());
    rig.connect();
    assert!(rig.under_way.contains_key(&task_id(1)));
}
