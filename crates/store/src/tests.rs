//! Tests of the tables as a whole.

use std::sync::Arc;

use types::entropy::SeededEntropy;
use types::meta::IndexEntry;
use types::task::message;
use types::{
    Annotations, Meta, Node, NodeId, NodeSpec, Resource, ResourceId, Service, ServiceId,
    ServiceSpec, Task, TaskId, TaskState, TaskStatus, Timestamp,
};

use crate::{
    Action, ApplyError, Change, Commit, Draft, Guard, History, Image, Key, Kind, NewTask, Object,
    Resume, Speculative, State, Step, Transaction,
};

mod properties;

pub(crate) struct Fixture {
    pub(crate) state: State,
    pub(crate) entropy: SeededEntropy,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self {
            state: State::default(),
            entropy: SeededEntropy::new(1),
        }
    }

    pub(crate) fn apply(&mut self, actions: Vec<Action>) -> Result<Commit, ApplyError> {
        let version = self.state.version() + 1;
        self.state.apply(&Transaction {
            digest: None,
            version,
            at: Timestamp::from_secs(version),
            actions,
        })
    }

    fn service(&mut self, name: &str) -> Service {
        Service::new(
            ServiceId::random(&mut self.entropy),
            ServiceSpec {
                annotations: Annotations::named(name),
                ..ServiceSpec::default()
            },
        )
    }

    fn create_service(&mut self, name: &str) -> ServiceId {
        let service = self.service(name);
        let id = service.id;
        self.apply(vec![Action::Create(service.into())]).unwrap();
        id
    }

    fn new_task(&mut self, service: ServiceId, slot: u64) -> NewTask {
        NewTask {
            id: TaskId::random(&mut self.entropy),
            service,
            spec_version: 0,
            slot,
            node: None,
            desired_state: TaskState::Running,
            job_iteration: None,
        }
    }

    fn create_task(&mut self, service: ServiceId, slot: u64) -> TaskId {
        let new = self.new_task(service, slot);
        let id = new.id;
        self.apply(vec![Action::NewTask(new)]).unwrap();
        id
    }

    fn node(&mut self) -> NodeId {
        let id = NodeId::random(&mut self.entropy);
        let node = Node::new(id, NodeSpec::default());
        self.apply(vec![Action::Create(node.into())]).unwrap();
        id
    }

    fn task(&self, id: TaskId) -> &Task {
        self.state.tasks().get(id).unwrap()
    }
}

#[test]
fn names_are_unique_regardless_of_case() {
    let mut f = Fixture::new();
    let first = f.create_service("Web");
    let second = f.service("web");
    let err = f.apply(vec![Action::Create(second.into())]).unwrap_err();
    let by = first.to_string();
    assert_eq!(
        err,
        ApplyError::NameTaken {
            kind: Kind::Service,
            name: "web".into(),
            by
        }
    );
    assert_eq!(f.state.services().by_name("WEB").next().unwrap().id, first);
}

#[test]
fn a_removed_name_is_free_again() {
    let mut f = Fixture::new();
    let id = f.create_service("web");
    f.apply(vec![Action::Remove(Key::Service(id))]).unwrap();
    f.create_service("web");
    assert_eq!(f.state.services().by_name("web").count(), 1);
}

#[test]
fn an_update_from_an_old_version_is_refused_and_changes_nothing() {
    let mut f = Fixture::new();
    let id = f.create_service("web");
    let stale = Service::clone(f.state.services().get(id).unwrap());
    f.apply(vec![Action::Update(stale.clone().into())]).unwrap();
    let before = f.state.version();
    let err = f.apply(vec![Action::Update(stale.into())]).unwrap_err();
    assert!(
        matches!(
            err,
            ApplyError::Stale {
                have: 2,
                given: 1,
                ..
            }
        ),
        "{err}"
    );
    assert_eq!(f.state.version(), before);
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let mut f = Fixture::new();
    let service = f.service("web");
    let missing = ServiceId::random(&mut f.entropy);
    let actions = vec![
        Action::Create(service.into()),
        Action::Remove(Key::Service(missing)),
    ];
    assert!(matches!(f.apply(actions), Err(ApplyError::NotFound { .. })));
    assert!(f.state.services().is_empty());
}

#[test]
fn a_transaction_made_from_another_version_is_refused() {
    let mut f = Fixture::new();
    let tx = Transaction {
        digest: None,
        version: 5,
        at: Timestamp::ZERO,
        actions: Vec::new(),
    };
    let err = f.state.apply(&tx).unwrap_err();
    assert_eq!(err, ApplyError::OutOfOrder { have: 0, given: 5 });
}

