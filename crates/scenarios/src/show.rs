//! What commands print. Reads the world and changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use scheduler::rebalance::{Outlook, Skip};
use scheduler::{explain as look, simulate};
use types::{Node, NodeId, ServiceSpec, SlotKey, Task, TaskState};

use crate::World;

type Outcome = Result<String, String>;

/// A node by name.
pub(crate) fn node<'w>(world: &'w World, name: &str) -> Result<&'w Arc<Node>, String> {
    let mut nodes = world.state.nodes().iter();
    let found = nodes.find(|n| n.hostname() == name);
    found.ok_or_else(|| format!("no node {name}"))
}

fn hostname(world: &World, id: NodeId) -> String {
    let node = world.state.nodes().get(id);
    node.map_or("a lost node", |n| n.hostname()).to_owned()
}

/// `web.3`, or `web@node-1` in services with a task per node.
fn name(world: &World, task: &Task) -> String {
    let service = &task.service_annotations().name;
    match SlotKey::of(task) {
        SlotKey::Node(node) => format!("{service}@{}", hostname(world, node)),
        SlotKey::Number(number) => format!("{service}.{number}"),
    }
}

fn age(task: &Task) -> (types::Timestamp, types::TaskId) {
    (task.meta.created_at, task.id)
}

/// The newest wanted task of a slot, by the slot's name.
pub(crate) fn task<'w>(world: &'w World, wanted: &str) -> Result<&'w Arc<Task>, String> {
    let tasks = world.state.tasks().iter();
    let named = tasks.filter(|t| t.is_runnable() && name(world, t) == wanted);
    let newest = named.max_by_key(|t| age(t));
    newest.ok_or_else(|| format!("no task {wanted}"))
}

fn image(task: &Task) -> &str {
    task.spec().container().map_or("", |c| &c.image)
}

fn sorted<'w>(world: &'w World, only: Option<&str>) -> Result<Vec<&'w Arc<Task>>, String> {
    let id = match only {
        Some(service) => Some(world.service(service)?.id),
        None => None,
    };
    let tasks = world.state.tasks().iter();
    let mut tasks: Vec<_> = tasks
        .filter(|t| id.is_none() || t.service_id == id)
        .collect();
    tasks.sort_by_cached_key(|t| {
        let service = t.service_annotations().name.clone();
        (service, t.slot, name(world, t), age(t))
    });
    Ok(tasks)
}

/// Tasks that are wanted, or not gone yet.
pub(crate) fn tasks(world: &World, only: Option<&str>) -> Outcome {
    let mut text = String::new();
    for task in sorted(world, only)? {
        let wanted = task.desired_state <= TaskState::Complete;
        if task.status.state.is_terminal() || !(wanted || task.is_active()) {
            continue;
        }
        text.push_str(&line(world, task));
    }
    Ok(text)
}

/// All records of a service, with those that ended.
pub(crate) fn history(world: &World, service: &str) -> Outcome {
    let tasks = sorted(world, Some(service))?;
    Ok(tasks.into_iter().map(|t| line(world, t)).collect())
}

fn line(world: &World, task: &Task) -> String {
    let at = match task.node_id {
        Some(node) if task.status.state >= TaskState::Assigned => {
            format!(" on {}", hostname(world, node))
        }
        _ => String::new(),
    };
    let told = match task.desired_state {
        TaskState::Ready if !task.status.state.is_terminal() => " (held back)",
        state if state > TaskState::Complete && !task.status.state.is_terminal() => " (stopping)",
        _ => "",
    };
    let why = match &*task.status.err {
        "" => String::new(),
        err => format!(": {err}"),
    };
    let state = task.status.state;
    format!(
        "{} {} {state}{at}{told}{why}\n",
        name(world, task),
        image(task)
    )
}

/// Tasks that are meant to run, by node.
pub(crate) fn spread(world: &World, service: &str) -> Outcome {
    let id = world.service(service)?.id;
    let mut nodes: BTreeMap<String, u64> = BTreeMap::new();
    for task in world
        .state
        .tasks()
        .of_service(id)
        .filter(|t| t.is_runnable())
    {
        let node = task
            .node_id
            .map_or_else(|| "nowhere".to_owned(), |n| hostname(world, n));
        *nodes.entry(node).or_default() += 1;
    }
    let counts: Vec<_> = nodes
        .iter()
        .map(|(node, n)| format!("{node}: {n}"))
        .collect();
    Ok(counts.join(", "))
}

