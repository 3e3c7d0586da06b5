//! The certificate authority: first certificates for tokens, renewals for nodes.
//!
//! Signing happens in the call that asks for it, on the leader, and the certificate is stored
//! before the node is told its id. What a node may get follows from committed state alone.

use std::sync::Arc;

use pki::csr::CheckedCsr;
use pki::{CertificateOrder, PrivateKeyPem, RootCa, Serial};
use store::State;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status};
use transport::Caller;
use types::node::{
    Availability, Certificate, IssuanceState, MANAGER_TIME_KEY, Membership, OWN_AGENT_LABEL,
};
use types::{Annotations, Cluster, Node, NodeId, NodeRole, NodeSpec, defaults};
use wire::api;

use crate::clock;
use crate::control_api::status::{OrRefuse, write_status};
use crate::entropy::SystemEntropy;
use crate::ledger::Ledger;
use control::certificate;
use control::crud;

/// Serves certificates.
#[derive(Clone)]
pub struct CaApi {
    ledger: Arc<Ledger>,
    root_pem: Arc<[u8]>,
}

impl CaApi {
    /// Serves from a manager's tables; `root_pem` answers joiners before the tables hold the
    /// cluster object.
    pub fn new(ledger: Arc<Ledger>, root_pem: Arc<[u8]>) -> Self {
        Self { ledger, root_pem }
    }

    async fn first(
        &self,
        request: api::IssueNodeCertificateRequest,
        is_own: bool,
    ) -> Result<(NodeId, Membership), Status> {
        let state = self.ledger.state();
        let cluster = the_cluster(&state)?;
        let role = certificate::first_role(cluster, &request.token).or_refuse()?;
        certificate::check_suits(role, is_own).or_refuse()?;
        let availability = availability(request.availability())?;
        let id = NodeId::random(&mut SystemEntropy);
        let certificate = sign(cluster, id, role, request.csr)?;
        let node = new_node(id, role, availability, certificate, cluster.vxlan_udp_port);
        let created = self
            .ledger
            .write(|draft| crud::create(draft, node, State::nodes))
            .await;
        created.map_err(write_status)?;
        tracing::info!(node = %id, role = role.name(), "node joined");
        Ok((id, Membership::Accepted))
    }

    async fn renew(
        &self,
        id: NodeId,
        request: api::IssueNodeCertificateRequest,
        is_own: bool,
    ) -> Result<(NodeId, Membership), Status> {
        let state = self.ledger.state();
        let cluster = the_cluster(&state)?;
        let role = certificate::next_role(&state, id).or_refuse()?;
        certificate::check_suits(role, is_own).or_refuse()?;
        let certificate = sign(cluster, id, role, request.csr)?;
        let stored = self
            .ledger
            .write(|draft| certificate::store(draft, id, certificate))
            .await;
        let node = stored.map_err(write_status)?;
        tracing::info!(node = %id, role = role.name(), "certificate renewed");
        Ok((id, node.spec.membership))
    }
}

fn availability(given: api::node_spec::Availability) -> Result<Availability, Status> {
    Ok(match given {
        api::node_spec::Availability::Active => Availability::Active,
        api::node_spec::Availability::Pause => Availability::Pause,
        api::node_spec::Availability::Drain => Availability::Drain,
    })
}

/// A node object for a machine that joins.
pub fn new_node(
    id: NodeId,
    role: NodeRole,
    availability: Availability,
    certificate: Certificate,
    vxlan_udp_port: u32,
) -> Node {
    let spec = NodeSpec {
        annotations: Annotations::default(),
        desired_role: role,
        membership: Membership::Accepted,
        availability,
    };
    Node {
        certificate,
        vxlan_udp_port,
        ..Node::new(id, spec)
    }
}

