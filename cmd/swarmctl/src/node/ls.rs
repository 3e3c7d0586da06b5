//! `node ls`.

use clap::Args;
use serde_json::json;
use wire::api::raft_member_status::Reachability;
use wire::api::{self, Node, NodeRole};

use crate::client::{Client, call};
use crate::error::Result;
use crate::out;
use crate::out::listing::{ListArgs, Listing, Row};
use crate::parse::filter::Filters;
use crate::resolve::Named;

/// Flags of `node ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListArgs,
}

const FILTERS: [&str; 6] = ["id", "name", "label", "node.label", "role", "membership"];

/// Marks this node; scripts that ask for a field get it without the mark.
const TABLE: &str = "{{.ID}}{{if eq .Self true}} *{{end}}\t{{.Hostname}}\t{{.Status}}\t\
                     {{.Availability}}\t{{.ManagerStatus}}\t{{.EngineVersion}}";

/// Lists the nodes.
///
/// # Errors
/// If a filter or the format makes no sense, or the cluster cannot be asked.
pub async fn run(client: &Client, args: &LsArgs) -> Result<()> {
    let given = Filters::parse(&args.list.filter, &FILTERS)?;
    let filters = api::list_nodes_request::Filters {
        id_prefixes: given.get("id").to_vec(),
        name_prefixes: given.get("name").to_vec(),
        labels: given.labels("label")?,
        node_labels: given.labels("node.label")?,
        roles: given.each("role", |name| match name {
            "worker" => Some(NodeRole::Worker.into()),
            "manager" => Some(NodeRole::Manager.into()),
            _ => None,
        })?,
        memberships: given.each("membership", |name| match name {
            "accepted" => Some(api::node_spec::Membership::Accepted.into()),
            "pending" => Some(api::node_spec::Membership::Pending.into()),
            _ => None,
        })?,
        ..Default::default()
    };
    let request = api::ListNodesRequest {
        filters: Some(filters),
    };
    let mut nodes = call("list the nodes", client.control().list_nodes(request))
        .await?
        .nodes;
    nodes.sort_by(|a, b| (a.name(), &a.id).cmp(&(b.name(), &b.id)));
    let request = wire::swarm::v1::StatusRequest {};
    let status = call(
        "find out which node this is",
        client.cluster().status(request),
    )
    .await;
    let own = status.map(|s| s.node_id).unwrap_or_default();
    out::print(&listing(&nodes, &own).render(&args.list)?)
}

fn listing(nodes: &[Node], own: &str) -> Listing {
    Listing {
        columns: &[
            ("ID", "ID"),
            ("Hostname", "HOSTNAME"),
            ("Status", "STATUS"),
            ("Availability", "AVAILABILITY"),
            ("ManagerStatus", "MANAGER STATUS"),
            ("EngineVersion", "ENGINE VERSION"),
        ],
        extra: &[
            ("Self", "SELF"),
            ("TLSStatus", "TLS STATUS"),
            ("Addr", "ADDRESS"),
        ],
        table: Some(TABLE),
        rows: nodes.iter().map(|node| row(node, own)).collect(),
    }
}

fn row(node: &Node, own: &str) -> Row {
    let status = node.status.as_ref();
    let state = status.map(api::NodeStatus::state).unwrap_or_default();
    let availability = node
        .spec
        .as_ref()
        .map(api::NodeSpec::availability)
        .unwrap_or_default();
    let engine = node.description.as_ref().and_then(|d| d.engine.as_ref());
    let itself = node.id == own;
    let mut row = Row::new();
    row.insert("ID".into(), json!(node.id));
    row.insert("Hostname".into(), node.name().into());
    row.insert("Status".into(), capital(state.as_str_name()).into());
    row.insert(
        "Availability".into(),
        capital(availability.as_str_name()).into(),
    );
    row.insert("ManagerStatus".into(), manager_status(node).into());
    row.insert(
        "EngineVersion".into(),
        engine.map_or("", |e| e.engine_version.as_str()).into(),
    );
    row.insert("Self".into(), itself.into());
    let issued = node
        .certificate
        .as_ref()
        .and_then(|c| c.status.as_ref())
        .map(|s| s.state());
    row.insert("TLSStatus".into(), tls_status(issued).into());
    row.insert("Addr".into(), status.map_or("", |s| s.addr.as_str()).into());
    row
}

/// In docker's words.
fn tls_status(state: Option<api::issuance_status::State>) -> &'static str {
    use api::issuance_status::State;
    match state {
        Some(State::Issued) => "Ready",
        Some(State::Rotate | State::Renew | State::Pending) => "Needs Rotation",
        Some(State::Failed | State::Unknown) | None => "Unknown",
    }
}

fn manager_status(node: &Node) -> &'static str {
    match &node.manager_status {
        Some(manager) if manager.leader => "Leader",
        Some(manager) => match manager.reachability() {
            Reachability::Reachable => "Reachable",
            Reachability::Unreachable => "Unreachable",
            Reachability::Unknown => "Unknown",
        },
        None => "",
    }
}

fn capital(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + &rest.to_lowercase()
}

#[cfg(test)]
mod tests {
    use wire::api::*;

    use super::*;

    #[test]
    fn the_table_marks_the_leader_and_this_node() {
        let node = |id: &str, hostname: &str, manager_status| Node {
            id: id.into(),
            description: Some(NodeDescription {
                hostname: hostname.into(),
                ..<_>::default()
            }),
            status: Some(NodeStatus {
                state: node_status::State::Ready.into(),
                ..<_>::default()
            }),
            manager_status,
            ..<_>::default()
        };
        let leader = ManagerStatus {
            leader: true,
            ..<_>::default()
        };
        let nodes = [node("n1", "alpha", Some(leader)), node("n2", "beta", None)];
        let text = listing(&nodes, "n1").render(&ListArgs::default()).unwrap();
        let expected = "\
ID     HOSTNAME   STATUS   AVAILABILITY   MANAGER STATUS   ENGINE VERSION
n1 *   alpha      Ready    Active         Leader
n2     beta       Ready    Active
";
        assert_eq!(text, expected);
    }
}
