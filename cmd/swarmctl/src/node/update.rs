//! `node update`, `promote` and `demote`.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};
use wire::api::node_spec::Availability;
use wire::api::{self, Node, NodeRole, NodeSpec};

use crate::client::{Client, call};
use crate::error::{CliError, Result};
use crate::out::human;
use crate::out::inspect::all_of;
use crate::parse::{keyed, scalar};
use crate::resolve::{self, Named};
use crate::wait::{WaitArgs, removed};
use crate::{out, show};

/// How often a node is asked whether its role is in force.
const POLL: Duration = Duration::from_millis(200);
/// How long to wait for that unless told otherwise: a new certificate and a joined or left group
/// of managers take a second or two.
const ROLE_TIMEOUT: &str = "30s";

/// Flags of `node promote`, `node demote` and `node rotate-certificate`.
#[derive(Debug, Args)]
pub struct RoleArgs {
    /// Do not wait until it has happened
    #[arg(short, long)]
    detach: bool,
    /// Stop waiting after this long, with exit code 3
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration)]
    #[arg(default_value = ROLE_TIMEOUT)]
    timeout: Duration,
    /// Host names or ids
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
}

/// Flags of `node update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Whether the node takes tasks: drain moves those away that it has
    #[arg(long, value_parser = ["active", "pause", "drain"])]
    availability: Option<String>,
    /// Role
    #[arg(long, value_parser = ["worker", "manager"])]
    role: Option<String>,
    /// Add or replace a label of the node
    #[arg(long, value_name = "KEY=VALUE")]
    label_add: Vec<String>,
    /// Remove a label of the node
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    /// With --availability drain: wait until no task runs on the node
    #[arg(long)]
    wait: bool,
    /// With --wait: stop waiting after this long, with exit code 3
    #[arg(long, value_name = "DURATION", value_parser = scalar::duration, requires = "wait")]
    timeout: Option<Duration>,
    /// Host name or id
    #[arg(value_name = "NODE")]
    node: String,
}

/// Gives nodes a role; waits until their certificates say so.
///
/// # Errors
/// If the cluster refuses, or a role is not in force in time.
pub async fn role(client: &Client, args: &RoleArgs, role: NodeRole) -> Result<()> {
    let mut errors = Vec::new();
    for name in &args.nodes {
        if let Err(error) = role_one(client, name, args, role).await {
            errors.push(error);
        }
    }
    all_of(errors)
}

