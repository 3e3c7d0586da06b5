//! Metrics for Prometheus, with SwarmKit's names where it has them.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use manager::ledger::Ledger;
use store::State;
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::state::ALL_STATES;
use types::{ClusterId, NodeId, NodeState};

use crate::error::NodeError;

/// Who the metrics are of.
#[derive(Clone, Copy)]
pub struct Subject {
    /// Cluster.
    pub cluster: ClusterId,
    /// Node.
    pub node: NodeId,
}

type Tables = watch::Receiver<Option<Arc<Ledger>>>;

/// Pause after the system refuses to accept, for example out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Takes the address for metrics.
///
/// # Errors
/// If it cannot be listened on.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, NodeError> {
    let bad = |e: std::io::Error| NodeError::Address {
        flag: "--metrics-addr",
        value: addr.to_string(),
        why: e.to_string(),
    };
    TcpListener::bind(addr).await.map_err(bad)
}

/// Serves `/metrics` until the process ends.
pub fn serve(listener: TcpListener, subject: Subject, tables: Tables) {
    tokio::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a reader of metrics");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let tables = tables.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    std::future::ready(respond(&request, subject, &tables))
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "a reader of metrics went away");
                }
            });
        }
    });
}

fn respond<B>(
    request: &Request<B>,
    subject: Subject,
    tables: &Tables,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match request.uri().path() {
        "/metrics" => (200, render(subject, tables.borrow().as_deref())),
        _ => (404, "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}

/// The metrics as text (Prometheus exposition format 0.0.4).
fn render(subject: Subject, ledger: Option<&Ledger>) -> String {
    let mut out = String::new();
    let Subject { cluster, node } = subject;
    gauge(
        &mut out,
        "swarm_node_info",
        "Constant 1.",
        [(format!("{{swarm_id=\"{cluster}\",node_id=\"{node}\"}}"), 1)],
    );
    let is_manager = usize::from(ledger.is_some());
    gauge(
        &mut out,
        "swarm_node_manager",
        "1 on managers.",
        [(String::new(), is_manager)],
    );
    let Some(ledger) = ledger else { return out };
    let leads = usize::from(ledger.reign().is_some());
    gauge(
        &mut out,
        "swarm_manager_leader",
        "1 on the leader.",
        [(String::new(), leads)],
    );
    let state = ledger.state();
    nodes_and_tasks(&mut out, &state);
    objects(&mut out, &state);
    let version = usize::try_from(state.version()).unwrap_or(usize::MAX);
    let help = "Transactions applied to the tables.";
    gauge(
        &mut out,
        "swarm_store_version",
        help,
        [(String::new(), version)],
    );
    out
}

fn nodes_and_tasks(out: &mut String, state: &State) {
    let of_state = |wanted: NodeState| {
        let nodes = state.nodes().iter();
        let count = nodes.filter(|n| n.status.state == wanted).count();
        (format!("{{state=\"{}\"}}", wanted.name()), count)
    };
    let states = [
        NodeState::Unknown,
        NodeState::Down,
        NodeState::Ready,
        NodeState::Disconnected,
    ];
    let help = "Nodes by state.";
    gauge(out, "swarm_manager_nodes", help, states.map(of_state));
    let tasks = ALL_STATES.map(|s| (format!("{{state=\"{s}\"}}"), state.tasks().count(s)));
    let help = "Tasks by observed state.";
    gauge(out, "swarm_manager_tasks_total", help, tasks);
}

fn objects(out: &mut String, state: &State) {
    for (kind, help, count) in [
        ("services", "Services.", state.services().len()),
        ("networks", "Networks.", state.networks().len()),
        ("secrets", "Secrets.", state.secrets().len()),
        ("configs", "Configs.", state.configs().len()),
    ] {
        let name = format!("swarm_manager_{kind}_total");
        gauge(out, &name, help, [(String::new(), count)]);
    }
}

fn gauge(
    out: &mut String,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (String, usize)>,
) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in values {
        let _infallible = writeln!(out, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_says_that_it_is_no_manager() {
        let subject = Subject {
            cluster: ClusterId::MIN,
            node: NodeId::MIN,
        };
        let text = render(subject, None);
        assert!(text.contains("swarm_node_manager 0\n"));
        assert!(
            text.lines()
                .all(|l| l.starts_with('#') || l.split(' ').count() == 2)
        );
    }
}
