//! The scheduler against a naive one: every task is compared with every node by rules written down
//! once more, with no index, no classes and no shortcuts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use store::State;
use types::node::IMAGES_LABEL;
use types::options::Strategy as Ranking;
use types::task::PlacementPreference;
use types::{NodeId, Runtime, ServiceSpec, Task, TaskId, TaskState};

use crate::affinity;
use crate::constraint;
use crate::requirements::host_ports;
use crate::testing::*;

/// What a service of the comparison asks for.
#[derive(Debug, Clone)]
struct Asked {
    cpus: i64,
    gib: i64,
    port: Option<u32>,
    most: u64,
    constraints: Vec<&'static str>,
    affinities: Vec<&'static str>,
    spread: Vec<&'static str>,
    ranking: Ranking,
    image: &'static str,
    priority: u8,
}

fn some_of(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(texts, 0..=2.min(texts.len()))
}

fn asked() -> impl Strategy<Value = Asked> {
    let amounts = (
        0i64..3,
        0i64..4,
        prop::option::weighted(0.2, 80u32..82),
        0u64..3,
    );
    let expressions = (
        some_of(&[
            "node.labels.zone!=c",
            "node.labels.zone==~a",
            "node.hostname!=~*-2",
            "node.hostname==/[1-7]$/",
        ]),
        some_of(&[
            "service==~service-1",
            "service!=service-2",
            "service!=~*-3",
            "image==~redis",
        ]),
        some_of(&["node.labels.zone", "node.labels.rack"]),
    );
    let ranking = prop_oneof![2 => Just(Ranking::Spread), 1 => Just(Ranking::Binpack)];
    let image = prop_oneof![Just("redis:7"), Just("nginx"), Just("")];
    let rest = (ranking, image, prop_oneof![Just(0u8), Just(5)]);
    (amounts, expressions, rest).prop_map(|(amounts, expressions, rest)| Asked {
        cpus: amounts.0,
        gib: amounts.1,
        port: amounts.2,
        most: amounts.3,
        constraints: expressions.0,
        affinities: expressions.1,
        spread: expressions.2,
        ranking: rest.0,
        image: rest.1,
        priority: rest.2,
    })
}

fn declare(spec: &mut ServiceSpec, asked: &Asked) {
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    reserve(spec, asked.cpus * CPU, asked.gib * GIB);
    asked.port.into_iter().for_each(|port| publish(spec, port));
    place(spec, |p| {
        p.constraints = owned(&asked.constraints);
        p.max_replicas = asked.most;
        let spread = asked
            .spread
            .iter()
            .map(|label| PlacementPreference::Spread {
                descriptor: (*label).into(),
            });
        p.preferences = spread.collect();
    });
    spec.options.affinities = owned(&asked.affinities);
    spec.options.strategy = Some(asked.ranking);
    spec.options.priority = asked.priority;
    if let Runtime::Container(container) = &mut spec.task.runtime {
        container.image = asked.image.into();
    }
}

/// Nodes that differ in labels, size and images.
fn nodes(count: u64) -> impl Iterator<Item = types::Node> {
    (1..=count).map(|n| {
        let mut node = labelled(n, "zone", ["a", "b", "c"][(n % 3) as usize]);
        let labels = &mut node.spec.annotations.labels;
        labels.insert("rack".into(), (n % 4).to_string());
        let described = Arc::make_mut(node.description.as_mut().unwrap());
        described.resources.nano_cpus = (2 + n as i64 % 5) * CPU;
        if n % 3 == 0 {
            let labels = &mut described.engine.labels;
            labels.insert(IMAGES_LABEL.into(), "redis:7 nginx:latest".into());
        }
        node
    })
}

/// Tasks with a node, as the state and the choices so far have it.
#[derive(Default)]
struct Placed<'a> {
    tasks: Vec<(NodeId, &'a Task)>,
}

