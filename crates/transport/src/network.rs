//! The network under TLS: that of the system, or another one that a simulation brings along.
//!
//! Everything above it, from handshakes to forwarding, is the same on both. The system's is an
//! ordinary socket without a detour. Local sockets are always the system's.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// What a [`Network`] answers with, once it has happened.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// A connection of a simulated network.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A network that is not the system's.
pub trait Network: std::fmt::Debug + Send + Sync {
    /// The addresses that `HOST:PORT` stands for.
    fn lookup(&self, addr: &str) -> io::Result<Vec<SocketAddr>>;

    /// Connects to one of them.
    fn connect(&self, addr: SocketAddr) -> Soon<'_, Box<dyn Wire>>;

    /// Binds an address of this machine.
    fn listen(&self, addr: SocketAddr) -> Soon<'_, Box<dyn Accepts>>;
}

/// A bound address of a simulated network.
pub trait Accepts: Send + Sync {
    /// The address.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next connection, and where it comes from.
    fn accept(&self) -> Soon<'_, (Box<dyn Wire>, SocketAddr)>;
}

/// Whichever network a node is on; `None` is the system's.
pub(crate) type Ground = Option<Arc<dyn Network>>;

/// A connection.
pub(crate) enum Stream {
    System(TcpStream),
    Simulated(Box<dyn Wire>),
}

/// A bound address.
pub(crate) enum Port {
    System(TcpListener),
    Simulated(Box<dyn Accepts>),
}

/// The addresses that `HOST:PORT` stands for.
pub(crate) async fn lookup(ground: &Ground, addr: &str) -> io::Result<Vec<SocketAddr>> {
    match ground {
        None => Ok(tokio::net::lookup_host(addr).await?.collect()),
        Some(network) => network.lookup(addr),
    }
}

// === impl Stream ===

impl Stream {
    pub(crate) async fn connect(ground: &Ground, addr: SocketAddr) -> io::Result<Self> {
        match ground {
            None => TcpStream::connect(addr).await.map(Self::System),
            Some(network) => network.connect(addr).await.map(Self::Simulated),
        }
    }

    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::System(stream) => stream.set_nodelay(true),
            Self::Simulated(_) => Ok(()),
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(stream) => stream.fmt(f),
            Self::Simulated(_) => f.write_str("simulated"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::System(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Simulated(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::System(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Simulated(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::System(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Simulated(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::System(stream) => stream.is_write_vectored(),
            Self::Simulated(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::System(stream) => Pin::new(stream).poll_flush(cx),
            Self::Simulated(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::System(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Simulated(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

// === impl Port ===

impl Port {
    pub(crate) async fn bind(ground: &Ground, addr: SocketAddr) -> io::Result<Self> {
        match ground {
            None => TcpListener::bind(addr).await.map(Self::System),
            Some(network) => network.listen(addr).await.map(Self::Simulated),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(port) => port.local_addr(),
            Self::Simulated(port) => port.local_addr(),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::System(port) => {
                let (stream, from) = port.accept().await?;
                Ok((Stream::System(stream), from))
            }
            Self::Simulated(port) => {
                let (stream, from) = port.accept().await?;
                Ok((Stream::Simulated(stream), from))
            }
        }
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(port) => port.fmt(f),
            Self::Simulated(_) => f.write_str("simulated"),
        }
    }
}
