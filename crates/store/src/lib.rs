//! The replicated tables of a cluster and the only way to change them.
//!
//! A [`State`] is a value: cloning it is O(1), reading it copies nothing, and it changes only by
//! [`State::apply`] of a [`Transaction`]. The same function serves the leader before it proposes
//! (where an error means "refused") and every manager after the entry is committed (where an
//! error means that managers have diverged, and the caller must stop). Nothing here reads a
//! clock: a transaction carries the moment it was made.
//!
//! - [`State`], [`Table`], [`TaskTable`]: reading.
//! - [`Transaction`], [`Action`]: what can change.
//! - [`Commit`], [`Change`], [`History`]: what did change, in order, with resume.
//! - [`Speculative`]: the leader's view of committed state plus everything in flight.

mod action;
mod apply;
mod change;
mod digest;
mod error;
mod image;
mod plan;
mod record;
mod speculative;
mod state;
mod table;
mod tasks;

#[cfg(test)]
mod tests;

pub use action::{Action, Key, NewTask, Object, Transaction};
pub use change::{Change, Commit, Diff, History, Resume};
pub use digest::Digest;
pub use error::{ApplyError, Kind};
pub use image::{Image, ImageItem, LoadError};
pub use plan::{Draft, Dropped, Guard, Plan, Step};
pub use record::Record;
pub use speculative::{Commitment, Speculative};
pub use state::{Revision, State};
pub use table::Table;
pub use tasks::TaskTable;