/// Where an update stands.
pub(crate) fn update(world: &World, service: &str) -> Outcome {
    let status = world.service(service)?.update_status.as_ref();
    Ok(match status {
        None => "none".to_owned(),
        Some(status) => format!("{:?}: {}", status.state, hidden(&status.message)),
    })
}

/// A text without ids, which say nothing in a script.
fn hidden(text: &str) -> String {
    let is_id = |w: &str| w.len() == 25 && w.chars().all(|c| c.is_ascii_alphanumeric());
    let words = text.split(' ').map(|w| if is_id(w) { "ID" } else { w });
    words.collect::<Vec<_>>().join(" ")
}

/// Fewest tasks that ran since this was asked last.
pub(crate) fn least_running(world: &mut World, service: &str) -> Outcome {
    let id = world.service(service)?.id;
    Ok(world.lowest(id).to_string())
}

/// Which nodes fall out by which rule, and how the others rank.
pub(crate) fn explain(world: &World, wanted: &str) -> Outcome {
    let task = task(world, wanted)?;
    let seen = look::task(&world.state, task.id, world.now).ok_or("nothing to explain")?;
    let mut text = format!("{} of {} nodes fit\n", seen.suitable, seen.evaluated);
    for filtered in &seen.filtered {
        let examples = filtered.examples.iter();
        let examples: Vec<_> = examples
            .map(|e| format!("{}: {}", e.hostname, e.detail))
            .collect();
        let (rule, nodes) = (filtered.filter.name(), filtered.nodes);
        text.push_str(&format!(
            "{rule} refuses {nodes}: {}\n",
            examples.join("; ")
        ));
    }
    let ranked: Vec<_> = seen.ranked.iter().map(|r| r.hostname.as_str()).collect();
    if !ranked.is_empty() {
        text.push_str(&format!("best first: {}\n", ranked.join(", ")));
    }
    Ok(text)
}

/// When a job runs next.
pub(crate) fn next_run(world: &World, service: &str) -> Outcome {
    let next = orchestrator::next_run(world.service(service)?, world.now);
    Ok(next.map_or_else(|| "never".to_owned(), |at| at.to_string()))
}

/// What storing a spec would lead to.
pub(crate) fn simulation(world: &World, spec: &ServiceSpec) -> String {
    let seen = simulate(&world.state, spec, world.now);
    let replaced = seen
        .outcomes
        .iter()
        .filter(|o| o.replaces.is_some())
        .count();
    let mut text = format!(
        "{} new, {replaced} replaced, {} kept, {} stopped\n",
        seen.outcomes.len() - replaced,
        seen.kept,
        seen.surplus
    );
    for outcome in &seen.outcomes {
        let place = match outcome.node {
            Some(node) => format!("on {}", hostname(world, node)),
            None => format!("waits: {}", outcome.reason),
        };
        text.push_str(&format!(
            "{}.{} {place}\n",
            spec.annotations.name, outcome.slot
        ));
    }
    for task in seen
        .displaced
        .iter()
        .filter_map(|id| world.state.tasks().get(*id))
    {
        text.push_str(&format!("{} displaced\n", name(world, task)));
    }
    text
}

/// Moves with their reasons.
pub(crate) fn moves(world: &World, outlook: &Outlook) -> String {
    let mut text = String::new();
    for found in &outlook.moves {
        let task = world.state.tasks().get(found.task);
        let task = task.map_or_else(String::new, |t| name(world, t));
        let (from, to) = (hostname(world, found.from), hostname(world, found.to));
        let why = found.reason(&world.state, world.now);
        text.push_str(&format!("{task} {from} -> {to}: {why}\n"));
    }
    for (id, why) in &outlook.skipped {
        let service = world.state.services().get(*id);
        let service = service.map_or("", |s| &s.spec.annotations.name);
        match why {
            Skip::Mode => {}
            why => text.push_str(&format!("{service} is left: {why:?}\n")),
        }
    }
    if text.is_empty() {
        text.push_str("nothing to move\n");
    }
    text
}
