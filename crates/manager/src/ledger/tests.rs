//! Tests of the ledger with a log that commits when told to.

use std::collections::VecDeque;

use store::ApplyError;
use tokio::sync::oneshot;
use types::{Annotations, Extension, ExtensionId, Meta};

use super::*;
use crate::entropy::SystemEntropy;

const FIRST: Reign = Reign { term: 1, epoch: 0 };

#[derive(Default)]
struct HeldLog(Mutex<VecDeque<Held>>);

/// A proposal with its term, and how to tell its outcome.
type Held = (u64, oneshot::Sender<Result<(), ProposeFailure>>);

impl Log for Arc<HeldLog> {
    fn propose(&self, reign: Reign, _data: Bytes) -> Proposal {
        let (sender, receiver) = oneshot::channel();
        lock(&self.0).push_back((reign.term, sender));
        Box::pin(async move { receiver.await.unwrap_or(Err(ProposeFailure::Unknown)) })
    }
}

fn setup() -> (Arc<HeldLog>, Arc<Ledger>) {
    let log = Arc::new(HeldLog::default());
    let ledger = Ledger::new(State::default(), Box::new(log.clone()), |_| Bytes::new());
    (log, ledger)
}

fn commit_one(log: &HeldLog, ledger: &Ledger) {
    let (term, done) = lock(&log.0).pop_front().expect("something was proposed");
    ledger.apply(term, || {
        panic!("the leader does not decode its own entries")
    });
    done.send(Ok(())).expect("the writer waits");
}

fn create(draft: &mut Draft, name: &str) -> Result<(), store::Dropped> {
    let extension = Extension {
        id: ExtensionId::random(&mut SystemEntropy),
        meta: Meta::default(),
        annotations: Annotations::named(name),
        description: String::new(),
    };
    draft.add(store::Step::unguarded(Action::Create(extension.into())))
}

/// Drafts without waiting for the outcome.
fn draft(ledger: &Ledger, name: &str) -> Result<Proposal, WriteError<store::Dropped>> {
    let drafted = ledger.draft(&mut Some(|draft: &mut Draft| create(draft, name)))?;
    let outcome = drafted.expect("there is room").outcome;
    let (_, proposal) = outcome.map_err(WriteError::Refused)?;
    Ok(proposal.expect("not empty"))
}

#[tokio::test]
async fn a_writer_waits_while_too_much_is_in_flight() {
    let (log, ledger) = setup();
    ledger.lead(FIRST);
    let held: Vec<_> = (0..IN_FLIGHT_MAX)
        .map(|n| draft(&ledger, &format!("n{n}")).unwrap())
        .collect();
    let writer = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.write(|draft| create(draft, "last")).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(lock(&log.0).len(), IN_FLIGHT_MAX);
    commit_one(&log, &ledger);
    while lock(&log.0).len() < IN_FLIGHT_MAX {
        tokio::task::yield_now().await;
    }
    for _ in 0..IN_FLIGHT_MAX {
        commit_one(&log, &ledger);
    }
    writer.await.unwrap().unwrap();
    drop(held);
}

/// A transaction of as many bytes as its descriptions have.
fn sized(tx: &Transaction) -> Bytes {
    let size = |action: &Action| match action {
        Action::Create(store::Object::Extension(e)) => e.description.len(),
        _ => 0,
    };
    Bytes::from(vec![0; tx.actions.iter().map(size).sum()])
}

fn large_step(name: &str, bytes: usize) -> Step {
    let extension = Extension {
        id: ExtensionId::random(&mut SystemEntropy),
        meta: Meta::default(),
        annotations: Annotations::named(name),
        description: "x".repeat(bytes),
    };
    Step::unguarded(Action::Create(extension.into()))
}

#[tokio::test]
async fn a_change_too_large_for_the_log_is_refused_and_costs_nothing() {
    let log = Arc::new(HeldLog::default());
    let ledger = Ledger::new(State::default(), Box::new(log.clone()), sized);
    ledger.lead(FIRST);
    let step = large_step("a", TRANSACTION_BYTES_MAX + 1);
    let refused = ledger.write(|draft| draft.add(step)).await;
    assert!(matches!(refused, Err(WriteError::TooLarge { .. })));
    assert!(lock(&log.0).is_empty());
    let head = ledger.head(FIRST, 0).unwrap();
    assert_eq!(head.state.version(), 0);
}

