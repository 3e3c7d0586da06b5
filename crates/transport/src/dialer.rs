//! Channels to managers.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use pki::chain::RootBundle;
use pki::{CA_NAME, Identity, MANAGER_OU};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use types::NodeId;

use crate::clock;
use crate::credentials::{ALPN_H2, Credentials, ReplaceError, joining_config, trusting_config};
use crate::dial_error::{DialError, explain};
use crate::network::{self, Ground, Network};
use crate::prefetch::{FirstWords, Prefetched};

/// A machine that does not answer by then counts as unreachable.
const CONNECT_MS_MAX: u64 = 3_000;
/// A handshake, including the server's first words, takes at most this long.
const HANDSHAKE_MS_MAX: u64 = 3_000;
/// An open connection is probed this often, also when idle: a peer that lost power is noticed
/// within this and [`KEEP_ALIVE_TIMEOUT_MS`], a half-open connection never lives on.
const KEEP_ALIVE_MS: u64 = 2_000;
/// A probe without an answer for this long ends the connection.
const KEEP_ALIVE_TIMEOUT_MS: u64 = 3_000;
/// Bytes in flight on one connection; it is shared by all streams, which have less each.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Bytes in flight on one stream: a reader that stalls holds back this much and no more.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Opens channels with one kind of trust.
#[derive(Clone, Debug)]
pub struct Dialer {
    trust: Trust,
    ground: Ground,
}

#[derive(Clone, Debug)]
enum Trust {
    /// Shows the node's certificate, expects a manager.
    Member(Arc<Credentials>),
    /// Shows nothing, expects the authority's name.
    Joining(Arc<ClientConfig>),
    /// Shows nothing, expects nothing.
    Anybody(Arc<ClientConfig>),
}

type Stream = Prefetched<TlsStream<network::Stream>>;
type Io = TokioIo<Stream>;
type Opening = Pin<Box<dyn Future<Output = Result<Io, DialError>> + Send>>;

// === impl Dialer ===

impl Dialer {
    /// For every call after joining: shows the node's current certificate and expects a manager.
    #[must_use]
    pub fn member(credentials: Arc<Credentials>) -> Self {
        Self {
            ground: credentials.ground(),
            trust: Trust::Member(credentials),
        }
    }

    /// For the first certificate: shows none, expects a manager of the given roots.
    ///
    /// # Errors
    /// [`ReplaceError::Tls`] if the TLS library refuses its settings.
    pub fn first_certificate(roots: RootBundle) -> Result<Self, ReplaceError> {
        Ok(Self {
            trust: Trust::Joining(Arc::new(joining_config(roots)?)),
            ground: None,
        })
    }

    /// Only for the download of the root certificate: whoever answers is believed. The caller must
    /// check the digest of what it gets against its join token before it sends anything secret.
    ///
    /// # Errors
    /// [`ReplaceError::Tls`] if the TLS library refuses its settings.
    pub fn root_download() -> Result<Self, ReplaceError> {
        Ok(Self {
            trust: Trust::Anybody(Arc::new(trusting_config()?)),
            ground: None,
        })
    }

    /// The same on another network: nodes without credentials cannot take it from them.
    #[must_use]
    pub fn on(self, network: Option<Arc<dyn Network>>) -> Self {
        let ground = network;
        Self { ground, ..self }
    }

    /// A channel to the manager at `HOST:PORT`, connected. It reconnects by itself when it breaks,
    /// with the credentials current then.
    ///
    /// # Errors
    /// [`DialError`] in one sentence.
    pub async fn connect(&self, addr: &str) -> Result<Channel, DialError> {
        self.channel(addr, None).await
    }

    /// As [`Dialer::connect`], but the manager must be this node.
    ///
    /// # Errors
    /// [`DialError`], [`DialError::OtherNode`] if another node has the address.
    pub async fn connect_to(&self, addr: &str, node_id: NodeId) -> Result<Channel, DialError> {
        self.channel(addr, Some(node_id)).await
    }

