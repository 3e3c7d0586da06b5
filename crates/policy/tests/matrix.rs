//! The whole matrix: every RPC × every kind of caller, direct and passed on, recorded as a table,
//! and compared with the RPCs that `proto/` declares.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use policy::{
    Call, CallerKind, ClusterFacts, Decision, Denied, DeniedKind, Forwarded, Peer, Route, Serve,
    Standing, Subject, TABLE, decide,
};
use types::{ClusterId, NodeId, NodeRole};

const OURS: u128 = 7;
const REMOVED: u128 = 99;
const DEMOTED: u128 = 98;
const UNKNOWN: u128 = 97;

#[derive(Clone, Copy)]
struct Facts {
    leader: bool,
}

impl ClusterFacts for Facts {
    fn cluster_id(&self) -> ClusterId {
        ClusterId::from_u128(OURS).expect("not zero")
    }
    fn standing(&self, node_id: NodeId) -> Standing {
        match node_id.get() {
            REMOVED => Standing::Removed,
            UNKNOWN => Standing::Unknown,
            1 | DEMOTED => Standing::Known(NodeRole::Worker),
            _ => Standing::Known(NodeRole::Manager),
        }
    }
    fn is_leader(&self) -> bool {
        self.leader
    }
}

const LEADER: Facts = Facts { leader: true };
const FOLLOWER: Facts = Facts { leader: false };

fn subject(node: u128, role: NodeRole) -> Subject {
    Subject {
        node_id: NodeId::from_u128(node).expect("not zero"),
        role,
        cluster_id: ClusterId::from_u128(OURS).expect("not zero"),
    }
}

fn worker() -> Subject {
    subject(1, NodeRole::Worker)
}

fn manager() -> Subject {
    subject(2, NodeRole::Manager)
}

fn demoted() -> Subject {
    subject(DEMOTED, NodeRole::Manager)
}

fn stranger(role: NodeRole) -> Subject {
    Subject {
        cluster_id: ClusterId::from_u128(OURS + 1).expect("not zero"),
        ..subject(3, role)
    }
}

fn peer(kind: CallerKind) -> Peer {
    match kind {
        CallerKind::Anonymous => Peer::Anonymous,
        CallerKind::Worker => Peer::Node(worker()),
        CallerKind::Manager => Peer::Node(manager()),
        CallerKind::LocalSocket => Peer::LocalSocket(manager()),
    }
}

fn direct(method: &str, peer: Peer, facts: Facts) -> Result<Decision, Denied> {
    decide(
        &Call {
            method,
            peer,
            forwarded: None,
            hops: 0,
        },
        &facts,
    )
}

fn passed_on(method: &str, forwarded: Forwarded, facts: Facts) -> Result<Decision, Denied> {
    let peer = Peer::Node(manager());
    decide(
        &Call {
            method,
            peer,
            forwarded: Some(forwarded),
            hops: 1,
        },
        &facts,
    )
}

fn word<T>(answer: &Result<T, Denied>) -> &'static str {
    if answer.is_ok() { "allow" } else { "-" }
}

fn rendered() -> String {
    let mut text = String::from(
        "# Who may call what. Written by `UPDATE_EXPECT=1 cargo test -p policy`.\n\
         # demoted: a certificate that says manager, of a node that is a worker now.\n\
         # served: which manager answers; read: the leader, and the next one if it falls silent.\n\
         # passed on: whether a follower's word about the caller counts; such a caller is held to\n\
         # the same columns.\n",
    );
    let heads = [
        "anonymous",
        "worker",
        "manager",
        "demoted",
        "socket",
        "served",
        "passed on",
    ];
    let _ = write!(text, "{:<60}", "method");
    for head in heads {
        let _ = write!(text, " {head:<9}");
    }
    trim_line(&mut text);
    for row in TABLE {
        let _ = write!(text, "{:<60}", row.method);
        let callers = [
            Peer::Anonymous,
            Peer::Node(worker()),
            Peer::Node(manager()),
            Peer::Node(demoted()),
            Peer::LocalSocket(manager()),
        ];
        for caller in callers {
            let _ = write!(text, " {:<9}", word(&direct(row.method, caller, LEADER)));
        }
        let passed = if row.accepts_forwarded() { "yes" } else { "-" };
        let _ = write!(text, " {:<9} {passed}", row.serve);
        trim_line(&mut text);
    }
    text
}

fn trim_line(text: &mut String) {
    text.truncate(text.trim_end().len());
    text.push('\n');
}

#[test]
fn the_recorded_table_is_the_one_in_force() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy-table.txt");
    let text = rendered();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).expect("write the table");
    }
    let recorded = std::fs::read_to_string(&path).expect("read the table");
    assert_eq!(
        recorded, text,
        "run with UPDATE_EXPECT=1 and review the difference"
    );
}