#[tokio::test]
async fn a_large_plan_is_proposed_in_parts_and_a_step_that_never_fits_is_dropped() {
    let log = Arc::new(HeldLog::default());
    let ledger = Ledger::new(State::default(), Box::new(log.clone()), sized);
    ledger.lead(FIRST);
    let third = TRANSACTION_BYTES_MAX / 3 + 1;
    let mut plan = Plan::default();
    for name in ["a", "b", "c", "d"] {
        plan.push(large_step(name, third));
    }
    plan.push(large_step("e", TRANSACTION_BYTES_MAX + 1));
    let (proposals, dropped) = ledger.propose_plan(FIRST, plan).unwrap();
    assert_eq!(dropped, 1);
    assert_eq!(proposals.len(), lock(&log.0).len());
    let head = ledger.head(FIRST, 0).unwrap();
    assert_eq!(head.state.extensions().len(), 4);
    while !lock(&log.0).is_empty() {
        commit_one(&log, &ledger);
    }
    assert_eq!(ledger.state().extensions().len(), 4);
}

#[tokio::test]
async fn writers_wait_while_too_many_bytes_are_in_flight() {
    let log = Arc::new(HeldLog::default());
    let ledger = Ledger::new(State::default(), Box::new(log.clone()), sized);
    ledger.lead(FIRST);
    let size = 1 << 20;
    let mut held = Vec::new();
    for n in 0..IN_FLIGHT_BYTES_MAX / size {
        let step = large_step(&format!("n{n}"), size);
        let drafted = ledger.draft(&mut Some(|draft: &mut Draft| draft.add(step)));
        held.push(drafted.unwrap().expect("there is room"));
    }
    let full = ledger.draft(&mut Some(|draft: &mut Draft| create(draft, "a")));
    assert!(full.unwrap().is_none());
    commit_one(&log, &ledger);
    let _proposal = draft(&ledger, "a").unwrap();
}

#[tokio::test]
async fn a_refusal_is_noticed_although_the_writer_has_gone() {
    let (log, ledger) = setup();
    ledger.lead(FIRST);
    drop(draft(&ledger, "a").unwrap());
    let (_, done) = lock(&log.0).pop_front().unwrap();
    let full = ProposeFailure::Refused("the disk is full".into());
    done.send(Err(full)).unwrap();
    assert_eq!(ledger.refusal(FIRST).await, "the disk is full");
}

#[tokio::test]
async fn a_follower_refuses_to_write() {
    let (_, ledger) = setup();
    let result = ledger.write(|draft| create(draft, "a")).await;
    assert!(matches!(result, Err(WriteError::NotLeader)));
}

/// Writes in the background, with confirmation by `confirmed`.
fn writing(
    ledger: &Arc<Ledger>,
    name: &'static str,
    confirmed: bool,
) -> tokio::task::JoinHandle<Result<(), WriteError<store::Dropped>>> {
    let ledger = ledger.clone();
    tokio::spawn(async move {
        let confirm = |_| std::future::ready(confirmed);
        ledger
            .write_confirmed(|draft| create(draft, name), confirm)
            .await
    })
}

#[tokio::test]
async fn a_refusal_is_told_only_when_what_it_was_judged_by_is_committed() {
    let (log, ledger) = setup();
    ledger.lead(FIRST);
    let _first = draft(&ledger, "a").unwrap();
    let again = writing(&ledger, "a", true);
    tokio::task::yield_now().await;
    assert!(!again.is_finished());
    commit_one(&log, &ledger);
    assert!(matches!(again.await.unwrap(), Err(WriteError::Refused(_))));
}

#[tokio::test]
async fn a_refusal_because_of_what_never_commits_is_not_told() {
    let (_log, ledger) = setup();
    ledger.lead(FIRST);
    let _first = draft(&ledger, "a").unwrap();
    let again = writing(&ledger, "a", true);
    tokio::task::yield_now().await;
    ledger.follow();
    assert!(matches!(again.await.unwrap(), Err(WriteError::NotLeader)));
}

#[tokio::test]
async fn a_refusal_by_a_leader_that_may_be_deposed_is_not_told() {
    let (log, ledger) = setup();
    ledger.lead(FIRST);
    let _first = draft(&ledger, "a").unwrap();
    commit_one(&log, &ledger);
    let again = writing(&ledger, "a", false).await.unwrap();
    assert!(matches!(again, Err(WriteError::NotLeader)));
}

