//! Log entries: nothing lost, bulk is small, what is not understood is an error.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use store::{Action, Digest, Key, NewTask, Object, Transaction};
use types::{ClusterId, NodeId, ServiceId, TaskId, TaskState, TaskStatus, Timestamp};

use crate::log::{LogError, decode_transaction, encode_transaction};
use crate::swarm::v1;
use crate::testgen::Gen;

fn object(g: &mut Gen) -> Object {
    let kind = g.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    match kind {
        0 => g.cluster().into(),
        1 => g.node().into(),
        2 => g.service().into(),
        3 => g.task().into(),
        4 => g.network().into(),
        5 => g.secret().into(),
        6 => g.config().into(),
        7 => g.volume().into(),
        8 => g.extension().into(),
        _ => g.resource().into(),
    }
}

fn new_task(g: &mut Gen, service: ServiceId) -> Action {
    Action::NewTask(NewTask {
        id: TaskId::random(g.entropy()),
        service,
        spec_version: g.pick(&[0, 1]),
        slot: g.number(),
        node: g.maybe(|g| NodeId::random(g.entropy())),
        desired_state: g.pick(&[TaskState::Ready, TaskState::Running]),
        job_iteration: g.maybe(Gen::number),
    })
}

fn action(g: &mut Gen, service: ServiceId) -> Action {
    let task = TaskId::random(g.entropy());
    match g.pick(&[0, 1, 2, 3, 4, 5, 6, 7]) {
        0 => Action::Create(object(g)),
        1 => Action::Update(object(g)),
        2 => Action::Remove(object(g).key()),
        3 => new_task(g, service),
        4 => Action::Allocate { task },
        5 => Action::Assign {
            task,
            node: NodeId::random(g.entropy()),
            generic: g.generics(),
            volumes: g.volume_attachments(),
        },
        6 => Action::Report {
            task,
            status: Box::new(g.task_status()),
        },
        _ => Action::Desire {
            task,
            state: g.task_state(),
        },
    }
}

fn transaction(seed: u64) -> Transaction {
    let mut g = Gen::new(seed);
    let service = ServiceId::random(g.entropy());
    // Doubled, so that there are runs to be joined.
    let actions = g.list(|g| g.list(|g| action(g, service)));
    let actions = actions.into_iter().flatten().flat_map(|a| [a.clone(), a]);
    Transaction {
        digest: g.list(|g| Digest::from_number(g.number())).pop(),
        version: g.number(),
        at: g.moment(),
        actions: actions.collect(),
    }
}

fn of_actions(actions: Vec<Action>) -> Transaction {
    Transaction {
        digest: None,
        version: 1,
        at: Timestamp(1),
        actions,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_transaction_reads_back_as_it_was(seed: u64) {
        let transaction = transaction(seed);
        let entry = encode_transaction(&transaction);
        prop_assert_eq!(decode_transaction(&entry).unwrap(), transaction);
    }

    #[test]
    fn garbage_is_an_error_or_a_transaction_but_no_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let entry = [&[1], &bytes[..]].concat();
        let _ = decode_transaction(&entry.into());
    }

    #[test]
    fn a_damaged_entry_never_panics(seed: u64, at: prop::sample::Index, with: u8) {
        let mut bytes = encode_transaction(&transaction(seed)).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = decode_transaction(&bytes.into());
    }

    #[test]
    fn an_entry_that_is_cut_never_reads_as_the_whole(seed: u64, at: prop::sample::Index) {
        let transaction = transaction(seed);
        let entry = encode_transaction(&transaction);
        let cut = entry.slice(..at.index(entry.len()));
        prop_assert_ne!(decode_transaction(&cut).ok(), Some(transaction));
    }
}

#[test]
fn ten_thousand_tasks_of_a_service_cost_little_more_than_their_ids() {
    let mut g = Gen::new(1);
    let service = ServiceId::random(g.entropy());
    let new = |slot| {
        Action::NewTask(NewTask {
            id: TaskId::random(g.entropy()),
            service,
            spec_version: 7,
            slot,
            node: None,
            desired_state: TaskState::Running,
            job_iteration: None,
        })
    };
    let transaction = of_actions((1..=10_000).map(new).collect());
    let entry = encode_transaction(&transaction);
    assert!(entry.len() < 10_000 * 19, "{} bytes", entry.len());
    assert_eq!(decode_transaction(&entry).unwrap(), transaction);
}

