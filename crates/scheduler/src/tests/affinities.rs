//! Where tasks go because of what runs on nodes, what nodes hold, and what users rather have.

use std::sync::Arc;

use store::Action;
use types::container::{Mount, MountKind};
use types::node::IMAGES_LABEL;
use types::options::Strategy;
use types::service::Service;
use types::task::PlacementPreference;
use types::{Node, Runtime, ServiceSpec, TaskState};

use crate::testing::*;

fn affinity(spec: &mut ServiceSpec, texts: &[&str]) {
    spec.options.affinities = texts.iter().map(|t| (*t).to_owned()).collect();
}

fn on_host(spec: &mut ServiceSpec, n: u64) {
    place(spec, |p| {
        p.constraints = vec![format!("node.hostname==host-{n}")];
    });
}

fn image(spec: &mut ServiceSpec, image: &str) {
    if let Runtime::Container(container) = &mut spec.task.runtime {
        container.image = image.into();
    }
}

fn holding(n: u64, images: &str) -> Node {
    let mut node = node(n);
    let described = Arc::make_mut(node.description.as_mut().unwrap());
    let labels = &mut described.engine.labels;
    labels.insert(IMAGES_LABEL.into(), images.into());
    node
}

fn mount(spec: &mut ServiceSpec, volume: &str) {
    if let Runtime::Container(container) = &mut spec.task.runtime {
        container.mounts.push(Mount {
            kind: MountKind::Volume,
            source: volume.into(),
            target: "/data".into(),
            readonly: false,
            consistency: String::new(),
            bind: None,
            volume: None,
            tmpfs: None,
        });
    }
}

/// Three nodes, and a task of service 1 on node 2.
fn with_service_on_node_2() -> World {
    let mut world = World::with((1..=3).map(node));
    world.create(service(1, |s| {
        on_host(s, 2);
        s.annotations.labels.insert("tier".into(), "front".into());
        mount(s, "data");
    }));
    world.pending(1, 1);
    world.settle();
    world
}

#[test]
fn a_task_goes_where_what_it_names_is_and_not_where_what_it_shuns_is() {
    for (text, want) in [
        ("service==service-1", vec![2]),
        ("service==*-1", vec![2]),
        ("service==/^service-[0-9]$/", vec![2]),
        ("service.labels.tier==front", vec![2]),
        ("volume==data", vec![2]),
        ("task==service-1.1", vec![2]),
        ("container==service-1.*", vec![2]),
        ("service!=service-1", vec![1, 3]),
        ("task!=service-1.*", vec![1, 3]),
        ("volume!=data", vec![1, 3]),
        ("service==~service-1", vec![2]),
        ("service!=~service-1", vec![1, 3]),
    ] {
        let mut world = with_service_on_node_2();
        world.create(service(2, |s| affinity(s, &[text])));
        let tasks = world.pending(2, want.len() as u64);
        world.settle();
        let nodes: Vec<u64> = world.spread(&tasks).into_keys().collect();
        assert_eq!(nodes, want, "{text}");
    }
}

#[test]
fn a_hard_affinity_waits_and_a_soft_one_does_not() {
    let mut world = World::with((1..=2).map(node));
    world.create(service(1, |s| on_host(s, 2)));
    world.create(service(2, |s| affinity(s, &["service==service-1"])));
    world.create(service(3, |s| affinity(s, &["service==~service-1"])));
    let hard = world.pending(2, 1)[0];
    let soft = world.pending(3, 1)[0];
    world.settle();
    assert_eq!(
        world.err(hard),
        "no suitable node (affinity not satisfied on 2 nodes)"
    );
    assert!(world.node_of(soft).is_some());
    world.pending(1, 1);
    world.settle();
    assert_eq!(
        world.node_of(hard),
        Some(2),
        "it comes after what it waited for"
    );
}

#[test]
fn a_service_that_shuns_itself_has_one_task_per_node() {
    let mut world = World::with((1..=3).map(node));
    world.create(service(1, |s| affinity(s, &["service!=service-1"])));
    let tasks = world.pending(1, 4);
    world.settle();
    assert_eq!(world.spread(&tasks), [(1, 1), (2, 1), (3, 1)].into());
    world.report(tasks[0], TaskState::Failed);
    world.settle();
    assert!(world.node_of(tasks[3]).is_some(), "room appeared");
}

#[test]
fn tasks_that_shun_single_tasks_see_what_was_placed_just_before() {
    let mut world = World::with((1..=3).map(node));
    for n in 1..=2 {
        world.create(service(n, |s| affinity(s, &["task!=service-*"])));
    }
    let mut tasks = world.pending(1, 2);
    tasks.extend(world.pending(2, 2));
    world.settle();
    assert_eq!(world.spread(&tasks), [(1, 1), (2, 1), (3, 1)].into());
}

