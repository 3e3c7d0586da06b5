//! Tests of the dispatcher as a whole: numbers, reports, assignments.

mod assignments;
mod rig;

use store::{Action, Object};
use types::{NodeState, TaskState, defaults};

use crate::*;
use rig::*;

const PERIOD: std::time::Duration = defaults::HEARTBEAT_PERIOD;

#[test]
fn a_node_is_ready_before_it_is_told_that_it_is_in() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    rig.commits = false;
    let stream = rig.open(node_id(0), "");
    assert_eq!(rig.session_of(stream), None);
    let (batch, plan) = rig
        .proposed
        .pop()
        .expect("the node's record is proposed at once");
    rig.commit_batch(batch, plan);
    assert!(rig.session_of(stream).is_some());
    let node = rig.node(node_id(0));
    assert_eq!(node.status.state, NodeState::Ready);
    assert_eq!(
        (node.status.addr.as_str(), node.hostname()),
        ("10.0.0.9", "host")
    );
}

#[test]
fn heartbeat_periods_lie_within_a_tenth_of_the_configured_one() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let session = rig.register(node_id(0));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let Ok(Answer::Heartbeat { period }) = rig.heartbeat(node_id(0), &session) else {
            panic!("refused");
        };
        assert!(period >= PERIOD * 9 / 10 && period <= PERIOD * 11 / 10);
        seen.insert(period);
    }
    assert!(seen.len() > 50, "periods are spread");
}

#[test]
fn a_node_that_misses_three_periods_is_down_and_its_streams_end() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let stream = rig.open(node_id(0), "");
    rig.pass(PERIOD * 3 - secs(1));
    assert_eq!(rig.node(node_id(0)).status.state, NodeState::Ready);
    rig.pass(secs(2));
    let status = &rig.node(node_id(0)).status;
    assert_eq!(status.state, NodeState::Down);
    assert_eq!(status.message, "heartbeat failure");
    assert_eq!(rig.closed(stream), Some(CallError::HeartbeatsMissed));
    let late = rig.heartbeat(node_id(0), &rig.session_of(stream).unwrap());
    assert_eq!(late, Err(CallError::NotRegistered));
}

#[test]
fn a_node_that_can_run_nothing_is_down_in_its_own_words_until_it_opens_a_session() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let session = rig.register(node_id(0));
    let knock = rig.knock(node_id(0), "docker is not there");
    assert_eq!(rig.closed(knock), Some(CallError::CannotRun));
    let status = rig.node(node_id(0)).status.clone();
    assert_eq!(status.state, NodeState::Down);
    assert_eq!(status.message, "docker is not there");
    // Its description stays, and a session from before counts no more.
    let described = rig.node(node_id(0)).description.clone();
    assert_eq!(described.map(|d| d.hostname.clone()), Some("host".into()));
    let late = rig.heartbeat(node_id(0), &session);
    assert_eq!(late, Err(CallError::NotRegistered));
    // Knocking again, however often, writes nothing.
    let before = rig.state.version();
    for _ in 0..20 {
        rig.knock(node_id(0), "docker is not there");
        rig.pass(limits::BATCH_PACE);
    }
    assert_eq!(rig.state.version(), before);
    rig.register(node_id(0));
    let status = &rig.node(node_id(0)).status;
    assert_eq!(
        (status.state, status.message.as_str()),
        (NodeState::Ready, "")
    );
}

#[test]
fn a_closed_session_stream_alone_changes_nothing() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let stream = rig.open(node_id(0), "");
    let session = rig.session_of(stream).unwrap();
    rig.input(Input::StreamClosed { stream });
    rig.pass(secs(3));
    assert!(rig.heartbeat(node_id(0), &session).is_ok());
    assert_eq!(rig.node(node_id(0)).status.state, NodeState::Ready);
}

