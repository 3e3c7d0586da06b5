//! Tests of what nodes are told to run.

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::Action;
use types::{NodeState, TaskState};

use super::rig::*;
use crate::*;

fn messages(rig: &Rig, stream: StreamId) -> Vec<Assignments> {
    let of = |e: &Effect| match e {
        Effect::SendAssignments { stream: s, message } if *s == stream => Some(message.clone()),
        _ => None,
    };
    rig.effects.iter().filter_map(of).collect()
}

#[test]
fn the_first_message_is_complete_and_later_ones_build_on_it() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    rig.add_task(task_id(1), node, &[secret_id(1)]);
    let session = rig.register(node);
    let stream = rig.assignments(node, &session);
    rig.pass(secs(1));
    rig.add_task(task_id(2), node, &[secret_id(1)]);
    rig.pass(secs(1));
    let sent = messages(&rig, stream);
    assert_eq!(sent[0].kind, AssignmentKind::Complete);
    assert_eq!((sent[0].applies_to, sent[0].results_in), (0, 1));
    assert_eq!(sent[1].kind, AssignmentKind::Incremental);
    assert_eq!((sent[1].applies_to, sent[1].results_in), (1, 2));
    assert_eq!(sent[1].changes.len(), 1, "the secret is there already");
    assert_eq!(sent.len(), 2);
}

#[test]
fn a_change_after_a_pause_is_sent_at_once_and_a_burst_is_gathered() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let session = rig.register(node);
    let stream = rig.assignments(node, &session);
    rig.pass(secs(1));
    for n in 0..50 {
        rig.add_task(task_id(n), node, &[]);
    }
    assert_eq!(
        messages(&rig, stream).len(),
        2,
        "complete, then the first task"
    );
    rig.pass(limits::ASSIGNMENTS_PACE);
    assert_eq!(messages(&rig, stream).len(), 3);
    assert_eq!(rig.agents[&stream].tasks.len(), 50);
}

#[test]
fn a_slow_node_gets_one_message_for_all_it_missed() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let session = rig.register(node);
    let stream = StreamId(5000);
    let open = Input::OpenAssignments {
        stream,
        node,
        session,
    };
    let (state, now) = (rig.state.clone(), rig.now);
    let effects = rig.dispatcher.handle(open, &state, now, &mut rig.entropy);
    assert_eq!(
        effects.len(),
        1,
        "the complete set, never taken from the queue"
    );
    for n in 0..20 {
        rig.add_task(task_id(n), node, &[]);
        rig.pass(secs(0));
    }
    assert!(messages(&rig, stream).is_empty());
    rig.agents.entry(stream).or_default().sequence = 1;
    rig.input(Input::StreamReady { stream });
    rig.pass(secs(1));
    let sent = messages(&rig, stream);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].changes.len(), 20);
}

#[test]
fn echoes_of_a_nodes_own_reports_are_not_sent_back() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let session = rig.register(node);
    let stream = rig.assignments(node, &session);
    rig.add_task(task_id(1), node, &[]);
    rig.pass(secs(1));
    let before = messages(&rig, stream).len();
    for state in [TaskState::Preparing, TaskState::Running, TaskState::Failed] {
        rig.report(node, &session, vec![(task_id(1), status(state, "news"))]);
        rig.pass(secs(1));
        assert_eq!(rig.task_state(task_id(1)), state);
    }
    assert_eq!(messages(&rig, stream).len(), before);
}

#[test]
fn a_task_given_up_by_the_managers_is_sent_so_that_the_node_stops_it() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let session = rig.register(node);
    let stream = rig.assignments(node, &session);
    rig.add_task(task_id(1), node, &[]);
    rig.pass(secs(1));
    rig.act(Action::Report {
        task: task_id(1),
        status: Box::new(status(TaskState::Rejected, "evicted")),
    });
    rig.pass(secs(1));
    let told = &rig.agents[&stream].tasks[&task_id(1)];
    assert_eq!(told.status.state, TaskState::Rejected);
}

#[test]
fn secrets_leave_a_node_with_the_last_live_task_that_uses_them() {
    let mut rig = Rig::new(1, NodeState::Unknown);
    let node = node_id(0);
    let session = rig.register(node);
    let stream = rig.assignments(node, &session);
    rig.add_task(task_id(1), node, &[secret_id(1), secret_id(2)]);
    rig.add_task(task_id(2), node, &[secret_id(2)]);
    rig.pass(secs(1));
    assert_eq!(rig.agents[&stream].secrets.len(), 2);
    let failed = vec![(task_id(1), status(TaskState::Failed, "finished"))];
    rig.report(node, &session, failed);
    rig.pass(secs(1));
    let left: Vec<_> = rig.agents[&stream].secrets.iter().copied().collect();
    assert_eq!(left, [secret_id(2)]);
    rig.remove_task(task_id(2));
    rig.pass(secs(1));
    assert!(rig.agents[&stream].secrets.is_empty());
}