async fn role_one(client: &Client, name: &str, args: &RoleArgs, role: NodeRole) -> Result<()> {
    let node = resolve::node(client, name).await?;
    let word = show::node::role(role);
    let mut spec = node.spec.clone().unwrap_or_default();
    if spec.desired_role() == role && node.role() == role {
        return out::print(&format!("Node {name} is already a {word}."));
    }
    spec.set_desired_role(role);
    let verb = if role == NodeRole::Manager {
        "promote"
    } else {
        "demote"
    };
    let is_own = own_id(client).await == node.id;
    send(client, &node, spec, verb).await?;
    if args.detach {
        return out::print(&format!("Node {name} is to become a {word}."));
    }
    let became = format!("Node {name} is now a {word}.");
    let look = async |node: &Node| in_force(node, role);
    match wait_for_node(client, &node.id, args.timeout, look).await {
        Ok(true) => out::print(&became),
        Ok(false) => {
            let timeout = human::go_duration(args.timeout);
            Err(CliError::NotConverged(format!(
                "node {name} is not a {word} after {timeout}; the change goes on in the \
                 background (`swarmctl node inspect {name}` shows it)"
            )))
        }
        // The manager that was asked has gone, and says so: that is what was wanted.
        Err(error) if is_own && role == NodeRole::Worker && error.says_no_manager() => {
            out::print(&became)?;
            out::note(
                "This machine takes no commands from now on: run swarmctl on a manager, or \
                 promote this node there.",
            );
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The node whose manager is asked, if it says which that is.
async fn own_id(client: &Client) -> String {
    let request = wire::swarm::v1::StatusRequest {};
    let status = call("ask for the status", client.cluster().status(request)).await;
    status.map(|s| s.node_id).unwrap_or_default()
}

/// Waits until a node is as wanted; returns whether it is.
async fn wait_for_node(
    client: &Client,
    id: &str,
    timeout: Duration,
    is_wanted: impl AsyncFn(&Node) -> bool,
) -> Result<bool> {
    let began = Instant::now();
    while began.elapsed() < timeout {
        let request = api::GetNodeRequest {
            node_id: id.to_owned(),
        };
        // Leadership may move: for a moment nobody answers.
        match call("look at the node", client.control().get_node(request)).await {
            Ok(answer) => match &answer.node {
                Some(node) if is_wanted(node).await => return Ok(true),
                _ => {}
            },
            Err(error) if error.is_passing() => {}
            Err(error) => return Err(error),
        }
        sleep(POLL).await;
    }
    Ok(false)
}

/// Asks nodes for new certificates; waits until they have them.
///
/// # Errors
/// If the cluster refuses, or a node has none in time.
pub async fn rotate(client: &Client, args: &RoleArgs) -> Result<()> {
    let mut errors = Vec::new();
    for name in &args.nodes {
        if let Err(error) = rotate_one(client, name, args).await {
            errors.push(error);
        }
    }
    all_of(errors)
}

async fn rotate_one(client: &Client, name: &str, args: &RoleArgs) -> Result<()> {
    let node = resolve::node(client, name).await?;
    let chain = |node: &Node| node.certificate.as_ref().map(|c| c.certificate.clone());
    let old = chain(&node);
    let attempt = format!("ask node {name} for a new certificate");
    let request = wire::swarm::v1::RotateCertificateRequest {
        node_id: node.id.clone(),
    };
    call(&attempt, client.cluster().rotate_certificate(request)).await?;
    if args.detach {
        return out::print(&format!("Node {name} is to get a new certificate."));
    }
    let is_new = async |node: &Node| chain(node) != old;
    if wait_for_node(client, &node.id, args.timeout, is_new).await? {
        return out::print(&format!("Node {name} has a new certificate."));
    }
    let timeout = human::go_duration(args.timeout);
    Err(CliError::NotConverged(format!(
        "node {name} has no new certificate after {timeout}; it gets one when it is there again \
         (`swarmctl node ls` shows whether it is)"
    )))
}

/// A manager counts once the others count it in.
fn in_force(node: &Node, role: NodeRole) -> bool {
    node.role() == role && node.manager_status.is_some() == (role == NodeRole::Manager)
}

/// Changes a node, and waits for its tasks if asked.
///
/// # Errors
/// If the cluster refuses, or tasks do not stop in time.
pub async fn run(client: &Client, args: &UpdateArgs) -> Result<()> {
    let drains = args.availability.as_deref() == Some("drain");
    if args.wait && !drains {
        return Err(CliError::Usage("--wait needs --availability drain".into()));
    }
    let node = resolve::node(client, &args.node).await?;
    let spec = changed(node.spec.clone().unwrap_or_default(), args)?;
    send(client, &node, spec, "update").await?;
    out::print(&args.node)?;
    if args.wait {
        let filters = api::list_tasks_request::Filters {
            node_ids: vec![node.id],
            ..<_>::default()
        };
        let wait = WaitArgs {
            timeout: args.timeout,
            ..WaitArgs::default()
        };
        let what = format!("node {}", args.node);
        removed::gone(client, filters, &what, &wait).await?;
    }
    Ok(())
}

fn changed(mut spec: NodeSpec, args: &UpdateArgs) -> Result<NodeSpec> {
    if let Some(name) = &args.availability {
        spec.set_availability(match name.as_str() {
            "pause" => Availability::Pause,
            "drain" => Availability::Drain,
            _ => Availability::Active,
        });
    }
    if let Some(name) = &args.role {
        let manager = name == "manager";
        spec.set_desired_role(if manager {
            NodeRole::Manager
        } else {
            NodeRole::Worker
        });
    }
    let labels = &mut spec.annotations.get_or_insert_default().labels;
    for key in &args.label_rm {
        if labels.remove(key).is_none() {
            return Err(CliError::flag(
                "label-rm",
                key,
                "the node has no such label",
            ));
        }
    }
    for text in &args.label_add {
        let label = keyed::label(text);
        labels.extend([label.map_err(|why| CliError::flag("label-add", text, why))?]);
    }
    Ok(spec)
}

async fn send(client: &Client, node: &Node, spec: NodeSpec, verb: &str) -> Result<()> {
    let request = api::UpdateNodeRequest {
        node_id: node.id.clone(),
        node_version: node.meta.as_ref().and_then(|m| m.version),
        spec: Some(spec),
    };
    let attempt = format!("{verb} node {}", node.name());
    call(&attempt, client.control().update_node(request))
        .await
        .map(drop)
}
