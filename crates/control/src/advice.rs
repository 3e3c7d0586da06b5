//! What can be done about a task that waits, in sentences with the command to type. Says nothing
//! of tasks that wait for nothing, and changes nothing.

use allocator::Missing;
use scheduler::Filter;
use scheduler::explain::{Exhausted, Explanation, Nearest};
use store::State;
use types::{Task, TaskState};

use crate::explain::amount;

/// How a machine joins.
const JOIN: &str = "join another machine (`swarmctl join-token worker` shows how)";

/// What can be done about a task, as the scheduler sees it.
pub(crate) fn on(view: &State, task: &Task, seen: &Explanation) -> Vec<String> {
    if task.status.state == TaskState::New
        && let Some(unmet) = allocator::unmet(view, &task.service_spec)
    {
        return on_order(task, &unmet).into_iter().collect();
    }
    if seen.suitable > 0 {
        return Vec::new();
    }
    let short = seen.exhausted.iter().map(shortage);
    let nearest = seen.nearest.as_ref();
    // Of the room that is coming a task need not know how to do without.
    let nearest = nearest.filter(|_| seen.coming.is_empty());
    let rule = match nearest {
        Some(nearest) => on_rule(task, seen, nearest),
        None if seen.evaluated == 0 => Some(format!("the cluster has no nodes: {JOIN}")),
        None => None,
    };
    short
        .chain(coming(seen))
        .chain(displacing(view, seen))
        .chain(rule)
        .collect()
}

fn on_order(task: &Task, unmet: &allocator::Unmet) -> Option<String> {
    let (own, other) = (&task.service_annotations().name, &unmet.service);
    let first = match unmet.missing {
        Missing::Service => format!("create service {other}"),
        // The reason says what to write instead.
        Missing::OtherMode => return None,
        _ => format!("look at what service {other} waits for (`swarmctl service ps {other}`)"),
    };
    let rm = format!("swarmctl service update --depends-on-rm {other} {own}");
    Some(format!("{first}, or start without it: `{rm}`"))
}

fn shortage(short: &Exhausted) -> String {
    let (wanted, free) = (
        amount(&short.resource, short.wanted),
        amount(&short.resource, short.free_max),
    );
    let of = if short.resource == "memory" {
        " of memory"
    } else {
        ""
    };
    format!("it reserves {wanted}{of}; the most that is free on one node is {free}")
}

fn coming(seen: &Explanation) -> impl Iterator<Item = String> {
    seen.coming.iter().map(|room| {
        let tasks = match room.ending.len() {
            1 => "a task".to_owned(),
            n => format!("{n} tasks"),
        };
        format!(
            "{tasks} of lower priority on {} must end first, and then it is placed there",
            room.hostname
        )
    })
}

fn displacing(view: &State, seen: &Explanation) -> Option<String> {
    let preempts = |c: &types::Cluster| c.spec.options.preemption;
    let may_displace = !seen.exhausted.is_empty() && seen.priority > 0;
    let off = may_displace && !view.cluster().is_some_and(|c| preempts(c));
    off.then(|| {
        "`swarmctl cluster update --preemption on` lets it displace tasks of lower priority"
            .to_owned()
    })
}

/// What makes the node that comes closest fit, or the task fit there.
fn on_rule(task: &Task, seen: &Explanation, nearest: &Nearest) -> Option<String> {
    let host = match nearest.example.hostname.as_str() {
        "" => nearest.example.node.to_string(),
        name => name.to_owned(),
    };
    let service = task.service_annotations().name.as_str();
    let update = |flags: &str| format!("`swarmctl service update {flags} {service}`");
    // A task that was made for its node gains nothing by others.
    let join = |or: &str| match seen.node {
        Some(_) => String::new(),
        None => format!("{JOIN}{or}"),
    };
    let expression = || nearest.expression.as_deref().map(quoted);
    Some(match nearest.filter {
        Filter::Volumes => "use a mount of type volume or bind instead".to_owned(),
        Filter::Ready => format!(
            "{}see with `swarmctl node ls` which nodes are not ready and start swarmd there",
            join(", or ")
        ),
        Filter::Availability => format!(
            "`swarmctl node update --availability active {host}` lets {host} take tasks again"
        ),
        Filter::Platform => {
            format!("{}use an image that is built for {host} too", join(", or "))
        }
        Filter::Plugins => {
            format!("install on {host} what it lacks, or take it out of the service")
        }
        Filter::Constraints => {
            let drop = update(&format!("--constraint-rm {}", expression()?));
            match &nearest.label {
                Some((name, value)) => {
                    let label = quoted(&format!("{name}={value}"));
                    format!(
                        "`swarmctl node update --label-add {label} {host}` makes it hold for \
                         {host}; {drop} does without it"
                    )
                }
                None => format!("{drop} does without it"),
            }
        }
        Filter::Affinity => {
            let drop = update(&format!("--affinity-rm {}", expression()?));
            format!("{drop} does without it")
        }
        Filter::Resources => format!(
            "{}free room on a node, or let it reserve less ({})",
            join(", "),
            update(reserve_flag(seen))
        ),
        Filter::HostPorts => format!(
            "{}each node has a port only once: publish another one, or run fewer replicas",
            join(", or ")
        ),
        Filter::MaxReplicas => format!(
            "{}{} allows more on each node",
            join(", or: "),
            update("--replicas-max-per-node N")
        ),
    })
}