#[tokio::test]
async fn writes_are_seen_by_writers_at_once_and_by_readers_when_committed() {
    let (log, ledger) = setup();
    ledger.lead(FIRST);
    let first = draft(&ledger, "a").unwrap();
    let again = draft(&ledger, "a");
    let Err(WriteError::Refused(store::Dropped::Action(ApplyError::NameTaken { .. }))) = again
    else {
        panic!("the name is taken by a write in flight");
    };
    let second = draft(&ledger, "b").unwrap();
    assert!(ledger.state().extensions().is_empty());
    commit_one(&log, &ledger);
    assert_eq!(ledger.state().extensions().len(), 1);
    first.await.unwrap();
    commit_one(&log, &ledger);
    second.await.unwrap();
    assert_eq!(ledger.state().extensions().len(), 2);
}

#[tokio::test]
async fn what_was_in_flight_at_deposition_is_applied_if_it_commits_later() {
    let (log, ledger) = setup();
    ledger.lead(FIRST);
    let mut tx = None;
    let _lost = draft(&ledger, "a").unwrap();
    let head = ledger.head(FIRST, 0).unwrap();
    let extension = head.state.extensions().iter().next().unwrap().clone();
    tx.replace(Transaction {
        digest: None,
        version: 1,
        at: extension.meta.created_at,
        actions: vec![Action::Create(store::Object::Extension(extension))],
    });
    ledger.follow();
    assert!(ledger.head(FIRST, 0).is_none());
    lock(&log.0).clear();
    ledger.apply(1, || tx.clone().unwrap());
    assert_eq!(ledger.state().extensions().len(), 1);
}

#[tokio::test]
async fn a_cursor_gets_every_commit_once_and_in_order() {
    let (log, ledger) = setup();
    let (_, mut cursor) = ledger.subscribe();
    ledger.lead(FIRST);
    let _proposals = ["a", "b", "c"].map(|name| draft(&ledger, name).unwrap());
    let mut held = Vec::new();
    for _ in 0..3 {
        let (term, done) = lock(&log.0).pop_front().unwrap();
        ledger.apply(term, || unreachable!());
        held.push(done);
    }
    let Some(News::Commits(commits, state)) = cursor.next().await else {
        panic!("kept")
    };
    assert_eq!(
        commits.iter().map(|c| c.version).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(state.extensions().len(), 3);
    assert!(cursor.try_next().is_none());
    ledger.restore(State::default());
    assert!(matches!(cursor.next().await, Some(News::Afresh(_))));
}

#[test]
#[should_panic(expected = "cannot be applied")]
fn an_entry_that_does_not_fit_stops_the_manager() {
    let (_, ledger) = setup();
    let tx = Transaction {
        digest: None,
        version: 7,
        at: Timestamp::ZERO,
        actions: Vec::new(),
    };
    ledger.apply(1, || tx.clone());
}

#[tokio::test]
async fn tables_that_differ_from_the_leaders_are_told_until_they_are_replaced() {
    let (log, ledger) = setup();
    ledger.lead(FIRST);
    let _proposals = ["a", "b"].map(|name| draft(&ledger, name).unwrap());
    lock(&log.0).clear();
    let head = ledger.head(FIRST, 0).unwrap().state;
    let (_, follower) = setup();
    let transaction = |version, extensions: &[usize], digest| Transaction {
        digest: Some(digest),
        version,
        at: head.time(),
        actions: extensions
            .iter()
            .filter_map(|n| head.extensions().iter().nth(*n))
            .map(|e| Action::Create(store::Object::Extension(e.clone())))
            .collect(),
    };
    let mut leader = State::default();
    let first = transaction(1, &[0], store::Digest::default());
    leader.apply(&first).unwrap();
    follower.apply(1, || transaction(1, &[0], leader.digest()));
    assert_eq!(follower.differ_since(), None);
    let second = transaction(2, &[1], store::Digest::default());
    leader.apply(&second).unwrap();
    follower.apply(1, || transaction(2, &[], leader.digest()));
    assert_eq!(follower.differ_since(), Some(2));
    follower.apply(1, || transaction(3, &[], leader.digest()));
    assert_eq!(follower.differ_since(), Some(2), "the first one is told");
    follower.restore(leader);
    assert_eq!(follower.differ_since(), None);
}
