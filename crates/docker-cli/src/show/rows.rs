//! Tasks as rows of a table, with Docker's columns. Pure.

use std::collections::{BTreeMap, BTreeSet};

use calendar::LeftOut;
use serde_json::json;
use types::Timestamp;
use wire::api::service_spec::Mode;
use wire::api::task_spec::Runtime;
use wire::api::{Service, Task, TaskState};

use super::options;
use crate::out::human;
use crate::out::listing::{Listing, Row};
use crate::out::table::truncate;
use crate::parse::port;

/// Characters of an error that a table shows.
const ERROR_CHARS_MAX: usize = 60;
/// Characters of a shortened id, as Docker shows them.
const ID_CHARS: usize = 12;

/// How rows are shown.
pub struct View {
    /// Services by id.
    pub services: BTreeMap<String, Served>,
    /// Host names of nodes by id.
    pub nodes: BTreeMap<String, String>,
    /// Ids and texts are not shortened.
    pub no_trunc: bool,
    /// The present moment.
    pub now: Timestamp,
}

/// What the tasks of a service are named by.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// Its tasks have nodes instead of slots.
    pub by_node: bool,
    /// The present run of its job, with the due times that were left out since it began.
    pub left_out: Option<(u64, LeftOut)>,
}

impl Served {
    /// As a service says, of which these tasks are among others known.
    pub fn of(service: &Service, tasks: &[Task]) -> Self {
        let left_out = options::left_out(service, tasks);
        let spec = service.spec.as_ref();
        let name = spec.and_then(|s| Some(s.annotations.as_ref()?.name.clone()));
        let mode = spec.and_then(|s| s.mode.as_ref());
        Self {
            name: name.unwrap_or_default(),
            by_node: matches!(mode, Some(Mode::Global(_) | Mode::GlobalJob(_))),
            left_out: options::run(service).zip(left_out),
        }
    }
}

/// The beginning of an id.
pub fn short(id: &str) -> String {
    id.chars().take(ID_CHARS).collect()
}

/// Tasks by service and slot, the newest of each slot first and the others marked as its past.
pub fn listing(mut tasks: Vec<Task>, view: &View) -> Listing {
    let created = |t: &Task| human::moment(t.meta.as_ref().and_then(|m| m.created_at.as_ref()));
    let key = |t: &Task| (view.name(t), created(t));
    tasks.sort_by_cached_key(|t| {
        let (name, created) = key(t);
        (
            view.service(t),
            t.slot,
            name,
            std::cmp::Reverse(created),
            t.id.clone(),
        )
    });
    let mut seen = BTreeSet::new();
    let rows = tasks
        .iter()
        .map(|task| view.row(task, seen.insert(view.name(task))))
        .collect();
    Listing {
        columns: &[
            ("ID", "ID"),
            ("Name", "NAME"),
            ("Image", "IMAGE"),
            ("Node", "NODE"),
            ("DesiredState", "DESIRED STATE"),
            ("CurrentState", "CURRENT STATE"),
            ("Error", "ERROR"),
            ("Ports", "PORTS"),
        ],
        extra: &[],
        table: None,
        rows,
    }
}

impl View {
    fn service(&self, task: &Task) -> String {
        let id = &task.service_id;
        let known = self.services.get(id);
        known.map_or_else(|| short(id), |service| service.name.clone())
    }

    /// Slots of jobs are counted from 0; without its service a task does not say what its 0 is.
    fn by_node(&self, task: &Task) -> bool {
        let known = self.services.get(&task.service_id);
        known.map_or(task.slot == 0, |service| service.by_node)
    }

    /// Tasks of one slot share the name, tasks of a global service that of their node.
    fn name(&self, task: &Task) -> String {
        let own = task.annotations.as_ref().map_or("", |a| a.name.as_str());
        match task.service_id.as_str() {
            "" => own.to_owned(),
            _ if self.by_node(task) => format!("{}.{}", self.service(task), task.node_id),
            _ => format!("{}.{}", self.service(task), task.slot),
        }
    }

    fn row(&self, task: &Task, first: bool) -> Row {
        let empty = wire::api::TaskStatus::default();
        let status = task.status.as_ref().unwrap_or(&empty);
        let node = self.nodes.get(&task.node_id).cloned();
        let ports = status.port_status.as_ref().map_or(&[][..], |p| &p.ports);
        let ports: Vec<_> = ports.iter().map(port::shown).collect();
        let past = if first { "" } else { " \\_ " };
        let mut row = Row::new();
        let id = if self.no_trunc {
            task.id.clone()
        } else {
            short(&task.id)
        };
        row.insert("ID".into(), id.into());
        row.insert("Name".into(), format!("{past}{}", self.name(task)).into());
        row.insert("Image".into(), self.image(task).into());
        row.insert(
            "Node".into(),
            node.unwrap_or_else(|| short(&task.node_id)).into(),
        );
        row.insert("DesiredState".into(), state(task.desired_state()).into());
        row.insert("CurrentState".into(), self.current(status).into());
        row.insert("Error".into(), self.error(task, status).into());
        row.insert("Ports".into(), json!(ports.join(",")));
        row
    }

    fn current(&self, status: &wire::api::TaskStatus) -> String {
        let since = human::ago(human::moment(status.timestamp.as_ref()), self.now);
        format!("{} {}", state(status.state()), since.to_lowercase())
            .trim_end()
            .to_owned()
    }