#[test]
fn tasks_made_for_nodes_obey_affinities_too() {
    let mut world = with_service_on_node_2();
    world.create(service(2, |s| affinity(s, &["service==service-1"])));
    let tasks: Vec<_> = (1..=2)
        .map(|n| world.pending_on(2, Some(node_id(n))))
        .collect();
    world.settle();
    assert_eq!(world.node_of(tasks[0]), None);
    assert_eq!(
        world.err(tasks[0]),
        "no suitable node (affinity not satisfied on 1 node)"
    );
    assert_eq!(world.node_of(tasks[1]), Some(2));
}

#[test]
fn a_service_that_comes_to_be_named_lets_waiting_tasks_in() {
    let mut world = with_service_on_node_2();
    world.create(service(2, |s| affinity(s, &["service.labels.tier==back"])));
    let task = world.pending(2, 1)[0];
    world.settle();
    assert_eq!(world.node_of(task), None);
    let mut named = Service::clone(world.state.services().get(service_id(1)).unwrap());
    let spec = Arc::make_mut(&mut named.spec);
    spec.annotations.labels.insert("tier".into(), "back".into());
    world.act([Action::Update(named.into())]);
    world.settle();
    assert_eq!(world.node_of(task), Some(2));
}

#[test]
fn images_that_nodes_hold_attract_and_repel() {
    for (text, want) in [
        ("image==redis:7", vec![2]),
        ("image==redis", vec![2]),
        ("image==red*", vec![2]),
        ("image!=redis", vec![1, 3]),
        ("image==~redis", vec![2]),
    ] {
        let nodes = [
            node(1),
            holding(2, "redis:7 busybox:latest"),
            holding(3, "busybox:latest"),
        ];
        let mut world = World::with(nodes);
        world.create(service(1, |s| affinity(s, &[text])));
        let tasks = world.pending(1, want.len() as u64);
        world.settle();
        let nodes: Vec<u64> = world.spread(&tasks).into_keys().collect();
        assert_eq!(nodes, want, "{text}");
    }
}

#[test]
fn of_equal_nodes_the_one_that_holds_the_image_is_taken() {
    for holders in [vec![3], (3..=200).collect::<Vec<u64>>()] {
        for nodes in [3u64, 300] {
            let of = |n| {
                if holders.contains(&n) {
                    holding(n, "redis:7")
                } else {
                    node(n)
                }
            };
            let mut world = World::with((1..=nodes).map(of));
            world.create(service(1, |s| image(s, "docker.io/library/redis:7")));
            let first = world.pending(1, 1)[0];
            world.settle();
            assert_eq!(world.node_of(first), Some(3), "{nodes} nodes");
            let more = world.pending(1, 2);
            world.settle();
            assert!(
                !world.spread(&more).contains_key(&3),
                "spreading comes before saving a pull"
            );
        }
    }
}

#[test]
fn an_image_that_is_gone_attracts_no_more() {
    let mut world = World::with([node(1), holding(2, "redis:7")]);
    world.create(service(1, |s| image(s, "redis:7")));
    world.edit_node(2, |n| n.description = node(2).description);
    let task = world.pending(1, 1)[0];
    world.settle();
    assert_eq!(world.node_of(task), Some(1));
}

#[test]
fn nodes_rank_by_how_many_soft_expressions_hold() {
    let mut best = labelled(3, "disk", "ssd");
    best.spec
        .annotations
        .labels
        .insert("rack".into(), "b".into());
    let mut world = World::with([node(1), labelled(2, "disk", "ssd"), best, node(4)]);
    world.create(service(1, |s| {
        place(s, |p| {
            p.constraints = vec![
                "node.labels.disk==~ssd".into(),
                "node.labels.rack!=~a".into(),
            ];
            p.max_replicas = 1;
        });
    }));
    world.edit_node(2, |n| {
        n.spec.annotations.labels.insert("rack".into(), "a".into());
    });
    world.edit_node(4, |n| {
        n.spec.annotations.labels.insert("rack".into(), "a".into());
    });
    let order: Vec<_> = (0..4)
        .map(|_| {
            let task = world.pending(1, 1)[0];
            world.settle();
            world.node_of(task).unwrap()
        })
        .collect();
    assert_eq!(order, [3, 1, 2, 4]);
}

#[test]
fn soft_expressions_rank_within_the_branch_that_a_preference_chooses() {
    let mut world = World::with([
        labelled(1, "zone", "a"),
        labelled(2, "zone", "a"),
        labelled(3, "zone", "b"),
    ]);
    world.create(service(1, |s| {
        place(s, |p| {
            p.constraints = vec!["node.hostname==~host-2".into()];
            p.preferences = vec![PlacementPreference::Spread {
                descriptor: "node.labels.zone".into(),
            }];
        });
    }));
    let tasks = world.pending(1, 4);
    world.settle();
    assert_eq!(world.spread(&tasks), [(2, 2), (3, 2)].into());
}

#[test]
fn an_unreadable_affinity_is_satisfied_nowhere() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |s| {
        affinity(s, &["nonsense"]);
        s.options.strategy = Some(Strategy::Random);
    }));
    let task = world.pending(1, 1)[0];
    world.settle();
    assert_eq!(world.node_of(task), None);
}
