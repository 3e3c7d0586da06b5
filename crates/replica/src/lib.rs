//! Drives one raft member: its log, its peers, its state machine.
//!
//! ```text
//!            proposals, reads, messages, reports
//!                          │
//!                    ┌─────▼─────┐  messages   ┌───────┐
//!                    │   raft    ├────────────►│ peers │
//!                    └┬────▲────┬┘             └───────┘
//!              writes │    │    │ committed entries
//!                ┌────▼──┐ │ ┌──▼────┐
//!                │  log  ├─┴─┤ apply ├──► state machine ──► snapshot files
//!                └───────┘   └───────┘
//! ```
//!
//! Three threads, each the only owner of what it works on; nothing is shared behind a lock. Writes
//! that wait while a sync runs share the next one. [`Handle`] is how everybody else talks to a
//! replica, [`net`] is how replicas talk to each other.
//!
//! This crate never knows what entries mean, never retries a failed sync, and never acknowledges
//! what is not durable on a quorum and applied here.

mod api;
mod apply_thread;
mod driver;
mod events;
mod handle;
mod log_thread;
pub mod net;
mod peers;
mod replica;
mod requests;
mod snapshotter;

pub use api::{
    Applied, ChangeError, Config, Disk, ProposeError, ReadError, RestoreError, Retention,
    SnapshotSource, StateMachine, Status, Stopped, Threads,
};
pub use handle::{Closed, Handle, PeerReports};
pub use peers::Peers;
pub use replica::{Replica, StartError, Storage};
