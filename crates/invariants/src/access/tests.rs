//! Each rule of access can fail.

use policy::{Caller, Standing, row};
use store::{Draft, Object, Step};
use types::{Cluster, ClusterId, ClusterSpec, NodeSpec, TaskState};

use super::*;

const SESSION: &str = "/docker.swarmkit.v1.Dispatcher/Session";
const CREATE: &str = "/docker.swarmkit.v1.Control/CreateService";

fn node(n: u128) -> NodeId {
    NodeId::from_u128(n).unwrap()
}

fn cluster_id(n: u128) -> ClusterId {
    ClusterId::from_u128(n).unwrap()
}

/// Node 1 manages, node 2 works, node 3 was removed.
fn tables() -> State {
    let mut cluster = Cluster::new(cluster_id(7), ClusterSpec::default());
    cluster.root_ca.join_tokens.worker = "work".into();
    cluster.root_ca.join_tokens.manager = "manage".into();
    let removed = (node(3).to_string(), Timestamp::from_secs(9));
    cluster.blacklisted_certificates.extend([removed]);
    let with = |n, desired_role| {
        Node::new(
            node(n),
            NodeSpec {
                desired_role,
                ..NodeSpec::default()
            },
        )
    };
    let objects: [Object; 3] = [
        cluster.into(),
        with(1, NodeRole::Manager).into(),
        with(2, NodeRole::Worker).into(),
    ];
    let mut draft = Draft::new(&State::default(), Timestamp::from_secs(1));
    for object in objects {
        draft.add(Step::unguarded(Action::Create(object))).unwrap();
    }
    draft.finish().2
}

fn subject(n: u128, role: NodeRole) -> Subject {
    Subject {
        node_id: node(n),
        role,
        cluster_id: cluster_id(7),
    }
}

fn certificate(serial: u64, n: u128, role: NodeRole) -> Certificate {
    Certificate {
        serial,
        subject: subject(n, role),
        not_after: Timestamp::from_secs(100),
    }
}

fn rule(verdict: Verdict) -> &'static str {
    verdict.map_or_else(|v| v.rule, |()| "")
}

#[test]
fn a_certificate_without_a_ground_is_seen() {
    let (now, late) = (Timestamp::from_secs(50), Timestamp::from_secs(200));
    let tables = tables();
    let mut known = Certificates::default();
    known.founded(certificate(1, 1, NodeRole::Manager));
    known.founded(certificate(2, 2, NodeRole::Worker));
    known.founded(certificate(3, 3, NodeRole::Worker));
    let mut serial = 10;
    let mut judge = |n, role, ground, now| {
        serial += 1;
        let new = certificate(serial, n, role);
        rule(known.issued(&tables, (new, ground), now))
    };
    let (worker, manager) = (NodeRole::Worker, NodeRole::Manager);
    assert_eq!(judge(8, worker, Ground::Token("work"), now), "");
    assert_eq!(judge(9, manager, Ground::Token("manage"), now), "");
    assert_eq!(judge(2, worker, Ground::Certificate(2), now), "");
    for (n, role, ground, now) in [
        // The role of the other token, a revoked token, a node that is there already.
        (5, manager, Ground::Token("work"), now),
        (5, worker, Ground::Token("old"), now),
        (2, worker, Ground::Token("work"), now),
        // Not promoted, unknown, another node's, expired, removed.
        (2, manager, Ground::Certificate(2), now),
        (2, worker, Ground::Certificate(99), now),
        (1, manager, Ground::Certificate(2), now),
        (2, worker, Ground::Certificate(2), late),
        (3, worker, Ground::Certificate(3), now),
    ] {
        assert_eq!(judge(n, role, ground, now), "X2", "{n} {role:?} {ground:?}");
    }
}

#[test]
fn a_role_that_nobody_asked_for_is_seen() {
    let old = tables().nodes().get(node(2)).unwrap().clone();
    let mut new = Node::clone(&old);
    new.role = NodeRole::Manager;
    let diff = |new: Node| Diff {
        old: Some(old.clone()),
        new: Some(new.into()),
    };
    assert_eq!(rule(role_follows(&diff(new.clone()))), "X2");
    new.spec.desired_role = NodeRole::Manager;
    assert_eq!(rule(role_follows(&diff(new))), "");
}

struct Facts(State);

impl policy::ClusterFacts for Facts {
    fn cluster_id(&self) -> ClusterId {
        cluster_id(7)
    }

    fn standing(&self, id: NodeId) -> Standing {
        if is_removed(&self.0, id) {
            return Standing::Removed;
        }
        let node = self.0.nodes().get(id);
        node.map_or(Standing::Unknown, |n| Standing::Known(n.role))
    }

    fn is_leader(&self) -> bool {
        true
    }
}

