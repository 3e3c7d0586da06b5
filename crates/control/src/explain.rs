//! Why a task is where it is, as `swarmctl task explain` shows it. A pure function of the tables.

use scheduler::explain as look;
use store::State;
use types::{Node, NodeId, Strategy, Task, TaskState, Timestamp};
use wire::{api, swarm::v1 as pb};

use crate::progress;

/// Earlier tasks of the slot that are listed.
const HISTORY_MAX: usize = 5;

/// Explains a task.
pub fn of(state: &State, task: &Task, examples_max: usize, now: Timestamp) -> pb::ExplainResponse {
    let seen = look::task(state, task.id, now);
    let hostname = |id: NodeId| {
        state
            .nodes()
            .get(id)
            .map_or("", |n| Node::hostname(n))
            .to_owned()
    };
    let mut reply = pb::ExplainResponse {
        task_id: task.id.to_string(),
        service_id: task.service_id.map(|id| id.to_string()).unwrap_or_default(),
        service_name: task.service_annotations().name.clone(),
        state: task.status.state.number(),
        desired_state: task.desired_state.number(),
        summary: summary(task, &task.node_id.map(hostname).unwrap_or_default()),
        waiting_for: stage(state, task).into(),
        node_id: task.node_id.map(|id| id.to_string()).unwrap_or_default(),
        node_hostname: task.node_id.map(hostname).unwrap_or_default(),
        requirements: requirements(task),
        history: history(state, task),
        version: Some(api::Version {
            index: state.version(),
        }),
        ..Default::default()
    };
    if let Some(mut seen) = seen {
        let examples = if examples_max == 0 {
            look::EXAMPLES_MAX
        } else {
            examples_max
        };
        reply.nodes_total = count(seen.evaluated);
        reply.nodes_fit = count(seen.suitable);
        reply.hints = hints(&seen);
        reply.strategy = seen.strategy.to_string();
        reply.priority = u32::from(seen.priority);
        reply.nearest = seen.nearest.take().map(nearest);
        let strategy = seen.strategy;
        reply.filters = seen
            .filtered
            .into_iter()
            .map(|f| verdict(f, examples))
            .collect();
        reply.candidates = seen
            .ranked
            .into_iter()
            .map(|r| score(r, strategy))
            .collect();
    }
    reply
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn summary(task: &Task, hostname: &str) -> String {
    let reason = progress::reason(task);
    let state = task.status.state;
    match state {
        _ if !reason.is_empty() => format!("{state}: {reason}"),
        TaskState::New => "new: waiting for what its service publishes to be allocated".into(),
        TaskState::Pending => "pending: waiting to be placed on a node".into(),
        _ if state.is_active() => format!("{state} on node {hostname}"),
        _ => format!("{state}: {}", task.status.message),
    }
}

fn stage(state: &State, task: &Task) -> pb::Stage {
    let held = || allocator::unmet(state, &task.service_spec).is_some();
    match task.status.state {
        TaskState::New if held() => pb::Stage::Orchestrator,
        TaskState::New => pb::Stage::Allocator,
        TaskState::Pending => pb::Stage::Scheduler,
        TaskState::Assigned => pb::Stage::Dispatcher,
        TaskState::Ready if task.desired_state <= TaskState::Ready => pb::Stage::Orchestrator,
        state if state < TaskState::Running => pb::Stage::Agent,
        _ => pb::Stage::Done,
    }
}

fn requirements(task: &Task) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(reserved) = task.spec().reservations() {
        if reserved.nano_cpus > 0 {
            all.push(amount("cpu", reserved.nano_cpus));
        }
        if reserved.memory_bytes > 0 {
            all.push(amount("memory", reserved.memory_bytes) + " of memory");
        }
        let generic = types::resources::count_by_kind(&reserved.generic);
        all.extend(generic.into_iter().map(|(kind, n)| format!("{n} {kind}")));
    }
    if let Some(placement) = &task.spec().placement {
        all.extend(
            placement
                .constraints
                .iter()
                .map(|c| format!("constraint {c}")),
        );
        if placement.max_replicas > 0 {
            all.push(format!("at most {} per node", placement.max_replicas));
        }
    }
    let options = &task.service_spec.options;
    all.extend(options.affinities.iter().map(|a| format!("affinity {a}")));
    all.extend(
        options
            .depends_on
            .iter()
            .map(|d| format!("service {d} first")),
    );
    all
}

