//! Actions in few words, for the rows that people read.

use dispatcher::{AssignmentChange, Assignments, Item, ItemId};
use store::{Action, Object};

/// The last characters of an id: the first ones of random ids are much alike.
pub(crate) fn short(id: impl std::fmt::Display) -> String {
    let text = id.to_string();
    text[text.len().saturating_sub(5)..].to_owned()
}

/// An action.
pub(crate) fn action(action: &Action) -> String {
    match action {
        Action::Create(object) => format!("create {}", object_name(object)),
        Action::Update(object) => format!("update {}", object_name(object)),
        Action::Remove(key) => format!("remove {key:?}"),
        Action::NewTask(new) => {
            let (id, service) = (short(new.id), short(new.service));
            let (slot, wanted, version) = (new.slot, new.desired_state, new.spec_version);
            let node = new.node.map(short).unwrap_or_default();
            format!("new {id} of {service}/{slot}{node} spec {version} wanted {wanted}")
        }
        Action::Allocate { task } => format!("allocate {}", short(task)),
        Action::Assign { task, node, .. } => format!("assign {} to {}", short(task), short(node)),
        Action::Report { task, status } => {
            format!("{} is {} {}", short(task), status.state, status.err)
        }
        Action::Desire { task, state } => format!("want {} {state}", short(task)),
    }
}

fn object_name(object: &Object) -> String {
    match object {
        Object::Service(s) => {
            let status = s.update_status.as_ref().map(|u| (u.state, &u.message));
            let (id, version) = (short(s.id), s.spec_version);
            format!("service {id} spec {version} {:?} {status:?}", s.spec.mode)
        }
        Object::Node(n) => {
            let available = n.spec.availability.name();
            let (id, state) = (short(n.id), n.status.state.name());
            let (role, wanted) = (n.role.name(), n.spec.desired_role.name());
            format!("node {id} {state} {available} {role} wanted {wanted}")
        }
        other => format!("{:?}", other.key()),
    }
}

/// What an agent is told.
pub(crate) fn assignments(message: &Assignments) -> String {
    let one = |change: &AssignmentChange| match change {
        AssignmentChange::Update(Item::Task(t)) => {
            format!(
                "{} {} wanted {}",
                short(t.id),
                t.status.state,
                t.desired_state
            )
        }
        AssignmentChange::Remove(ItemId::Task(id)) => format!("no more {}", short(id)),
        _ => "another thing".into(),
    };
    let all: Vec<_> = message.changes.iter().map(one).collect();
    let (kind, number) = (message.kind, message.results_in);
    format!("is told {kind:?} {number}: {}", all.join(", "))
}
