//! Checks every field of a spec and names the ones that are wrong, by path and in words.
//!
//! Two kinds of functions: those that need the spec alone, and those ending in `_refs` that need
//! the tables too (does the secret exist, is the port taken). All problems are reported, not only
//! the first. Nothing here changes a spec or decides what is done with it.

mod cluster;
mod container;
mod image;
mod impossible;
mod names;
mod network;
mod options;
mod problem;
mod refs;
mod service;
mod task;
mod timing;

#[cfg(test)]
mod tests;

pub use cluster::{cluster, config, node, secret};
pub use image::{ImageError, parse_image};
pub use impossible::{doubtful, impossible, service_policies};
pub use network::{network, volume};
pub use problem::{Invalid, Problem};
pub use refs::{service_refs, service_update};
pub use service::{REPLICAS_MAX, service, service_warnings};
pub use task::RESTART_ATTEMPTS_MAX;
pub use timing::{DEPENDENCIES_MAX, SCHEDULE_HISTORY_MAX};