impl<'a> Placed<'a> {
    fn on(&self, node: NodeId) -> impl Iterator<Item = &'a Task> {
        let there = self.tasks.iter().filter(move |(n, _)| *n == node);
        there.map(|(_, task)| *task)
    }

    fn of_service(&self, node: NodeId, task: &Task) -> u32 {
        let mut count = 0;
        for other in self.on(node).filter(|t| is_active(t)) {
            count += u32::from(other.service_id == task.service_id);
        }
        count
    }

    fn sum(&self, node: NodeId, of: fn(&types::Resources) -> i64) -> i64 {
        self.on(node)
            .filter_map(|t| t.spec().reservations())
            .map(of)
            .sum()
    }
}

fn is_active(task: &Task) -> bool {
    task.desired_state <= TaskState::Complete
}

/// Whether an affinity holds, by what is placed so far.
fn holds(
    affinity: &affinity::Affinity,
    state: &State,
    placed: &Placed<'_>,
    node: &types::Node,
) -> bool {
    let found = match affinity.key() {
        affinity::Key::Image => affinity.finds_image(node),
        _ => placed.on(node.id).filter(|t| is_active(t)).any(|t| {
            let service = state.services().get(t.service_id.unwrap()).unwrap();
            affinity.names_service(service)
        }),
    };
    affinity.holds(found)
}

fn fits(state: &State, placed: &Placed<'_>, task: &Task, node: &types::Node) -> bool {
    let spec = task.spec();
    let placement = spec.placement.clone().unwrap_or_default();
    let has = &node.description.as_ref().unwrap().resources;
    let wants = spec.reservations().unwrap();
    let here = u64::from(placed.of_service(node.id, task));
    let ports = host_ports(task);
    let mut hard = affinities(task).into_iter().filter(|a| !a.is_soft());
    constraint::check_all(&placement.constraints, node)
        && hard.all(|a| holds(&a, state, placed, node))
        && placed.sum(node.id, |r| r.nano_cpus) + wants.nano_cpus <= has.nano_cpus
        && placed.sum(node.id, |r| r.memory_bytes) + wants.memory_bytes <= has.memory_bytes
        && !placed
            .on(node.id)
            .any(|t| host_ports(t).iter().any(|p| ports.contains(p)))
        && (placement.max_replicas == 0 || here < placement.max_replicas)
}

fn affinities(task: &Task) -> Vec<affinity::Affinity> {
    let texts = &task.service_spec.options.affinities;
    texts.iter().map(|t| affinity::parse(t).unwrap()).collect()
}

type Rank = (usize, (Reverse<i64>, i64, i64), bool);

fn rank(state: &State, placed: &Placed<'_>, task: &Task, node: &types::Node) -> Rank {
    let constraints = task
        .spec()
        .placement
        .clone()
        .unwrap_or_default()
        .constraints;
    let constraints = constraints.iter().map(|c| constraint::parse(c).unwrap());
    let missed = constraints
        .filter(|c| !constraint::matches(c, node))
        .count();
    let affinities = affinities(task).into_iter();
    let missed = missed
        + affinities
            .filter(|a| !holds(a, state, placed, node))
            .count();
    let all = placed.on(node.id).filter(|t| is_active(t)).count() as i64;
    let here = i64::from(placed.of_service(node.id, task));
    let order = match task.service_spec.options.strategy {
        Some(Ranking::Binpack) => (Reverse(weight(placed, task, node)), 0, -all),
        _ => (Reverse(0), here, all),
    };
    let label = &node.description.as_ref().unwrap().engine.labels;
    let image = &task.spec().container().unwrap().image;
    let held = match image.as_str() {
        "redis:7" | "nginx" => label.contains_key(IMAGES_LABEL),
        _ => false,
    };
    (missed, order, !held)
}

fn weight(placed: &Placed<'_>, task: &Task, node: &types::Node) -> i64 {
    let has = &node.description.as_ref().unwrap().resources;
    let wants = task.spec().reservations().unwrap();
    let score = |wanted: i64, used: i64, has: i64| match wanted {
        0 => 100,
        _ => (used + wanted) * 100 / has,
    };
    score(
        wants.nano_cpus,
        placed.sum(node.id, |r| r.nano_cpus),
        has.nano_cpus,
    ) + score(
        wants.memory_bytes,
        placed.sum(node.id, |r| r.memory_bytes),
        has.memory_bytes,
    )
}