#[test]
fn a_new_leader_awaits_every_node_until_it_must_have_noticed() {
    let mut rig = Rig::new(3, NodeState::Ready);
    rig.input(Input::Tick);
    for n in 0..3 {
        let status = &rig.node(node_id(n)).status;
        assert_eq!(status.state, NodeState::Unknown);
        assert!(status.message.contains("leadership change"));
    }
    assert_eq!(rig.proposals(), 1, "one batch for all nodes");
    rig.register(node_id(0));
    rig.pass(limits::AWAITED_MIN - secs(1));
    assert_eq!(rig.node(node_id(1)).status.state, NodeState::Unknown);
    rig.pass(secs(1));
    assert_eq!(rig.node(node_id(1)).status.state, NodeState::Down);
    assert_eq!(
        rig.node(node_id(1)).status.message,
        "heartbeat failure for node in \"unknown\" state"
    );
}

#[test]
fn a_node_whose_manager_is_silent_too_is_awaited_for_one_grace_period() {
    let mut rig = Rig::new(3, NodeState::Ready);
    rig.input(Input::Tick);
    rig.input(Input::Silent([node_id(1), node_id(2)].into()));
    rig.input(Input::Silent([node_id(1)].into()));
    rig.pass(PERIOD * 3);
    assert_eq!(rig.node(node_id(1)).status.state, NodeState::Down);
    assert_eq!(rig.node(node_id(2)).status.state, NodeState::Unknown);
    rig.input(Input::Silent([node_id(2)].into()));
    rig.pass(secs(1));
    assert_eq!(rig.node(node_id(2)).status.state, NodeState::Down);
    assert_eq!(rig.node(node_id(0)).status.state, NodeState::Unknown);
}

#[test]
fn a_leader_that_was_stalled_itself_gives_nodes_another_period() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let session = rig.register(node_id(0));
    rig.now = rig.now.plus(secs(60));
    rig.input(Input::Tick);
    assert_eq!(rig.node(node_id(0)).status.state, NodeState::Ready);
    assert!(rig.heartbeat(node_id(0), &session).is_ok());
    rig.pass(PERIOD * 3 + secs(1));
    assert_eq!(rig.node(node_id(0)).status.state, NodeState::Down);
}

#[test]
fn an_idle_cluster_proposes_nothing() {
    let mut rig = Rig::new(2, NodeState::Unknown);
    let a = rig.register(node_id(0));
    let b = rig.register(node_id(1));
    rig.add_task(task_id(1), node_id(0), &[]);
    let before = rig.proposals();
    for _ in 0..1000 {
        rig.pass(secs(2));
        rig.heartbeat(node_id(0), &a).unwrap();
        rig.heartbeat(node_id(1), &b).unwrap();
    }
    rig.open(node_id(0), &a);
    assert_eq!(rig.proposals(), before);
}

#[test]
fn a_node_that_registers_again_and_again_is_put_off() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    for _ in 0..crate::limits::REGISTRATIONS_MAX {
        let stream = rig.open(node, "");
        assert_eq!(rig.closed(stream), None);
    }
    let stream = rig.open(node, "");
    let error = rig.closed(stream).expect("refused");
    assert_eq!(error.code(), Code::Unavailable);
    rig.pass(secs(9));
    let stream = rig.open(node, "");
    assert_eq!(rig.closed(stream), None);
}

#[test]
fn a_new_session_ends_the_older_one_of_the_same_node() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let first = rig.open(node, "");
    let old = rig.session_of(first).unwrap();
    let tasks = rig.assignments(node, &old);
    let new = rig.register(node);
    assert_ne!(old, new);
    assert_eq!(rig.closed(first), Some(CallError::Replaced));
    assert_eq!(rig.closed(tasks), Some(CallError::Replaced));
    assert_eq!(rig.heartbeat(node, &old), Err(CallError::StaleSession));
    rig.add_task(task_id(1), node, &[]);
    let report = vec![(task_id(1), status(TaskState::Running, "started"))];
    let call = rig.report(node, &old, report);
    assert_eq!(rig.answer(call), Some(Err(CallError::StaleSession)));
    assert_eq!(rig.task_state(task_id(1)), TaskState::Assigned);
}

#[test]
fn a_session_reopened_under_its_id_only_refreshes_the_description() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let first = rig.open(node, "");
    let id = rig.session_of(first).unwrap();
    for _ in 0..5 {
        let again = rig.open(node, &id);
        assert_eq!(rig.session_of(again).unwrap(), id);
    }
    assert!(rig.heartbeat(node, &id).is_ok());
}

