//! Any history, with crashes at any point, ends where the managers want it.

use proptest::prelude::*;
use types::TaskState;

use super::rig::*;
use crate::*;

#[derive(Debug, Clone)]
enum Op {
    Assign(u128, bool),
    Start(u128),
    Shutdown(u128),
    Remove(u128),
    Finish(u128),
    Retry(u128),
    Fatal(u128),
    Exit(u128, i32),
    Report,
    Pass(u64),
    Disconnect,
    Connect,
    Skip,
    Crash(usize, bool),
    LoseDatabase,
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..6u128;
    prop_oneof![
        4 => (id.clone(), any::<bool>()).prop_map(|(t, r)| Op::Assign(t, r)),
        1 => id.clone().prop_map(Op::Start),
        2 => id.clone().prop_map(Op::Shutdown),
        2 => id.clone().prop_map(Op::Remove),
        12 => id.clone().prop_map(Op::Finish),
        2 => id.clone().prop_map(Op::Retry),
        1 => id.clone().prop_map(Op::Fatal),
        2 => (id, 0..2i32).prop_map(|(t, c)| Op::Exit(t, c)),
        4 => Just(Op::Report),
        3 => (0..40_000u64).prop_map(Op::Pass),
        1 => Just(Op::Disconnect),
        3 => Just(Op::Connect),
        1 => Just(Op::Skip),
        2 => (0..20usize, any::<bool>()).prop_map(|(n, a)| Op::Crash(n, a)),
        1 => Just(Op::LoseDatabase),
    ]
}

fn run(rig: &mut Rig, used: &mut u128, op: Op) {
    // Ids are never used again: each assignment of a slot of this test is a new task.
    let newest = |rig: &Rig, n: u128| {
        let ids = rig.tasks.keys().filter(move |id| (id.get() - 1) % 6 == n);
        ids.max().copied().unwrap_or(task_id(n))
    };
    match op {
        Op::Assign(n, is_ready) => {
            *used += 1;
            let mut task = task(task_id(*used * 6 + n), &[n % 4]);
            if is_ready {
                task.desired_state = TaskState::Ready;
            }
            rig.assign(task);
        }
        Op::Start(n) => rig.desire(newest(rig, n), TaskState::Running),
        Op::Shutdown(n) => rig.desire(newest(rig, n), TaskState::Shutdown),
        Op::Remove(n) => rig.remove(newest(rig, n)),
        Op::Finish(n) => drop(rig.finish(newest(rig, n))),
        Op::Retry(n) => rig.fail(newest(rig, n), Failure::Retry("busy".into())),
        Op::Fatal(n) => rig.fail(newest(rig, n), Failure::Fatal("no".into())),
        Op::Exit(n, code) => rig.exit(newest(rig, n), code),
        Op::Report => drop(rig.take_report()),
        Op::Pass(millis) => rig.pass(std::time::Duration::from_nanos(millis * 1_000_001)),
        Op::Disconnect => rig.disconnect(),
        Op::Connect => rig.connect(),
        Op::Skip => rig.sequence += u64::from(rig.sequence > 0),
        Op::Crash(lost, applied) => rig.crash(lost, applied),
        Op::LoseDatabase => rig.crash(usize::MAX, true),
    }
}

/// What must hold at every moment.
fn check_always(rig: &Rig, seen: &mut std::collections::BTreeMap<types::TaskId, TaskState>) {
    for (id, count) in &rig.starts {
        assert!(*count <= 1, "task {id} was started {count} times");
    }
    for (id, task) in &rig.tasks {
        let before = seen.insert(*id, task.status.state);
        assert!(
            before.is_none_or(|b| b <= task.status.state),
            "{id} fell back"
        );
    }
}

/// What must hold once everything went well for a while.
fn check_end(rig: &Rig) {
    let known: Vec<_> = rig.worker.tasks().map(|(t, _)| t.id).collect();
    let wanted: Vec<_> = rig.tasks.keys().copied().collect();
    assert_eq!(known, wanted);
    assert_eq!(
        rig.worker.len(),
        wanted.len(),
        "nothing is left to be removed"
    );
    for id in rig.things.keys() {
        assert!(rig.tasks.contains_key(id), "remains of {id}");
    }
    for (task, status) in rig.worker.tasks() {
        let id = task.id;
        assert_eq!(rig.tasks[&id].status.state, status.state, "reported");
        let is_running = rig.things.get(&id) == Some(&Thing::Running);
        assert_eq!(
            is_running,
            status.state == TaskState::Running,
            "{id} {status:?}"
        );
        match task.desired_state {
            TaskState::Ready => assert!(status.state >= TaskState::Ready),
            TaskState::Running => assert!(status.state >= TaskState::Running),
            _ => assert!(status.state.is_terminal()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_history_with_crashes_ends_as_the_managers_want(
        ops in proptest::collection::vec(op(), 1..150)
    ) {
        let mut rig = Rig::new();
        let (mut used, mut seen) = (0, Default::default());
        rig.connect();
        for op in ops {
            run(&mut rig, &mut used, op);
            check_always(&rig, &mut seen);
        }
        rig.connect();
        rig.settle();
        check_always(&rig, &mut seen);
        check_end(&rig);
    }
}
