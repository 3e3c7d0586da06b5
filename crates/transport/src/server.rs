//! Settings of every gRPC server of a node.

use std::time::Duration;

use tonic::transport::Server;

use crate::dialer::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};

/// An idle client is probed this often; one that lost power is noticed and its streams end.
const KEEP_ALIVE_MS: u64 = 5_000;
/// A probe without an answer for this long ends the connection.
const KEEP_ALIVE_TIMEOUT_MS: u64 = 5_000;
/// Calls at one time on one connection. A follower passes all its workers' long-lived streams
/// (three each) on over one connection, so this bounds a follower at some 5,000 workers.
const STREAMS_MAX: u32 = 16_384;
/// Bytes of headers in one request; forwarding metadata and trace headers have well below 2 KiB.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// A server with the settings all of them share; add the gate and the services to it.
#[must_use]
pub fn server_builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_millis(KEEP_ALIVE_MS)))
        .http2_keepalive_timeout(Some(Duration::from_millis(KEEP_ALIVE_TIMEOUT_MS)))
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
}