#[test]
fn a_node_that_is_removed_is_sent_away() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let stream = rig.open(node_id(0), "");
    rig.act(Action::Remove(store::Key::Node(node_id(0))));
    assert_eq!(rig.closed(stream), Some(CallError::NoSuchNode(node_id(0))));
    assert_eq!(rig.dispatcher.sessions(), 0);
    let stream = rig.open(node_id(0), "");
    assert_eq!(rig.closed(stream).unwrap().code(), Code::NotFound);
}

#[test]
fn a_node_hears_of_its_role_and_of_managers_but_not_of_its_own_status() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let stream = rig.open(node_id(0), "");
    let sent = |rig: &Rig| {
        let is_sent = |e: &&Effect| matches!(e, Effect::SendSession { .. });
        rig.effects.iter().filter(is_sent).count()
    };
    assert_eq!(sent(&rig), 1);
    let mut node = rig.node(node_id(0)).clone();
    node.spec.desired_role = types::NodeRole::Manager;
    rig.act(Action::Update(Object::from(node)));
    assert_eq!(sent(&rig), 2);
    let mut managers = leadership(1).managers.to_vec();
    managers.push(managers[0].clone());
    rig.input(Input::Managers(managers.clone().into()));
    assert_eq!(sent(&rig), 3);
    rig.input(Input::Managers(managers.into()));
    assert_eq!(sent(&rig), 3);
    assert_eq!(rig.closed(stream), None);
}

#[test]
fn a_report_is_answered_after_it_is_committed() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let session = rig.register(node);
    rig.add_task(task_id(1), node, &[]);
    rig.pass(secs(1));
    rig.commits = false;
    let call = rig.report(
        node,
        &session,
        vec![(task_id(1), status(TaskState::Running, "started"))],
    );
    assert_eq!(rig.answer(call), None);
    let (batch, plan) = rig.proposed.pop().expect("proposed at once when idle");
    rig.commit_batch(batch, plan);
    assert_eq!(rig.answer(call), Some(Ok(Answer::Recorded)));
    let task = rig.state.tasks().get(task_id(1)).unwrap();
    assert_eq!(task.status.state, TaskState::Running);
    assert_eq!(task.status.applied_by, Some(node_id(900)));
    assert!(task.status.applied_at.is_set());
}

#[test]
fn a_refused_batch_is_reported_to_the_callers_and_nodes_are_tried_again() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    rig.commits = false;
    let stream = rig.open(node_id(0), "");
    let (batch, _) = rig.proposed.pop().unwrap();
    rig.input(Input::Settled {
        batch,
        outcome: Outcome::Refused,
    });
    assert!(rig.proposed.is_empty(), "not at once");
    rig.commits = true;
    rig.pass(secs(1));
    assert!(rig.session_of(stream).is_some());
}

#[test]
fn reports_that_fall_back_or_repeat_are_dropped() {
    let cases = [
        (TaskState::Running, "started", false),
        (TaskState::Preparing, "preparing", false),
        (TaskState::Pending, "", false),
        (TaskState::Running, "healthy", true),
        (TaskState::Failed, "finished", true),
        (TaskState::Orphaned, "", false),
        (TaskState::Remove, "", false),
    ];
    for (state, text, is_written) in cases {
        let mut rig = Rig::new(1, NodeState::Unknown);
        let node = node_id(0);
        let session = rig.register(node);
        rig.add_task(task_id(1), node, &[]);
        let started = vec![(task_id(1), status(TaskState::Running, "started"))];
        rig.report(node, &session, started);
        rig.pass(secs(1));
        let before = rig.state.version();
        let call = rig.report(node, &session, vec![(task_id(1), status(state, text))]);
        rig.pass(secs(1));
        assert_eq!(rig.answer(call), Some(Ok(Answer::Recorded)), "{state}");
        assert_eq!(rig.state.version() > before, is_written, "{state} {text}");
    }
}

