//! The simulated network as the transport wants it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use transport::{Accepts, Network, Soon, Wire};
use turmoil::net::{TcpListener, TcpStream};

/// The network of the simulation that runs on this thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Simulated;

impl Network for Simulated {
    fn lookup(&self, addr: &str) -> io::Result<Vec<SocketAddr>> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidInput);
        let (host, port) = addr.rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().map_err(|_| malformed())?;
        let ip: IpAddr = match host.parse() {
            Ok(ip) => ip,
            Err(_) => turmoil::lookup(host),
        };
        Ok(vec![SocketAddr::new(ip, port)])
    }

    fn connect(&self, addr: SocketAddr) -> Soon<'_, Box<dyn Wire>> {
        Box::pin(async move {
            let stream = TcpStream::connect(addr).await?;
            Ok(Box::new(stream) as Box<dyn Wire>)
        })
    }

    fn listen(&self, addr: SocketAddr) -> Soon<'_, Box<dyn Accepts>> {
        Box::pin(async move {
            let port = TcpListener::bind(addr).await?;
            Ok(Box::new(Port(port)) as Box<dyn Accepts>)
        })
    }
}

struct Port(TcpListener);

impl Accepts for Port {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn accept(&self) -> Soon<'_, (Box<dyn Wire>, SocketAddr)> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            Ok((Box::new(stream) as Box<dyn Wire>, from))
        })
    }
}
