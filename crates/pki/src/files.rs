//! Names and contents of the files in a node's certificate directory, as SwarmKit has them.
//!
//! Contents are PEM: the root bundle with its exact bytes, the chain with the leaf first, the key
//! as unencrypted PKCS#8. This module names and checks; writing files is the caller's, who must
//! make key and chain appear together.

use types::Timestamp;

use crate::chain::{ChainError, NodeChain, RootBundle, RootBundleError};
use crate::csr::PrivateKeyPem;
use crate::identity::Identity;

/// Directory below the state directory.
pub const DIRECTORY: &str = "certificates";
/// The trusted roots.
pub const ROOT_FILE: &str = "swarm-root-ca.crt";
/// The node's chain.
pub const CHAIN_FILE: &str = "swarm-node.crt";
/// The node's private key.
pub const KEY_FILE: &str = "swarm-node.key";
/// File mode of the key.
pub const KEY_MODE: u32 = 0o600;
/// File mode of certificates.
pub const CERTIFICATE_MODE: u32 = 0o644;

/// A node's own credentials after every check that can be made without another node.
#[derive(Clone, Debug)]
pub struct NodeCredentials {
    /// Whom it trusts.
    pub roots: RootBundle,
    /// What it shows.
    pub chain: NodeChain,
    /// What proves it.
    pub key: PrivateKeyPem,
    /// Who it is.
    pub identity: Identity,
}

/// Why stored or received credentials cannot be used; the file is named by its usual name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The root file.
    #[error("cannot use {ROOT_FILE}: {0}")]
    Roots(#[source] RootBundleError),
    /// The chain file is no chain.
    #[error("cannot use {CHAIN_FILE}: {0}")]
    Chain(#[source] RootBundleError),
    /// The key file is no key, or not the chain's.
    #[error("cannot use {KEY_FILE}: {0}")]
    Key(#[source] ChainError),
    /// The chain is not valid here and now.
    #[error("cannot use {CHAIN_FILE}: {0}")]
    Refused(#[source] ChainError),
}

// === impl NodeCredentials ===

impl NodeCredentials {
    /// Reads the three files' contents and checks that they fit each other and the present.
    ///
    /// # Errors
    /// [`CredentialsError`]; an expired certificate is [`ChainError::Clock`] inside it.
    pub fn check(
        roots_pem: &[u8],
        chain_pem: &str,
        key: PrivateKeyPem,
        now: Timestamp,
    ) -> Result<Self, CredentialsError> {
        let roots = RootBundle::parse(roots_pem).map_err(CredentialsError::Roots)?;
        let chain = NodeChain::parse(chain_pem).map_err(CredentialsError::Chain)?;
        let identity = chain
            .verify(&roots, &key, now)
            .map_err(|error| match error {
                ChainError::Key(_) => CredentialsError::Key(error),
                error => CredentialsError::Refused(error),
            })?;
        Ok(Self {
            roots,
            chain,
            key,
            identity,
        })
    }
}
