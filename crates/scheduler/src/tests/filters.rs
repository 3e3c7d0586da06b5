//! Each rule, alone.

use std::sync::Arc;

use types::container::{Mount, MountKind, VolumeOptions};
use types::node::{EngineDescription, NodeDescription, Platform, PluginDescription};
use types::{Availability, Driver, GenericResource, Node, NodeState, ServiceSpec};

use crate::testing::*;

/// Where one task of a service goes among these nodes, and why it waits if it does.
fn one(
    nodes: impl IntoIterator<Item = Node>,
    edit: impl FnOnce(&mut ServiceSpec),
) -> (Option<u64>, String) {
    let mut world = World::with(nodes);
    world.create(service(1, edit));
    let task = world.pending(1, 1)[0];
    world.settle();
    (world.node_of(task), world.err(task).to_owned())
}

fn described(n: u64, edit: impl FnOnce(&mut NodeDescription)) -> Node {
    let mut node = node(n);
    edit(Arc::make_mut(node.description.as_mut().unwrap()));
    node
}

fn no_node(reason: &str) -> (Option<u64>, String) {
    (None, format!("no suitable node ({reason})"))
}

#[test]
fn a_node_that_does_not_answer_or_is_not_active_gets_no_task() {
    let mut down = node(1);
    down.status.state = NodeState::Down;
    let mut unknown = node(2);
    unknown.status.state = NodeState::Unknown;
    let mut paused = node(3);
    paused.spec.availability = Availability::Pause;
    let mut drained = node(4);
    drained.spec.availability = Availability::Drain;
    let all = [down.clone(), unknown, paused, drained, node(5)];
    assert_eq!(one(all.clone(), |_| {}).0, Some(5));
    assert_eq!(
        one(all.into_iter().take(4), |_| {}),
        no_node("2 nodes not ready; 2 nodes not available for new tasks")
    );
    assert_eq!(one([down], |_| {}), no_node("1 node not ready"));
    assert_eq!(one([], |_| {}), no_node("the cluster has no nodes"));
}

#[test]
fn reservations_count_and_not_what_is_used() {
    let small = |n| described(n, |d| d.resources.nano_cpus = CPU);
    assert_eq!(
        one([small(1), node(2)], |s| reserve(s, 2 * CPU, 0)).0,
        Some(2)
    );
    assert_eq!(
        one([small(1), node(2)], |s| reserve(s, 5 * CPU, 0)),
        no_node("insufficient resources on 2 nodes")
    );
    assert_eq!(
        one([node(1)], |s| reserve(s, 0, 9 * GIB)),
        no_node("insufficient resources on 1 node")
    );
    let mut silent = node(1);
    silent.description = None;
    assert_eq!(one([silent.clone()], |_| {}).0, Some(1));
    assert_eq!(one([silent], |s| reserve(s, 1, 0)).0, None);
}

#[test]
fn a_waiting_text_counts_nodes_by_rule_most_nodes_first() {
    let mut nodes: Vec<Node> = (1..=3).map(|n| labelled(n, "rack", "a")).collect();
    nodes.push(labelled(4, "rack", "b"));
    let ask = |s: &mut ServiceSpec| {
        reserve(s, 5 * CPU, 0);
        place(s, |p| p.constraints = vec!["node.labels.rack==a".into()]);
    };
    assert_eq!(
        one(nodes, ask),
        no_node(
            "insufficient resources on 3 nodes; scheduling constraints not satisfied on 1 node"
        )
    );
}

fn gpus(n: u64, names: &[&str]) -> Node {
    described(n, |d| {
        d.resources.generic = names
            .iter()
            .map(|name| GenericResource::Named {
                kind: "gpu".into(),
                value: (*name).into(),
            })
            .collect();
    })
}

fn ask_generic(spec: &mut ServiceSpec, kind: &str, value: i64) {
    reserve(spec, 0, 0);
    let reserved = spec.task.resources.reservations.as_mut().unwrap();
    let kind = kind.into();
    reserved.generic = vec![GenericResource::Discrete { kind, value }];
}

#[test]
fn named_units_are_handed_out_once_and_come_back() {
    let mut world = World::with([gpus(1, &["a", "b", "c"])]);
    world.create(service(1, |s| ask_generic(s, "gpu", 2)));
    let tasks = world.pending(1, 2);
    world.settle();
    let names = |world: &World, task| -> Vec<String> {
        let held = &world.task(task).assigned_generic_resources;
        let name = |r: &GenericResource| match r {
            GenericResource::Named { value, .. } => value.clone(),
            GenericResource::Discrete { .. } => panic!("a count of named units"),
        };
        held.iter().map(name).collect()
    };
    assert_eq!(names(&world, tasks[0]), ["a", "b"]);
    assert_eq!(
        world.err(tasks[1]),
        no_node("insufficient resources on 1 node").1
    );
    world.report(tasks[0], types::TaskState::Complete);
    world.settle();
    assert_eq!(names(&world, tasks[1]), ["a", "b"]);
}

