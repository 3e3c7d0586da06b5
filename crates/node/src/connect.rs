//! How the agent and the renewer of this node reach managers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use agent::{Connect, ConnectError, Peer};
use executor::BoxFuture;
use tonic::transport::Channel;
use transport::{Credentials, Dialer};
use types::NodeRole;

/// Dials managers with the node's current certificate.
pub struct MemberConnect {
    dialer: Dialer,
    credentials: Arc<Credentials>,
    own: SocketAddr,
}

impl MemberConnect {
    /// Dials with these credentials, as they are at each dial. This node's own manager, when there
    /// is one, listens at `listen`.
    pub fn new(credentials: Arc<Credentials>, listen: SocketAddr) -> Self {
        Self {
            dialer: Dialer::member(credentials.clone()),
            credentials,
            own: reachable(listen),
        }
    }
}

/// Where a listener of this machine is reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

impl Connect for MemberConnect {
    fn connect<'a>(&'a self, peer: &'a Peer) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        Box::pin(async move {
            let connected = match peer.node {
                Some(node) => self.dialer.connect_to(&peer.addr, node).await,
                None => self.dialer.connect(&peer.addr).await,
            };
            connected.map_err(Into::into)
        })
    }

    fn local(&self) -> Option<Channel> {
        let identity = self.credentials.identity();
        if identity.role != NodeRole::Manager {
            return None;
        }
        let own = self.own.to_string();
        self.dialer
            .connect_lazily(&own, Some(identity.node_id))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:2377"), "127.0.0.1:2377");
        assert_eq!(at("[::]:2377"), "[::1]:2377");
        assert_eq!(at("10.0.0.1:99"), "10.0.0.1:99");
    }
}