/// Tasks of the service in each branch around a node, then the branch's name: the scheduler goes
/// down branch by branch.
fn branches(
    state: &State,
    placed: &Placed<'_>,
    task: &Task,
    node: &types::Node,
) -> Vec<(u64, String)> {
    let preferences = task
        .spec()
        .placement
        .clone()
        .unwrap_or_default()
        .preferences;
    let keys: Vec<String> = preferences
        .into_iter()
        .map(|PlacementPreference::Spread { descriptor }| descriptor["node.labels.".len()..].into())
        .collect();
    let path = |n: &types::Node| -> Vec<String> {
        let labels = &n.spec.annotations.labels;
        keys.iter()
            .map(|k| labels.get(k).cloned().unwrap_or_default())
            .collect()
    };
    let own = path(node);
    let count = |depth: usize| -> u64 {
        let same = state
            .nodes()
            .iter()
            .filter(|n| path(n)[..depth] == own[..depth]);
        same.map(|n| u64::from(placed.of_service(n.id, task))).sum()
    };
    (1..=own.len())
        .map(|depth| (count(depth), own[depth - 1].clone()))
        .collect()
}

fn placed(state: &State) -> Placed<'_> {
    let mut placed = Placed::default();
    for task in state.tasks().iter().filter(|t| t.is_active()) {
        placed
            .tasks
            .extend(task.node_id.map(|node| (node, task.as_ref())));
    }
    placed
}

/// Where each waiting task goes, the most urgent services first, each task in turn.
fn naive(state: &State) -> BTreeMap<TaskId, NodeId> {
    let mut placed = placed(state);
    let mut waiting: Vec<&Arc<Task>> = state.tasks().unplaced().collect();
    waiting.sort_by_key(|t| (Reverse(t.service_spec.options.priority), t.service_id, t.id));
    let mut found = BTreeMap::new();
    for task in waiting {
        let fitting = state
            .nodes()
            .iter()
            .filter(|n| fits(state, &placed, task, n));
        let best = fitting.min_by_key(|n| {
            (
                branches(state, &placed, task, n),
                rank(state, &placed, task, n),
                n.id,
            )
        });
        if let Some(node) = best {
            placed.tasks.push((node.id, task));
            found.insert(task.id, node.id);
        }
    }
    found
}

/// Checks where tasks went against a naive scheduler.
type Check = fn(&World, &State, &[TaskId]) -> Result<(), TestCaseError>;

/// Tasks by service, wave by wave.
fn waves() -> impl Strategy<Value = Vec<Vec<(usize, u64)>>> {
    let wave = prop::collection::vec((0usize..4, 1u64..6), 1..4);
    prop::collection::vec(wave, 1..4)
}

/// Has waves of tasks of some services placed, with some that end in between.
fn follow(
    count: u64,
    services: &[Asked],
    waves: Vec<Vec<(usize, u64)>>,
    ends: &[usize],
    check: Check,
) -> Result<(), TestCaseError> {
    let mut world = World::with(nodes(count));
    for (n, asked) in (1..).zip(services) {
        world.create(service(n, |spec| declare(spec, asked)));
    }
    for wave in waves {
        for (service, count) in wave {
            world.pending((service % services.len()) as u64 + 1, count);
        }
        let before = world.state.clone();
        let waiting: Vec<TaskId> = before.tasks().unplaced().map(|t| t.id).collect();
        world.step();
        check(&world, &before, &waiting)?;
        for end in ends {
            let placed: Vec<TaskId> = world
                .state
                .tasks()
                .iter()
                .filter(|t| t.is_active())
                .map(|t| t.id)
                .collect();
            if let Some(at) = end.checked_rem(placed.len()) {
                world.report(placed[at], TaskState::Complete);
            }
        }
    }
    world.scheduler.assert_rankings_are_right();
    Ok(())
}

fn went_where_the_naive_one_puts_them(
    world: &World,
    before: &State,
    waiting: &[TaskId],
) -> Result<(), TestCaseError> {
    let want = naive(before);
    for id in waiting {
        let have = world.task(*id).node_id;
        let service = &world.task(*id).service_annotations().name;
        prop_assert_eq!(have, want.get(id).copied(), "{}", service);
    }
    Ok(())
}