    /// A channel that connects at its first call; [`explain`] finds the reason in a failed one.
    ///
    /// # Errors
    /// [`DialError::BadAddress`].
    pub fn connect_lazily(
        &self,
        addr: &str,
        node_id: Option<NodeId>,
    ) -> Result<Channel, DialError> {
        Ok(endpoint(addr)?.connect_with_connector_lazy(self.connector(addr, node_id)))
    }

    async fn channel(&self, addr: &str, node_id: Option<NodeId>) -> Result<Channel, DialError> {
        let connector = self.connector(addr, node_id);
        endpoint(addr)?
            .connect_with_connector(connector)
            .await
            .map_err(|error| {
                let other = || DialError::Other {
                    addr: addr.to_owned(),
                    reason: error.to_string(),
                };
                explain(&error).cloned().unwrap_or_else(other)
            })
    }

    fn connector(
        &self,
        addr: &str,
        node_id: Option<NodeId>,
    ) -> impl tower::Service<http::Uri, Response = Io, Error = DialError, Future = Opening>
    + Send
    + 'static {
        let (dialer, addr) = (self.clone(), addr.to_owned());
        tower::service_fn(move |_: http::Uri| {
            let (dialer, addr) = (dialer.clone(), addr.clone());
            let opened = async move {
                let stream = dialer.open(&addr, node_id).await?;
                Ok(TokioIo::new(stream))
            };
            Box::pin(opened) as Opening
        })
    }

    /// One connection: TCP, TLS, the server's first words.
    async fn open(&self, addr: &str, expected: Option<NodeId>) -> Result<Stream, DialError> {
        let limit = Duration::from_millis(CONNECT_MS_MAX);
        let silent = |what: &str, ms: u64| format!("{what} within {} s", ms / 1_000);
        let tcp = timeout(limit, tcp(&self.ground, addr))
            .await
            .map_err(|_| DialError::Unreachable {
                addr: addr.to_owned(),
                reason: silent("no answer", CONNECT_MS_MAX),
            })??;
        let limit = Duration::from_millis(HANDSHAKE_MS_MAX);
        timeout(limit, tls(&self.trust, addr, expected, tcp))
            .await
            .map_err(|_| DialError::NotAManager {
                addr: addr.to_owned(),
                reason: silent("it did not finish a TLS handshake", HANDSHAKE_MS_MAX),
            })?
    }
}

// === impl Trust ===

impl Trust {
    fn config(&self) -> Arc<ClientConfig> {
        match self {
            Self::Member(credentials) => credentials.current().client.clone(),
            Self::Joining(config) | Self::Anybody(config) => config.clone(),
        }
    }

    /// The name the server's certificate must carry; without verification it is only sent along.
    fn server_name(&self) -> &'static str {
        match self {
            Self::Member(_) => MANAGER_OU,
            Self::Joining(_) | Self::Anybody(_) => CA_NAME,
        }
    }
}

/// A channel through a local socket, connected.
///
/// # Errors
/// [`DialError::LocalSocket`] with what to do.
pub async fn connect_local(path: &Path) -> Result<Channel, DialError> {
    let owned: PathBuf = path.to_owned();
    let connector = tower::service_fn(move |_: http::Uri| {
        let path = owned.clone();
        async move {
            let opened = UnixStream::connect(&path).await;
            opened
                .map(TokioIo::new)
                .map_err(|error| local_error(&path, &error))
        }
    });
    let endpoint = with_settings(Endpoint::from_static("http://localhost"));
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| {
            let path = path.display().to_string();
            let other = || DialError::LocalSocket {
                path,
                reason: error.to_string(),
            };
            explain(&error).cloned().unwrap_or_else(other)
        })
}

