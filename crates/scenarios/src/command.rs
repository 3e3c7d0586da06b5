//! What each command does. The text that it prints is the outcome that a script records.

use std::sync::Arc;
use std::time::Duration;

use control::ControlError;
use control::service::{self, Update};
use scheduler::rebalance as planner;
use store::{Action, Draft, Key};
use types::entropy::SeededEntropy;
use types::node::{NodeDescription, NodeStatus, Platform};
use types::options::Rebalancing;
use types::{
    Availability, Cluster, Node, NodeId, NodeSpec, NodeState, Resources, Service, ServiceSpec,
    TaskId,
};

use crate::agents::{Behaviour, Fate};
use crate::declare::Declared;
use crate::words::{number, pair, span, split};
use crate::{World, show};

/// Moves of a rebalance that names no number.
const MOVES_DEFAULT: u32 = 1_000;

type Outcome = Result<String, String>;

/// Runs one command line.
///
/// # Errors
/// Why it is refused.
pub fn run(world: &mut World, line: &str) -> Outcome {
    let words = split(line)?;
    let (verb, rest) = words.split_first().ok_or("no command")?;
    match verb.as_str() {
        "nodes" => nodes(world, rest),
        "node" => node(world, rest),
        "cluster" => cluster(world, rest),
        "image" => image(world, rest),
        "service" => on_service(world, rest),
        "kill" => kill(world, one(rest)?),
        "wait" => wait(world, span(one(rest)?)?),
        "leader-change" => {
            world.change_leader();
            settled(world)
        }
        "at-rest" => at_rest(world),
        "rebalance" => rebalance(world, rest),
        "plan-rebalance" => plan_rebalance(world, rest),
        "tasks" => show::tasks(world, rest.first().map(String::as_str)),
        "history" => show::history(world, one(rest)?),
        "spread" => show::spread(world, one(rest)?),
        "update" => show::update(world, one(rest)?),
        "least-running" => show::least_running(world, one(rest)?),
        "explain" => show::explain(world, one(rest)?),
        "next-run" => show::next_run(world, one(rest)?),
        "clock" => Ok(world.now.to_string()),
        other => Err(format!("{other} is no command")),
    }
}

fn one(words: &[String]) -> Result<&str, String> {
    match words {
        [word] => Ok(word),
        _ => Err("takes one word".to_owned()),
    }
}

fn settled(world: &mut World) -> Outcome {
    world.settle()?;
    Ok(String::new())
}

fn wait(world: &mut World, time: Duration) -> Outcome {
    world.run(time)?;
    Ok(String::new())
}

/// Nothing is left to do, for this leader and for a new one.
fn at_rest(world: &mut World) -> Outcome {
    world.settle()?;
    Ok(if world.proposes_something() {
        "no: a new leader would change something"
    } else {
        "yes"
    }
    .to_owned())
}

// === nodes ===

fn nodes(world: &mut World, words: &[String]) -> Outcome {
    let (count, attributes) = words.split_first().ok_or("takes a number")?;
    for n in 1..=number::<u64>(count)? {
        add_node(world, &format!("node-{n}"), attributes)?;
    }
    settled(world)
}

fn add_node(world: &mut World, name: &str, attributes: &[String]) -> Result<(), String> {
    let mut resources = Resources {
        nano_cpus: 4_000_000_000,
        memory_bytes: 8 << 30,
        generic: Vec::new(),
    };
    let mut spec = NodeSpec::default();
    for word in attributes {
        match pair(word) {
            ("cpu", n) => resources.nano_cpus = number::<i64>(n)? * 1_000_000_000,
            ("memory", n) => resources.memory_bytes = number::<i64>(n)? << 20,
            (key, value) => {
                spec.annotations
                    .labels
                    .insert(key.to_owned(), value.to_owned());
            }
        }
    }
    let description = NodeDescription {
        hostname: name.to_owned(),
        platform: Platform {
            architecture: "x86_64".to_owned(),
            os: "linux".to_owned(),
        },
        resources,
        ..NodeDescription::default()
    };
    let node = Node {
        description: Some(Arc::new(description)),
        status: NodeStatus {
            state: NodeState::Ready,
            ..NodeStatus::default()
        },
        ..Node::new(NodeId::random(&mut world.entropy), spec)
    };
    world.act(vec![Action::Create(node.into())])
}

fn node(world: &mut World, words: &[String]) -> Outcome {
    let [verb, name, attributes @ ..] = words else {
        return Err("takes a verb and a name".to_owned());
    };
    if verb == "add" {
        add_node(world, name, attributes)?;
        return settled(world);
    }
    let mut node = Node::clone(show::node(world, name)?);
    match verb.as_str() {
        "down" => node.status.state = NodeState::Down,
        "up" => node.status.state = NodeState::Ready,
        "drain" => node.spec.availability = Availability::Drain,
        "pause" => node.spec.availability = Availability::Pause,
        "activate" => node.spec.availability = Availability::Active,
        "label" => {
            let labels = attributes.iter().map(|w| pair(w));
            let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned()));
            node.spec.annotations.labels.extend(labels);
        }
        other => return Err(format!("node {other} is no command")),
    }
    world.update(node)?;
    settled(world)
}

// === settings ===