/// Draws aside, a task goes to a branch with fewest tasks and to a node there for which fewest
/// soft expressions fail.
fn drew_among_the_best(
    world: &World,
    before: &State,
    waiting: &[TaskId],
) -> Result<(), TestCaseError> {
    let mut placed = placed(before);
    let mut waiting: Vec<&Arc<Task>> = waiting
        .iter()
        .filter_map(|id| before.tasks().get(*id))
        .collect();
    waiting.sort_by_key(|t| (Reverse(t.service_spec.options.priority), t.service_id, t.id));
    for task in waiting {
        let fitting = before.nodes().iter();
        let fitting = fitting.filter(|n| fits(before, &placed, task, n));
        let grade = |n: &types::Node| {
            let branches = branches(before, &placed, task, n).into_iter();
            let counts: Vec<_> = branches.collect();
            (counts, rank(before, &placed, task, n).0)
        };
        let best = fitting.map(|n| grade(n)).min();
        let node = world.task(task.id).node_id;
        let node = node.and_then(|id| before.nodes().get(id));
        if let Some(node) = node {
            prop_assert!(fits(before, &placed, task, node));
        }
        prop_assert_eq!(node.map(|n| grade(n)), best);
        placed.tasks.extend(node.map(|n| (n.id, task.as_ref())));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn tasks_go_where_a_naive_scheduler_puts_them(
        count in 1u64..24,
        services in prop::collection::vec(asked(), 1..4),
        waves in waves(),
        ends in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        follow(count, &services, waves, &ends, went_where_the_naive_one_puts_them)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// So many nodes that few tasks are placed by the order kept, not by a look at each node.
    #[test]
    fn few_tasks_among_many_nodes_go_where_a_naive_scheduler_puts_them(
        count in 40u64..90,
        services in prop::collection::vec(asked(), 1..4),
        waves in waves(),
        ends in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        follow(count, &services, waves, &ends, went_where_the_naive_one_puts_them)?;
    }

    #[test]
    fn tasks_placed_by_draw_go_to_one_of_the_best_nodes(
        count in 1u64..60,
        services in prop::collection::vec(asked(), 1..4),
        waves in waves(),
        ends in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let drawn = |asked: Asked| Asked { ranking: Ranking::Random, ..asked };
        let services: Vec<Asked> = services.into_iter().map(drawn).collect();
        follow(count, &services, waves, &ends, drew_among_the_best)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Groups that come back have an order of nodes of their own, which follows what changes.
    #[test]
    fn a_service_that_runs_everywhere_has_tasks_replaced_where_a_naive_scheduler_puts_them(
        count in 12u64..40,
        services in prop::collection::vec(asked(), 1..3),
        rounds in prop::collection::vec((any::<usize>(), 0u64..40, 0usize..3), 6..14),
    ) {
        let mut world = World::with(nodes(count));
        for (n, asked) in (1..).zip(&services) {
            world.create(service(n, |spec| declare(spec, asked)));
            world.pending(n, count);
        }
        world.settle();
        for (end, node, zone) in rounds {
            let placed: Vec<TaskId> = world.state.tasks().iter()
                .filter(|t| t.is_active() && t.node_id.is_some()).map(|t| t.id).collect();
            if let Some(at) = end.checked_rem(placed.len()) {
                world.report(placed[at], TaskState::Complete);
            }
            if node > 0 && node <= count {
                let zone = ["a", "b", "c"][zone].to_owned();
                world.edit_node(node, |n| {
                    n.spec.annotations.labels.insert("zone".into(), zone);
                });
            }
            world.pending((end % services.len()) as u64 + 1, 1);
            let before = world.state.clone();
            let waiting: Vec<TaskId> = before.tasks().unplaced().map(|t| t.id).collect();
            world.step();
            went_where_the_naive_one_puts_them(&world, &before, &waiting)?;
        }
        world.scheduler.assert_rankings_are_right();
    }
}
