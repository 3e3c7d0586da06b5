//! `task explain`: why a task is where it is, or what it waits for.

use clap::Args;
use serde_json::{Value, json};
use types::Timestamp;
use wire::swarm::v1::{
    ExplainRequest, ExplainResponse, FilterVerdict, NodeRefusal, NodeScore, PastTask, Stage,
};

use crate::client::{Client, call};
use crate::error::Result;
use crate::out::listing::unescape;
use crate::out::table::align;
use crate::out::template::Template;
use crate::out::{self, human};
use crate::show::rows::short;
use crate::{resolve, show};

/// Flags of `task explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Nodes named as examples for each reason
    #[arg(long, value_name = "N", default_value_t = 3)]
    examples: u32,
    /// "json" or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Id, or SERVICE.SLOT
    task: String,
}

/// Explains a task.
///
/// # Errors
/// If there is no such task or the format makes no sense.
pub async fn run(client: &Client, args: &ExplainArgs) -> Result<()> {
    let task = resolve::task(client, &args.task).await?;
    let request = ExplainRequest {
        task_id: task.id,
        examples_max: args.examples,
    };
    let attempt = format!("explain task {}", args.task);
    let explained = call(&attempt, client.cluster().explain(request)).await?;
    match args.format.as_deref() {
        None => out::print(&text(&explained, human::now())),
        Some("json") => out::print(&format!("{:#}", value(&explained))),
        Some(format) => {
            let template = Template::parse(&unescape(format))?;
            out::print(&template.render(&value(&explained))?)
        }
    }
}

fn text(e: &ExplainResponse, now: Timestamp) -> String {
    let mut text = format!(
        "Task:      {} of service {}\nState:     {} (wanted: {})\n",
        short(&e.task_id),
        e.service_name,
        show::task::state(e.state()),
        show::task::state(e.desired_state()),
    );
    if !e.node_id.is_empty() {
        let node = format!("{} ({})", e.node_hostname, short(&e.node_id));
        text.push_str(&format!("Node:      {node}\n"));
    }
    text.push_str(&format!(
        "Waits for: {}\nReason:    {}\n",
        stage(e.waiting_for()),
        e.summary
    ));
    let not_before = Timestamp(u64::try_from(e.not_before_ns).unwrap_or(0));
    if not_before > now {
        let left = human::duration(not_before.since(now)).to_lowercase();
        text.push_str(&format!("Next try:  in {left}\n"));
    }
    if !e.requirements.is_empty() {
        text.push_str(&format!("Needs:     {}\n", e.requirements.join(", ")));
    }
    text.push_str(&placement(e));
    section(
        &mut text,
        "Earlier tasks",
        e.history.iter().map(|t| past(t, now)).collect(),
    );
    section(
        &mut text,
        "What you can do",
        e.hints.iter().map(|h| vec![h.clone()]).collect(),
    );
    text
}

fn placement(e: &ExplainResponse) -> String {
    let mut text = String::new();
    if e.nodes_total > 0 {
        text.push_str(&format!(
            "Nodes:     {} of {} fit\n",
            e.nodes_fit, e.nodes_total
        ));
    }
    if !e.strategy.is_empty() {
        let priority = match e.priority {
            0 => String::new(),
            priority => format!(", priority {priority}"),
        };
        text.push_str(&format!("Ranked by: {}{priority}\n", e.strategy));
    }
    if let Some(node) = e.nearest.as_ref().and_then(|n| n.node.as_ref()) {
        text.push_str(&format!("Nearest:   {}: {}\n", node.hostname, node.reason));
    }
    let refused = |f: &&FilterVerdict| f.nodes_refused > 0;
    let refusals = e.filters.iter().filter(refused).map(|filter| {
        let example = |r: &NodeRefusal| format!("{}: {}", r.hostname, r.reason);
        let examples: Vec<_> = filter.examples.iter().map(example).collect();
        let count = match filter.nodes_refused {
            1 => "1 node".to_owned(),
            count => format!("{count} nodes"),
        };
        vec![filter.filter.clone(), count, examples.join("; ")]
    });
    section(&mut text, "Refused by", refusals.collect());
    let score = |n: &NodeScore| {
        let reported = match n.self_reported.as_slice() {
            [] => String::new(),
            facts => format!(" (reported by the node itself: {})", facts.join(", ")),
        };
        let counts = format!(
            "{} of the service, {} in all, {} recent failures",
            n.service_tasks, n.total_tasks, n.recent_failures
        );
        vec![
            n.hostname.clone(),
            counts,
            format!("{}{reported}", n.reason),
        ]
    };
    section(
        &mut text,
        "Nodes that fit, best first",
        e.candidates.iter().map(score).collect(),
    );
    text
}

fn section(text: &mut String, title: &str, rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}:\n"));
    for line in align(&rows).lines() {
        text.push_str(&format!("  {line}\n"));
    }
}

