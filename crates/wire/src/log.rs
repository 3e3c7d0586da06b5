//! Transactions as log entries.
//!
//! Runs of equal actions share one message with columns of ids, so that ten thousand new tasks are
//! some 170 KB and not megabytes. The order of actions is kept.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use store::{Action, Digest, NewTask, Transaction};
use types::task::TaskStatus;
use types::{NodeId, ServiceId, TaskId, Timestamp};

use crate::record::{self, RecordError, applied_by, column, id, id_bytes, ids};
use crate::swarm::v1::{self, action, report};

/// First byte of an entry. It rises when an older manager could misread an entry.
const FORMAT: u8 = 1;

/// Why an entry cannot be read. The manager must stop: it cannot know what others did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The entry is empty.
    #[error("the log entry is empty")]
    Empty,
    /// The entry was written by a newer version.
    #[error("the log entry has format {found}, this version reads {FORMAT}: upgrade this manager")]
    Format {
        /// Its format.
        found: u8,
    },
    /// The entry is no transaction.
    #[error("the log entry is corrupt: {0}")]
    Corrupt(String),
    /// The entry has a field that this version does not know.
    #[error("the log entry has fields that this version does not know: upgrade this manager")]
    UnknownField,
    /// An action is of a kind that this version does not know.
    #[error("action {index} of the log entry is of an unknown kind: upgrade this manager")]
    UnknownAction {
        /// Place of the action in the entry.
        index: usize,
    },
    /// An action cannot be read.
    #[error("action {index} of the log entry cannot be read: {source}")]
    Action {
        /// Place of the action in the entry.
        index: usize,
        /// Why.
        source: RecordError,
    },
}

/// Writes a transaction as a log entry.
pub fn encode_transaction(transaction: &Transaction) -> Bytes {
    let message = v1::Transaction {
        version: transaction.version,
        at_ns: transaction.at.0,
        actions: runs(&transaction.actions).map(encode_run).collect(),
        digest: transaction.digest.map(Digest::get),
    };
    let mut entry = BytesMut::with_capacity(1 + message.encoded_len());
    entry.put_u8(FORMAT);
    message.encode_raw(&mut entry);
    entry.freeze()
}

/// Reads a log entry.
///
/// # Errors
///
/// When the entry is not exactly what this version would have written.
pub fn decode_transaction(entry: &Bytes) -> Result<Transaction, LogError> {
    let format = *entry.first().ok_or(LogError::Empty)?;
    if format != FORMAT {
        return Err(LogError::Format { found: format });
    }
    let body = entry.slice(1..);
    let length = body.len();
    let message = v1::Transaction::decode(body).map_err(|e| LogError::Corrupt(e.to_string()))?;
    let mut actions = Vec::with_capacity(message.actions.len());
    // Only what was decoded is counted: a difference is something that was skipped as unknown.
    let known_length = message.encoded_len();
    for (index, action) in message.actions.into_iter().enumerate() {
        let action = action.action.ok_or(LogError::UnknownAction { index })?;
        let read = decode_run(action, &mut actions);
        read.map_err(|source| LogError::Action { index, source })?;
    }
    if known_length != length {
        return Err(LogError::UnknownField);
    }
    Ok(Transaction {
        version: message.version,
        at: Timestamp(message.at_ns),
        actions,
        digest: message.digest.map(Digest::from_number),
    })
}

/// Cuts actions into runs that share one message.
fn runs(actions: &[Action]) -> impl Iterator<Item = &[Action]> {
    actions.chunk_by(joins)
}

fn joins(a: &Action, b: &Action) -> bool {
    match (a, b) {
        (Action::NewTask(a), Action::NewTask(b)) => {
            a.service == b.service
                && a.spec_version == b.spec_version
                && a.desired_state == b.desired_state
                && a.job_iteration == b.job_iteration
                && a.node.is_some() == b.node.is_some()
        }
        (Action::Allocate { .. }, Action::Allocate { .. }) => true,
        (Action::Assign { .. }, Action::Assign { .. }) => is_plain(a) && is_plain(b),
        (Action::Desire { state: a, .. }, Action::Desire { state: b, .. }) => a == b,
        (Action::Report { status: a, .. }, Action::Report { status: b, .. }) => {
            a.applied_by == b.applied_by && a.applied_at == b.applied_at
        }
        _ => false,
    }
}

