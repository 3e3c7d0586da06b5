//! The crate from outside, in one binary: real sockets, real TLS, real HTTP/2.

mod certificates;
mod common;
mod forwarding;
mod local_socket;
mod rotation;
