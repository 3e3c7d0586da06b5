//! `cluster status`.

use clap::Args;
use serde_json::{Value, json};
use wire::swarm::v1::disk_status::State;
use wire::swarm::v1::member::{Reachability, Role};
use wire::swarm::v1::{DiskStatus, Member, StatusRequest, StatusResponse};

use crate::client::{Client, call};
use crate::error::Result;
use crate::out::listing::unescape;
use crate::out::table::align;
use crate::out::template::Template;
use crate::out::{self, human};
use crate::show;

/// Flags of `cluster status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// "json" or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// Shows the status as the manager of this machine sees it.
///
/// # Errors
/// If that manager does not answer or the format makes no sense.
pub async fn run(client: &Client, args: &StatusArgs) -> Result<()> {
    let status = call(
        "ask for the status",
        client.cluster().status(StatusRequest {}),
    )
    .await?;
    match args.format.as_deref() {
        None => out::print(&text(&status)),
        Some("json") => out::print(&format!("{:#}", value(&status))),
        Some(format) => {
            let template = Template::parse(&unescape(format))?;
            out::print(&template.render(&value(&status))?)
        }
    }
}

fn text(s: &StatusResponse) -> String {
    let leader = s.members.iter().find(|m| m.node_id == s.leader_node_id);
    let leader = match (s.leader_node_id.as_str(), leader) {
        ("", _) => "none".to_owned(),
        (id, Some(member)) => format!("{} ({id})", member.hostname),
        (id, None) => id.to_owned(),
    };
    let counts = s.counts.unwrap_or_default();
    let mut text = format!(
        "Cluster:   {}\nAnswering: {} (version {})\nLeader:    {leader}, term {}\n\
         Quorum:    {}\nLog:       {} committed, {} applied\nTables:    {}\nDisk:      {}\n\
         Objects:   {} nodes, {} services, {} tasks, {} secrets, {} configs\n\n",
        s.cluster_id,
        s.node_id,
        s.version,
        s.term,
        if s.has_quorum {
            "yes"
        } else {
            "no: writes are not possible"
        },
        s.commit_index,
        s.applied_index,
        tables(s),
        s.disk.as_ref().map_or_else(|| "unknown".into(), disk),
        counts.nodes,
        counts.services,
        counts.tasks,
        counts.secrets,
        counts.configs,
    );
    let header = ["MANAGER", "ADDRESS", "ROLE", "REACHABLE", "LOG"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(s.members.iter().map(row));
    text.push_str(&align(&rows));
    text
}

fn row(m: &Member) -> Vec<String> {
    let known = |index: u64| {
        if index == 0 {
            "-".to_owned()
        } else {
            index.to_string()
        }
    };
    let log = match m.receiving_snapshot {
        true => format!(
            "snapshot, {} of {}",
            human::bytes(m.snapshot_bytes_sent),
            human::bytes(m.snapshot_bytes_total)
        ),
        false => known(m.match_index),
    };
    let name = if m.hostname.is_empty() {
        &m.node_id
    } else {
        &m.hostname
    };
    vec![
        name.clone(),
        m.addr.clone(),
        word(m.role().as_str_name(), "ROLE_UNSPECIFIED"),
        match m.reachability() {
            Reachability::Reachable => "yes".into(),
            Reachability::Unreachable => "no".into(),
            // Only the leader hears of everybody.
            Reachability::Unspecified => "-".into(),
        },
        log,
    ]
}

fn word(name: &str, unspecified: &str) -> String {
    if name == unspecified {
        "unknown".into()
    } else {
        show::dashed(name)
    }
}

fn tables(s: &StatusResponse) -> String {
    match s.tables_differ_since {
        0 => "as the leader's".into(),
        _ if s.leader_node_id == s.node_id => {
            "differed from those of an earlier leader: demote and promote again whichever manager \
             still says so"
                .into()
        }
        version => format!(
            "differ from the leader's since version {version}: demote this manager and promote it \
             again; if all but the leader say so, hand leadership over (`swarmctl cluster \
             transfer-leadership`) and do that with the one that led"
        ),
    }
}

fn disk(disk: &DiskStatus) -> String {
    let state = match disk.state() {
        State::Ok => "ok",
        State::Full => "full: writes are refused until there is room",
        State::Failed => "failed",
        State::Unspecified => "unknown",
    };
    let message = match disk.message.as_str() {
        "" => String::new(),
        said => format!(" ({said})"),
    };
    let free = match disk.free_bytes {
        0 => String::new(),
        free => format!(", {} free", human::bytes(free)),
    };
    format!("{state}{message}{free}")
}

fn value(s: &StatusResponse) -> Value {
    let member = |m: &Member| {
        json!({
            "RaftID": m.raft_id, "NodeID": m.node_id, "Hostname": m.hostname, "Addr": m.addr,
            "Role": word(m.role().as_str_name(), Role::Unspecified.as_str_name()),
            "Reachable": match m.reachability() {
                Reachability::Reachable => Some(true),
                Reachability::Unreachable => Some(false),
                Reachability::Unspecified => None,
            },
            "MatchIndex": Some(m.match_index).filter(|index| *index > 0),
        })
    };
    let disk = s.disk.as_ref().map(|d| {
        json!({
            "State": word(d.state().as_str_name(), State::Unspecified.as_str_name()),
            "Message": d.message,
        })
    });
    let counts = s.counts.unwrap_or_default();
    json!({
        "ClusterID": s.cluster_id,
        "NodeID": s.node_id,
        "LeaderNodeID": s.leader_node_id,
        "Term": s.term,
        "HasQuorum": s.has_quorum,
        "CommitIndex": s.commit_index,
        "AppliedIndex": s.applied_index,
        "FeatureLevel": s.feature_level,
        "TablesDifferSince": Some(s.tables_differ_since).filter(|version| *version > 0),
        "Version": s.version,
        "Disk": disk,
        "Members": show::each(&s.members, member),
        "Counts": {
            "Nodes": counts.nodes, "Services": counts.services, "Tasks": counts.tasks,
            "Networks": counts.networks, "Secrets": counts.secrets, "Configs": counts.configs,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_without_leader_says_that_writes_are_not_possible() {
        let member = Member {
            hostname: "alpha".into(),
            addr: "10.0.0.1:2377".into(),
            role: Role::Candidate.into(),
            reachability: Reachability::Reachable.into(),
            ..Member::default()
        };
        let status = StatusResponse {
            members: vec![member],
            term: 7,
            ..<_>::default()
        };
        let text = text(&status);
        assert!(text.contains("Leader:    none, term 7\n"), "{text}");
        assert!(
            text.contains("Quorum:    no: writes are not possible\n"),
            "{text}"
        );
        assert!(
            text.contains("alpha     10.0.0.1:2377   candidate   yes         -"),
            "{text}"
        );
    }

    #[test]
    fn tables_that_differ_are_told_with_what_to_do() {
        let mut status = StatusResponse {
            node_id: "a".into(),
            leader_node_id: "b".into(),
            ..<_>::default()
        };
        assert!(text(&status).contains("Tables:    as the leader's\n"));
        status.tables_differ_since = 9;
        let text = text(&status);
        assert!(
            text.contains("since version 9: demote this manager"),
            "{text}"
        );
        assert_eq!(value(&status)["TablesDifferSince"], 9);
    }
}
