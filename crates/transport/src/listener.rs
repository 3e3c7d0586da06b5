//! The TLS listener of a manager.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::connection::{Closer, Connection};
use crate::credentials::Credentials;
use crate::network::{Port, Stream};

/// A peer that has not finished its handshake by then is dropped.
const HANDSHAKE_MS_MAX: u64 = 5_000;
/// Handshakes under way at one time. Each holds a socket and some 50 KiB; a thousand nodes that
/// reconnect at once pass in a few rounds, and silent peers cannot take more than this.
const HANDSHAKES_MAX: usize = 256;
/// Connections that are ready but not yet taken by the server. The server takes them at once, so a
/// few are enough.
const READY_MAX: usize = 16;
/// Pause after the system refuses to accept, for example out of file descriptors.
const ACCEPT_RETRY_MS: u64 = 100;

/// A bound TCP port that speaks TLS with the node's current credentials.
#[derive(Debug)]
pub struct Listener {
    tcp: Port,
    credentials: Arc<Credentials>,
    addr: SocketAddr,
}

/// Connections that are ready; dropping it closes the port.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<Connection>,
    closer: Closer,
    accepting: AbortHandle,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has it.
    #[error(
        "cannot listen on {addr}: the port is in use by another process; stop it or choose another \
         address"
    )]
    InUse {
        /// The address.
        addr: String,
    },
    /// No such address here.
    #[error("cannot listen on {addr}: this machine has no such address")]
    NoSuchAddress {
        /// The address.
        addr: String,
    },
    /// A process serves this local socket.
    #[error(
        "cannot listen on {addr}: another process answers there; stop it or choose another path"
    )]
    Answered {
        /// The path.
        addr: String,
    },
    /// Anything else the system says.
    #[error("cannot listen on {addr}: {source}")]
    System {
        /// The address.
        addr: String,
        /// The system's word.
        source: io::Error,
    },
}

// === impl BindError ===

impl BindError {
    /// The error of an address that could not be bound.
    #[must_use]
    pub fn new(addr: String, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { addr },
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress { addr },
            _ => Self::System { addr, source },
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError`] in one sentence.
    pub async fn bind(addr: SocketAddr, credentials: Arc<Credentials>) -> Result<Self, BindError> {
        let failed = |source| BindError::new(addr.to_string(), source);
        let tcp = Port::bind(&credentials.ground(), addr)
            .await
            .map_err(failed)?;
        Self::on(tcp, credentials).map_err(failed)
    }

    /// Takes over a port that was bound before there were credentials. Who connected meanwhile is
    /// served.
    ///
    /// # Errors
    /// [`BindError`] if the system refuses to go on with it.
    pub fn over(
        bound: std::net::TcpListener,
        credentials: Arc<Credentials>,
    ) -> Result<Self, BindError> {
        let shown = bound
            .local_addr()
            .map_or_else(|e| e.to_string(), |a| a.to_string());
        let tcp = bound.set_nonblocking(true);
        let tcp = tcp.and_then(|()| tokio::net::TcpListener::from_std(bound));
        let listener = tcp.and_then(|tcp| Self::on(Port::System(tcp), credentials));
        listener.map_err(|source| BindError::new(shown, source))
    }

    fn on(tcp: Port, credentials: Arc<Credentials>) -> io::Result<Self> {
        let addr = tcp.local_addr()?;
        Ok(Self {
            tcp,
            credentials,
            addr,
        })
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Starts accepting.
    #[must_use]
    pub fn incoming(self) -> Incoming {
        Incoming::start(|ready, closer| self.accept(ready, closer))
    }

    /// Runs until it is aborted; its handshakes end with it.
    async fn accept(self, ready: mpsc::Sender<Connection>, closer: Closer) {
        let permits = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let mut handshakes = JoinSet::new();
        loop {
            while handshakes.try_join_next().is_some() {}
            let Ok(permit) = permits.clone().acquire_owned().await else {
                return;
            };
            let (stream, addr) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, addr = %self.addr, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                    continue;
                }
            };
            let acceptor = TlsAcceptor::from(self.credentials.current().server.clone());
            let (ready, closer) = (ready.clone(), closer.clone());
            handshakes.spawn(async move {
                let _permit = permit;
                match handshake(acceptor, stream, addr, &closer).await {
                    // The server is gone only when it shuts down.
                    Ok(connection) => drop(ready.send(connection).await),
                    Err(error) => debug!(%error, peer = %addr, "TLS handshake failed"),
                }
            });
        }
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: Stream,
    addr: SocketAddr,
    closer: &Closer,
) -> io::Result<Connection> {
    stream.set_nodelay()?;
    let limit = Duration::from_millis(HANDSHAKE_MS_MAX);
    let stream = timeout(limit, acceptor.accept(stream))
        .await
        .map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, "the peer did not finish in time")
        })??;
    Connection::tls(stream, addr, closer)
}

// === impl Incoming ===

impl Incoming {
    /// Runs an accept loop that ends with the result.
    pub(crate) fn start<F>(accept: impl FnOnce(mpsc::Sender<Connection>, Closer) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, ready) = mpsc::channel(READY_MAX);
        let closer = Closer::default();
        let accepting = tokio::spawn(accept(sender, closer.clone())).abort_handle();
        Self {
            ready,
            closer,
            accepting,
        }
    }

    /// A handle that closes all connections of this listener.
    #[must_use]
    pub fn closer(&self) -> Closer {
        self.closer.clone()
    }
}

impl tokio_stream::Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut()
            .ready
            .poll_recv(cx)
            .map(|ready| ready.map(Ok))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