fn cluster(world: &mut World, words: &[String]) -> Outcome {
    let known = world.state.cluster().ok_or("there are no settings")?;
    let mut cluster = Cluster::clone(known);
    for word in words {
        match pair(word) {
            ("strategy", name) => cluster.spec.options.strategy = name.parse()?,
            ("preemption", switch) => cluster.spec.options.preemption = switch == "on",
            ("history", n) => cluster.spec.task_history_retention_limit = number(n)?,
            (other, _) => return Err(format!("{other} is no setting")),
        }
    }
    validate::cluster(&cluster.spec).map_err(|e| e.to_string())?;
    world.update(cluster)?;
    settled(world)
}

fn image(world: &mut World, words: &[String]) -> Outcome {
    let (name, words) = words.split_first().ok_or("takes a name")?;
    let mut behaviour = Behaviour::default();
    for word in words {
        match pair(word) {
            ("start", time) => behaviour.start = span(time)?,
            ("stop", time) => behaviour.stop = span(time)?,
            ("missing", _) => behaviour.fate = Fate::Missing,
            ("fails", time) => behaviour.fate = Fate::Fails(span(time)?),
            ("completes", time) => behaviour.fate = Fate::Completes(span(time)?),
            (other, _) => return Err(format!("{other} is nothing an image does")),
        }
    }
    world.agents.set(name, behaviour);
    Ok(String::new())
}

// === services ===

fn on_service(world: &mut World, words: &[String]) -> Outcome {
    let [verb, name, words @ ..] = words else {
        return Err("takes a verb and a name".to_owned());
    };
    match verb.as_str() {
        "create" => {
            let mut declared = Declared::new(name);
            declared.apply(words)?;
            create(world, declared.spec)?;
        }
        "update" => {
            let spec = changed(world, name, words)?;
            let to = Update::to(world.service(name)?, spec);
            update(world, to)?;
        }
        "rollback" => {
            let back = Update::back(world.service(name)?);
            update(world, back)?;
        }
        "remove" => {
            let id = world.service(name)?.id;
            world.act(vec![Action::Remove(Key::Service(id))])?;
        }
        "plan" => return plan(world, name, words),
        other => return Err(format!("service {other} is no command")),
    }
    settled(world)
}

fn changed(world: &World, name: &str, words: &[String]) -> Result<ServiceSpec, String> {
    let spec = ServiceSpec::clone(&world.service(name)?.spec);
    let mut declared = Declared { spec };
    declared.apply(words)?;
    Ok(declared.spec)
}

type Drafted = Result<Arc<Service>, ControlError>;

/// Makes a change as the control API does.
fn edit(
    world: &mut World,
    change: impl FnOnce(&mut Draft, &mut SeededEntropy) -> Drafted,
) -> Result<(), String> {
    let mut draft = Draft::new(&world.state, world.now);
    change(&mut draft, &mut world.entropy).map_err(|e| e.to_string())?;
    let (tx, ..) = draft.finish();
    world.act(tx.actions)
}

fn create(world: &mut World, spec: ServiceSpec) -> Result<(), String> {
    let now = world.now;
    edit(world, |draft, entropy| {
        service::create(draft, spec, now, entropy)
    })
}

fn update(world: &mut World, update: Update) -> Result<(), String> {
    let now = world.now;
    edit(world, |draft, _| service::update(draft, update, now))
}

/// What a change would do; a name that is not known is a new service.
fn plan(world: &World, name: &str, words: &[String]) -> Outcome {
    let mut draft = Draft::new(&world.state, world.now);
    let drafted = if let Ok(known) = world.service(name) {
        let to = Update::to(known, changed(world, name, words)?);
        service::update(&mut draft, to, world.now)
    } else {
        let mut declared = Declared::new(name);
        declared.apply(words)?;
        let mut entropy = world.entropy.clone();
        service::create(&mut draft, declared.spec, world.now, &mut entropy)
    };
    let planned = drafted.map_err(|e| e.to_string())?;
    Ok(show::simulation(world, &planned.spec))
}

fn kill(world: &mut World, name: &str) -> Outcome {
    let id: TaskId = show::task(world, name)?.id;
    world.fail(id)?;
    settled(world)
}

// === rebalance ===

fn rebalance(world: &mut World, words: &[String]) -> Outcome {
    let mut request = Rebalancing {
        service: None,
        moves_left: MOVES_DEFAULT,
        asked_at: world.now,
    };
    for word in words {
        match pair(word) {
            ("moves", n) => request.moves_left = number(n)?,
            ("service", name) => request.service = Some(world.service(name)?.id),
            (other, _) => return Err(format!("{other} is not known")),
        }
    }
    let known = world.state.cluster().ok_or("there are no settings")?;
    let mut cluster = Cluster::clone(known);
    cluster.spec.options.rebalancing = Some(request);
    world.update(cluster)?;
    settled(world)
}

fn plan_rebalance(world: &World, words: &[String]) -> Outcome {
    let mut scope = planner::Scope {
        services: None,
        overall: true,
        moves_max: usize::MAX,
    };
    for word in words {
        match pair(word) {
            ("moves", n) => scope.moves_max = number(n)?,
            ("service", name) => scope.services = Some([world.service(name)?.id].into()),
            (other, _) => return Err(format!("{other} is not known")),
        }
    }
    Ok(show::moves(
        world,
        &planner::plan(&world.state, &scope, world.now),
    ))
}