fn judge(peer: Peer, forwarded: Option<Forwarded>, caller: Caller, method: &str) -> &'static str {
    let call = Call {
        method,
        peer,
        forwarded,
        hops: usize::from(forwarded.is_some()),
    };
    let decision = Decision {
        caller,
        route: Route::Here,
        row: row(method).unwrap(),
    };
    rule(admitted(&tables(), &call, &decision))
}

fn caller(kind: CallerKind, subject: Subject, forwarded_by: Option<NodeId>) -> Caller {
    Caller {
        kind,
        subject: Some(subject),
        forwarded_by,
    }
}

#[test]
fn one_who_was_removed_or_has_more_rights_than_the_tables_give_is_seen() {
    let (worker, removed) = (subject(2, NodeRole::Worker), subject(3, NodeRole::Worker));
    let demoted = subject(2, NodeRole::Manager);
    let direct = |s: Subject, kind| judge(Peer::Node(s), None, caller(kind, s, None), SESSION);
    assert_eq!(direct(worker, CallerKind::Worker), "");
    assert_eq!(direct(removed, CallerKind::Worker), "X3");
    assert_eq!(
        direct(subject(4, NodeRole::Worker), CallerKind::Worker),
        "X3"
    );
    assert_eq!(direct(worker, CallerKind::Manager), "X3");
    assert_eq!(direct(demoted, CallerKind::Worker), "");
    assert_eq!(direct(demoted, CallerKind::Manager), "X3");
    let stranger = Subject {
        cluster_id: cluster_id(8),
        ..worker
    };
    assert_eq!(direct(stranger, CallerKind::Worker), "X3");
}

#[test]
fn an_identity_on_the_word_of_one_who_is_no_manager_is_seen() {
    let (manager, worker) = (subject(1, NodeRole::Manager), subject(2, NodeRole::Worker));
    let passed = |peer: Subject, said: Subject, kind| {
        let by = Some(peer.node_id);
        let forwarded = Some(Forwarded::Node(said));
        judge(Peer::Node(peer), forwarded, caller(kind, said, by), CREATE)
    };
    assert_eq!(passed(manager, worker, CallerKind::Worker), "");
    assert_eq!(passed(worker, manager, CallerKind::Manager), "X7");
    // A certificate that says manager, of a node that is none any more.
    let demoted = subject(2, NodeRole::Manager);
    assert_eq!(passed(demoted, manager, CallerKind::Manager), "X7");
    // Rights that the caller would not have had.
    assert_eq!(passed(manager, worker, CallerKind::Manager), "X7");
    assert_eq!(passed(manager, manager, CallerKind::LocalSocket), "X7");
}

#[test]
fn what_the_gate_decides_is_found_right() {
    let facts = Facts(tables());
    let roles = [NodeRole::Worker, NodeRole::Manager];
    let subjects = || (1..=4).flat_map(|n| roles.map(|r| subject(n, r)));
    let mut let_in = 0;
    for (peer, said) in subjects().flat_map(|p| subjects().map(move |s| (p, s))) {
        for (method, forwarded) in [
            (SESSION, Some(Forwarded::Node(said))),
            (CREATE, Some(Forwarded::Node(said))),
            (SESSION, None),
        ] {
            let call = Call {
                method,
                peer: Peer::Node(peer),
                forwarded,
                hops: usize::from(forwarded.is_some()),
            };
            if let Ok(decision) = policy::decide(&call, &facts) {
                let_in += 1;
                assert_eq!(admitted(&facts.0, &call, &decision), Ok(()), "{call:?}");
            }
        }
    }
    assert!(let_in > 0);
}

#[test]
fn another_nodes_word_about_a_task_is_seen() {
    let mut tables = Draft::new(&tables(), Timestamp::from_secs(2));
    let task = types::Task {
        node_id: Some(node(2)),
        ..types::Task::new(TaskId::from_u128(5).unwrap(), types::ServiceSpec::default())
    };
    let id = task.id;
    let step = Step::unguarded(Action::Create(task.into()));
    tables.add(step).unwrap();
    let tables = tables.finish().2;
    let status = |text: &'static str| TaskStatus {
        state: TaskState::Failed,
        message: text.into(),
        ..TaskStatus::default()
    };
    let mut hearsay = Hearsay::default();
    hearsay.said(&tables, node(2), &[(id, status("mine"))]);
    hearsay.said(&tables, node(1), &[(id, status("theirs"))]);
    let plan = |text| {
        let status = Box::new(status(text));
        let step = Step::unguarded(Action::Report { task: id, status });
        Plan {
            steps: vec![step],
            ..Plan::default()
        }
    };
    assert_eq!(rule(hearsay.written(&plan("mine"))), "");
    assert_eq!(rule(hearsay.written(&plan("theirs"))), "X4");
}
