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

use crate::expression::{self, Operator, ParseError, Parts, Pattern, Problem, Strength, edits};
use crate::images;
use crate::index::occupied;

/// Fixed keys, as they are shown; the second `container` is classic Swarm's word.
const FIXED_KEYS: [(&str, Key); 5] = [
    ("service", Key::Service),
    ("task", Key::Task),
    ("container", Key::Task),
    ("volume", Key::Volume),
    ("image", Key::Image),
];

/// Beginning of keys that name a label of services.
const LABEL_PREFIX: &str = "service.labels.";

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    key: Key,
    operator: Operator,
    strength: Strength,
    pattern: Pattern,
}

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
    read(text).map_err(|problem| ParseError {
        what: "affinity",
        text: text.to_owned(),
        problem,
    })
}

fn read(text: &str) -> Result<Affinity, Problem> {
    let Parts {
        key,
        operator,
        strength,
        value,
    } = expression::split(text)?;
    Ok(Affinity {
        key: known_key(key)?,
        operator,
        strength,
        pattern: Pattern::read(value)?,
    })
}

fn known_key(key: &str) -> Result<Key, Problem> {
    let fixed = FIXED_KEYS
        .iter()
        .find(|(name, _)| key.eq_ignore_ascii_case(name));
    if let Some((_, fixed)) = fixed {
        return Ok(fixed.clone());
    }
    let label = key
        .split_at_checked(LABEL_PREFIX.len())
        .filter(|(head, _)| head.eq_ignore_ascii_case(LABEL_PREFIX));
    match label {
        Some((_, "")) => Err(Problem::NoLabel(LABEL_PREFIX)),
        Some((_, name)) => Ok(Key::ServiceLabel(name.to_owned())),
        None => Err(Problem::UnknownKey {
            key: key.to_owned(),
            nearest: nearest_key(&key.to_ascii_lowercase()),
        }),
    }
}

fn nearest_key(key: &str) -> String {
    let names = FIXED_KEYS.iter().map(|(name, _)| *name);
    let head_len = key.len().min(LABEL_PREFIX.len());
    let label = (edits(&key[..head_len], LABEL_PREFIX), "service.labels.NAME");
    let fixed = names.map(|name| (edits(key, name), name));
    let nearest = fixed.chain([label]).min_by_key(|(distance, _)| *distance);
    nearest.map(|(_, name)| name.to_owned()).unwrap_or_default()
}

impl Affinity {
    /// Whether it only ranks nodes.
    pub fn is_soft(&self) -> bool {
        self.strength == Strength::Soft
    }

    /// How it is compared.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What on a node is compared.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Whether the first task of a service of this name could never satisfy it, because only tasks
    /// of the service itself can.
    pub fn waits_for_itself(&self, service: &str) -> bool {
        let named = self.pattern.exact();
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
            self.pattern.matches(image) || self.pattern.matches(images::without_tag(image))
        })
    }

    /// Whether it names a service, or something that the service's tasks bring along.
    pub(crate) fn names_service(&self, service: &Service) -> bool {
        let spec = &service.spec;
        match &self.key {
            Key::Service => {
                self.pattern.matches(&spec.annotations.name)
                    || self.pattern.matches(&service.id.to_string())
            }
            Key::ServiceLabel(name) => {
                let value = spec.annotations.labels.get(name);
                value.is_some_and(|v| self.pattern.matches(v))
            }
            Key::Volume => {
                let mounts = spec.task.container().map(|c| c.mounts.as_slice());
                let volumes = mounts.unwrap_or_default().iter();
                volumes
                    .filter(|m| m.kind == MountKind::Volume)
                    .any(|m| self.pattern.matches(&m.source))
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

    /// Whether a task that it names occupies the node.
    pub(crate) fn finds_task(&self, view: &State, node: NodeId) -> bool {
        let there = view.tasks().on_node(node);
        there.filter(|t| counts(t)).any(|t| self.names_task(t))
    }

    /// Whether it is one that names the task.
    pub(crate) fn names_task(&self, task: &Task) -> bool {
        let full = task_name(task);
        let id = task.id.to_string();
        let short = full.strip_suffix(&id).and_then(|s| s.strip_suffix('.'));
        self.pattern.matches(&full)
            || self.pattern.matches(&id)
            || short.is_some_and(|s| self.pattern.matches(s))
    }

    /// Whether a node has what it names, read from a state alone; `without` is not looked at.
    pub(crate) fn finds(&self, view: &State, node: &Node, without: Option<TaskId>) -> bool {
        let there = || {
            let tasks = view.tasks().on_node(node.id);
            tasks.filter(|t| counts(t) && Some(t.id) != without)
        };
        match self.key {
            Key::Image => self.finds_image(node),
            Key::Task => there().any(|t| self.names_task(t)),
            Key::Service | Key::Volume | Key::ServiceLabel(_) => {
                let services: BTreeSet<ServiceId> = there().filter_map(|t| t.service_id).collect();
                let services = services.into_iter();
                let mut services = services.filter_map(|id| view.services().get(id));
                services.any(|s: &Arc<Service>| self.names_service(s))
            }
        }
    }
}

/// Whether a task counts for affinities: it occupies a node and is not told to stop.
fn counts(task: &Task) -> bool {
    occupied(task).is_some() && task.desired_state <= TaskState::Complete
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            operator,
            strength,
            pattern,
        } = self;
        write!(f, "{key}{operator}{strength}{pattern}")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("service"),
            Self::Task => f.write_str("task"),
            Self::Volume => f.write_str("volume"),
            Self::Image => f.write_str("image"),
            Self::ServiceLabel(name) => write!(f, "{LABEL_PREFIX}{name}"),
        }
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
            ("service.label.x==y", "service.labels.NAME"),
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