#[test]
fn counted_units_are_never_exceeded() {
    let fpgas = described(1, |d| {
        let kind = "fpga".into();
        d.resources.generic = vec![GenericResource::Discrete { kind, value: 5 }];
    });
    let mut world = World::with([fpgas]);
    world.create(service(1, |s| ask_generic(s, "fpga", 2)));
    let tasks = world.pending(1, 3);
    world.settle();
    assert_eq!(world.spread(&tasks), [(1, 2)].into());
    assert_eq!(one([node(1)], |s| ask_generic(s, "fpga", 1)).0, None);
}

fn with_plugins(n: u64, plugins: &[(&str, &str)]) -> Node {
    described(n, |d| {
        d.engine = EngineDescription {
            version: "29.1.0".into(),
            plugins: plugins
                .iter()
                .map(|(kind, name)| PluginDescription {
                    kind: (*kind).into(),
                    name: (*name).into(),
                })
                .collect(),
            ..EngineDescription::default()
        };
    })
}

fn volume_of(driver: &str, kind: MountKind) -> Mount {
    let driver = Driver {
        name: driver.into(),
        ..Driver::default()
    };
    Mount {
        kind,
        volume: Some(VolumeOptions {
            driver: Some(driver),
            ..VolumeOptions::default()
        }),
        ..Mount::default()
    }
}

#[test]
fn a_volume_or_log_driver_must_be_on_the_node() {
    let nodes = || {
        [
            with_plugins(1, &[("Volume", "local"), ("Log", "json-file")]),
            with_plugins(2, &[("Volume", "nfs:latest"), ("Log", "syslog")]),
        ]
    };
    let mount = |driver: &'static str| {
        move |s: &mut ServiceSpec| {
            let container = s.task.container_mut().unwrap();
            container.mounts.push(volume_of(driver, MountKind::Volume));
        }
    };
    let log = |driver: &'static str| {
        move |s: &mut ServiceSpec| {
            let name = driver.into();
            s.task.log_driver = Some(Driver {
                name,
                ..Driver::default()
            });
        }
    };
    assert_eq!(one(nodes(), mount("nfs")).0, Some(2));
    assert_eq!(
        one(nodes(), mount("local")).0,
        Some(1),
        "local needs no plugin"
    );
    assert_eq!(one(nodes(), log("syslog")).0, Some(2));
    assert_eq!(one(nodes(), log("none")).0, Some(1), "none needs no plugin");
    assert_eq!(
        one(nodes(), mount("ceph")),
        no_node("missing plugin on 2 nodes")
    );
    assert_eq!(
        one([node(1)], mount("ceph")).0,
        Some(1),
        "no engine, no list"
    );
    let unlisted = with_plugins(1, &[("Volume", "local")]);
    assert_eq!(
        one([unlisted], log("syslog")).0,
        Some(1),
        "lists no log driver at all"
    );
}

#[test]
fn platforms_compare_by_the_names_images_use() {
    let on = |os: &str, arch: &str| {
        let wanted = Platform {
            architecture: arch.into(),
            os: os.into(),
        };
        one([node(1)], |s| place(s, |p| p.platforms = vec![wanted])).0
    };
    assert_eq!(on("linux", "amd64"), Some(1));
    assert_eq!(on("linux", "x86_64"), Some(1));
    assert_eq!(on("", "amd64"), Some(1));
    assert_eq!(on("linux", ""), Some(1));
    assert_eq!(on("windows", "amd64"), None);
    assert_eq!(on("linux", "arm64"), None);
}

#[test]
fn a_fixed_port_is_used_once_per_node_across_services() {
    let mut world = World::with([node(1), node(2)]);
    world.create(service(1, |s| publish(s, 80)));
    world.create(service(2, |s| publish(s, 80)));
    let first = world.pending(1, 1);
    let second = world.pending(2, 2);
    world.settle();
    let waiting: Vec<_> = second
        .iter()
        .filter(|t| world.node_of(**t).is_none())
        .collect();
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        world.err(*waiting[0]),
        no_node("host-mode port already in use on 2 nodes").1
    );
    world.report(first[0], types::TaskState::Failed);
    world.settle();
    assert_eq!(world.spread(&second).len(), 2);
}

#[test]
fn at_most_max_replicas_active_tasks_of_a_service_share_a_node() {
    let mut world = World::with([node(1), node(2)]);
    world.create(service(1, |s| place(s, |p| p.max_replicas = 2)));
    let tasks = world.pending(1, 5);
    world.settle();
    assert_eq!(world.spread(&tasks), [(1, 2), (2, 2)].into());
    assert_eq!(
        world.err(tasks[4]),
        no_node("max replicas per node reached on 2 nodes").1
    );
    world.desire(tasks[0], types::TaskState::Shutdown);
    world.settle();
    assert!(
        world.node_of(tasks[4]).is_some(),
        "a task told to stop makes room"
    );
}

#[test]
fn a_cluster_volume_is_refused_in_words() {
    let mount = |s: &mut ServiceSpec| {
        let container = s.task.container_mut().unwrap();
        container.mounts.push(volume_of("csi", MountKind::Cluster));
    };
    assert_eq!(
        one([node(1)], mount),
        no_node("cluster volumes are not supported")
    );
}

#[test]
fn an_unreadable_constraint_holds_nowhere() {
    let ask = |s: &mut ServiceSpec| place(s, |p| p.constraints = vec!["node.name==x".into()]);
    assert_eq!(
        one([node(1)], ask),
        no_node("scheduling constraints not satisfied on 1 node")
    );
}
