//! One raft member as a state machine of inputs and effects.
//!
//! The caller pushes [`Input`]s with [`Consensus::handle`] and then collects [`Effects`] with
//! [`Consensus::ready`] until there are none. Inputs that were pushed together share one log
//! append.
//!
//! # Duties of the caller, in this order
//!
//! For every [`Effects`] that `ready` returns:
//!
//! 1. Give [`Effects::persist`] to the one writer of the log. Writes happen in order of their
//!    numbers; those that wait may be joined with [`Persist::absorb`]. When a write is durable,
//!    hand in [`Input::Persisted`]. A failed sync stops the process. There is no need to wait for
//!    the write before the steps below: whatever depends on it comes in later effects.
//! 2. Send [`Effects::send`], in order for each receiver. Losing, delaying or repeating a message
//!    is harmless; a failure to send is reported with [`Input::Unreachable`]. For a message of kind
//!    [`MessageKind::Snapshot`] send the file it names as well, keep that file until the transfer
//!    ends, and then hand in [`Input::SnapshotSent`].
//! 3. Apply [`Effects::apply`] in order and hand in [`Input::Applied`].
//! 4. Answer [`Effects::reads`] and [`Effects::rejected`], answer [`Effects::tell_removed`], log
//!    [`Effects::refused`], act on [`Effects::status`] and [`Effects::want_snapshot`].
//!
//! This crate never reads a clock, never draws a random number, never touches disk or network, and
//! knows nothing of what the entries mean.

mod changes;
mod codec;
mod config;
mod convert;
mod log;
mod logger;
mod member;
mod membership;
mod outbox;
mod requests;
mod start;
mod types;
mod validate;

pub use config::{
    COMMIT_WRITE_TICKS, Config, ELECTION_TICKS, FAREWELL_TICKS, FORGOTTEN_TICKS, HEARTBEAT_TICKS,
    Limits, LogLevel, LogSink, MEMBER_TEXT_BYTES_MAX, PROMOTE_LAG_ENTRIES_MAX, READS_WAITING_MAX,
    TICK_MS, UNHEARD_TICKS,
};
pub use member::Consensus;
pub use start::{ForceError, StartError, bootstrap, force_new_cluster};
pub use types::*;