#[test]
fn record_facts_are_set_by_the_store() {
    let mut f = Fixture::new();
    let id = f.create_service("web");
    let mut service = Service::clone(f.state.services().get(id).unwrap());
    assert_eq!(service.meta.version, 1);
    service.meta.created_at = Timestamp::MAX;
    f.apply(vec![Action::Update(service.into())]).unwrap();
    let meta = f.state.services().get(id).unwrap().meta;
    assert_eq!(
        (meta.created_at, meta.updated_at),
        (Timestamp::from_secs(1), Timestamp(2 * 10u64.pow(9)))
    );
}

#[test]
fn tasks_share_the_spec_of_their_revision() {
    let mut f = Fixture::new();
    let service = f.create_service("web");
    let (a, b) = (f.create_task(service, 1), f.create_task(service, 2));
    assert!(Arc::ptr_eq(
        &f.task(a).service_spec,
        &f.task(b).service_spec
    ));
}

#[test]
fn a_spec_version_lives_as_long_as_a_task_or_a_rollback_needs_it() {
    let mut f = Fixture::new();
    let id = f.create_service("web");
    let task = f.create_task(id, 1);
    for _ in 0..2 {
        let mut service = Service::clone(f.state.services().get(id).unwrap());
        service.previous_spec = Some(service.spec.clone());
        service.previous_spec_version = Some(service.spec_version);
        service.spec_version = service.meta.version;
        f.apply(vec![Action::Update(service.into())]).unwrap();
    }
    assert_eq!(f.state.revision(id, 0).unwrap().tasks, 1);
    f.apply(vec![Action::Remove(Key::Task(task))]).unwrap();
    assert!(f.state.revision(id, 0).is_none());
    assert!(
        f.state.revision(id, 1).is_some(),
        "the previous spec is kept for a rollback"
    );
    f.apply(vec![Action::Remove(Key::Service(id))]).unwrap();
    assert!(f.state.revision(id, 1).is_none());
}

#[test]
fn a_task_of_a_forgotten_spec_version_is_refused() {
    let mut f = Fixture::new();
    let id = f.create_service("web");
    let new = NewTask {
        spec_version: 9,
        ..f.new_task(id, 1)
    };
    let err = f.apply(vec![Action::NewTask(new)]).unwrap_err();
    assert_eq!(
        err,
        ApplyError::NoRevision {
            service: id,
            version: 9
        }
    );
}

#[test]
fn a_task_is_found_by_slot_by_node_and_while_unplaced() {
    let mut f = Fixture::new();
    let service = f.create_service("web");
    let node = f.node();
    let task = f.create_task(service, 3);
    assert_eq!(f.state.tasks().of_slot(service, 3).count(), 1);
    assert_eq!(f.state.tasks().unplaced().count(), 1);
    f.apply(vec![Action::Allocate { task }]).unwrap();
    let assign = Action::Assign {
        task,
        node,
        generic: Vec::new(),
        volumes: Vec::new(),
    };
    f.apply(vec![assign.clone()]).unwrap();
    assert_eq!(f.state.tasks().unplaced().count(), 0);
    assert_eq!(f.state.tasks().on_node(node).count(), 1);
    assert_eq!(f.state.tasks().count(TaskState::Assigned), 1);
    assert_eq!(
        f.task(task).status.message,
        "scheduler assigned task to node"
    );
    assert!(matches!(
        f.apply(vec![assign]),
        Err(ApplyError::Backwards { .. })
    ));
    f.apply(vec![Action::Remove(Key::Task(task))]).unwrap();
    assert_eq!(f.state.tasks().on_node(node).count(), 0);
    assert_eq!(f.state.tasks().of_service(service).count(), 0);
}

#[test]
fn neither_observed_nor_desired_state_falls() {
    let mut f = Fixture::new();
    let service = f.create_service("web");
    let task = f.create_task(service, 1);
    let report = |state| Action::Report {
        task,
        status: Box::new(TaskStatus {
            state,
            message: message("x"),
            ..TaskStatus::default()
        }),
    };
    f.apply(vec![report(TaskState::Running)]).unwrap();
    assert!(matches!(
        f.apply(vec![report(TaskState::Ready)]),
        Err(ApplyError::Backwards { .. })
    ));
    f.apply(vec![Action::Desire {
        task,
        state: TaskState::Shutdown,
    }])
    .unwrap();
    let lower = Action::Desire {
        task,
        state: TaskState::Running,
    };
    assert!(matches!(
        f.apply(vec![lower]),
        Err(ApplyError::Backwards { .. })
    ));
}

