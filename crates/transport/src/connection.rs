//! An accepted connection and who is at its other end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pki::Identity;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::network::Stream;

/// Who is at the other end; found in the extensions of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerInfo {
    /// Showed no certificate.
    Anonymous {
        /// Where it calls from.
        addr: SocketAddr,
    },
    /// Showed a certificate that was verified when the connection was made.
    Node {
        /// What the certificate says.
        identity: Arc<Identity>,
        /// Where it calls from.
        addr: SocketAddr,
    },
    /// Came in through the local socket.
    Local,
}

/// A connection that is ready for HTTP/2.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: PeerInfo,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Closes all connections of a listener, also those it has handed out.
///
/// A server that shuts down waits for its connections; streams that nobody ends would hold it up
/// for ever. After its grace period it closes them with this.
#[derive(Clone, Debug, Default)]
pub struct Closer {
    token: CancellationToken,
}

#[derive(Debug)]
enum Io {
    Tls(Box<TlsStream<Stream>>),
    Local(UnixStream),
}

// === impl PeerInfo ===

impl PeerInfo {
    /// Where it calls from; `None` on the local socket.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Anonymous { addr } | Self::Node { addr, .. } => Some(*addr),
            Self::Local => None,
        }
    }
}

// === impl Closer ===

impl Closer {
    /// Closes every connection now; new ones are closed as soon as they are used.
    pub fn close(&self) {
        self.token.cancel();
    }

    /// Each connection waits on a token of its own, so that they do not share a lock.
    fn closed(&self) -> Pin<Box<WaitForCancellationFutureOwned>> {
        Box::pin(self.token.child_token().cancelled_owned())
    }
}

// === impl Connection ===

impl Connection {
    /// A finished handshake; fails if the peer's certificate is no node's.
    pub(crate) fn tls(
        stream: TlsStream<Stream>,
        addr: SocketAddr,
        closer: &Closer,
    ) -> io::Result<Self> {
        let (_, session) = stream.get_ref();
        let peer = match session.peer_certificates().and_then(<[_]>::first) {
            None => PeerInfo::Anonymous { addr },
            Some(leaf) => {
                let identity = Identity::from_der(leaf).map_err(io::Error::other)?;
                PeerInfo::Node {
                    identity: Arc::new(identity),
                    addr,
                }
            }
        };
        let closed = closer.closed();
        Ok(Self {
            io: Io::Tls(Box::new(stream)),
            peer,
            closed,
        })
    }

    pub(crate) fn local(stream: UnixStream, closer: &Closer) -> Self {
        Self {
            io: Io::Local(stream),
            peer: PeerInfo::Local,
            closed: closer.closed(),
        }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // HTTP/2 is always reading: an error here ends the connection whatever else it does.
        if this.closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match &mut this.io {
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Local(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Local(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Io::Local(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Local(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
