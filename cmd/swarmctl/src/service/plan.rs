//! `service plan` and `--dry-run`: what a change would do, without doing it.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Value, json};
use wire::api;
use wire::swarm::v1::{PlanServiceRequest, PlanServiceResponse, PlannedNode};

use crate::client::{Client, call};
use crate::error::{CliError, Result};
use crate::out::listing::unescape;
use crate::out::table::align;
use crate::out::template::Template;
use crate::{out, show};

/// Changed fields that are printed; a new service shows none.
const FIELDS_MAX: usize = 200;

/// Flags of every command that can be rehearsed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Rehearsal")]
pub struct PlanArgs {
    /// Show what would change and where the tasks would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Format of what is shown: "json" or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Refuse if the service is not at this version any more, as a rehearsal showed it
    #[arg(long, value_name = "VERSION")]
    pub check_version: Option<u64>,
}

impl PlanArgs {
    /// Refuses what makes no sense where a change is made unless it is rehearsed.
    ///
    /// # Errors
    /// If there is a format and nothing to show.
    pub fn check(&self) -> Result<()> {
        match &self.format {
            Some(format) if !self.dry_run => {
                let why = "it is the format of what --dry-run shows, give that too";
                Err(CliError::flag("format", format, why))
            }
            _ => Ok(()),
        }
    }
}

/// Asks the leader what a change would do, and prints it.
///
/// # Errors
/// If the change would be refused, or the format makes no sense.
pub async fn show(
    client: &Client,
    attempt: &str,
    request: PlanServiceRequest,
    format: Option<&str>,
) -> Result<()> {
    let plan = call(attempt, client.cluster().plan_service(request)).await?;
    match format {
        None => out::print(&text(&plan)),
        Some("json") => out::print(&format!("{:#}", value(&plan))),
        Some(format) => {
            let template = Template::parse(&unescape(format))?;
            out::print(&template.render(&value(&plan))?)
        }
    }
}

/// Refuses a change of a service that is not at the version that was rehearsed.
///
/// # Errors
/// If it is at another one.
pub fn check_version(service: Option<&api::Service>, name: &str, args: &PlanArgs) -> Result<()> {
    let Some(wanted) = args.check_version else {
        return Ok(());
    };
    let version = |s: &api::Service| s.meta.as_ref()?.version.map(|v| v.index);
    match service.map(|s| version(s).unwrap_or_default()) {
        Some(present) if present != wanted => Err(CliError::Failed(format!(
            "cannot update service {name}: it changed since version {wanted} and is at version \
             {present} now; look at `swarmctl service plan` again"
        ))),
        None if wanted != 0 => {
            let why = "a service that does not exist yet is at version 0";
            Err(CliError::flag("check-version", &wanted.to_string(), why))
        }
        _ => Ok(()),
    }
}

fn version(plan: &PlanServiceResponse) -> u64 {
    plan.version.map_or(0, |v| v.index)
}

// === as text ===

fn text(plan: &PlanServiceResponse) -> String {
    let name = &plan.service_name;
    let mut text = match plan.version {
        Some(version) => format!(
            "service {name} at version {v} would be updated \
             (--check-version {v} makes sure it is this one)\n",
            v = version.index
        ),
        None => format!("service {name} would be created\n"),
    };
    if plan.version.is_some() {
        let changed = changes(plan);
        let more = changed.len().saturating_sub(FIELDS_MAX);
        let rows = changed.iter().take(FIELDS_MAX).map(|c| {
            vec![
                c.field.clone(),
                format!("{} -> {}", shown(&c.old), shown(&c.new)),
            ]
        });
        let mut rows: Vec<_> = rows.collect();
        match (rows.is_empty(), more) {
            (true, _) => rows.push(vec!["nothing".to_owned()]),
            (_, 0) => {}
            (_, more) => rows.push(vec![format!("and {more} more")]),
        }
        section(&mut text, "Changes", rows);
    }
    let tasks = tasks(plan);
    text.push_str(&format!("\nTasks: {tasks}\n"));
    section(&mut text, "Placement", placement(plan));
    let waits = plan.waiting.iter();
    let waits = waits.map(|w| vec![count(w.tasks, "task"), w.reason.clone()]);
    section(&mut text, "Would wait", waits.collect());
    section(&mut text, "Would be displaced", displaced(plan));
    let lines = |items: &[String]| items.iter().map(|i| vec![i.clone()]).collect();
    section(&mut text, "Impossible", lines(&plan.impossible));
    section(&mut text, "Warnings", lines(&plan.warnings));
    text
}