    fn image(&self, task: &Task) -> String {
        let Some(Runtime::Container(container)) =
            task.spec.as_ref().and_then(|spec| spec.runtime.as_ref())
        else {
            return String::new();
        };
        match self.no_trunc {
            true => container.image.clone(),
            false => container
                .image
                .split('@')
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }

    /// What is wrong; for a task that waits, what it waits for; for one that runs beyond the next
    /// due time of its schedule, what was left out because of it.
    fn error(&self, task: &Task, status: &wire::api::TaskStatus) -> String {
        let text = match status.err.as_str() {
            "" => self.left_out(task, status),
            err => err.to_owned(),
        };
        match text.as_str() {
            "" => text,
            text if self.no_trunc => format!("\"{text}\""),
            text => format!("\"{}\"", truncate(text, ERROR_CHARS_MAX)),
        }
    }

    fn left_out(&self, task: &Task, status: &wire::api::TaskStatus) -> String {
        let service = self.services.get(&task.service_id);
        let left_out = service.and_then(|s| s.left_out.as_ref());
        match left_out {
            Some((run, left_out))
                if options::is_of_run(task, &task.service_id, *run)
                    && status.state() < TaskState::Complete =>
            {
                left_out.to_string()
            }
            _ => String::new(),
        }
    }
}

fn state(state: TaskState) -> String {
    let lower = state.as_str_name().to_lowercase();
    let (first, rest) = lower.split_at(1);
    first.to_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use wire::api::{Meta, TaskStatus};

    use super::*;
    use crate::out::listing::ListArgs;

    fn task(id: &str, slot: u64, state: TaskState, created: i64) -> Task {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        Task {
            id: id.into(),
            service_id: "s1".into(),
            slot,
            node_id: "n1".into(),
            meta: Some(Meta {
                created_at: at(created),
                ..Meta::default()
            }),
            status: Some(TaskStatus {
                state: state.into(),
                timestamp: at(created),
                err: if state == TaskState::Failed {
                    "exit (1)".into()
                } else {
                    String::new()
                },
                ..TaskStatus::default()
            }),
            desired_state: TaskState::Running.into(),
            ..Task::default()
        }
    }

    fn served(id: &str, name: &str, by_node: bool) -> (String, Served) {
        let name = name.to_owned();
        let served = Served {
            name,
            by_node,
            ..Served::default()
        };
        (id.to_owned(), served)
    }

    #[test]
    fn a_job_has_a_slot_0_and_a_global_service_has_nodes() {
        for (by_node, name) in [(false, "job.0"), (true, "job.n1")] {
            let view = View {
                services: [served("s1", "job", by_node)].into(),
                nodes: BTreeMap::new(),
                no_trunc: false,
                now: Timestamp::from_secs(300),
            };
            assert_eq!(view.name(&task("t", 0, TaskState::Running, 60)), name);
        }
    }

    #[test]
    fn a_task_that_runs_into_its_next_due_time_says_what_was_left_out() {
        let label = |key: &str, value: &str| (format!("swarm.{key}"), value.to_owned());
        let service = Service {
            id: "s1".into(),
            spec: Some(wire::api::ServiceSpec {
                annotations: Some(wire::api::Annotations {
                    name: "job".into(),
                    labels: [label("schedule", "* * * * *")].into(),
                    ..<_>::default()
                }),
                ..<_>::default()
            }),
            job_status: Some(wire::api::JobStatus {
                job_iteration: Some(wire::api::Version { index: 2 }),
                last_execution: Some(prost_types::Timestamp {
                    seconds: 180,
                    nanos: 0,
                }),
            }),
            ..<_>::default()
        };
        let of_run = |id: &str, run, state| {
            let mut task = task(id, 0, state, 61);
            task.job_iteration = Some(wire::api::Version { index: run });
            task
        };
        let tasks = [
            of_run("present", 2, TaskState::Running),
            of_run("past", 1, TaskState::Running),
            of_run("ended", 2, TaskState::Complete),
        ];
        let view = View {
            services: [("s1".to_owned(), Served::of(&service, &tasks))].into(),
            nodes: BTreeMap::new(),
            no_trunc: true,
            now: Timestamp::from_secs(300),
        };
        let errors = tasks.map(|t| view.row(&t, true)["Error"].clone());
        let left_out = "\"left out: 2 runs, last due 1970-01-01T00:03:00Z: this run was not over\"";
        assert_eq!(errors, [left_out, "", ""]);
    }

    #[test]
    fn the_past_of_a_slot_follows_its_newest_task() {
        let view = View {
            services: [served("s1", "web", false)].into(),
            nodes: [("n1".to_owned(), "host-a".to_owned())].into(),
            no_trunc: false,
            now: Timestamp::from_secs(300),
        };
        let tasks = vec![
            task("old", 1, TaskState::Failed, 60),
            task("two", 2, TaskState::Running, 180),
            task("new", 1, TaskState::Running, 120),
        ];
        let text = listing(tasks, &view).render(&ListArgs::default()).unwrap();
        let expected = "\
ID    NAME        IMAGE   NODE     DESIRED STATE   CURRENT STATE           ERROR        PORTS
new   web.1               host-a   Running         Running 3 minutes ago
old    \\_ web.1           host-a   Running         Failed 4 minutes ago    \"exit (1)\"
two   web.2               host-a   Running         Running 2 minutes ago
";
        assert_eq!(text, expected);
    }
}
