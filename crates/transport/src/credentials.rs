//! A node's credentials, shared by listeners and channels and replaceable while they work.
//!
//! Handshakes take the configuration current at their start. Sessions are never resumed: a resumed
//! session would skip the check of the peer's certificate against the present roots and time.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use pki::Identity;
use pki::chain::RootBundle;
use pki::files::{CredentialsError, NodeCredentials};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::watch;

use crate::clock;
use crate::network::{Ground, Network};
use crate::verify::{AnyServer, ClientVerifier, ServerVerifier};

/// Application protocol of every connection; grpc-go clients refuse a server that does not say so.
pub(crate) const ALPN_H2: &[u8] = b"h2";

/// Shared credentials of a node.
#[derive(Debug)]
pub struct Credentials {
    current: ArcSwap<Snapshot>,
    generation: watch::Sender<u64>,
    ground: Ground,
}

/// Credentials at one moment.
#[derive(Debug)]
pub struct Snapshot {
    node: NodeCredentials,
    generation: u64,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

/// Why credentials cannot be taken into use; the ones before stay.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Files and present do not fit.
    #[error(transparent)]
    Check(#[from] CredentialsError),
    /// The TLS library refuses them.
    #[error("cannot use the node's certificate and key for TLS: {0}")]
    Tls(String),
}

// === impl Credentials ===

impl Credentials {
    /// Takes checked credentials into use.
    ///
    /// # Errors
    /// [`ReplaceError::Tls`] if the TLS library does not support the kind of key.
    pub fn new(node: NodeCredentials) -> Result<Arc<Self>, ReplaceError> {
        Self::over(None, node)
    }

    /// As [`Credentials::new`], for a node of a simulated network: its listeners and dialers are on
    /// that.
    ///
    /// # Errors
    /// As [`Credentials::new`].
    pub fn simulated(
        network: Arc<dyn Network>,
        node: NodeCredentials,
    ) -> Result<Arc<Self>, ReplaceError> {
        Self::over(Some(network), node)
    }

    fn over(ground: Ground, node: NodeCredentials) -> Result<Arc<Self>, ReplaceError> {
        let current = ArcSwap::from_pointee(Snapshot::new(node, 0)?);
        Ok(Arc::new(Self {
            current,
            generation: watch::Sender::new(0),
            ground,
        }))
    }

    /// The network on which the credentials are shown.
    pub(crate) fn ground(&self) -> Ground {
        self.ground.clone()
    }

    /// Whether the node is on a simulated network, and so in simulated time.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.ground.is_some()
    }

    /// Takes new credentials into use for every handshake from now on. Connections that exist stay.
    ///
    /// # Errors
    /// As [`Credentials::new`]; then nothing changes.
    pub fn replace(&self, node: NodeCredentials) -> Result<(), ReplaceError> {
        // The send lock keeps two replacements from taking one number.
        let mut result = Ok(());
        self.generation
            .send_if_modified(|generation| match Snapshot::new(node, *generation + 1) {
                Ok(snapshot) => {
                    *generation = snapshot.generation;
                    self.current.store(Arc::new(snapshot));
                    true
                }
                Err(error) => {
                    result = Err(error);
                    false
                }
            });
        result
    }

    /// Trusts other roots from now on, if the node's own certificate leads to one of them.
    ///
    /// # Errors
    /// [`ReplaceError::Check`] if it does not, or the bytes are no roots; then nothing changes.
    pub fn replace_roots(&self, roots_pem: &[u8]) -> Result<(), ReplaceError> {
        let current = self.current();
        let NodeCredentials { chain, key, .. } = &current.node;
        let node = NodeCredentials::check(roots_pem, chain.pem(), key.clone(), clock::now())?;
        self.replace(node)
    }

    /// What handshakes use now.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Who this node is, by its current certificate.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.current.load().node.identity.clone()
    }

    /// A count that grows with every replacement, to wait for one.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

// === impl Snapshot ===

impl Snapshot {
    fn new(node: NodeCredentials, generation: u64) -> Result<Self, ReplaceError> {
        let server = Arc::new(server_config(&node)?);
        let client = Arc::new(client_config(&node)?);
        Ok(Self {
            node,
            generation,
            server,
            client,
        })
    }

    /// Roots, chain, key and identity.
    #[must_use]
    pub fn node(&self) -> &NodeCredentials {
        &self.node
    }

    /// How often credentials were replaced before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The one crypto provider of the process.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
        .clone()
}

fn server_config(node: &NodeCredentials) -> Result<ServerConfig, ReplaceError> {
    let verifier = Arc::new(ClientVerifier::new(node.roots.clone()));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(node.chain.certificates().to_vec(), key(node)?)
        .map_err(tls)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(node: &NodeCredentials) -> Result<ClientConfig, ReplaceError> {
    let verifier = Arc::new(ServerVerifier::new(node.roots.clone()));
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(node.chain.certificates().to_vec(), key(node)?)
        .map_err(tls)?;
    Ok(h2_without_resumption(config))
}

/// Trusts the given roots and shows no certificate: for the first certificate request.
pub(crate) fn joining_config(roots: RootBundle) -> Result<ClientConfig, ReplaceError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(roots)))
        .with_no_client_auth();
    Ok(h2_without_resumption(config))
}

/// Trusts anybody: for the download of the root, whose digest is checked afterwards.
pub(crate) fn trusting_config() -> Result<ClientConfig, ReplaceError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_no_client_auth();
    Ok(h2_without_resumption(config))
}

fn h2_without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

fn key(node: &NodeCredentials) -> Result<PrivateKeyDer<'static>, ReplaceError> {
    PrivateKeyDer::from_pem_slice(node.key.expose().as_bytes())
        .map_err(|error| ReplaceError::Tls(error.to_string()))
}

fn tls(error: rustls::Error) -> ReplaceError {
    ReplaceError::Tls(error.to_string())
}
