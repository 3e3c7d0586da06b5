//! Objects and tasks in the form that log and snapshots hold.
//!
//! Unlike the conversions of the API this form keeps everything, and reading it refuses whatever
//! this version would not have written.

use std::sync::Arc;

use bytes::Bytes;
use store::{Key, Object};
use types::service::{Endpoint, ServiceSpec};
use types::task::{Task, TaskStatus, message};
use types::{Annotations, Cluster, Driver, Meta, NodeId, TaskId, TaskState, Timestamp};

use crate::api;
use crate::convert::ConvertError;
use crate::swarm::v1::{self, ObjectKind, object_record};

/// Bytes of an id.
pub(crate) const ID_BYTES: usize = 16;

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A field cannot be converted.
    #[error("{0}")]
    Convert(#[from] ConvertError),
    /// An id is not 16 bytes, or zero, or a column is not whole.
    #[error("{0} does not hold ids of {ID_BYTES} bytes")]
    Id(&'static str),
    /// Columns of a run differ in length.
    #[error("{0} and the tasks of the same run differ in number")]
    Columns(&'static str),
    /// A kind, state or alternative that this version does not know.
    #[error("{0} holds something that this version does not know")]
    Unknown(&'static str),
    /// A task names a revision that did not come before it.
    #[error("task {0} names a spec that is not there")]
    NoSpec(TaskId),
}

pub(crate) type Result<T> = std::result::Result<T, RecordError>;

/// Reads ids written one after the other.
pub(crate) fn ids<T>(
    field: &'static str,
    column: &[u8],
    read: fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>> {
    if !column.len().is_multiple_of(ID_BYTES) {
        return Err(RecordError::Id(field));
    }
    let read = |bytes| read(bytes).ok_or(RecordError::Id(field));
    column.chunks_exact(ID_BYTES).map(read).collect()
}

/// Writes ids one after the other.
pub(crate) fn column(ids: impl Iterator<Item = [u8; ID_BYTES]>) -> Bytes {
    ids.flatten().collect::<Vec<u8>>().into()
}

/// Reads one id.
pub(crate) fn id<T>(field: &'static str, bytes: &[u8], read: fn(&[u8]) -> Option<T>) -> Result<T> {
    read(bytes).ok_or(RecordError::Id(field))
}

fn optional_id<T>(
    field: &'static str,
    bytes: &[u8],
    read: fn(&[u8]) -> Option<T>,
) -> Result<Option<T>> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        id(field, bytes, read).map(Some)
    }
}

/// Writes one id.
pub(crate) fn id_bytes(id: [u8; ID_BYTES]) -> Bytes {
    Bytes::copy_from_slice(&id)
}

fn optional_id_bytes(id: Option<[u8; ID_BYTES]>) -> Bytes {
    id.map_or_else(Bytes::new, id_bytes)
}

/// Reads a task state.
pub(crate) fn task_state(field: &'static str, number: i32) -> Result<TaskState> {
    TaskState::from_number(number).ok_or(RecordError::Unknown(field))
}

/// Writes an object; a task with its whole spec.
pub(crate) fn object(object: &Object) -> v1::ObjectRecord {
    object_with(object, |_| false)
}

/// Writes an object; a task of which `known` is true without its spec.
pub(crate) fn object_with(object: &Object, known: impl Fn(&Task) -> bool) -> v1::ObjectRecord {
    use object_record::Object as Record;

    let record = match object {
        Object::Cluster(row) => Record::Cluster(cluster(row)),
        Object::Node(row) => Record::Node((&**row).into()),
        Object::Service(row) => Record::Service((&**row).into()),
        Object::Task(row) => Record::Task(task(row, known(row))),
        Object::Network(row) => Record::Network((&**row).into()),
        Object::Secret(row) => Record::Secret((&**row).into()),
        Object::Config(row) => Record::Config((&**row).into()),
        Object::Volume(row) => Record::Volume((&**row).into()),
        Object::Extension(row) => Record::Extension((&**row).into()),
        Object::Resource(row) => Record::Resource((&**row).into()),
    };
    v1::ObjectRecord {
        object: Some(record),
    }
}

/// Finds the shared parts of a task that its record only names or repeats.
pub(crate) trait Shared {
    /// The spec that the record names and does not carry.
    fn spec(&self, record: &v1::TaskRecord) -> Option<Arc<ServiceSpec>>;

    /// Makes a task share with others what is equal.
    fn share(&mut self, task: &mut Task);
}

/// Nothing is shared: every record carries its spec.
pub(crate) struct NothingShared;

impl Shared for NothingShared {
    fn spec(&self, _: &v1::TaskRecord) -> Option<Arc<ServiceSpec>> {
        None
    }

    fn share(&mut self, _: &mut Task) {}
}

/// Reads an object.
pub(crate) fn read_object(record: v1::ObjectRecord, shared: &mut dyn Shared) -> Result<Object> {
    use object_record::Object as Record;

    Ok(match record.object.ok_or(RecordError::Unknown("object"))? {
        Record::Cluster(row) => read_cluster(row)?.into(),
        Record::Node(row) => types::Node::try_from(row)?.into(),
        Record::Service(row) => types::Service::try_from(row)?.into(),
        Record::Task(row) => read_task(row, shared)?.into(),
        Record::Network(row) => types::Network::try_from(row)?.into(),
        Record::Secret(row) => types::Secret::try_from(row)?.into(),
        Record::Config(row) => types::Config::try_from(row)?.into(),
        Record::Volume(row) => types::Volume::try_from(row)?.into(),
        Record::Extension(row) => types::Extension::try_from(row)?.into(),
        Record::Resource(row) => types::Resource::try_from(row)?.into(),
    })
}

fn cluster(cluster: &Cluster) -> v1::ClusterRecord {
    v1::ClusterRecord {
        cluster: Some(cluster.into()),
        feature_level: cluster.feature_level,
    }
}

fn read_cluster(record: v1::ClusterRecord) -> Result<Cluster> {
    let cluster = record.cluster.ok_or(RecordError::Unknown("cluster"))?;
    Ok(Cluster {
        feature_level: record.feature_level,
        ..Cluster::try_from(cluster)?
    })
}

/// Writes an id with its kind.
pub(crate) fn key(key: Key) -> v1::ObjectKey {
    let (kind, id) = match key {
        Key::Cluster(id) => (ObjectKind::Cluster, id.to_bytes()),
        Key::Node(id) => (ObjectKind::Node, id.to_bytes()),
        Key::Service(id) => (ObjectKind::Service, id.to_bytes()),
        Key::Task(id) => (ObjectKind::Task, id.to_bytes()),
        Key::Network(id) => (ObjectKind::Network, id.to_bytes()),
        Key::Secret(id) => (ObjectKind::Secret, id.to_bytes()),
        Key::Config(id) => (ObjectKind::Config, id.to_bytes()),
        Key::Volume(id) => (ObjectKind::Volume, id.to_bytes()),
        Key::Extension(id) => (ObjectKind::Extension, id.to_bytes()),
        Key::Resource(id) => (ObjectKind::Resource, id.to_bytes()),
    };
    v1::ObjectKey {
        kind: kind.into(),
        id: id_bytes(id),
    }
}

/// Reads an id with its kind.
pub(crate) fn read_key(key: &v1::ObjectKey) -> Result<Key> {
    let kind = ObjectKind::try_from(key.kind).unwrap_or(ObjectKind::Unspecified);
    let bytes = &key.id[..];
    Ok(match kind {
        ObjectKind::Unspecified => return Err(RecordError::Unknown("kind")),
        ObjectKind::Cluster => Key::Cluster(id("id", bytes, types::ClusterId::from_bytes)?),
        ObjectKind::Node => Key::Node(id("id", bytes, NodeId::from_bytes)?),
        ObjectKind::Service => Key::Service(id("id", bytes, types::ServiceId::from_bytes)?),
        ObjectKind::Task => Key::Task(id("id", bytes, TaskId::from_bytes)?),
        ObjectKind::Network => Key::Network(id("id", bytes, types::NetworkId::from_bytes)?),
        ObjectKind::Secret => Key::Secret(id("id", bytes, types::SecretId::from_bytes)?),
        ObjectKind::Config => Key::Config(id("id", bytes, types::ConfigId::from_bytes)?),
        ObjectKind::Volume => Key::Volume(id("id", bytes, types::VolumeId::from_bytes)?),
        ObjectKind::Extension => Key::Extension(id("id", bytes, types::ExtensionId::from_bytes)?),
        ObjectKind::Resource => Key::Resource(id("id", bytes, types::ResourceId::from_bytes)?),
    })
}

fn task(task: &Task, spec_known: bool) -> v1::TaskRecord {
    v1::TaskRecord {
        id: id_bytes(task.id.to_bytes()),
        version: task.meta.version,
        created_at_ns: task.meta.created_at.0,
        updated_at_ns: task.meta.updated_at.0,
        service_id: optional_id_bytes(task.service_id.map(|id| id.to_bytes())),
        spec_version: task.spec_version,
        slot: task.slot,
        node_id: optional_id_bytes(task.node_id.map(|id| id.to_bytes())),
        annotations: task.annotations.as_deref().map(Into::into),
        status: Some(status(&task.status)),
        desired_state: task.desired_state.number(),
        networks: task.networks.iter().map(Into::into).collect(),
        endpoint: task.endpoint.as_deref().map(Into::into),
        log_driver: task.log_driver.as_deref().map(Into::into),
        assigned_generic_resources: generic(&task.assigned_generic_resources),
        job_iteration: task.job_iteration,
        volumes: task.volumes.iter().map(Into::into).collect(),
        service_spec: (!spec_known).then(|| (&*task.service_spec).into()),
    }
}

/// Writes generic resources.
pub(crate) fn generic(resources: &[types::GenericResource]) -> Vec<api::GenericResource> {
    resources.iter().map(Into::into).collect()
}

/// Reads a list of API messages.
pub(crate) fn list<A, D>(items: Vec<A>) -> Result<Vec<D>>
where
    D: TryFrom<A, Error = ConvertError>,
{
    let items: std::result::Result<_, _> = items.into_iter().map(D::try_from).collect();
    Ok(items?)
}

fn read_task(mut record: v1::TaskRecord, shared: &mut dyn Shared) -> Result<Task> {
    let id = id("id", &record.id, TaskId::from_bytes)?;
    let service_spec = match record.service_spec.take() {
        Some(spec) => Arc::new(ServiceSpec::try_from(spec)?),
        None => shared.spec(&record).ok_or(RecordError::NoSpec(id))?,
    };
    let endpoint = record.endpoint.map(Endpoint::try_from).transpose()?;
    let mut task = Task {
        id,
        meta: Meta {
            version: record.version,
            created_at: Timestamp(record.created_at_ns),
            updated_at: Timestamp(record.updated_at_ns),
        },
        service_spec,
        spec_version: record.spec_version,
        service_id: optional_id(
            "service_id",
            &record.service_id,
            types::ServiceId::from_bytes,
        )?,
        slot: record.slot,
        node_id: optional_id("node_id", &record.node_id, NodeId::from_bytes)?,
        annotations: record.annotations.map(|a| Box::new(Annotations::from(a))),
        status: read_status(record.status.unwrap_or_default())?,
        desired_state: task_state("desired_state", record.desired_state)?,
        networks: list(record.networks)?.into(),
        endpoint: endpoint.map(Arc::new),
        log_driver: record
            .log_driver
            .map(|driver| Arc::new(Driver::from(driver))),
        assigned_generic_resources: list(record.assigned_generic_resources)?,
        job_iteration: record.job_iteration,
        volumes: list(record.volumes)?,
    };
    shared.share(&mut task);
    Ok(task)
}

/// Writes a status.
pub(crate) fn status(status: &TaskStatus) -> v1::TaskStatusRecord {
    v1::TaskStatusRecord {
        timestamp_ns: status.timestamp.0,
        state: status.state.number(),
        message: status.message.to_string(),
        err: status.err.to_string(),
        container: status.container.as_deref().map(Into::into),
        ports: status.ports.iter().map(Into::into).collect(),
        applied_by: optional_id_bytes(status.applied_by.map(|id| id.to_bytes())),
        applied_at_ns: status.applied_at.0,
    }
}

/// Reads a status.
pub(crate) fn read_status(record: v1::TaskStatusRecord) -> Result<TaskStatus> {
    Ok(TaskStatus {
        timestamp: Timestamp(record.timestamp_ns),
        state: task_state("status.state", record.state)?,
        message: message(record.message),
        err: record.err.into(),
        container: record.container.map(|container| Box::new(container.into())),
        ports: list(record.ports)?,
        applied_by: read_applied_by(&record.applied_by)?,
        applied_at: Timestamp(record.applied_at_ns),
    })
}

/// Reads the manager that recorded a status.
pub(crate) fn read_applied_by(bytes: &[u8]) -> Result<Option<NodeId>> {
    optional_id("applied_by", bytes, NodeId::from_bytes)
}

/// Writes the manager that recorded a status.
pub(crate) fn applied_by(status: &TaskStatus) -> Bytes {
    optional_id_bytes(status.applied_by.map(|id| id.to_bytes()))
}