/// Whether an assignment gives a node and nothing else.
fn is_plain(action: &Action) -> bool {
    matches!(action, Action::Assign { generic, volumes, .. }
        if generic.is_empty() && volumes.is_empty())
}

fn encode_run(run: &[Action]) -> v1::Action {
    use action::Action as Wire;

    let action = match &run[0] {
        Action::Create(object) => Wire::Create(record::object(object)),
        Action::Update(object) => Wire::Update(record::object(object)),
        Action::Remove(key) => Wire::Remove(record::key(*key)),
        Action::NewTask(first) => Wire::NewTasks(new_tasks(first, run)),
        Action::Allocate { .. } => Wire::Allocate(v1::Allocate {
            task_ids: task_ids(run),
        }),
        plain @ Action::Assign { .. } if is_plain(plain) => Wire::Assign(v1::Assign {
            task_ids: task_ids(run),
            node_ids: node_ids(run),
        }),
        Action::Assign {
            task,
            node,
            generic,
            volumes,
        } => Wire::AssignWith(v1::AssignWith {
            task_id: id_bytes(task.to_bytes()),
            node_id: id_bytes(node.to_bytes()),
            generic: record::generic(generic),
            volumes: volumes.iter().map(Into::into).collect(),
        }),
        Action::Report { status, .. } => Wire::Report(v1::Report {
            applied_by: applied_by(status),
            applied_at_ns: status.applied_at.0,
            items: run.iter().filter_map(report_item).collect(),
        }),
        Action::Desire { state, .. } => Wire::Desire(v1::Desire {
            state: state.number(),
            task_ids: task_ids(run),
        }),
    };
    v1::Action {
        action: Some(action),
    }
}

fn new_tasks(first: &NewTask, run: &[Action]) -> v1::NewTasks {
    let slot = |action: &Action| match action {
        Action::NewTask(new) => Some(new.slot),
        _ => None,
    };
    v1::NewTasks {
        service_id: id_bytes(first.service.to_bytes()),
        spec_version: first.spec_version,
        desired_state: first.desired_state.number(),
        job_iteration: first.job_iteration,
        task_ids: task_ids(run),
        slots: run.iter().filter_map(slot).collect(),
        node_ids: node_ids(run),
    }
}

fn task_ids(run: &[Action]) -> Bytes {
    let id = |action: &Action| match action {
        Action::NewTask(new) => Some(new.id.to_bytes()),
        Action::Allocate { task }
        | Action::Assign { task, .. }
        | Action::Report { task, .. }
        | Action::Desire { task, .. } => Some(task.to_bytes()),
        Action::Create(_) | Action::Update(_) | Action::Remove(_) => None,
    };
    column(run.iter().filter_map(id))
}

fn node_ids(run: &[Action]) -> Bytes {
    let id = |action: &Action| match action {
        Action::NewTask(new) => new.node.map(|node| node.to_bytes()),
        Action::Assign { node, .. } => Some(node.to_bytes()),
        _ => None,
    };
    column(run.iter().filter_map(id))
}

fn report_item(action: &Action) -> Option<report::Item> {
    let Action::Report { task, status } = action else {
        return None;
    };
    Some(report::Item {
        task_id: id_bytes(task.to_bytes()),
        status: Some(v1::TaskStatusRecord {
            applied_by: Bytes::new(),
            applied_at_ns: 0,
            ..record::status(status)
        }),
    })
}