#[test]
fn resources_need_a_registered_kind() {
    let mut f = Fixture::new();
    let resource = Resource {
        id: ResourceId::random(&mut f.entropy),
        meta: Meta::default(),
        annotations: Annotations::named("r"),
        kind: "thing".into(),
        payload_type_url: String::new(),
        payload: Arc::from(&b""[..]),
    };
    let err = f.apply(vec![Action::Create(resource.into())]).unwrap_err();
    assert_eq!(
        err,
        ApplyError::NoKind {
            kind: "thing".into()
        }
    );
}

#[test]
fn objects_are_found_by_prefix_and_by_custom_key() {
    let mut f = Fixture::new();
    let mut service = f.service("api-users");
    let mut spec = ServiceSpec::clone(&service.spec);
    spec.annotations.indices = vec![IndexEntry {
        key: "team".into(),
        val: "red".into(),
    }];
    service.spec = Arc::new(spec);
    let id = service.id;
    f.apply(vec![Action::Create(service.into())]).unwrap();
    f.create_service("web");
    let services = f.state.services();
    assert_eq!(services.by_name_prefix("API").count(), 1);
    assert_eq!(services.by_custom("team", "red").count(), 1);
    assert_eq!(services.by_custom("team", "blue").count(), 0);
    let text = id.to_string();
    assert_eq!(services.by_id_prefix(&text[..6]).next().unwrap().id, id);
    assert_eq!(services.by_id_prefix("!").count(), 0);
    assert_eq!(services.by_id_prefix("").count(), 2);
}

#[test]
fn a_snapshot_never_changes() {
    let mut f = Fixture::new();
    f.create_service("web");
    let snapshot = f.state.clone();
    f.create_service("api");
    assert_eq!(snapshot.services().len(), 1);
    assert_eq!(f.state.services().len(), 2);
}