#[test]
fn why_a_task_was_displaced_stays_when_its_agent_reports_the_end() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let session = rig.register(node);
    rig.add_task(task_id(1), node, &[]);
    let started = || vec![(task_id(1), status(TaskState::Running, "started"))];
    rig.report(node, &session, started());
    rig.pass(secs(1));
    let reason = "displaced by task x of service y (priority 70 over 10)";
    let running = rig.state.tasks().get(task_id(1)).unwrap().status.clone();
    rig.act(Action::Report {
        task: task_id(1),
        status: Box::new(types::TaskStatus {
            err: reason.into(),
            ..running
        }),
    });
    let before = rig.state.version();
    rig.report(node, &session, started());
    rig.pass(secs(1));
    assert_eq!(rig.state.version(), before, "it says nothing new");
    let ended = vec![(task_id(1), status(TaskState::Shutdown, "shutdown"))];
    rig.report(node, &session, ended);
    rig.pass(secs(1));
    let task = rig.state.tasks().get(task_id(1)).unwrap();
    assert_eq!(task.status.state, TaskState::Shutdown);
    assert_eq!(&*task.status.err, reason);
}

#[test]
fn a_report_about_another_nodes_task_refuses_the_whole_call() {
    let mut rig = Rig::new(2, NodeState::Unknown);
    let session = rig.register(node_id(0));
    rig.add_task(task_id(1), node_id(0), &[]);
    rig.add_task(task_id(2), node_id(1), &[]);
    let running = || status(TaskState::Running, "started");
    let updates = vec![(task_id(1), running()), (task_id(2), running())];
    let call = rig.report(node_id(0), &session, updates);
    rig.pass(secs(1));
    let error = rig.answer(call).unwrap().unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert_eq!(rig.task_state(task_id(1)), TaskState::Assigned);
    let unknown = rig.report(node_id(0), &session, vec![(task_id(77), running())]);
    assert_eq!(rig.answer(unknown), Some(Ok(Answer::Recorded)));
}

#[test]
fn many_reports_share_few_batches() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let session = rig.register(node);
    for n in 0..500 {
        rig.add_task(task_id(n), node, &[]);
    }
    rig.pass(secs(1));
    let before = rig.proposals();
    let calls: Vec<_> = (0..500)
        .map(|n| {
            let update = (task_id(n), status(TaskState::Running, "started"));
            rig.report(node, &session, vec![update])
        })
        .collect();
    rig.pass(secs(1));
    assert!(
        calls
            .iter()
            .all(|c| rig.answer(*c) == Some(Ok(Answer::Recorded)))
    );
    assert_eq!(
        rig.proposals() - before,
        2,
        "the first at once, then all others"
    );
    assert_eq!(rig.state.tasks().count(TaskState::Running), 500);
}

#[test]
fn upstream_a_new_leader_begins_the_day_of_lost_nodes_anew_and_rewrites_orphans() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    rig.register(node);
    rig.add_task(task_id(1), node, &[]);
    rig.pass(secs(10));
    assert_eq!(rig.node(node).status.state, NodeState::Down);
    rig.pass(secs(23 * 3600));
    rig.new_leader(2);
    assert_eq!(rig.task_state(task_id(1)), TaskState::Assigned);
    rig.pass(secs(3600));
    assert_eq!(rig.task_state(task_id(1)), TaskState::Orphaned);
    let version = rig.state.version();
    rig.new_leader(3);
    rig.pass(secs(25 * 3600));
    assert_eq!(rig.state.version(), version, "nothing is written twice");
}

#[test]
fn missed_commits_are_made_good_by_looking_at_everything() {
    let mut rig = Rig::new(2, NodeState::Unknown);
    let node = node_id(0);
    let session = rig.register(node);
    let gone = rig.open(node_id(1), "");
    let stream = rig.assignments(node, &session);
    rig.add_task(task_id(1), node, &[]);
    rig.pass(secs(1));
    // Commits that the dispatcher is not told of.
    let mut state = rig.state.clone();
    for action in [
        Action::Remove(store::Key::Task(task_id(1))),
        Action::Remove(store::Key::Node(node_id(1))),
    ] {
        let mut draft = store::Draft::new(&state, rig.now);
        draft.add(store::Step::unguarded(action)).unwrap();
        state = draft.finish().2;
    }
    rig.state = state;
    rig.input(Input::Resync);
    rig.pass(secs(1));
    assert!(rig.agents[&stream].tasks.is_empty());
    assert_eq!(rig.closed(gone), Some(CallError::NoSuchNode(node_id(1))));
}
