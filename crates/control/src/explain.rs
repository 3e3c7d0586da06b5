//! Why a task is where it is, as `swarmctl task explain` shows it. A pure function of the tables.

use calendar::LeftOut;
use scheduler::explain as look;
use store::State;
use types::{NodeId, SlotKey, Strategy, Task, TaskState, Timestamp};
use wire::{api, swarm::v1 as pb};

use crate::{advice, plan, progress};

/// Earlier tasks of the slot that are listed.
const HISTORY_MAX: usize = 5;

/// Explains a task.
pub fn of(state: &State, task: &Task, examples_max: usize, now: Timestamp) -> pb::ExplainResponse {
    let seen = look::task(state, task.id, now);
    let hostname = |id: NodeId| plan::hostname(state, id);
    let until = orchestrator::delayed_until(state, task, now).filter(|at| *at > now);
    let mut reply = pb::ExplainResponse {
        task_id: task.id.to_string(),
        service_id: task.service_id.map(|id| id.to_string()).unwrap_or_default(),
        service_name: task.service_annotations().name.clone(),
        state: task.status.state.number(),
        desired_state: task.desired_state.number(),
        summary: summary(state, task, now),
        waiting_for: stage(state, task).into(),
        node_id: task.node_id.map(|id| id.to_string()).unwrap_or_default(),
        node_hostname: task.node_id.map(hostname).unwrap_or_default(),
        requirements: requirements(task),
        history: history(state, task),
        not_before_ns: until.map_or(0, |at| i64::try_from(at.0).unwrap_or(i64::MAX)),
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
        reply.hints = advice::on(state, task, &seen);
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
    reply.hints.extend(left_out(state, task));
    reply
}

/// What the schedule of a job left out because this run goes on.
fn left_out(state: &State, task: &Task) -> Option<String> {
    let service = state.services().get(task.service_id?)?;
    let job = service.job_status?;
    if task.status.state.is_terminal() || task.job_iteration != Some(job.iteration) {
        return None;
    }
    let schedule = service.spec.options.schedule.as_ref()?;
    let tasks = state.tasks().of_service(service.id);
    let of_run = tasks.filter(|t| t.job_iteration == task.job_iteration);
    let begun = of_run.map(|t| t.meta.created_at).min()?;
    let left_out = LeftOut::of(schedule, begun, job.last_execution)?;
    Some(format!(
        "{left_out}; --schedule-concurrency replace ends this run for the next one, allow lets \
         them overlap"
    ))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn summary(view: &State, task: &Task, now: Timestamp) -> String {
    let state = task.status.state;
    let held = orchestrator::delayed_until(view, task, now);
    if let Some(until) = held.filter(|_| state == TaskState::Ready && task.status.err.is_empty()) {
        let what = if until > now {
            "the restart delay"
        } else {
            "the task it replaces to stop"
        };
        return format!("{state}: waiting for {what}");
    }
    let reason = progress::reason(task);
    let node = task.node_id.and_then(|id| view.nodes().get(id));
    match state {
        _ if !reason.is_empty() => format!("{state}: {reason}"),
        TaskState::New => "new: waiting for what its service publishes to be allocated".into(),
        TaskState::Pending => "pending: waiting to be placed on a node".into(),
        _ if state.is_active() => format!("{state} on node {}", node.map_or("", |n| n.hostname())),
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
        .filter(|t| SlotKey::of(t) == SlotKey::of(task))
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

/// An amount of a resource as people write it: `0.5 CPUs`, `512MiB`, `3 gpu`.
pub(crate) fn amount(resource: &str, amount: i64) -> String {
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
    use crate::testing::tables;

    #[test]
    fn a_run_that_is_in_the_way_of_its_schedule_says_what_was_left_out_and_what_to_do() {
        let mut task = executor::testing::task_of("backup", |spec| {
            spec.mode = types::ServiceMode::GlobalJob;
            spec.options.schedule = Some(types::options::Schedule::of("* * * * *"));
        });
        task.job_iteration = Some(3);
        let spec = types::ServiceSpec::clone(&task.service_spec);
        let service = types::Service {
            job_status: Some(types::service::JobStatus {
                iteration: 3,
                last_execution: Timestamp::from_secs(180),
            }),
            ..types::Service::new(task.service_id.unwrap(), spec)
        };
        let (id, created) = (task.id, Timestamp::from_secs(61));
        let state = tables(created, [service.into(), task.into()]);
        let task = state.tasks().get(id).unwrap();
        let hints = of(&state, task, 0, Timestamp::from_secs(181)).hints;
        let left_out = "left out: 2 runs, last due 1970-01-01T00:03:00Z: this run was not over";
        assert!(hints.iter().any(|h| h.starts_with(left_out)), "{hints:?}");
        assert!(hints.iter().any(|h| h.contains("--schedule-concurrency")));
    }

    #[test]
    fn a_task_that_is_held_says_what_for_and_until_when() {
        let at = Timestamp::from_secs;
        let ended = |state| {
            let mut old = executor::testing::task("web", |_| {});
            old.status.state = state;
            old.status.timestamp = at(100);
            old.desired_state = TaskState::Shutdown;
            old
        };
        let explained = |old: Task, now| {
            let mut held = Task {
                id: types::TaskId::from_u128(7).unwrap(),
                desired_state: TaskState::Ready,
                ..old.clone()
            };
            held.status.state = TaskState::Ready;
            let spec = types::ServiceSpec::clone(&held.service_spec);
            let service = types::Service::new(held.service_id.unwrap(), spec);
            let id = held.id;
            let state = tables(at(100), [service.into(), old.into(), held.into()]);
            let said = of(&state, state.tasks().get(id).unwrap(), 0, at(now));
            (said.summary, said.not_before_ns / 1_000_000_000)
        };
        let delay = "ready: waiting for the restart delay".to_owned();
        assert_eq!(explained(ended(TaskState::Failed), 101), (delay, 105));
        let stop = "ready: waiting for the task it replaces to stop".to_owned();
        assert_eq!(explained(ended(TaskState::Running), 101), (stop, 0));
    }

    #[test]
    fn a_task_that_waits_for_a_service_that_does_not_exist_says_how_to_go_on() {
        let mut task = executor::testing::task_of("app", |spec| {
            spec.options.depends_on = vec!["db".parse().unwrap()];
        });
        task.status.state = TaskState::New;
        let id = task.id;
        let state = tables(Timestamp::from_secs(1), [task.into()]);
        let hints = of(&state, state.tasks().get(id).unwrap(), 0, Timestamp::ZERO).hints;
        let expected = "create service db, or start without it: `swarmctl service update \
                        --depends-on-rm db app`";
        assert_eq!(hints, [expected]);
    }

    #[test]
    fn amounts_are_what_people_write() {
        assert_eq!(amount("cpu", 500_000_000), "0.5 CPUs");
        assert_eq!(amount("memory", 512 << 20), "512MiB");
        assert_eq!(amount("memory", 3 << 29), "1.5GiB");
        assert_eq!(amount("memory", 1_000), "1000B");
        assert_eq!(amount("gpu", 3), "3 gpu");
    }
}
