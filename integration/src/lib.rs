//! Runs clusters of real `swarmd` processes for tests and benchmarks.
//!
//! - [`Cluster`] starts, stops, kills and asks nodes. On [loopback](Cluster::loopback) every node
//!   has an address of 127.0.0.0/8 and needs no privileges; on a [`Rig`] every node is a host of
//!   its own with its own Docker Engine, network link and power switch.
//! - [`wait_for`] polls a condition until a deadline. Nothing here waits for a fixed time.
//! - [`Binaries`] finds the programs; tests build them first, so that they are never stale.
//!
//! Everything a cluster started is ended when it is dropped; after a failure the last lines of
//! every node's log are shown. Set `SWARM_KEEP=1` to keep the directory of a failed cluster.
//!
//! Nothing here knows what swarmd does inside: it sees what a user sees.

mod binaries;
mod clock;
mod cluster;
mod ctl;
mod grpc;
mod loopback;
mod process;
mod rig;
mod waiting;

pub use binaries::Binaries;
pub use clock::Faketime;
pub use cluster::{Cluster, Node, Role};
pub use ctl::{NodeRow, Output, ServiceRow, TaskRow};
pub use loopback::TaskProcess;
pub use process::{cpu_secs, resident_bytes, signal};
pub use rig::{Rig, rig_or_skip};
pub use waiting::wait_for;
