//! The cluster's authority and the certificates of its nodes, made before the simulation begins.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use manager::seed::Seed;
use pki::chain::NodeChain;
use pki::csr::CheckedCsr;
use pki::files::NodeCredentials;
use pki::{CertificateOrder, Csr, RootCa, Serial, issue};
use types::node::{Availability, Certificate, IssuanceState};
use types::{ClusterId, NodeId, NodeRole, SecretBytes, Timestamp};

/// Longer than any run; certificates live in the time of the machine.
const VALIDITY: Duration = Duration::from_secs(24 * 3_600);
/// The root's certificate begins this long before the others.
const ROOT_AGE: Duration = Duration::from_secs(3_600);
/// The cluster's id.
const CLUSTER: u128 = 1 << 100;

/// A node before it starts.
#[derive(Clone)]
pub(crate) struct Papers {
    pub(crate) id: NodeId,
    pub(crate) role: NodeRole,
    /// Its host in the simulated network.
    pub(crate) host: String,
    pub(crate) credentials: NodeCredentials,
}

/// The authority and everybody's papers, managers first.
pub(crate) struct Authority {
    pub(crate) cluster: ClusterId,
    pub(crate) root_pem: Vec<u8>,
    pub(crate) seed: Seed,
    pub(crate) nodes: Vec<Papers>,
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::ZERO.plus(since.unwrap_or_default())
}

impl Authority {
    pub(crate) fn new(managers: usize, workers: usize) -> anyhow::Result<Self> {
        let cluster = ClusterId::from_u128(CLUSTER).context("make an id")?;
        let root = RootCa::generate(now().minus(ROOT_AGE), Serial::new([7; 16]))?;
        let role = |number| match number < managers {
            true => NodeRole::Manager,
            false => NodeRole::Worker,
        };
        let host = |number| match number < managers {
            true => format!("m{}", number + 1),
            false => format!("w{}", number + 1 - managers),
        };
        let papers = |number: usize| {
            let own = number as u128 + 1;
            let id = NodeId::from_u128(own).context("make an id")?;
            let credentials = sign(&root, cluster, (own, id), role(number))?;
            let (role, host) = (role(number), host(number));
            anyhow::Ok(Papers {
                id,
                role,
                host,
                credentials,
            })
        };
        let nodes: Vec<Papers> = (0..managers + workers)
            .map(papers)
            .collect::<anyhow::Result<_>>()?;
        let first = nodes.first().context("a cluster has a manager")?;
        let seed = Seed {
            cluster_id: cluster,
            root_cert: root.certificate_pem().to_vec(),
            root_key: SecretBytes::new(root.key_pem().expose().as_bytes().to_vec()),
            own_chain: first.credentials.chain.pem().as_bytes().to_vec(),
            availability: Availability::Active,
        };
        Ok(Self {
            cluster,
            root_pem: root.certificate_pem().to_vec(),
            seed,
            nodes,
        })
    }
}

impl Papers {
    /// The record of the node in the tables, as the authority makes it when it signs.
    pub(crate) fn record(&self) -> types::Node {
        let certificate = Certificate {
            role: self.role,
            csr: Vec::new(),
            state: IssuanceState::Issued,
            err: String::new(),
            certificate: self.credentials.chain.pem().as_bytes().to_vec(),
            cn: self.id.to_string(),
        };
        manager::ca::new_node(self.id, self.role, Availability::Active, certificate, 0)
    }
}

fn sign(
    root: &RootCa,
    cluster: ClusterId,
    (number, id): (u128, NodeId),
    role: NodeRole,
) -> anyhow::Result<NodeCredentials> {
    let (csr, key) = Csr::generate()?;
    let csr = CheckedCsr::parse(csr.pem().as_bytes())?;
    let order = CertificateOrder {
        csr: &csr,
        node_id: id,
        role,
        cluster_id: cluster,
        now: now(),
        validity: VALIDITY,
        serial: Serial::new(number.to_be_bytes()),
    };
    let chain = NodeChain::parse(&issue(root, &order)?)?;
    let identity = chain.claimed_identity()?;
    Ok(NodeCredentials {
        roots: root.bundle().clone(),
        chain,
        key,
        identity,
    })
}
