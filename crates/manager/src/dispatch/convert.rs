//! Between the dispatcher's messages and the wire.

use dispatcher::{
    AssignmentChange, AssignmentKind, Assignments, CallError, Code, Item, ItemId, SessionMessage,
};
use tonic::Status;
use wire::api;
use wire::api::assignment::Item as Choice;

/// The status that a refused call or an ended stream carries.
pub(super) fn status(error: &CallError) -> Status {
    let code = match error.code() {
        Code::NotFound => tonic::Code::NotFound,
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::Aborted => tonic::Code::Aborted,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::Unavailable => tonic::Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

pub(super) fn session_message(message: &SessionMessage) -> api::SessionMessage {
    let manager = |m: &dispatcher::Manager| api::WeightedPeer {
        peer: Some(api::Peer {
            node_id: m.node.to_string(),
            addr: m.addr.clone(),
        }),
        weight: m.weight,
    };
    api::SessionMessage {
        session_id: message.session.to_string(),
        node: Some(message.node.as_ref().into()),
        managers: message.managers.iter().map(manager).collect(),
        network_bootstrap_keys: message.keys.iter().map(Into::into).collect(),
        root_ca: message.root_ca.clone(),
    }
}

/// Numbers travel as decimal text; before the first message it is empty.
fn number(n: u64) -> String {
    if n == 0 { String::new() } else { n.to_string() }
}

pub(super) fn assignments(message: &Assignments) -> api::AssignmentsMessage {
    use api::assignments_message::Type;
    let kind = match message.kind {
        AssignmentKind::Complete => Type::Complete,
        AssignmentKind::Incremental => Type::Incremental,
    };
    api::AssignmentsMessage {
        r#type: kind.into(),
        applies_to: number(message.applies_to),
        results_in: number(message.results_in),
        changes: message.changes.iter().map(change).collect(),
    }
}

fn change(change: &AssignmentChange) -> api::AssignmentChange {
    use api::assignment_change::AssignmentAction as Action;
    let (choice, action) = match change {
        AssignmentChange::Update(item) => (given(item), Action::Update),
        AssignmentChange::Remove(id) => (named(*id), Action::Remove),
    };
    api::AssignmentChange {
        assignment: Some(api::Assignment { item: Some(choice) }),
        action: action.into(),
    }
}

fn given(item: &Item) -> Choice {
    match item {
        Item::Task(task) => Choice::Task(task.as_ref().into()),
        Item::Secret(secret) => Choice::Secret(secret.as_ref().into()),
        Item::Config(config) => Choice::Config(config.as_ref().into()),
    }
}

/// A removal names the object by its id alone.
fn named(id: ItemId) -> Choice {
    match id {
        ItemId::Task(id) => Choice::Task(api::Task {
            id: id.to_string(),
            ..Default::default()
        }),
        ItemId::Secret(id) => Choice::Secret(api::Secret {
            id: id.to_string(),
            ..Default::default()
        }),
        ItemId::Config(id) => Choice::Config(api::Config {
            id: id.to_string(),
            ..Default::default()
        }),
    }
}