fn tasks(plan: &PlanServiceResponse) -> String {
    let parts = [
        (plan.tasks_created, "new"),
        (plan.tasks_replaced, "replaced"),
        (plan.tasks_stopped, "stopped"),
        (plan.tasks_kept, "kept"),
    ];
    let parts = parts.into_iter().filter(|(n, _)| *n > 0);
    let words: Vec<_> = parts.map(|(n, what)| format!("{n} {what}")).collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

fn placement(plan: &PlanServiceResponse) -> Vec<Vec<String>> {
    let row = |n: &PlannedNode| {
        let mut words = vec![format!("{} new", n.tasks_new)];
        if n.tasks_now > 0 {
            words.push(format!("{} now", n.tasks_now));
        }
        if n.tasks_replaced > 0 {
            words.push(format!("{} of them replaced", n.tasks_replaced));
        }
        vec![n.hostname.clone(), words.join(", ")]
    };
    let mut rows: Vec<_> = plan.nodes.iter().map(row).collect();
    if plan.nodes_left_off > 0 {
        rows.push(vec![format!("and {} more nodes", plan.nodes_left_off)]);
    }
    rows
}

fn displaced(plan: &PlanServiceResponse) -> Vec<Vec<String>> {
    let rows = plan.displaced.iter().map(|d| {
        let task = format!("{}.{}", d.service_name, d.slot);
        vec![task, format!("on {}", d.node_hostname)]
    });
    let mut rows: Vec<_> = rows.collect();
    if plan.displaced_left_off > 0 {
        rows.push(vec![format!("and {} more", plan.displaced_left_off)]);
    }
    rows
}

fn count(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

fn section(text: &mut String, title: &str, rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}:\n"));
    for line in align(&rows).lines() {
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

// === what differs ===

/// A field that differs.
struct FieldChange {
    field: String,
    old: Value,
    new: Value,
}

fn changes(plan: &PlanServiceResponse) -> Vec<FieldChange> {
    let flat = |spec: Option<&api::ServiceSpec>| {
        let mut fields = BTreeMap::new();
        if let Some(spec) = spec {
            flatten("", &show::service::spec(spec), &mut fields);
        }
        fields
    };
    let (old, new) = (flat(plan.old_spec.as_ref()), flat(plan.new_spec.as_ref()));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let get = |fields: &BTreeMap<String, Value>, name: &String| {
        fields.get(name).cloned().unwrap_or(Value::Null)
    };
    let all = names.into_iter().map(|name| FieldChange {
        field: name.clone(),
        old: get(&old, name),
        new: get(&new, name),
    });
    all.filter(|c| c.old != c.new).collect()
}

/// Fields by path; lists of plain values are one field each.
fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
    let join = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    match value {
        Value::Object(fields) if fields.is_empty() && !path.is_empty() => {
            // An empty object says something only where it is one of several forms.
            out.insert(path.to_owned(), json!({}));
        }
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(name, v)| flatten(&join(name), v, out));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{at}]"), item, out);
            }
        }
        plain => {
            out.insert(path.to_owned(), plain.clone());
        }
    }
}

// === as JSON ===

fn value(plan: &PlanServiceResponse) -> Value {
    let change = |c: &FieldChange| json!({"Field": c.field, "Old": c.old, "New": c.new});
    let node = |n: &PlannedNode| {
        json!({
            "NodeID": n.node_id, "Hostname": n.hostname, "TasksNow": n.tasks_now,
            "TasksReplaced": n.tasks_replaced, "TasksNew": n.tasks_new,
        })
    };
    let waits = plan.waiting.iter();
    let waits: Vec<_> = waits
        .map(|w| json!({"Reason": w.reason, "Tasks": w.tasks}))
        .collect();
    let displaced = plan.displaced.iter().map(|d| {
        json!({
            "TaskID": d.task_id, "ServiceName": d.service_name, "Slot": d.slot,
            "NodeHostname": d.node_hostname,
        })
    });
    json!({
        "ServiceID": plan.service_id,
        "ServiceName": plan.service_name,
        "Version": {"Index": version(plan)},
        "Changes": show::each(&changes(plan), change),
        "TasksCreated": plan.tasks_created,
        "TasksReplaced": plan.tasks_replaced,
        "TasksKept": plan.tasks_kept,
        "TasksStopped": plan.tasks_stopped,
        "Nodes": show::each(&plan.nodes, node),
        "NodesLeftOff": plan.nodes_left_off,
        "Waiting": waits,
        "Displaced": displaced.collect::<Vec<_>>(),
        "DisplacedLeftOff": plan.displaced_left_off,
        "Impossible": plan.impossible,
        "Warnings": plan.warnings,
    })
}