#[test]
fn ten_thousand_assignments_fit_in_ten_thousand_pairs_of_ids() {
    let mut g = Gen::new(2);
    let assign = |_| Action::Assign {
        task: TaskId::random(g.entropy()),
        node: NodeId::random(g.entropy()),
        generic: Vec::new(),
        volumes: Vec::new(),
    };
    let transaction = of_actions((0..10_000).map(assign).collect());
    let entry = encode_transaction(&transaction);
    assert!(entry.len() < 10_000 * 32 + 50, "{} bytes", entry.len());
    assert_eq!(decode_transaction(&entry).unwrap(), transaction);
}

#[test]
fn a_status_report_costs_less_than_150_bytes() {
    let mut g = Gen::new(3);
    let manager = NodeId::random(g.entropy());
    let report = |i: u64| {
        let container = types::task::ContainerStatus {
            container_id: "f".repeat(64),
            pid: 12_345,
            exit_code: 0,
        };
        Action::Report {
            task: TaskId::random(g.entropy()),
            status: Box::new(TaskStatus {
                timestamp: Timestamp(i),
                state: TaskState::Running,
                message: "started".into(),
                container: Some(Box::new(container)),
                applied_by: Some(manager),
                applied_at: Timestamp(5),
                ..TaskStatus::default()
            }),
        }
    };
    let transaction = of_actions((0..1000).map(report).collect());
    let entry = encode_transaction(&transaction);
    assert!(entry.len() < 1000 * 150, "{} bytes", entry.len());
    assert_eq!(decode_transaction(&entry).unwrap(), transaction);
}

fn raw(transaction: &v1::Transaction) -> Bytes {
    [&[1], &transaction.encode_to_vec()[..]].concat().into()
}

#[test]
fn an_entry_of_a_newer_format_is_refused() {
    let mut entry = encode_transaction(&of_actions(Vec::new())).to_vec();
    entry[0] = 2;
    assert_eq!(
        decode_transaction(&entry.into()),
        Err(LogError::Format { found: 2 })
    );
    assert_eq!(decode_transaction(&Bytes::new()), Err(LogError::Empty));
}

#[test]
fn an_action_that_this_version_does_not_know_is_refused_with_its_place() {
    let known = encode_transaction(&of_actions(vec![Action::Remove(Key::Cluster(
        ClusterId::MAX,
    ))]));
    // A second action (field 3) whose only field is number 15.
    let entry = [&known[..], &[3 << 3 | 2, 3, 15 << 3 | 2, 1, b'x']].concat();
    assert_eq!(
        decode_transaction(&entry.into()),
        Err(LogError::UnknownAction { index: 1 })
    );
}

#[test]
fn a_field_that_this_version_does_not_know_is_refused_at_any_depth() {
    let transaction = of_actions(vec![Action::Create(Gen::new(4).extension().into())]);
    let known = encode_transaction(&transaction);
    let outside = [&known[..], &[14 << 3, 1]].concat();
    assert_eq!(
        decode_transaction(&outside.into()),
        Err(LogError::UnknownField)
    );

    // An allocation with a field 9 inside.
    let allocate = [3 << 3 | 2, 4, 5 << 3 | 2, 2, 9 << 3, 1];
    let entry = [&[1], &allocate[..]].concat();
    assert_eq!(
        decode_transaction(&entry.into()),
        Err(LogError::UnknownField)
    );
}

#[test]
fn columns_that_do_not_fit_together_are_refused() {
    use v1::action::Action as Wire;

    let read = |action| {
        let actions = vec![v1::Action {
            action: Some(action),
        }];
        decode_transaction(&raw(&v1::Transaction {
            actions,
            ..Default::default()
        }))
    };
    let cut = read(Wire::Allocate(v1::Allocate {
        task_ids: vec![1; 17].into(),
    }));
    assert!(
        matches!(cut, Err(LogError::Action { index: 0, .. })),
        "{cut:?}"
    );
    let zero = read(Wire::Allocate(v1::Allocate {
        task_ids: vec![0; 16].into(),
    }));
    assert!(
        matches!(zero, Err(LogError::Action { index: 0, .. })),
        "{zero:?}"
    );
    let uneven = read(Wire::Assign(v1::Assign {
        task_ids: vec![1; 32].into(),
        node_ids: vec![1; 16].into(),
    }));
    assert!(
        matches!(uneven, Err(LogError::Action { index: 0, .. })),
        "{uneven:?}"
    );
    let slotless = read(Wire::NewTasks(v1::NewTasks {
        service_id: vec![1; 16].into(),
        task_ids: vec![1; 16].into(),
        ..Default::default()
    }));
    assert!(
        matches!(slotless, Err(LogError::Action { index: 0, .. })),
        "{slotless:?}"
    );
    let state = read(Wire::Desire(v1::Desire {
        state: 1,
        task_ids: Bytes::new(),
    }));
    assert!(
        matches!(state, Err(LogError::Action { index: 0, .. })),
        "{state:?}"
    );
}
