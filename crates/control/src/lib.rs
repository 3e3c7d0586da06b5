//! What the control API decides: functions from the tables and a request to changes or an answer.
//!
//! - [`service`], [`node`], [`task`], [`cluster`], [`objects`]: the calls, over [`crud`] and
//!   [`filter`].
//! - [`certificate`]: who gets which certificate.
//! - [`plan`], [`rebalance`]: what a change would do, before it is made.
//! - [`progress`], [`explain`]: how far something is and why it is not further.
//! - [`member`]: what the group of managers bears.
//!
//! Nothing here reads a clock, draws a random number or waits; who serves the calls does that,
//! and commits what was drafted.

mod advice;
pub mod certificate;
pub mod cluster;
pub mod crud;
pub mod error;
pub mod explain;
pub mod filter;
pub mod member;
pub mod node;
pub mod objects;
pub mod plan;
pub mod progress;
pub mod rebalance;
pub mod service;
pub mod task;
#[cfg(test)]
mod testing;

pub use error::ControlError;
pub use member::Member;

/// Largest answer, in bytes. Clients that were written for SwarmKit accept 4 MiB unless they are
/// told otherwise, ours take this much.
pub const ANSWER_BYTES_MAX: usize = 60 << 20;