fn local_error(path: &Path, error: &std::io::Error) -> DialError {
    use std::io::ErrorKind as K;
    let reason = match error.kind() {
        K::NotFound => "it does not exist; is swarmd running, with this socket path?".to_owned(),
        K::ConnectionRefused => "nobody answers; is swarmd running?".to_owned(),
        K::PermissionDenied => {
            "permission denied; run as the user that runs swarmd, or as root".to_owned()
        }
        _ => error.to_string(),
    };
    DialError::LocalSocket {
        path: path.display().to_string(),
        reason,
    }
}

fn endpoint(addr: &str) -> Result<Endpoint, DialError> {
    let bad = || DialError::BadAddress {
        addr: addr.to_owned(),
    };
    let uri: http::Uri = format!("http://{addr}").parse().map_err(|_| bad())?;
    let authority_only = uri.path() == "/" && uri.query().is_none() && !addr.contains(['/', '@']);
    if uri.port_u16().is_none_or(|port| port == 0) || !authority_only {
        return Err(bad());
    }
    // The connector speaks TLS itself; the origin only says so to the server.
    let origin = http::Uri::from_static("https://swarm-manager");
    Ok(with_settings(Endpoint::from(uri)).origin(origin))
}

fn with_settings(endpoint: Endpoint) -> Endpoint {
    endpoint
        .http2_keep_alive_interval(Duration::from_millis(KEEP_ALIVE_MS))
        .keep_alive_timeout(Duration::from_millis(KEEP_ALIVE_TIMEOUT_MS))
        .keep_alive_while_idle(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
}

async fn tcp(ground: &Ground, addr: &str) -> Result<network::Stream, DialError> {
    let unknown = |_| DialError::UnknownHost {
        addr: addr.to_owned(),
    };
    let mut error = DialError::UnknownHost {
        addr: addr.to_owned(),
    };
    for candidate in network::lookup(ground, addr).await.map_err(unknown)? {
        match network::Stream::connect(ground, candidate).await {
            Ok(stream) => {
                // Only costs latency if the system refuses it.
                drop(stream.set_nodelay());
                return Ok(stream);
            }
            Err(found) => error = DialError::tcp(addr, &found),
        }
    }
    Err(error)
}

async fn tls(
    trust: &Trust,
    addr: &str,
    expected: Option<NodeId>,
    tcp: network::Stream,
) -> Result<Stream, DialError> {
    let failed = |error: std::io::Error| DialError::tls(addr, &error, clock::now());
    let not_manager = |reason: &str| DialError::NotAManager {
        addr: addr.to_owned(),
        reason: reason.to_owned(),
    };
    let name = ServerName::try_from(trust.server_name())
        .map_err(|error| not_manager(&error.to_string()))?;
    let stream = TlsConnector::from(trust.config())
        .connect(name, tcp)
        .await
        .map_err(failed)?;
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(ALPN_H2) {
        return Err(not_manager("it speaks TLS, but not HTTP/2"));
    }
    if let Some(expected) = expected {
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let identity = leaf.and_then(|leaf| Identity::from_der(leaf).ok());
        let found = identity
            .ok_or_else(|| not_manager("its certificate is no node's"))?
            .node_id;
        if found != expected {
            return Err(DialError::OtherNode {
                addr: addr.to_owned(),
                expected,
                found,
            });
        }
    }
    let mut stream = Prefetched::nothing(stream);
    match stream.first_words().await.map_err(failed)? {
        FirstWords::Http2 => Ok(stream),
        FirstWords::Closed => Err(not_manager("it closed the connection after the handshake")),
        FirstWords::Other => Err(not_manager("it speaks TLS, but not HTTP/2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_and_port_is_an_address() {
        for good in ["10.0.0.1:2377", "[::1]:2377", "manager.example:2377"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "host",
            "host:",
            "host:0",
            "host:99999",
            "a b:1",
            "h:1/x",
            "u@h:1",
            "::1",
        ] {
            let error = endpoint(bad).expect_err(bad);
            assert_eq!(
                error,
                DialError::BadAddress {
                    addr: bad.to_owned()
                }
            );
        }
    }
}