fn decode_run(action: action::Action, out: &mut Vec<Action>) -> Result<(), RecordError> {
    use action::Action as Wire;

    let nothing_shared = &mut record::NothingShared;
    match action {
        Wire::Create(object) => {
            out.push(Action::Create(record::read_object(object, nothing_shared)?));
        }
        Wire::Update(object) => {
            out.push(Action::Update(record::read_object(object, nothing_shared)?));
        }
        Wire::Remove(key) => out.push(Action::Remove(record::read_key(&key)?)),
        Wire::NewTasks(run) => read_new_tasks(&run, out)?,
        Wire::Allocate(run) => {
            let tasks = ids("allocate.task_ids", &run.task_ids, TaskId::from_bytes)?;
            out.extend(tasks.into_iter().map(|task| Action::Allocate { task }));
        }
        Wire::Assign(run) => read_assign(&run, out)?,
        Wire::AssignWith(assign) => out.push(read_assign_with(assign)?),
        Wire::Report(run) => read_reports(run, out)?,
        Wire::Desire(run) => {
            let state = record::task_state("desire.state", run.state)?;
            let tasks = ids("desire.task_ids", &run.task_ids, TaskId::from_bytes)?;
            out.extend(tasks.into_iter().map(|task| Action::Desire { task, state }));
        }
    }
    Ok(())
}

fn read_new_tasks(run: &v1::NewTasks, out: &mut Vec<Action>) -> Result<(), RecordError> {
    let service = id(
        "new_tasks.service_id",
        &run.service_id,
        ServiceId::from_bytes,
    )?;
    let desired_state = record::task_state("new_tasks.desired_state", run.desired_state)?;
    let tasks = ids("new_tasks.task_ids", &run.task_ids, TaskId::from_bytes)?;
    let nodes = ids("new_tasks.node_ids", &run.node_ids, NodeId::from_bytes)?;
    if run.slots.len() != tasks.len() {
        return Err(RecordError::Columns("new_tasks.slots"));
    }
    if !nodes.is_empty() && nodes.len() != tasks.len() {
        return Err(RecordError::Columns("new_tasks.node_ids"));
    }
    let rows = tasks.into_iter().zip(&run.slots).enumerate();
    out.extend(rows.map(|(i, (id, slot))| {
        Action::NewTask(NewTask {
            id,
            service,
            spec_version: run.spec_version,
            slot: *slot,
            node: nodes.get(i).copied(),
            desired_state,
            job_iteration: run.job_iteration,
        })
    }));
    Ok(())
}

fn read_assign(run: &v1::Assign, out: &mut Vec<Action>) -> Result<(), RecordError> {
    let tasks = ids("assign.task_ids", &run.task_ids, TaskId::from_bytes)?;
    let nodes = ids("assign.node_ids", &run.node_ids, NodeId::from_bytes)?;
    if nodes.len() != tasks.len() {
        return Err(RecordError::Columns("assign.node_ids"));
    }
    let rows = tasks.into_iter().zip(nodes);
    out.extend(rows.map(|(task, node)| Action::Assign {
        task,
        node,
        generic: Vec::new(),
        volumes: Vec::new(),
    }));
    Ok(())
}

fn read_assign_with(assign: v1::AssignWith) -> Result<Action, RecordError> {
    Ok(Action::Assign {
        task: id("assign_with.task_id", &assign.task_id, TaskId::from_bytes)?,
        node: id("assign_with.node_id", &assign.node_id, NodeId::from_bytes)?,
        generic: record::list(assign.generic)?,
        volumes: record::list(assign.volumes)?,
    })
}

fn read_reports(run: v1::Report, out: &mut Vec<Action>) -> Result<(), RecordError> {
    let applied_by = record::read_applied_by(&run.applied_by)?;
    let applied_at = Timestamp(run.applied_at_ns);
    for item in run.items {
        let status = TaskStatus {
            applied_by,
            applied_at,
            ..record::read_status(item.status.unwrap_or_default())?
        };
        out.push(Action::Report {
            task: id("report.task_id", &item.task_id, TaskId::from_bytes)?,
            status: Box::new(status),
        });
    }
    Ok(())
}
