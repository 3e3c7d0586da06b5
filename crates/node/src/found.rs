//! Founding a cluster: the root, this node's certificate, and what the first leader plants.

use manager::clock;
use manager::entropy::SystemEntropy;
use manager::seed::Seed;
use pki::csr::CheckedCsr;
use pki::files::NodeCredentials;
use pki::{CertificateOrder, Csr, PrivateKeyPem, RootCa, Serial};
use storage::StateDir;
use types::node::Availability;
use types::{ClusterId, NodeId, NodeRole, SecretBytes, defaults};

use crate::error::NodeError;
use crate::files::{self, ROOT_KEY_FILE};

/// A founder's credentials and the seed of its cluster.
pub struct Founded {
    /// Credentials of this node.
    pub node: NodeCredentials,
    /// What the first leader plants.
    pub seed: Seed,
}

fn failed(error: impl std::fmt::Display) -> NodeError {
    NodeError::Identity(error.to_string())
}

/// Makes a new cluster's root and this node's manager certificate, and stores them.
///
/// # Errors
/// If the system gives no randomness or the file system refuses.
pub fn found(dir: &StateDir, availability: Availability) -> Result<Founded, NodeError> {
    let now = clock::now();
    let root = RootCa::generate(now, Serial::draw(&mut SystemEntropy)).map_err(failed)?;
    let cluster_id = ClusterId::random(&mut SystemEntropy);
    let node_id = NodeId::random(&mut SystemEntropy);
    let (chain, key) = certificate(&root, cluster_id, node_id)?;
    let node = NodeCredentials::check(root.certificate_pem(), &chain, key, now).map_err(failed)?;
    let root_key = root.key_pem().expose().as_bytes().to_vec();
    let key_path = dir.certificates().join(ROOT_KEY_FILE);
    files::write(&key_path, pki::files::KEY_MODE, &root_key)?;
    files::store(dir, &node)?;
    dir.bind_cluster(&cluster_id.to_string())?;
    let seed = Seed {
        cluster_id,
        root_cert: root.certificate_pem().to_vec(),
        root_key: SecretBytes::new(root_key),
        own_chain: chain.into_bytes(),
        availability,
    };
    Ok(Founded { node, seed })
}

/// A manager certificate signed by a root, and its key.
///
/// # Errors
/// If the signing library refuses.
pub fn certificate(
    root: &RootCa,
    cluster_id: ClusterId,
    node_id: NodeId,
) -> Result<(String, PrivateKeyPem), NodeError> {
    let (csr, key) = Csr::generate().map_err(failed)?;
    let csr = CheckedCsr::parse(csr.pem().as_bytes()).map_err(failed)?;
    let order = CertificateOrder {
        csr: &csr,
        node_id,
        role: NodeRole::Manager,
        cluster_id,
        now: clock::now(),
        validity: defaults::NODE_CERT_EXPIRY,
        serial: Serial::draw(&mut SystemEntropy),
    };
    let chain = pki::issue(root, &order).map_err(failed)?;
    Ok((chain, key))
}

/// The seed of a founder that died before the cluster's tables held everything.
///
/// # Errors
/// If a file cannot be read.
pub fn unfinished(
    dir: &StateDir,
    node: &NodeCredentials,
    availability: Availability,
) -> Result<Option<Seed>, NodeError> {
    let path = dir.certificates().join(ROOT_KEY_FILE);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(Seed {
        cluster_id: node.identity.cluster_id,
        root_cert: node.roots.pem().to_vec(),
        root_key: SecretBytes::new(files::read(&path)?),
        own_chain: node.chain.pem().as_bytes().to_vec(),
        availability,
    }))
}

/// Forgets the root's key: the cluster's tables hold it now.
///
/// # Errors
/// If the file system refuses.
pub fn finish(dir: &StateDir) -> Result<(), NodeError> {
    let path = dir.certificates().join(ROOT_KEY_FILE);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(NodeError::File {
            file: path.display().to_string(),
            source,
        }),
        _ => Ok(()),
    }
}