/// The flag that changes what is short.
fn reserve_flag(seen: &Explanation) -> &'static str {
    match seen.exhausted.first().map(|e| e.resource.as_str()) {
        Some("cpu") => "--reserve-cpu CORES",
        Some("memory") | None => "--reserve-memory SIZE",
        Some(_) => "--generic-resource-add KIND=COUNT",
    }
}

/// A text as a shell takes it for one word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use types::node::NodeDescription;
    use types::resources::Resources;
    use types::task::Placement;
    use types::{Availability, Node, NodeId, NodeSpec, NodeState, ServiceSpec, Timestamp};

    use super::*;
    use crate::testing::tables;

    fn advice(nodes: impl Fn(&mut Node), spec: impl Fn(&mut ServiceSpec)) -> Vec<String> {
        let mut task = executor::testing::task_of("web", spec);
        task.status.state = TaskState::Pending;
        task.node_id = None;
        let mut node = Node::new(NodeId::MAX, NodeSpec::default());
        node.status.state = NodeState::Ready;
        node.description = Some(std::sync::Arc::new(NodeDescription {
            hostname: "rack1".into(),
            resources: Resources::default(),
            ..NodeDescription::default()
        }));
        nodes(&mut node);
        let id = task.id;
        let state = tables(Timestamp::from_secs(1), [node.into(), task.into()]);
        let task = state.tasks().get(id).unwrap();
        let seen = scheduler::explain::task(&state, id, Timestamp::from_secs(2)).unwrap();
        on(&state, task, &seen)
    }

    fn constrained(expression: &str) -> impl Fn(&mut ServiceSpec) {
        move |spec| {
            let placement = spec.task.placement.get_or_insert_with(Placement::default);
            placement.constraints = vec![expression.to_owned()];
        }
    }

    #[test]
    fn a_label_that_is_missing_can_be_set_or_done_without() {
        let said = advice(|_| {}, constrained("node.labels.disk == ssd"));
        let expected = "`swarmctl node update --label-add 'disk=ssd' rack1` makes it hold for \
                        rack1; `swarmctl service update --constraint-rm \
                        'node.labels.disk==ssd' web` does without it";
        assert_eq!(said, [expected]);
    }

    #[test]
    fn no_label_is_proposed_where_none_would_help() {
        for expression in [
            "node.hostname==rack2",
            "node.labels.a==x*",
            "node.labels.a==/x/",
        ] {
            let said = advice(|_| {}, constrained(expression));
            let drop = format!("`swarmctl service update --constraint-rm '{expression}' web`");
            assert_eq!(said, [format!("{drop} does without it")]);
        }
    }

    #[test]
    fn every_rule_that_refuses_says_what_to_do() {
        let drained = advice(|n| n.spec.availability = Availability::Drain, |_| {});
        assert!(drained[0].starts_with("`swarmctl node update --availability active rack1`"));
        let down = advice(|n| n.status.state = NodeState::Down, |_| {});
        assert!(down[0].contains("swarmctl join-token worker"), "{down:?}");
        let full = advice(
            |_| {},
            |spec| {
                spec.task.resources.reservations = Some(Resources {
                    nano_cpus: 2_000_000_000,
                    ..Resources::default()
                });
            },
        );
        assert!(full.iter().any(|s| s.contains("--reserve-cpu")), "{full:?}");
        let apart = advice(
            |_| {},
            |spec| {
                spec.options.affinities = vec!["service==db".to_owned()];
            },
        );
        assert!(
            apart[0].contains("--affinity-rm 'service==db'"),
            "{apart:?}"
        );
    }
}