#[test]
fn every_rpc_in_proto_has_exactly_one_row_and_every_row_an_rpc() {
    let mut declared = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    for file in protos(&root) {
        let text = std::fs::read_to_string(&file).expect("read a proto file");
        for method in methods(&text) {
            assert!(
                declared.insert(method.clone()),
                "{method} is declared twice"
            );
        }
    }
    let rows: Vec<_> = TABLE.iter().map(|row| row.method.to_owned()).collect();
    let unique: BTreeSet<_> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), unique.len(), "a method has two rows");
    let missing: Vec<_> = declared.difference(&unique).collect();
    assert!(missing.is_empty(), "RPCs without a row: {missing:?}");
    let dead: Vec<_> = unique.difference(&declared).collect();
    assert!(dead.is_empty(), "rows without an RPC: {dead:?}");
}

fn protos(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("list proto/") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(protos(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            found.push(path);
        }
    }
    found
}

fn methods(proto: &str) -> Vec<String> {
    let (mut package, mut service) = (String::new(), String::new());
    let mut found = Vec::new();
    for line in proto
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
    {
        let mut words = line.split(|c: char| c.is_whitespace() || "({;".contains(c));
        let mut words = words.by_ref().filter(|word| !word.is_empty());
        match (words.next(), words.next()) {
            (Some("package"), Some(name)) => name.clone_into(&mut package),
            (Some("service"), Some(name)) => name.clone_into(&mut service),
            (Some("rpc"), Some(name)) => found.push(format!("/{package}.{service}/{name}")),
            _ => {}
        }
    }
    found
}

#[test]
fn every_cell_is_decided_by_its_row_on_leader_and_follower() {
    for row in TABLE {
        for kind in CallerKind::ALL {
            for facts in [LEADER, FOLLOWER] {
                let answer = direct(row.method, peer(kind), facts);
                assert_eq!(answer.is_ok(), row.allows(kind), "{} {kind:?}", row.method);
                let Ok(decision) = answer else { continue };
                let elsewhere = row.serve.is_by_leader() && !facts.leader;
                assert_eq!(decision.route == Route::Leader, elsewhere, "{}", row.method);
                assert_eq!(decision.caller.kind, kind);
                assert_eq!(decision.caller.forwarded_by, None);
            }
        }
    }
}

#[test]
fn a_caller_that_was_passed_on_is_held_to_the_same_row() {
    let callers = [
        (CallerKind::Anonymous, Forwarded::Anonymous),
        (CallerKind::Worker, Forwarded::Node(worker())),
        (
            CallerKind::Manager,
            Forwarded::Node(subject(4, NodeRole::Manager)),
        ),
    ];
    for row in TABLE {
        for (kind, forwarded) in callers {
            let answer = passed_on(row.method, forwarded, LEADER);
            let expected = row.accepts_forwarded() && row.allows(kind);
            assert_eq!(answer.is_ok(), expected, "{} {kind:?}", row.method);
            let Ok(Decision { caller, route, .. }) = answer else {
                continue;
            };
            assert_eq!((caller.kind, route), (kind, Route::Here));
            assert_eq!(caller.forwarded_by, Some(manager().node_id));
        }
    }
}

#[test]
fn removed_nodes_and_other_clusters_are_refused_everywhere() {
    for row in TABLE {
        for role in [NodeRole::Worker, NodeRole::Manager] {
            let (gone, other) = (subject(REMOVED, role), stranger(role));
            let refused = |subject| direct(row.method, Peer::Node(subject), LEADER);
            assert!(
                matches!(refused(gone), Err(Denied::Removed { .. })),
                "{}",
                row.method
            );
            assert!(
                matches!(refused(other), Err(Denied::OtherCluster { .. })),
                "{}",
                row.method
            );
            if row.accepts_forwarded() {
                let refused = |subject| passed_on(row.method, Forwarded::Node(subject), LEADER);
                assert!(matches!(refused(gone), Err(Denied::Removed { .. })));
                assert!(matches!(refused(other), Err(Denied::OtherCluster { .. })));
            }
        }
    }
}

#[test]
fn only_who_is_a_manager_now_can_speak_for_others() {
    for node in [REMOVED, DEMOTED, UNKNOWN] {
        for row in TABLE.iter().filter(|row| row.accepts_forwarded()) {
            let call = Call {
                method: row.method,
                peer: Peer::Node(subject(node, NodeRole::Manager)),
                forwarded: Some(Forwarded::Node(worker())),
                hops: 1,
            };
            let refused = decide(&call, &LEADER).expect_err(row.method);
            assert!(matches!(refused, Denied::Messenger { .. }), "{refused}");
            // The caller itself is not to blame: it tries another manager.
            assert_eq!(refused.kind(), DeniedKind::Unavailable);
        }
    }
}

