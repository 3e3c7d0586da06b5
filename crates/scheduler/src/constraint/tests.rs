//! Claims about the constraint language, with SwarmKit's rules as numbers.

use super::*;
use crate::testing::{labelled, node};
use types::NodeRole;

fn holds(text: &str, node: &Node) -> bool {
    matches(&parse(text).expect(text), node)
}

#[test]
fn every_key_of_swarmkit_reads_its_part_of_the_node() {
    let mut n = node(7);
    n.role = NodeRole::Manager;
    n.status.addr = "10.1.2.3".into();
    let id = n.id;
    for text in [
        &format!("node.id=={id}"),
        "node.hostname == HOST-7",
        "node.role==Manager",
        "node.role!=worker",
        "node.platform.os==linux",
        "node.platform.arch==x86_64",
        "NODE.Ip==10.1.2.3",
        "node.ip==10.1.0.0/16",
        "node.ip!=10.2.0.0/16",
        "node.ip==0.0.0.0/0",
    ] {
        assert!(holds(text, &n), "{text}");
    }
    for text in [
        "node.platform.arch==amd64",
        "node.ip==10.1.2.4",
        "node.ip==::/0",
        "node.role==worker",
        "node.hostname==host",
    ] {
        assert!(!holds(text, &n), "{text}");
    }
}

#[test]
fn a_label_name_keeps_its_case_and_its_value_does_not_matter_in_case() {
    let n = labelled(1, "Rack", "East");
    assert!(holds("node.labels.Rack==east", &n));
    assert!(holds("Node.Labels.Rack==EAST", &n));
    assert!(!holds("node.labels.rack==east", &n));
}

#[test]
fn a_missing_label_fails_equality_and_passes_inequality() {
    let n = node(1);
    assert!(!holds("node.labels.rack==east", &n));
    assert!(holds("node.labels.rack!=east", &n));
    assert!(!holds("engine.labels.disk==ssd", &n));
    let mut silent = node(2);
    silent.description = None;
    assert!(holds("engine.labels.disk!=ssd", &silent));
    assert!(!holds("node.platform.os==linux", &silent));
}

#[test]
fn globs_and_regular_expressions_match_what_is_there() {
    let mut n = labelled(1, "rack", "east-12");
    n.status.addr = "10.1.2.3:2377".into();
    for text in [
        "node.labels.rack==*",
        "node.labels.rack==East-*",
        "node.labels.rack==/^east-[0-9]{2}$/",
        "node.labels.rack!=west*",
        "node.labels.none!=*",
        "node.ip==10.1.*",
        "node.ip==/^10\\.1\\./",
    ] {
        assert!(holds(text, &n), "{text}");
    }
    for text in [
        "node.labels.none==*",
        "node.labels.none==/x*/",
        "node.labels.rack==/EAST/",
        "node.ip==10.2.*",
    ] {
        assert!(!holds(text, &n), "{text}");
    }
}

#[test]
fn keys_of_classic_swarm_read_labels_that_the_engine_reports() {
    let mut n = node(7);
    let described = std::sync::Arc::make_mut(n.description.as_mut().unwrap());
    let labels = &mut described.engine.labels;
    labels.insert("storagedriver".into(), "overlay2".into());
    labels.insert("kernelversion".into(), "6.1.0-18-amd64".into());
    labels.insert("operatingsystem".into(), "Debian GNU/Linux 12".into());
    for text in [
        "storagedriver==overlay2",
        "StorageDriver!=btrfs",
        "kernelversion==6.*",
        "operatingsystem==/Debian/",
        "ostype==linux",
        "node==host-7",
        &format!("node=={}", n.id),
        "node!=host-8",
    ] {
        assert!(holds(text, &n), "{text}");
    }
    assert!(!holds("storagedriver==overlay2", &node(1)), "not reported");
}

#[test]
fn a_soft_expression_excludes_no_node() {
    let n = labelled(1, "rack", "east");
    for text in ["node.labels.rack==~west", "node.labels.rack!=~east"] {
        let soft = parse(text).unwrap();
        assert!(soft.is_soft() && !matches(&soft, &n), "{text}");
        assert!(check_all(&[text.to_owned()], &n), "{text}");
        assert_eq!(soft.to_string(), text);
    }
    assert!(!parse("node.labels.rack==east").unwrap().is_soft());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    for (text, want) in [
        ("node.role.==x", "node.role"),
        ("node.hostnme==x", "node.hostname"),
        ("node.label.rack==x", "node.labels.rack"),
        ("engine.label.disk==x", "engine.labels.disk"),
        ("node.platform.arh==x", "node.platform.arch"),
        ("hostname==x", "node.hostname"),
        ("storage-driver==x", "storagedriver"),
        ("nod==x", "node"),
    ] {
        match parse(text) {
            Err(ParseError {
                problem: Problem::UnknownKey { nearest, .. },
                ..
            }) => assert_eq!(nearest, want, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn malformed_expressions_are_refused_with_the_reason() {
    let refused = |text: &str| parse(text).expect_err(text).to_string();
    assert!(refused("node.role=worker").contains("write KEY==VALUE"));
    assert!(refused("node.role==").contains("no value"));
    assert!(refused("==worker").contains("malformed key"));
    assert!(refused("1node==worker").contains("malformed key"));
    assert!(refused("n==worker").contains("at least two characters"));
    assert!(refused("node.labels.==x").contains("write node.labels.NAME"));
    assert!(refused("node.role==a!=b").contains("'!'"));
    assert!(refused("node.labels.a==käse").contains("'ä'"));
    assert!(refused("node.ip==10.0.0.0/33").contains("10.0.0.0/8"));
    assert!(refused("node.ip==host").contains("IP address"));
    assert!(refused("node.labels.a==/(/").contains("cannot be used"));
    assert!(refused("").contains("no operator"));
}

#[test]
fn all_expressions_must_hold_and_an_unreadable_one_never_does() {
    let n = labelled(1, "rack", "east");
    let all = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|t| (*t).to_owned()).collect();
        check_all(&texts, &n)
    };
    assert!(all(&[]));
    assert!(all(&["node.labels.rack==east", "node.role==worker"]));
    assert!(!all(&["node.labels.rack==east", "node.role==manager"]));
    assert!(!all(&["nonsense"]));
}

#[test]
fn an_expression_prints_as_it_is_understood() {
    for text in [
        "node.labels.rack==east",
        "node.ip!=10.0.0.0/8",
        "node.ip==::1",
        "node.labels.rack==~/^a|b$/",
        "storagedriver!=z*",
    ] {
        assert_eq!(parse(text).unwrap().to_string(), text);
    }
}
