//! Affinities: expressions over what already runs on a node, and over the images it holds.
//!
//! `service==web` asks for a node with a task of the service `web`, `task==web.3` for the node of
//! that task, `volume==data` for one where a task mounts the named volume `data`, `image==redis*`
//! for one that holds such an image; `!=` asks for the opposite, and `~` makes it a wish. Tasks
//! count while they occupy a node and are not told to stop.
//!
//! The language is that of `expression`. Nothing here ranks nodes or keeps an index.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use store::State;
use types::container::MountKind;
use types::naming::task_name;
use types::{Node, NodeId, Service, ServiceId, Task, TaskId, TaskState};

use crate::expression::{
    self, Expression, LabelKeys, Operator, ParseError, Pattern, Strength, Vocabulary,
};
use crate::images;
use crate::index::occupied;

/// One expression.
pub type Affinity = Expression<Key, Pattern>;

/// Beginning of keys that name a label of services.
const LABEL_PREFIX: &str = "service.labels.";

/// What on a node is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// `service`: names and ids of services that have tasks there.
    Service,
    /// `task` or `container`: tasks there, by id, `SERVICE.SLOT` or full name.
    Task,
    /// `volume`: named volumes that services with tasks there mount.
    Volume,
    /// `image`: images that the node says it holds, with or without tag.
    Image,
    /// `service.labels.NAME`: that label of services that have tasks there.
    ServiceLabel(String),
}

/// Reads one expression.
///
/// # Errors
/// If it is not an expression or its key is unknown.
pub fn parse(text: &str) -> Result<Affinity, ParseError> {
    expression::read(text, |_: &Key, value| Pattern::read(value))
}

impl Vocabulary for Key {
    const WHAT: &'static str = "affinity";
    /// `container` is classic Swarm's word.
    const FIXED: &'static [(&'static str, Self)] = &[
        ("service", Self::Service),
        ("task", Self::Task),
        ("container", Self::Task),
        ("volume", Self::Volume),
        ("image", Self::Image),
    ];
    const LABELS: LabelKeys<Self> = &[(LABEL_PREFIX, Self::ServiceLabel)];

    fn label(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::ServiceLabel(name) => Some((LABEL_PREFIX, name)),
            _ => None,
        }
    }
}

impl Affinity {
    /// Whether the first task of a service of this name could never satisfy it, because only tasks
    /// of the service itself can.
    pub fn waits_for_itself(&self, service: &str) -> bool {
        let named = self.value.exact();
        self.key == Key::Service
            && self.operator == Operator::Equal
            && self.strength == Strength::Hard
            && named.is_some_and(|name| name.eq_ignore_ascii_case(service))
    }

    /// Whether it asks for what it names, and does not shun it.
    pub(crate) fn wants(&self) -> bool {
        self.operator == Operator::Equal
    }

    /// Whether it depends on the node alone and not on what runs there.
    pub(crate) fn is_static(&self) -> bool {
        self.key == Key::Image
    }

    /// Whether single tasks matter, not only the services they belong to.
    pub(crate) fn asks_for_tasks(&self) -> bool {
        self.key == Key::Task
    }

    /// Whether it holds, given whether a node has what it names.
    pub(crate) fn holds(&self, found: bool) -> bool {
        self.operator.holds(found)
    }

    /// Whether a node holds an image that it names.
    pub(crate) fn finds_image(&self, node: &Node) -> bool {
        images::held(node).any(|image| {
            self.value.matches(image) || self.value.matches(images::without_tag(image))
        })
    }

    /// Whether it names a service, or something that the service's tasks bring along.
    pub(crate) fn names_service(&self, service: &Service) -> bool {
        let spec = &service.spec;
        match &self.key {
            Key::Service => {
                self.value.matches(&spec.annotations.name)
                    || self.value.matches(&service.id.to_string())
            }
            Key::ServiceLabel(name) => {
                let value = spec.annotations.labels.get(name);
                value.is_some_and(|v| self.value.matches(v))
            }
            Key::Volume => {
                let mounts = spec.task.container().map(|c| c.mounts.as_slice());
                let volumes = mounts.unwrap_or_default().iter();
                volumes
                    .filter(|m| m.kind == MountKind::Volume)
                    .any(|m| self.value.matches(&m.source))
            }
            Key::Task | Key::Image => false,
        }
    }

    /// Services that it names.
    pub(crate) fn services(&self, view: &State) -> BTreeSet<ServiceId> {
        if self.is_static() || self.asks_for_tasks() {
            return BTreeSet::new();
        }
        let all = view.services().iter();
        all.filter(|s| self.names_service(s))
            .map(|s| s.id)
            .collect()
    }

    /// Whether a task that it names occupies the node; `without` is not looked at.
    pub(crate) fn finds_task(&self, view: &State, node: NodeId, without: Option<TaskId>) -> bool {
        there(view, node, without).any(|t| self.names_task(t))
    }

    /// Whether it is one that names the task.
    pub(crate) fn names_task(&self, task: &Task) -> bool {
        let full = task_name(task);
        let id = task.id.to_string();
        let short = full.strip_suffix(&id).and_then(|s| s.strip_suffix('.'));
        self.value.matches(&full)
            || self.value.matches(&id)
            || short.is_some_and(|s| self.value.matches(s))
    }

    /// Whether a node has what it names, read from a state alone; `without` is not looked at.
    pub(crate) fn finds(&self, view: &State, node: &Node, without: Option<TaskId>) -> bool {
        match self.key {
            Key::Image => self.finds_image(node),
            Key::Task => self.finds_task(view, node.id, without),
            Key::Service | Key::Volume | Key::ServiceLabel(_) => {
                let there = there(view, node.id, without);
                let services: BTreeSet<ServiceId> = there.filter_map(|t| t.service_id).collect();
                let services = services.into_iter();
                let mut services = services.filter_map(|id| view.services().get(id));
                services.any(|s: &Arc<Service>| self.names_service(s))
            }
        }
    }
}

/// Tasks that count for affinities: they occupy the node and are not told to stop.
fn there(view: &State, node: NodeId, without: Option<TaskId>) -> impl Iterator<Item = &Arc<Task>> {
    let counts = move |task: &&Arc<Task>| {
        occupied(task).is_some()
            && task.desired_state <= TaskState::Complete
            && Some(task.id) != without
    };
    view.tasks().on_node(node).filter(counts)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expression::show_key(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_prints_as_it_is_understood() {
        for text in [
            "service==web",
            "service!=~/db.*/",
            "volume==data",
            "image==~redis*",
            "service.labels.Tier==front",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            parse("Container!=web.*").unwrap().to_string(),
            "task!=web.*"
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        for (text, want) in [
            ("services==web", "\"service\""),
            ("img==redis", "\"image\""),
            ("service.label.x==y", "\"service.labels.x\""),
            ("service.labels.==y", "service.labels.NAME"),
            ("volumes-from==x", "\"volume\""),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.starts_with("affinity "), "{error}");
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn only_a_hard_wish_for_the_service_itself_waits_for_itself() {
        let waits = |text: &str| parse(text).unwrap().waits_for_itself("web");
        assert!(waits("service==web"));
        assert!(!waits("service==~web") && !waits("service!=web") && !waits("service==we*"));
    }
}