fn past(task: &PastTask, now: Timestamp) -> Vec<String> {
    let at = Timestamp(u64::try_from(task.at_ns).unwrap_or(0));
    let why = if task.err.is_empty() {
        &task.message
    } else {
        &task.err
    };
    let state = show::task::state(task.state());
    let ended = format!("{state} {}", human::ago(at, now).to_lowercase());
    vec![
        short(&task.task_id),
        ended.trim_end().to_owned(),
        why.clone(),
    ]
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Unspecified => "unknown",
        Stage::Allocator => "the allocator (addresses and ports)",
        Stage::Scheduler => "the scheduler (a node that fits)",
        Stage::Dispatcher => "its node, which has not taken it yet",
        Stage::Agent => "its node",
        Stage::Orchestrator => "the orchestrator (a delay, the task before it, or another service)",
        Stage::Done => "nothing",
    }
}

fn value(e: &ExplainResponse) -> Value {
    let refusal =
        |r: &NodeRefusal| json!({"NodeID": r.node_id, "Hostname": r.hostname, "Reason": r.reason});
    let filter = |f: &FilterVerdict| {
        let examples = show::each(&f.examples, refusal);
        json!({"Filter": f.filter, "NodesRefused": f.nodes_refused, "Examples": examples})
    };
    let score = |n: &NodeScore| {
        json!({
            "NodeID": n.node_id, "Hostname": n.hostname, "ServiceTasks": n.service_tasks,
            "TotalTasks": n.total_tasks, "RecentFailures": n.recent_failures,
            "Reason": n.reason, "SelfReported": n.self_reported, "Missed": n.missed,
            "Weight": n.weight,
        })
    };
    let past = |t: &PastTask| {
        let at = Timestamp(u64::try_from(t.at_ns).unwrap_or(0));
        json!({
            "TaskID": t.task_id, "State": show::task::state(t.state()), "NodeID": t.node_id,
            "Message": t.message, "Err": t.err, "ExitCode": t.exit_code, "At": at.to_string(),
        })
    };
    let nearest = e.nearest.as_ref().map(|near| {
        let node = near.node.as_ref().map(refusal);
        json!({"Filter": near.filter, "Node": node})
    });
    let stage = e
        .waiting_for()
        .as_str_name()
        .trim_start_matches("STAGE_")
        .to_lowercase();
    json!({
        "TaskID": e.task_id,
        "ServiceID": e.service_id,
        "ServiceName": e.service_name,
        "State": show::task::state(e.state()),
        "DesiredState": show::task::state(e.desired_state()),
        "Summary": e.summary,
        "WaitingFor": stage,
        "NodesTotal": e.nodes_total,
        "NodesFit": e.nodes_fit,
        "Filters": show::each(&e.filters, filter),
        "Candidates": show::each(&e.candidates, score),
        "NodeID": e.node_id,
        "NodeHostname": e.node_hostname,
        "Requirements": e.requirements,
        "History": show::each(&e.history, past),
        "NotBeforeNanos": e.not_before_ns,
        "Hints": e.hints,
        "Strategy": e.strategy,
        "Priority": e.priority,
        "Nearest": nearest,
        "Version": {"Index": e.version.map_or(0, |v| v.index)},
    })
}

#[cfg(test)]
mod tests {
    use wire::api::TaskState;

    use super::*;

    #[test]
    fn a_pending_task_shows_which_filter_refused_which_nodes() {
        let explained = ExplainResponse {
            task_id: "0123456789abcdef".into(),
            service_name: "web".into(),
            state: TaskState::Pending.into(),
            desired_state: TaskState::Running.into(),
            summary: "no node fits".into(),
            waiting_for: Stage::Scheduler.into(),
            nodes_total: 3,
            filters: vec![
                FilterVerdict {
                    filter: "ready".into(),
                    ..<_>::default()
                },
                FilterVerdict {
                    filter: "resources".into(),
                    nodes_refused: 3,
                    examples: vec![NodeRefusal {
                        hostname: "a".into(),
                        reason: "3 cores asked, 1.5 free".into(),
                        ..<_>::default()
                    }],
                },
            ],
            requirements: vec!["3 cores".into()],
            hints: vec!["add a node with 3 cores".into()],
            strategy: "binpack".into(),
            priority: 5,
            nearest: Some(wire::swarm::v1::NearestNode {
                filter: "resources".into(),
                node: Some(NodeRefusal {
                    hostname: "a".into(),
                    reason: "3 cores asked, 1.5 free".into(),
                    ..<_>::default()
                }),
            }),
            ..<_>::default()
        };
        let expected = "\
Task:      0123456789ab of service web
State:     pending (wanted: running)
Waits for: the scheduler (a node that fits)
Reason:    no node fits
Needs:     3 cores
Nodes:     0 of 3 fit
Ranked by: binpack, priority 5
Nearest:   a: 3 cores asked, 1.5 free

Refused by:
  resources   3 nodes   a: 3 cores asked, 1.5 free

What you can do:
  add a node with 3 cores
";
        assert_eq!(text(&explained, Timestamp::ZERO), expected);
    }
}
