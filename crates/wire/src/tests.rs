//! What the wire promises: nothing is lost, nothing panics, the bytes are SwarmKit's.

mod conversions;
mod golden;
mod log;
mod snapshot;
