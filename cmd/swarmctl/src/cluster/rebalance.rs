//! `cluster rebalance`: moves tasks to nodes that joined or got room later.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wire::swarm::v1::{RebalanceRequest, RebalanceResponse, SkippedService, TaskMove};

use crate::client::{Client, call};
use crate::error::{CliError, Result};
use crate::out::listing::unescape;
use crate::out::table::align;
use crate::out::template::Template;
use crate::wait::WaitArgs;
use crate::{out, resolve, show};

const ATTEMPT: &str = "rebalance the cluster";

/// How often a manager is asked how far it is.
const ASK_PERIOD: Duration = Duration::from_secs(1);

/// Managers may change their leader; after this long without any contact the wait fails.
const CONTACT_LOST_MAX: Duration = Duration::from_secs(30);

/// Flags of `cluster rebalance`.
#[derive(Debug, Args)]
pub struct RebalanceArgs {
    /// Show which tasks would move and why, and move none
    #[arg(long, conflicts_with_all = ["detach", "timeout", "quiet"])]
    plan: bool,
    /// Most tasks to move
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_moves: Option<u32>,
    /// Move tasks of this service only
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Make no more moves; those under way are finished
    #[arg(long, conflicts_with_all = ["plan", "max_moves", "service"])]
    stop: bool,
    /// Format of the plan: "json" or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Plans or makes the moves, and waits until they are made.
///
/// # Errors
/// If the cluster refuses, time is over, or the user interrupts.
pub async fn run(client: &Client, args: &RebalanceArgs) -> Result<()> {
    let service_id = match &args.service {
        Some(name) => resolve::service(client, name).await?.id,
        None => String::new(),
    };
    let request = RebalanceRequest {
        plan_only: args.plan,
        moves_max: args.max_moves.unwrap_or(0),
        service_id,
        stop: args.stop,
    };
    let answer = call(ATTEMPT, client.cluster().rebalance(request.clone())).await?;
    if args.stop {
        return out::print("no more tasks are moved");
    }
    print(&answer, args)?;
    if args.plan || args.wait.detach || !answer.in_progress {
        return Ok(());
    }
    let all = answer.moves_left;
    let mut interrupt = Box::pin(tokio::signal::ctrl_c());
    tokio::select! {
        ended = follow(client, request, all, &args.wait) => ended,
        _ = &mut interrupt => Err(CliError::NotConverged(
            "interrupted: tasks go on being moved (`swarmctl cluster rebalance --stop` ends that)"
                .into(),
        )),
    }
}

/// Waits until the request is fulfilled, and says how far it is.
async fn follow(
    client: &Client,
    request: RebalanceRequest,
    all: u32,
    wait: &WaitArgs,
) -> Result<()> {
    let look = RebalanceRequest {
        plan_only: true,
        ..request
    };
    let (began, mut contact) = (Instant::now(), Instant::now());
    let mut shown = String::new();
    loop {
        sleep(ASK_PERIOD).await;
        let asked = async {
            let client = client.again().await?;
            call(ATTEMPT, client.cluster().rebalance(look.clone())).await
        };
        match asked.await {
            Ok(now) => {
                contact = Instant::now();
                let line = progress(&now, all);
                if line != shown && !wait.quiet {
                    out::note(&line);
                }
                shown = line;
                if !now.in_progress {
                    return end(&now, look.moves_max > 0);
                }
            }
            Err(error) => {
                let passing = error.is_passing() || matches!(error, CliError::Failed(_));
                if !passing || contact.elapsed() > CONTACT_LOST_MAX {
                    return Err(error);
                }
            }
        }
        if wait
            .timeout
            .is_some_and(|timeout| began.elapsed() >= timeout)
        {
            return Err(CliError::NotConverged(format!(
                "not level after {}: {shown} (tasks go on being moved)",
                out::human::go_duration(wait.timeout.unwrap_or_default())
            )));
        }
    }
}

/// Whether all was moved that was asked for; a bound on the moves explains that some are left.
fn end(now: &RebalanceResponse, bounded: bool) -> Result<()> {
    if now.moves.is_empty() || now.more || bounded {
        return Ok(());
    }
    let left = now.moves.len();
    Err(CliError::Failed(format!(
        "{left} tasks were not moved: their services were short of tasks for too long, or somebody \
         ended this (`swarmctl cluster rebalance --plan` shows them)"
    )))
}

fn progress(now: &RebalanceResponse, all: u32) -> String {
    let made = all.saturating_sub(now.moves_left);
    match (now.in_progress, now.settling.as_slice()) {
        (false, _) => "done".to_owned(),
        (true, []) => format!("moved {made} of {all}"),
        (true, settling) => format!("moved {made} of {all}, waiting for {}", settling.join(", ")),
    }
}

fn print(answer: &RebalanceResponse, args: &RebalanceArgs) -> Result<()> {
    match args.format.as_deref() {
        None if args.wait.quiet => Ok(()),
        None => out::print(&text(answer)),
        Some("json") => out::print(&format!("{:#}", value(answer))),
        Some(format) => {
            let template = Template::parse(&unescape(format))?;
            out::print(&template.render(&value(answer))?)
        }
    }
}

fn text(answer: &RebalanceResponse) -> String {
    let mut text = String::new();
    if answer.moves.is_empty() {
        text.push_str("nothing to move: the services that are spread are level\n");
    }
    let row = |m: &TaskMove| {
        let task = format!("{}.{}", m.service_name, m.slot);
        let way = format!("{} -> {}", m.from_hostname, m.to_hostname);
        vec![task, way, m.reason.clone()]
    };
    let mut rows = vec![["TASK", "MOVE", "REASON"].map(str::to_owned).to_vec()];
    rows.extend(answer.moves.iter().map(row));
    if rows.len() > 1 {
        text.push_str(&align(&rows));
    }
    if answer.more {
        text.push_str("more tasks would move if more were asked for\n");
    }
    for skipped in &answer.skipped {
        let SkippedService {
            service_name,
            reason,
            ..
        } = skipped;
        text.push_str(&format!("{service_name} is left as it is: {reason}\n"));
    }
    text
}

fn value(answer: &RebalanceResponse) -> Value {
    let step = |m: &TaskMove| {
        json!({
            "TaskID": m.task_id, "ServiceID": m.service_id, "ServiceName": m.service_name,
            "Slot": m.slot, "FromNodeID": m.from_node_id, "FromHostname": m.from_hostname,
            "ToNodeID": m.to_node_id, "ToHostname": m.to_hostname, "Reason": m.reason,
        })
    };
    let skipped = |s: &SkippedService| {
        let (id, name) = (&s.service_id, &s.service_name);
        json!({"ServiceID": id, "ServiceName": name, "Reason": s.reason})
    };
    json!({
        "Moves": show::each(&answer.moves, step),
        "More": answer.more,
        "Skipped": show::each(&answer.skipped, skipped),
        "InProgress": answer.in_progress,
        "MovesLeft": answer.moves_left,
        "Settling": answer.settling,
        "Version": {"Index": answer.version.map_or(0, |v| v.index)},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> RebalanceResponse {
        RebalanceResponse {
            moves: vec![TaskMove {
                service_name: "web".into(),
                slot: 3,
                from_hostname: "node-3".into(),
                to_hostname: "node-5".into(),
                reason: "node-3 runs 9 of 12 tasks of web, node-5, joined 2m ago, runs none".into(),
                ..<_>::default()
            }],
            skipped: vec![SkippedService {
                service_name: "batch".into(),
                reason: "its strategy is binpack".into(),
                ..<_>::default()
            }],
            ..<_>::default()
        }
    }

    #[test]
    fn each_move_is_shown_with_its_reason() {
        let expected = "\
TASK    MOVE               REASON
web.3   node-3 -> node-5   node-3 runs 9 of 12 tasks of web, node-5, joined 2m ago, runs none
batch is left as it is: its strategy is binpack
";
        assert_eq!(text(&answer()), expected);
    }

    #[test]
    fn progress_counts_moves_and_names_what_is_waited_for() {
        let mut now = RebalanceResponse {
            in_progress: true,
            moves_left: 2,
            ..answer()
        };
        assert_eq!(progress(&now, 5), "moved 3 of 5");
        now.settling = vec!["web.3: pulling its image".into()];
        assert_eq!(
            progress(&now, 5),
            "moved 3 of 5, waiting for web.3: pulling its image"
        );
    }

    #[test]
    fn a_request_that_ended_with_moves_left_is_a_failure() {
        assert!(end(&RebalanceResponse::default(), false).is_ok());
        assert!(end(&answer(), true).is_ok());
        let error = end(&answer(), false).unwrap_err();
        assert_eq!(error.exit_code(), crate::error::EXIT_FAILED);
    }
}