#[derive(Debug, Clone)]
enum Op {
    Add(u128, u128),
    Report(u128, usize),
    Desire(u128),
    Remove(u128),
    Reopen(u128),
    Register(u128),
    Pass(u64),
    Leader,
    Resync,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..12u128, 0..2u128).prop_map(|(t, n)| Op::Add(t, n)),
        4 => (0..12u128, 0..5usize).prop_map(|(t, s)| Op::Report(t, s)),
        2 => (0..12u128).prop_map(Op::Desire),
        2 => (0..12u128).prop_map(Op::Remove),
        1 => (0..2u128).prop_map(Op::Reopen),
        1 => (0..2u128).prop_map(Op::Register),
        4 => (0..30u64).prop_map(Op::Pass),
        1 => Just(Op::Leader),
        1 => Just(Op::Resync),
    ]
}

const REPORTS: [TaskState; 5] = [
    TaskState::Accepted,
    TaskState::Ready,
    TaskState::Running,
    TaskState::Complete,
    TaskState::Failed,
];

/// The sessions and assignments streams of two nodes.
#[derive(Default)]
struct Links(BTreeMap<u128, (String, StreamId)>);

impl Links {
    fn register(&mut self, rig: &mut Rig, n: u128) {
        for _ in 0..=limits::REGISTRATION_WINDOW.as_secs() {
            self.pass(rig, 1000);
        }
        let session = rig.register(node_id(n));
        let stream = rig.assignments(node_id(n), &session);
        self.0.insert(n, (session, stream));
    }

    /// Keeps every node's session alive over a stretch of time.
    fn pass(&self, rig: &mut Rig, millis: u64) {
        rig.pass(std::time::Duration::from_millis(millis));
        for (n, (session, _)) in &self.0 {
            let _ = rig.heartbeat(node_id(*n), session);
        }
    }
}

fn run(rig: &mut Rig, links: &mut Links, term: &mut u64, op: Op) {
    let exists = |rig: &Rig, t| rig.state.tasks().get(task_id(t)).is_some();
    match op {
        Op::Add(t, n) if !exists(rig, t) => {
            rig.add_task(task_id(t), node_id(n), &[secret_id(t % 3), secret_id(7)]);
        }
        Op::Report(t, s) if exists(rig, t) => {
            let node = rig.state.tasks().get(task_id(t)).unwrap().node_id.unwrap();
            let session = links.0.iter().find(|(n, _)| node_id(**n) == node);
            if let Some((_, (session, _))) = session {
                let update = vec![(task_id(t), status(REPORTS[s], "news"))];
                rig.report(node, session, update);
            }
        }
        Op::Desire(t) if exists(rig, t) => rig.act(Action::Desire {
            task: task_id(t),
            state: TaskState::Shutdown,
        }),
        Op::Remove(t) if exists(rig, t) => rig.remove_task(task_id(t)),
        Op::Reopen(n) => {
            if let Some((session, stream)) = links.0.get_mut(&n) {
                rig.input(Input::StreamClosed { stream: *stream });
                *stream = rig.assignments(node_id(n), session);
            }
        }
        Op::Register(n) => links.register(rig, n),
        Op::Pass(millis) => links.pass(rig, millis),
        Op::Leader => {
            *term += 1;
            rig.new_leader(*term);
            links.0.clear();
        }
        Op::Resync => rig.input(Input::Resync),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The chain and the order of changes are checked message by message in the rig.
    #[test]
    fn after_any_history_each_node_knows_its_tasks_and_only_their_secrets(
        ops in proptest::collection::vec(op(), 1..80)
    ) {
        let mut rig = Rig::new(2, NodeState::Unknown);
        let (mut links, mut term) = (Links::default(), 1);
        for op in ops {
            run(&mut rig, &mut links, &mut term, op);
        }
        for n in 0..2 {
            if !links.0.contains_key(&n) {
                links.register(&mut rig, n);
            }
        }
        links.pass(&mut rig, 100);
        for (n, (session, stream)) in &links.0 {
            let node = node_id(*n);
            prop_assert!(rig.heartbeat(node, session).is_ok());
            let agent = &rig.agents[stream];
            let wanted: Vec<_> = rig.state.tasks().on_node(node).map(|t| t.id).collect();
            let known: Vec<_> = agent.tasks.keys().copied().collect();
            prop_assert_eq!(wanted, known);
            let mut secrets = std::collections::BTreeSet::new();
            for task in rig.state.tasks().on_node(node) {
                prop_assert_eq!(agent.tasks[&task.id].desired_state, task.desired_state);
                if task.is_active() {
                    let spec = task.spec().container().unwrap();
                    secrets.extend(spec.secrets.iter().map(|s| s.secret_id));
                }
            }
            prop_assert_eq!(&agent.secrets, &secrets);
        }
    }
}