fn history(state: &State, task: &Task) -> Vec<pb::PastTask> {
    let Some(service) = task.service_id else {
        return Vec::new();
    };
    let mut past: Vec<_> = state
        .tasks()
        .of_slot(service, task.slot)
        .filter(|t| t.id != task.id && t.status.state.is_terminal())
        .filter(|t| !task.service_spec.mode.is_global() || t.node_id == task.node_id)
        .collect();
    past.sort_by_key(|t| std::cmp::Reverse(t.status.timestamp));
    let shown = |t: &&std::sync::Arc<Task>| pb::PastTask {
        task_id: t.id.to_string(),
        state: t.status.state.number(),
        node_id: t.node_id.map(|id| id.to_string()).unwrap_or_default(),
        message: t.status.message.to_string(),
        err: t.status.err.to_string(),
        exit_code: t.status.container.as_ref().map_or(0, |c| c.exit_code),
        at_ns: i64::try_from(t.status.timestamp.0).unwrap_or(i64::MAX),
    };
    past.iter().take(HISTORY_MAX).map(shown).collect()
}

fn hints(seen: &look::Explanation) -> Vec<String> {
    if seen.suitable > 0 {
        return Vec::new();
    }
    let short = seen.exhausted.iter().map(|e| {
        let (wanted, free) = (
            amount(&e.resource, e.wanted),
            amount(&e.resource, e.free_max),
        );
        let of = if e.resource == "memory" {
            " of memory"
        } else {
            ""
        };
        format!("it reserves {wanted}{of}; the most that is free on one node is {free}")
    });
    let coming = seen.coming.iter().map(|room| {
        let tasks = match room.ending.len() {
            1 => "a task".to_owned(),
            n => format!("{n} tasks"),
        };
        format!(
            "{tasks} of lower priority on {} must end first, and then it is placed there",
            room.hostname
        )
    });
    short.chain(coming).collect()
}

/// An amount of a resource as people write it: `0.5 CPUs`, `512MiB`, `3 gpu`.
fn amount(resource: &str, amount: i64) -> String {
    match resource {
        "cpu" => format!("{} CPUs", amount as f64 / 1e9),
        "memory" => memory(amount),
        other => format!("{amount} {other}"),
    }
}

/// In the largest binary unit that leaves a number of one at least, with two digits at most.
fn memory(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let rounded = (value * 100.0).round() / 100.0;
    format!("{rounded}{}", UNITS[unit])
}

fn verdict(filtered: look::Filtered, examples_max: usize) -> pb::FilterVerdict {
    let refusal = |e: look::Example| pb::NodeRefusal {
        node_id: e.node.to_string(),
        hostname: e.hostname,
        reason: e.detail,
    };
    pb::FilterVerdict {
        filter: filtered.filter.name().to_owned(),
        nodes_refused: count(filtered.nodes),
        examples: filtered
            .examples
            .into_iter()
            .take(examples_max)
            .map(refusal)
            .collect(),
    }
}

fn score(ranked: look::Ranked, strategy: Strategy) -> pb::NodeScore {
    pb::NodeScore {
        reason: ranks(&ranked, strategy),
        self_reported: (ranked.holds_image == Some(true))
            .then(|| "it holds the image".to_owned())
            .into_iter()
            .collect(),
        node_id: ranked.node.to_string(),
        hostname: ranked.hostname,
        service_tasks: ranked.service_tasks,
        total_tasks: ranked.tasks,
        recent_failures: ranked.failures,
        missed: ranked.missed,
        weight: ranked.weight,
    }
}

/// What ranks a node beside the counts of tasks, in words.
fn ranks(ranked: &look::Ranked, strategy: Strategy) -> String {
    let branches = ranked.branches.iter();
    let mut parts: Vec<String> = branches
        .map(|(name, tasks)| format!("{tasks} in branch {name:?}"))
        .collect();
    if !ranked.missed.is_empty() {
        parts.push(format!("does not fulfil {}", ranked.missed.join(", ")));
    }
    match strategy {
        Strategy::Binpack => parts.push(format!("weight {} of 200", ranked.weight)),
        Strategy::Random => parts.push("drawn".to_owned()),
        Strategy::Spread => {}
    }
    parts.join("; ")
}

fn nearest(nearest: look::Nearest) -> pb::NearestNode {
    pb::NearestNode {
        filter: nearest.filter.name().to_owned(),
        node: Some(pb::NodeRefusal {
            node_id: nearest.example.node.to_string(),
            hostname: nearest.example.hostname,
            reason: nearest.example.detail,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_what_people_write() {
        assert_eq!(amount("cpu", 500_000_000), "0.5 CPUs");
        assert_eq!(amount("memory", 512 << 20), "512MiB");
        assert_eq!(amount("memory", 3 << 29), "1.5GiB");
        assert_eq!(amount("memory", 1_000), "1000B");
        assert_eq!(amount("gpu", 3), "3 gpu");
    }
}
