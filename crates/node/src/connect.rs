//! How the agent and the renewer of this node reach managers.

use std::sync::Arc;

use agent::{Connect, ConnectError, Peer};
use executor::BoxFuture;
use tonic::transport::Channel;
use transport::{Credentials, Dialer};

/// Dials managers with the node's current certificate.
pub struct MemberConnect {
    dialer: Dialer,
}

impl MemberConnect {
    /// Dials with these credentials, as they are at each dial.
    pub fn new(credentials: Arc<Credentials>) -> Self {
        Self {
            dialer: Dialer::member(credentials),
        }
    }
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
}
