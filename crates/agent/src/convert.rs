//! Between the messages of managers and what the worker understands.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use types::{ServiceId, ServiceSpec, Task, TaskId, TaskStatus};
use wire::api::{
    self, assignment::Item, assignment_change::AssignmentAction, assignments_message::Type,
    update_task_status_request::TaskStatusUpdate,
};
use wire::convert::ConvertError;
use worker::{Assignments, Change};

/// Why a message cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A field has a value this agent does not know.
    #[error("cannot read {what} from the manager: {source}")]
    Convert {
        /// What was read.
        what: &'static str,
        /// Which field, and what is wrong with it.
        source: ConvertError,
    },
    /// The message kind or action is not known.
    #[error("cannot read assignments from the manager: unknown {what} {number}")]
    Unknown {
        /// What is unknown.
        what: &'static str,
        /// Its number.
        number: i32,
    },
    /// A required part is missing.
    #[error("cannot read {0} from the manager: it is empty")]
    Empty(&'static str),
}

/// Wraps an error of a conversion.
pub(crate) fn unreadable(what: &'static str) -> impl Fn(ConvertError) -> MessageError {
    move |source| MessageError::Convert { what, source }
}

/// Lets the tasks of a service share one spec, as the managers' tables do.
#[derive(Debug, Default)]
pub(crate) struct SpecCache {
    specs: BTreeMap<(ServiceId, u64), Weak<ServiceSpec>>,
}

/// Specs remembered before those no task uses are dropped.
const SPECS_MAX: usize = 256;

impl SpecCache {
    fn share(&mut self, mut task: Task) -> Task {
        let (Some(service), Some(version)) = (task.service_id, task.spec_version) else {
            return task;
        };
        let key = (service, version);
        match self.specs.get(&key).and_then(Weak::upgrade) {
            Some(spec) if spec == task.service_spec => task.service_spec = spec,
            _ => {
                if self.specs.len() >= SPECS_MAX {
                    self.specs.retain(|_, spec| spec.strong_count() > 0);
                }
                self.specs.insert(key, Arc::downgrade(&task.service_spec));
            }
        }
        task
    }

    /// Reads an assignments message.
    ///
    /// # Errors
    /// If anything in it is not understood: leaving it out could stop a task.
    pub(crate) fn assignments(
        &mut self,
        message: api::AssignmentsMessage,
    ) -> Result<Assignments, MessageError> {
        let kind = Type::try_from(message.r#type).map_err(|_| MessageError::Unknown {
            what: "kind",
            number: message.r#type,
        })?;
        let mut changes = Vec::with_capacity(message.changes.len());
        for change in message.changes {
            changes.extend(self.change(change)?);
        }
        Ok(Assignments {
            complete: kind == Type::Complete,
            applies_to: message.applies_to,
            results_in: message.results_in,
            changes,
        })
    }

    fn change(&mut self, change: api::AssignmentChange) -> Result<Option<Change>, MessageError> {
        let action = AssignmentAction::try_from(change.action);
        let action = action.map_err(|_| MessageError::Unknown {
            what: "action",
            number: change.action,
        })?;
        let item = change.assignment.and_then(|a| a.item);
        let item = item.ok_or(MessageError::Empty("an assignment"))?;
        let removed = action == AssignmentAction::Remove;
        Ok(match item {
            Item::Task(t) if removed => parse_id(&t.id).map(Change::RemoveTask),
            Item::Secret(s) if removed => parse_id(&s.id).map(Change::RemoveSecret),
            Item::Config(c) if removed => parse_id(&c.id).map(Change::RemoveConfig),
            Item::Task(t) => {
                let task = Task::try_from(t).map_err(unreadable("a task"))?;
                Some(Change::UpdateTask(Arc::new(self.share(task))))
            }
            Item::Secret(s) => {
                let secret = s.try_into().map_err(unreadable("a secret"))?;
                Some(Change::UpdateSecret(Arc::new(secret)))
            }
            Item::Config(c) => {
                let config = c.try_into().map_err(unreadable("a config"))?;
                Some(Change::UpdateConfig(Arc::new(config)))
            }
            // Cluster volumes are mounted by executors that have plugins for them; none has yet,
            // and a task that mounts one is rejected there with the reason.
            Item::Volume(_) => None,
        })
    }
}

/// An id this agent was given earlier; one it cannot read it was never given.
fn parse_id<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// Writes a report.
pub(crate) fn updates(statuses: &[(TaskId, TaskStatus)]) -> Vec<TaskStatusUpdate> {
    let update = |(task, status): &(TaskId, TaskStatus)| TaskStatusUpdate {
        task_id: task.to_string(),
        status: Some(status.into()),
    };
    statuses.iter().map(update).collect()
}
