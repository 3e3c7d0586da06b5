//! Tasks and their statuses.
//!
//! A task on the wire carries its own copy of the spec; in memory it shares the spec of its
//! service. Writing copies, reading makes a service spec that holds what the wire told.

use std::sync::Arc;

use types::service::{Endpoint, ServiceMode, ServiceSpec};
use types::task::{
    ContainerStatus, Task, TaskSpec, TaskStatus, VolumeAttachment, message as status_message,
};
use types::{Annotations, Driver, TaskState};

use super::meta::{index, version};
use super::time::{moment, timestamp};
use super::{
    ConvertError, Problem, Result, encoded, id, id_text, list, message, optional, optional_id,
    required,
};
use crate::api::{self, task_status::RuntimeStatus};

fn task_state(field: &str, number: i32) -> Result<TaskState> {
    TaskState::from_number(number)
        .ok_or_else(|| ConvertError::new(field, Problem::UnknownValue(number)))
}

impl From<TaskState> for api::TaskState {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::New => Self::New,
            TaskState::Pending => Self::Pending,
            TaskState::Assigned => Self::Assigned,
            TaskState::Accepted => Self::Accepted,
            TaskState::Preparing => Self::Preparing,
            TaskState::Ready => Self::Ready,
            TaskState::Starting => Self::Starting,
            TaskState::Running => Self::Running,
            TaskState::Complete => Self::Complete,
            TaskState::Shutdown => Self::Shutdown,
            TaskState::Failed => Self::Failed,
            TaskState::Rejected => Self::Rejected,
            TaskState::Remove => Self::Remove,
            TaskState::Orphaned => Self::Orphaned,
        }
    }
}

/// Reads a task together with the spec it carries.
///
/// The wire does not say the service's mode. As everywhere in SwarmKit, slot 0 means that the node
/// stands for the slot, and a job iteration that the task runs to completion.
impl TryFrom<api::Task> for Task {
    type Error = ConvertError;

    fn try_from(mut task: api::Task) -> Result<Self> {
        let spec: TaskSpec = required("spec", task.spec.take())?;
        let annotations = message("service_annotations", task.service_annotations.take())?;
        let mode = match (task.slot, &task.job_iteration) {
            (0, None) => ServiceMode::Global,
            (0, Some(_)) => ServiceMode::GlobalJob,
            (_, None) => ServiceMode::Replicated { replicas: 1 },
            (_, Some(_)) => ServiceMode::ReplicatedJob {
                max_concurrent: 1,
                total_completions: 1,
            },
        };
        let service_spec = ServiceSpec {
            annotations,
            task: spec,
            mode,
            ..ServiceSpec::default()
        };
        with_service_spec(task, Arc::new(service_spec))
    }
}

/// Reads a task whose service spec the caller has, for example because many tasks share it; the
/// spec that the message carries is not looked at.
///
/// # Errors
///
/// When a field other than the spec cannot be read.
pub fn with_service_spec(task: api::Task, service_spec: Arc<ServiceSpec>) -> Result<Task> {
    let annotations: Annotations = message("annotations", task.annotations)?;
    let endpoint: Option<Endpoint> = optional("endpoint", task.endpoint)?;
    let log_driver: Option<Driver> = task.log_driver.map(Into::into);
    Ok(Task {
        id: id("id", &task.id)?,
        meta: message("meta", task.meta)?,
        service_spec,
        spec_version: index(task.spec_version),
        service_id: optional_id("service_id", &task.service_id)?,
        slot: task.slot,
        node_id: optional_id("node_id", &task.node_id)?,
        annotations: (annotations != Annotations::default()).then(|| Box::new(annotations)),
        status: message("status", task.status)?,
        desired_state: task_state("desired_state", task.desired_state)?,
        networks: list("networks", task.networks)?.into(),
        endpoint: endpoint.map(Arc::new),
        log_driver: log_driver.map(Arc::new),
        assigned_generic_resources: list(
            "assigned_generic_resources",
            task.assigned_generic_resources,
        )?,
        job_iteration: index(task.job_iteration),
        volumes: list("volumes", task.volumes)?,
    })
}

impl From<&Task> for api::Task {
    fn from(task: &Task) -> Self {
        let annotations = task.annotations.as_deref();
        Self {
            id: task.id.to_string(),
            meta: Some((&task.meta).into()),
            spec: Some(task.spec().into()),
            service_id: id_text(task.service_id),
            slot: task.slot,
            node_id: id_text(task.node_id),
            annotations: Some(annotations.map(Into::into).unwrap_or_default()),
            service_annotations: Some(task.service_annotations().into()),
            status: Some((&task.status).into()),
            desired_state: api::TaskState::from(task.desired_state).into(),
            networks: encoded(&task.networks),
            endpoint: task.endpoint.as_deref().map(Into::into),
            log_driver: task.log_driver.as_deref().map(Into::into),
            spec_version: task.spec_version.map(version),
            assigned_generic_resources: encoded(&task.assigned_generic_resources),
            job_iteration: task.job_iteration.map(version),
            volumes: encoded(&task.volumes),
        }
    }
}

impl TryFrom<api::TaskStatus> for TaskStatus {
    type Error = ConvertError;

    fn try_from(status: api::TaskStatus) -> Result<Self> {
        let container = status
            .runtime_status
            .map(|RuntimeStatus::Container(c)| c.into());
        Ok(Self {
            timestamp: moment(status.timestamp),
            state: task_state("state", status.state)?,
            message: status_message(status.message),
            err: status.err.into(),
            container: container.map(Box::new),
            ports: list(
                "port_status.ports",
                status.port_status.unwrap_or_default().ports,
            )?,
            applied_by: optional_id("applied_by", &status.applied_by)?,
            applied_at: moment(status.applied_at),
        })
    }
}

impl From<&TaskStatus> for api::TaskStatus {
    fn from(status: &TaskStatus) -> Self {
        let container = status.container.as_deref().map(Into::into);
        let ports = api::PortStatus {
            ports: encoded(&status.ports),
        };
        Self {
            timestamp: timestamp(status.timestamp),
            state: api::TaskState::from(status.state).into(),
            message: status.message.to_string(),
            err: status.err.to_string(),
            runtime_status: container.map(RuntimeStatus::Container),
            port_status: (!ports.ports.is_empty()).then_some(ports),
            applied_by: id_text(status.applied_by),
            applied_at: timestamp(status.applied_at),
        }
    }
}

impl From<api::ContainerStatus> for ContainerStatus {
    fn from(status: api::ContainerStatus) -> Self {
        Self {
            container_id: status.container_id,
            pid: status.pid,
            exit_code: status.exit_code,
        }
    }
}

impl From<&ContainerStatus> for api::ContainerStatus {
    fn from(status: &ContainerStatus) -> Self {
        Self {
            container_id: status.container_id.clone(),
            pid: status.pid,
            exit_code: status.exit_code,
        }
    }
}

impl TryFrom<api::VolumeAttachment> for VolumeAttachment {
    type Error = ConvertError;

    fn try_from(attachment: api::VolumeAttachment) -> Result<Self> {
        Ok(Self {
            id: id("id", &attachment.id)?,
            source: attachment.source,
            target: attachment.target,
        })
    }
}

impl From<&VolumeAttachment> for api::VolumeAttachment {
    fn from(attachment: &VolumeAttachment) -> Self {
        Self {
            id: attachment.id.to_string(),
            source: attachment.source.clone(),
            target: attachment.target.clone(),
        }
    }
}
