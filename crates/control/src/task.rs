//! Tasks.

use std::sync::Arc;

use prost::Message;
use store::{Action, Draft, Key, Kind, State};
use types::naming::task_name;
use types::{Labels, NodeId, ServiceId, Task, TaskId, TaskState};
use wire::api;

use crate::crud;
use crate::error::ControlError;
use crate::filter::{Common, any};
use crate::service::runtime_name;

type Result<T> = std::result::Result<T, ControlError>;

/// A task by id.
pub fn find<'a>(state: &'a State, id: &str) -> Result<&'a Arc<Task>> {
    let key = crud::parse_id::<Task>(id)?;
    state
        .tasks()
        .get(key)
        .ok_or_else(|| ControlError::not_found(Kind::Task, id))
}

/// Removes a task's record; its service makes another one, its node stops it.
pub fn remove(draft: &mut Draft, id: &str) -> Result<()> {
    let id = find(draft.state(), id)?.id;
    crud::run(draft, Action::Remove(Key::Task(id)))
}

/// Task filters, ready to match.
pub struct TaskFilter {
    filters: api::list_tasks_request::Filters,
    services: Vec<ServiceId>,
    nodes: Vec<NodeId>,
    desired: Vec<TaskState>,
}

impl TaskFilter {
    /// Reads the filters of a request.
    pub fn new(filters: api::list_tasks_request::Filters) -> Self {
        // An id that no object can have matches nothing, as an unknown one does.
        let services = filters
            .service_ids
            .iter()
            .filter_map(|id| id.parse().ok())
            .collect();
        let nodes = filters
            .node_ids
            .iter()
            .filter_map(|id| id.parse().ok())
            .collect();
        let known = |s: &i32| TaskState::from_number(*s);
        let desired = filters.desired_states.iter().filter_map(known).collect();
        Self {
            filters,
            services,
            nodes,
            desired,
        }
    }

    /// Whether a task passes.
    pub fn matches(&self, state: &State, task: &Task) -> bool {
        let f = &self.filters;
        let common = Common {
            names: &[],
            name_prefixes: &[],
            id_prefixes: &f.id_prefixes,
            labels: None,
        };
        let named = f.names.is_empty() && f.name_prefixes.is_empty() || {
            let name = task_name(task);
            any(&f.names, |n| *n == name) && any(&f.name_prefixes, |p| name.starts_with(p))
        };
        named
            && common.matches(&task.id, "", &Labels::new())
            && self.labels_match(task)
            && one_of(&f.service_ids, &self.services, task.service_id)
            && one_of(&f.node_ids, &self.nodes, task.node_id)
            && (f.desired_states.is_empty() || self.desired.contains(&task.desired_state))
            && any(&f.runtimes, |r| r == runtime_name(&task.service_spec))
            && (!f.up_to_date || is_up_to_date(state, task))
    }

    fn labels_match(&self, task: &Task) -> bool {
        let service = &task.service_annotations().labels;
        let labels = task.labels().unwrap_or(service);
        crate::filter::has_labels(labels, &self.filters.labels)
    }

    /// Tasks that pass, reading no more than the narrowest index offers.
    pub fn select<'a>(&'a self, state: &'a State) -> Vec<&'a Arc<Task>> {
        let candidates: Box<dyn Iterator<Item = &Arc<Task>>> =
            match (&self.filters.service_ids[..], &self.filters.node_ids[..]) {
                ([], []) => Box::new(state.tasks().iter()),
                ([], _) => Box::new(self.nodes.iter().flat_map(|id| state.tasks().on_node(*id))),
                _ => Box::new(
                    self.services
                        .iter()
                        .flat_map(|id| state.tasks().of_service(*id)),
                ),
            };
        candidates.filter(|t| self.matches(state, t)).collect()
    }

    /// All tasks that pass, as one message carries them.
    ///
    /// # Errors
    /// If they do not fit into one; it is not made then.
    pub fn list(&self, state: &State) -> Result<api::ListTasksResponse> {
        let found = self.select(state);
        let (count, mut bytes) = (found.len(), 0);
        let mut tasks = Vec::with_capacity(count);
        for task in found {
            let task = api::Task::from(task.as_ref());
            bytes += task.encoded_len();
            if bytes > crate::ANSWER_BYTES_MAX {
                return Err(ControlError::TooLarge(format!(
                    "{count} tasks do not fit into one answer; narrow the filters down, or read \
                     them in pages with swarm.v1.Cluster/StreamTasks"
                )));
            }
            tasks.push(task);
        }
        Ok(api::ListTasksResponse { tasks })
    }

    /// A page of the tasks that pass, after a task id.
    pub fn page<'a>(
        &'a self,
        state: &'a State,
        after: Option<TaskId>,
    ) -> impl Iterator<Item = &'a Arc<Task>> {
        state
            .tasks()
            .iter_after(after)
            .filter(|t| self.matches(state, t))
    }
}

fn one_of<T: PartialEq>(asked: &[String], known: &[T], have: Option<T>) -> bool {
    asked.is_empty() || have.is_some_and(|have| known.contains(&have))
}

fn is_up_to_date(state: &State, task: &Task) -> bool {
    let service = task.service_id.and_then(|id| state.services().get(id));
    service.is_some_and(|s| Some(s.spec_version) == task.spec_version)
}