fn sign(
    cluster: &Cluster,
    id: NodeId,
    role: NodeRole,
    csr: Vec<u8>,
) -> Result<Certificate, Status> {
    let checked = CheckedCsr::parse(&csr).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let root = root_of(cluster).map_err(|e| Status::internal(e.to_string()))?;
    let order = CertificateOrder {
        csr: &checked,
        node_id: id,
        role,
        cluster_id: cluster.id,
        now: clock::now(),
        validity: cluster
            .spec
            .ca
            .node_cert_expiry
            .unwrap_or(defaults::NODE_CERT_EXPIRY),
        serial: Serial::draw(&mut SystemEntropy),
    };
    let chain =
        pki::issue(&root, &order).map_err(|e| Status::failed_precondition(e.to_string()))?;
    Ok(certificate::issued(id, role, csr, chain.into_bytes()))
}

/// The authority whose key the cluster object holds.
///
/// # Errors
/// If what it holds is no authority.
pub fn root_of(cluster: &Cluster) -> Result<RootCa, pki::RootError> {
    let key = String::from_utf8_lossy(cluster.root_ca.ca_key.expose()).into_owned();
    RootCa::from_pem(&cluster.root_ca.ca_cert, &PrivateKeyPem::new(key))
}

fn the_cluster(state: &State) -> Result<&Arc<Cluster>, Status> {
    state
        .cluster()
        .ok_or_else(|| Status::unavailable("the cluster is being set up; try again"))
}

#[tonic::async_trait]
impl api::ca_server::Ca for CaApi {
    async fn get_root_ca_certificate(
        &self,
        _: Request<api::GetRootCaCertificateRequest>,
    ) -> Result<Response<api::GetRootCaCertificateResponse>, Status> {
        let state = self.ledger.state();
        let stored = state.cluster().map(|c| c.root_ca.ca_cert.clone());
        let pem = stored.unwrap_or_else(|| self.root_pem.to_vec());
        let mut reply = Response::new(api::GetRootCaCertificateResponse { certificate: pem });
        let time = AsciiMetadataValue::from(clock::now().0);
        reply.metadata_mut().insert(MANAGER_TIME_KEY, time);
        Ok(reply)
    }

    async fn get_unlock_key(
        &self,
        _: Request<api::GetUnlockKeyRequest>,
    ) -> Result<Response<api::GetUnlockKeyResponse>, Status> {
        // No key and version 0 is what an unlocked cluster answers.
        Ok(Response::new(api::GetUnlockKeyResponse::default()))
    }
}

#[tonic::async_trait]
impl api::node_ca_server::NodeCa for CaApi {
    async fn issue_node_certificate(
        &self,
        request: Request<api::IssueNodeCertificateRequest>,
    ) -> Result<Response<api::IssueNodeCertificateResponse>, Status> {
        let subject = Caller::of(&request)?.subject;
        let is_own = request.metadata().contains_key(OWN_AGENT_LABEL);
        let request = request.into_inner();
        let (id, membership) = match subject {
            Some(subject) => self.renew(subject.node_id, request, is_own).await?,
            None => self.first(request, is_own).await?,
        };
        Ok(Response::new(api::IssueNodeCertificateResponse {
            node_id: id.to_string(),
            node_membership: api::node_spec::Membership::from(membership).into(),
        }))
    }

    async fn node_certificate_status(
        &self,
        request: Request<api::NodeCertificateStatusRequest>,
    ) -> Result<Response<api::NodeCertificateStatusResponse>, Status> {
        let id = request.into_inner().node_id;
        let (mut state, mut cursor) = self.ledger.subscribe();
        loop {
            let node = crud::find(state.nodes(), &id).or_refuse()?;
            if !matches!(
                node.certificate.state,
                IssuanceState::Unknown | IssuanceState::Renew | IssuanceState::Pending
            ) {
                let certificate = api::Certificate::from(&node.certificate);
                return Ok(Response::new(api::NodeCertificateStatusResponse {
                    status: certificate.status.clone(),
                    certificate: Some(certificate),
                }));
            }
            let gone = || Status::unavailable("this manager is stopping; try another one");
            let next = cursor.next_where(|c| c.kind() == store::Kind::Node);
            state = next.await.ok_or_else(gone)?;
        }
    }
}