#[test]
fn a_demoted_manager_is_a_worker_whatever_its_certificate_says() {
    for row in TABLE.iter().filter(|row| row.serve != Serve::Member) {
        for facts in [LEADER, FOLLOWER] {
            if row.serve.is_by_leader() && !facts.leader {
                // Left to the leader: this manager's own tables may be behind.
                assert!(direct(row.method, Peer::Node(demoted()), facts).is_ok());
                continue;
            }
            let mut answers = vec![direct(row.method, Peer::Node(demoted()), facts)];
            if row.accepts_forwarded() {
                answers.push(passed_on(row.method, Forwarded::Node(demoted()), facts));
            }
            for answer in answers {
                match answer {
                    Ok(decision) => assert_eq!(decision.caller.kind, CallerKind::Worker),
                    Err(Denied::Demoted { .. }) => assert!(!row.allows(CallerKind::Worker)),
                    Err(other) => panic!("{}: {other}", row.method),
                }
            }
        }
    }
}

#[test]
fn members_of_the_log_are_checked_by_the_log_not_by_their_role() {
    for row in TABLE.iter().filter(|row| row.serve == Serve::Member) {
        // It may have been taken out of the log and must be told so.
        assert!(direct(row.method, Peer::Node(demoted()), FOLLOWER).is_ok());
        assert!(direct(row.method, Peer::Node(worker()), FOLLOWER).is_err());
    }
}

#[test]
fn the_leader_knows_every_node_and_other_managers_may_be_behind() {
    for row in TABLE {
        let new = Peer::Node(subject(UNKNOWN, NodeRole::Manager));
        let refused = matches!(direct(row.method, new, LEADER), Err(Denied::Removed { .. }));
        assert_eq!(refused, row.serve.is_by_leader(), "{}", row.method);
        let behind = direct(row.method, new, FOLLOWER);
        assert_eq!(
            behind.is_ok(),
            row.allows(CallerKind::Manager),
            "{}",
            row.method
        );
    }
}

#[test]
fn only_a_managers_word_about_another_caller_counts() {
    let forged = Some(Forwarded::Node(manager()));
    for row in TABLE {
        for kind in [
            CallerKind::Anonymous,
            CallerKind::Worker,
            CallerKind::LocalSocket,
        ] {
            let call = Call {
                method: row.method,
                peer: peer(kind),
                forwarded: forged,
                hops: 1,
            };
            assert_eq!(
                decide(&call, &FOLLOWER),
                direct(row.method, peer(kind), FOLLOWER),
                "{} {kind:?}",
                row.method
            );
        }
    }
}

#[test]
fn a_call_is_passed_on_at_most_once() {
    for row in TABLE.iter().filter(|row| row.serve.is_by_leader()) {
        let call = Call {
            method: row.method,
            peer: peer(CallerKind::Manager),
            forwarded: None,
            hops: 1,
        };
        // It may have been elected and not serve yet; it is never asked to pass the call on.
        let waits = decide(&call, &FOLLOWER).map(|decision| decision.route);
        let expected = row
            .allows(CallerKind::Manager)
            .then_some(Route::HereOnceLeading);
        assert_eq!(waits.ok(), expected, "{}", row.method);
        let served = decide(&call, &LEADER).map(|decision| decision.route);
        assert_eq!(served, Ok(Route::Here), "{}", row.method);
    }
}

#[test]
fn what_the_local_socket_may_do_elsewhere_the_node_itself_may_do() {
    // A follower passes local calls on as its own; the leader sees a manager.
    for row in TABLE.iter().filter(|row| row.serve.is_by_leader()) {
        assert!(!row.allows(CallerKind::LocalSocket) || row.allows(CallerKind::Manager));
    }
}

#[test]
fn a_method_without_a_row_is_refused_to_everyone() {
    for kind in CallerKind::ALL {
        let denied = direct(
            "/docker.swarmkit.v1.Control/DropEverything",
            peer(kind),
            LEADER,
        )
        .expect_err("no row");
        assert_eq!(denied.kind(), DeniedKind::Unimplemented);
    }
}

#[test]
fn refusals_are_one_sentence_that_names_what_is_refused() {
    let method = "/docker.swarmkit.v1.Control/ListNodes";
    let text = |peer| {
        direct(method, peer, LEADER)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        text(Peer::Node(worker())),
        format!("a worker may not call {method}")
    );
    assert!(text(Peer::Anonymous).contains("needs a node certificate"));
}