#[test]
fn a_reader_that_fell_behind_is_told_to_read_afresh() {
    let mut f = Fixture::new();
    let mut history = History::new(0, 3);
    for n in 0..5 {
        let service = f.service(&format!("s{n}"));
        let commit = f.apply(vec![Action::Create(service.into())]).unwrap();
        history.push(Arc::new(commit));
    }
    assert!(matches!(history.after(1, 10), Resume::Compacted));
    let Resume::Commits(commits) = history.after(2, 10) else {
        panic!("still kept")
    };
    assert_eq!(
        commits.iter().map(|c| c.version).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    assert!(matches!(history.after(5, 10), Resume::Commits(c) if c.is_empty()));
}

#[test]
fn a_step_whose_ground_moved_is_dropped_alone() {
    let mut f = Fixture::new();
    let service = f.create_service("web");
    let (a, b) = (f.create_task(service, 1), f.create_task(service, 2));
    let version = f.task(a).meta.version;
    f.apply(vec![Action::Desire {
        task: a,
        state: TaskState::Shutdown,
    }])
    .unwrap();
    let mut draft = Draft::new(&f.state, Timestamp::from_secs(9));
    let stale = Guard::Task { id: a, version };
    assert!(
        draft
            .add(Step::guarded(stale, Action::Allocate { task: a }))
            .is_err()
    );
    draft
        .add(Step::unguarded(Action::Allocate { task: b }))
        .unwrap();
    let (tx, commit, state) = draft.finish();
    assert_eq!(tx.actions, [Action::Allocate { task: b }]);
    assert_eq!(commit.changes.len(), 1);
    f.state.apply(&tx).unwrap();
    assert_eq!(f.state.version(), state.version());
    assert_eq!(f.task(b).status.state, TaskState::Pending);
}

#[test]
fn the_leader_sees_what_is_in_flight_and_commits_in_order() {
    let mut f = Fixture::new();
    f.create_service("web");
    let mut view = Speculative::new(3, f.state.clone());
    let (one, two) = (f.service("one"), f.service("two"));
    view.propose(
        Timestamp::from_secs(2),
        vec![Action::Create(one.clone().into())],
    )
    .unwrap();
    let twice = view.propose(Timestamp::from_secs(2), vec![Action::Create(one.into())]);
    assert!(matches!(twice, Err(ApplyError::Exists { .. })));
    view.propose(Timestamp::from_secs(3), vec![Action::Create(two.into())])
        .unwrap();
    assert_eq!((view.in_flight(), view.head().services().len()), (2, 3));
    assert!(view.commit(3).is_none(), "commits come in order");
    let first = view.commit(2).unwrap();
    assert_eq!((first.state.services().len(), first.commit.version), (2, 2));
    assert_eq!(view.in_flight(), 1);
}

#[test]
fn a_state_is_rebuilt_from_its_image() {
    let mut f = Fixture::new();
    let service = f.create_service("web");
    let (a, _) = (f.create_task(service, 1), f.create_task(service, 2));
    f.node();
    let mut image = Image::new();
    for item in f.state.image() {
        image.add(item).unwrap();
    }
    let back = image.finish(f.state.version());
    assert_eq!(back.tasks().of_service(service).count(), 2);
    assert_eq!(back.revision(service, 0).unwrap().tasks, 2);
    assert_eq!(back.tasks().get(a), f.state.tasks().get(a));
    assert_eq!((back.nodes().len(), back.version()), (1, f.state.version()));
}

#[test]
fn the_feed_carries_what_was_and_what_is() {
    let mut f = Fixture::new();
    let service = f.create_service("web");
    let task = f.create_task(service, 1);
    let commit = f.apply(vec![Action::Allocate { task }]).unwrap();
    let [Change::Task(diff)] = &commit.changes[..] else {
        panic!("one task changed")
    };
    assert_eq!(diff.old.as_ref().unwrap().status.state, TaskState::New);
    assert_eq!(diff.new.as_ref().unwrap().status.state, TaskState::Pending);
    let removed = f.apply(vec![Action::Remove(Key::Task(task))]).unwrap();
    assert!(removed.changes[0].is_remove());
    assert_eq!(Object::from(f.service("x")).kind(), Kind::Service);
}

#[test]
fn a_task_record_stays_small() {
    assert!(size_of::<Task>() <= 512, "{}", size_of::<Task>());
}

#[test]
fn transactions_are_stamped_in_their_order_whatever_the_clocks_say() {
    let mut f = Fixture::new();
    let service = f.service("web");
    let mut draft = Draft::new(&f.state, Timestamp::from_secs(100));
    let create = Action::Create(Object::from(service.clone()));
    draft.add(Step::unguarded(create)).unwrap();
    let (_, _, state) = draft.finish();
    // The next leader's clock is behind.
    let mut image = Image::new();
    state.image().for_each(|item| image.add(item).unwrap());
    let restored = image.finish(state.version());
    for before in [&state, &restored] {
        let (tx, _, after) = Draft::new(before, Timestamp::from_secs(40)).finish();
        assert!(tx.at > Timestamp::from_secs(100) && after.time() == tx.at);
        let mut view = Speculative::new(2, before.clone());
        let remove = Action::Remove(Key::Service(service.id));
        let (tx, _) = view
            .propose(Timestamp::from_secs(40), vec![remove])
            .unwrap();
        assert!(tx.at > Timestamp::from_secs(100));
    }
}

#[test]
fn the_digest_is_that_of_what_is_there_however_it_came_about() {
    let mut f = Fixture::new();
    let empty = f.state.digest();
    let service = f.create_service("web");
    let before = f.state.digest();
    let task = f.create_task(service, 1);
    let made = f.state.digest();
    f.apply(vec![Action::Allocate { task }]).unwrap();
    let state = f.state.digest();
    let all = [empty, before, made, state];
    let differ = |(i, digest)| all[..i].iter().all(|other| other != digest);
    assert!(all.iter().enumerate().all(differ), "{all:?}");

    let mut image = Image::new();
    f.state.image().for_each(|item| image.add(item).unwrap());
    assert_eq!(image.finish(f.state.version()).digest(), state);
    f.apply(vec![Action::Remove(Key::Task(task))]).unwrap();
    assert_eq!(f.state.digest(), before);
    f.apply(vec![Action::Remove(Key::Service(service))])
        .unwrap();
    assert_eq!(f.state.digest(), empty);
}

#[test]
fn a_proposal_says_what_the_tables_come_to_after_it() {
    let mut f = Fixture::new();
    let service = f.service("web");
    let mut view = Speculative::new(1, f.state.clone());
    let action = Action::Create(service.into());
    let (tx, _) = view.propose(Timestamp::from_secs(1), vec![action]).unwrap();
    f.state.apply(&tx).unwrap();
    assert_eq!(tx.digest, Some(f.state.digest()));
    assert_eq!(view.head().digest(), f.state.digest());
}
