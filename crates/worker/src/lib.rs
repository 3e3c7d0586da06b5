//! The agent's task manager: one state machine per task, from assignment to removal.
//!
//! [`Worker`] is fed with what managers assign, what the executor answers, what was found on the
//! node and what the database kept; it answers with executor commands, database writes and status
//! reports. It is the only place that decides what happens to a task on its node:
//!
//! - A task is stopped only because a manager said so. Lost sessions, restarts of the agent and
//!   failing executors leave it running.
//! - One command per task is under way at a time; answers to older ones are ignored.
//! - Observed states only rise, also over a crash at any point.
//! - What a node no longer has to run is stopped, removed and then forgotten, in this order.
//!
//! Nothing here reads a clock, does I/O or knows containers, connections or the wire format.
//! Secrets and configs are kept in memory only and never reach a database write.

mod input;
pub mod limits;
mod machine;
mod objects;
mod reports;
mod timers;
mod worker;

#[cfg(test)]
mod tests;

pub use input::{
    Assignments, Attempt, Change, Command, Effect, Ended, Failure, Input, Outcome, Run, Started,
    StoredTask, Write,
};
pub use worker::Worker;
