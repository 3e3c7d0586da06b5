//! Raft traffic over gRPC: one ordered stream to each peer, snapshot files with resume, and the
//! server side of both.
//!
//! Never knows how a connection is secured: the caller dials and accepts.

mod backoff;
mod book;
pub mod convert;
mod guard;
mod link;
mod peers;
mod sender;
mod server;

use std::future::Future;
use std::pin::Pin;

pub use book::Addresses;
pub use peers::{GrpcPeers, Identity};
pub use server::{NodeOf, RaftService};

/// A failed dial, for a person to read.
pub type DialError = Box<dyn std::error::Error + Send + Sync>;

/// How a connection to another manager is made. The implementation owns TLS and its certificates.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `addr` (host and port). Must give up within a few seconds.
    fn dial(
        &self,
        addr: &str,
    ) -> Pin<Box<dyn Future<Output = Result<tonic::transport::Channel, DialError>> + Send>>;
}

/// Settings that every connection between managers needs, whoever dials: without keep-alive a
/// connection stays dead for minutes after a partition heals.
pub fn endpoint_settings(endpoint: tonic::transport::Endpoint) -> tonic::transport::Endpoint {
    use std::time::Duration;
    endpoint
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_millis(500))
        .keep_alive_timeout(Duration::from_secs(1))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
}
