//! Getting certificates from the cluster: the first one for a token, later ones for the old one.

use std::sync::Arc;
use std::time::Duration;

use manager::clock;
use pki::files::NodeCredentials;
use pki::{Csr, JoinToken, PrivateKeyPem, RootBundle};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use transport::{Dialer, Network};
use types::node::{Availability, OWN_AGENT_LABEL};
use wire::api;
use wire::api::ca_client::CaClient;
use wire::api::node_ca_client::NodeCaClient;

use crate::error::NodeError;
use crate::skew::Clocks;

/// One RPC of the enrolment, as in SwarmKit.
const CALL_MAX: Duration = Duration::from_secs(5);

/// Rounds of asking whether the certificate is signed; it nearly always is at once.
const STATUS_ROUNDS_MAX: u32 = 6;

fn identity(error: impl std::fmt::Display) -> NodeError {
    NodeError::Identity(error.to_string())
}

fn refused(addr: &str, status: &tonic::Status) -> NodeError {
    NodeError::Refused {
        addr: addr.to_owned(),
        text: status.message().to_owned(),
    }
}

async fn timely<T>(
    addr: &str,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<tonic::Response<T>, NodeError> {
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(status)) => Err(refused(addr, &status)),
        Err(_) => Err(NodeError::Refused {
            addr: addr.to_owned(),
            text: format!(
                "no answer within {} s; is it a manager?",
                CALL_MAX.as_secs()
            ),
        }),
    }
}

/// Downloads the cluster's root and checks it against the token before anything trusts it; also
/// compares the clocks, before anything of this node is in the cluster.
async fn download_root(
    addr: &str,
    token: &JoinToken,
    network: Option<Arc<dyn Network>>,
) -> Result<RootBundle, NodeError> {
    let dialer = Dialer::root_download()?.on(network);
    let channel = dial(&dialer, addr).await?;
    let mut client = CaClient::new(channel);
    let request = api::GetRootCaCertificateRequest {};
    let reply = timely(addr, client.get_root_ca_certificate(request)).await?;
    let clocks = Clocks::of(reply.metadata());
    let root = reply.into_inner().certificate;
    token
        .check_root(&root)
        .map_err(|e| NodeError::Token(e.to_string()))?;
    if let Some(clocks) = clocks {
        clocks.check().map_err(NodeError::Clock)?;
    }
    RootBundle::parse(&root).map_err(identity)
}

async fn dial(dialer: &Dialer, addr: &str) -> Result<Channel, NodeError> {
    let failed = |source| NodeError::Dial {
        addr: addr.to_owned(),
        source,
    };
    dialer.connect(addr).await.map_err(failed)
}

/// Joins with a token: returns the node's first credentials. The network is the system's unless
/// another one is given.
///
/// # Errors
/// In one sentence: the token, the address, the clock or the manager's refusal.
pub async fn first(
    addr: &str,
    token: &str,
    availability: Availability,
    network: Option<Arc<dyn Network>>,
) -> Result<NodeCredentials, NodeError> {
    let parsed: JoinToken = token
        .parse()
        .map_err(|e: pki::TokenError| NodeError::Token(e.to_string()))?;
    let roots = download_root(addr, &parsed, network.clone()).await?;
    let dialer = Dialer::first_certificate(roots.clone())?.on(network);
    let channel = dial(&dialer, addr).await?;
    let availability = api::node_spec::Availability::from(availability).into();
    let request = |csr: Vec<u8>| api::IssueNodeCertificateRequest {
        csr,
        token: token.trim().to_owned(),
        availability,
        ..Default::default()
    };
    obtain(addr, channel, &roots, request).await
}

/// Renews the certificate over a connection that shows the old one.
///
/// # Errors
/// In one sentence.
pub async fn renew(
    addr: &str,
    channel: Channel,
    roots: &RootBundle,
) -> Result<NodeCredentials, NodeError> {
    let request = |csr: Vec<u8>| api::IssueNodeCertificateRequest {
        csr,
        ..Default::default()
    };
    obtain(addr, channel, roots, request).await
}

async fn obtain(
    addr: &str,
    channel: Channel,
    roots: &RootBundle,
    request: impl FnOnce(Vec<u8>) -> api::IssueNodeCertificateRequest,
) -> Result<NodeCredentials, NodeError> {
    let (csr, key) = Csr::generate().map_err(identity)?;
    let csr = csr.pem().as_bytes().to_vec();
    let mut client = NodeCaClient::new(channel);
    let mut asked = tonic::Request::new(request(csr.clone()));
    let version = MetadataValue::from_static(env!("CARGO_PKG_VERSION"));
    asked.metadata_mut().insert(OWN_AGENT_LABEL, version);
    let issued = timely(addr, client.issue_node_certificate(asked)).await?;
    let issued = issued.into_inner();
    for _ in 0..STATUS_ROUNDS_MAX {
        let asked = api::NodeCertificateStatusRequest {
            node_id: issued.node_id.clone(),
        };
        let reply = timely(addr, client.node_certificate_status(asked)).await?;
        if let Some(chain) = signed(addr, reply.into_inner(), &csr)? {
            return checked(roots, &chain, key);
        }
    }
    let text = "the certificate was not signed in time; try again".to_owned();
    Err(NodeError::Refused {
        addr: addr.to_owned(),
        text,
    })
}

/// The chain, if the answer is for this request.
fn signed(
    addr: &str,
    reply: api::NodeCertificateStatusResponse,
    csr: &[u8],
) -> Result<Option<String>, NodeError> {
    use api::issuance_status::State;
    let status = reply.status.unwrap_or_default();
    let certificate = reply.certificate.unwrap_or_default();
    match status.state() {
        State::Issued | State::Rotate if certificate.csr == csr => Ok(Some(
            String::from_utf8_lossy(&certificate.certificate).into_owned(),
        )),
        State::Failed => {
            let text = format!("the certificate was refused: {}", status.err);
            Err(NodeError::Refused {
                addr: addr.to_owned(),
                text,
            })
        }
        _ => Ok(None),
    }
}

fn checked(
    roots: &RootBundle,
    chain: &str,
    key: PrivateKeyPem,
) -> Result<NodeCredentials, NodeError> {
    NodeCredentials::check(roots.pem(), chain, key, clock::now()).map_err(NodeError::Credentials)
}