#[cfg(test)]
mod tests {
    use wire::api::{ContainerSpec, ServiceSpec, TaskSpec, Version};
    use wire::swarm::v1::{PlannedDisplacement, PlannedWait};

    use super::*;

    fn spec(image: &str, labels: &[(&str, &str)]) -> Option<ServiceSpec> {
        let container = ContainerSpec {
            image: image.into(),
            ..<_>::default()
        };
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Some(ServiceSpec {
            annotations: Some(api::Annotations {
                name: "web".into(),
                labels: labels.collect(),
                ..<_>::default()
            }),
            task: Some(TaskSpec {
                runtime: Some(api::task_spec::Runtime::Container(container)),
                ..<_>::default()
            }),
            ..<_>::default()
        })
    }

    fn plan() -> PlanServiceResponse {
        PlanServiceResponse {
            service_id: "x".into(),
            service_name: "web".into(),
            version: Some(Version { index: 42 }),
            old_spec: spec("nginx:1", &[]),
            new_spec: spec("nginx:2", &[("swarm.priority", "5")]),
            tasks_replaced: 2,
            tasks_created: 1,
            nodes: vec![PlannedNode {
                hostname: "a".into(),
                tasks_now: 2,
                tasks_replaced: 2,
                tasks_new: 2,
                ..<_>::default()
            }],
            waiting: vec![PlannedWait {
                reason: "no suitable node (insufficient resources on 1 node)".into(),
                tasks: 1,
            }],
            displaced: vec![PlannedDisplacement {
                service_name: "batch".into(),
                slot: 3,
                node_hostname: "a".into(),
                ..<_>::default()
            }],
            warnings: vec!["one replica".into()],
            ..<_>::default()
        }
    }

    #[test]
    fn a_plan_shows_fields_placement_waits_and_the_version_to_check() {
        let expected = "\
service web at version 42 would be updated (--check-version 42 makes sure it is this one)

Changes:
  Options.Priority                   (none) -> 5
  TaskTemplate.ContainerSpec.Image   nginx:1 -> nginx:2

Tasks: 1 new, 2 replaced

Placement:
  a   2 new, 2 now, 2 of them replaced

Would wait:
  1 task   no suitable node (insufficient resources on 1 node)

Would be displaced:
  batch.3   on a

Warnings:
  one replica
";
        assert_eq!(text(&plan()), expected);
    }

    #[test]
    fn json_has_the_same_data() {
        let value = value(&plan());
        assert_eq!(value["Version"]["Index"], 42);
        assert_eq!(value["Changes"][1]["New"], "nginx:2");
        assert_eq!(value["Nodes"][0]["TasksNew"], 2);
        assert_eq!(value["Waiting"][0]["Tasks"], 1);
        assert_eq!(value["Displaced"][0]["ServiceName"], "batch");
    }

    #[test]
    fn a_version_that_is_not_the_rehearsed_one_is_refused() {
        let meta = Some(api::Meta {
            version: Some(Version { index: 43 }),
            ..<_>::default()
        });
        let service = api::Service {
            meta,
            ..<_>::default()
        };
        let at = |check_version| PlanArgs {
            check_version,
            ..PlanArgs::default()
        };
        assert!(check_version(Some(&service), "web", &at(Some(43))).is_ok());
        assert!(check_version(Some(&service), "web", &at(None)).is_ok());
        let error = check_version(Some(&service), "web", &at(Some(42))).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("changed since version 42") && text.contains("43 now"),
            "{text}"
        );
        assert!(check_version(None, "", &at(Some(0))).is_ok());
        assert_eq!(
            check_version(None, "", &at(Some(1)))
                .unwrap_err()
                .exit_code(),
            2
        );
    }
}
