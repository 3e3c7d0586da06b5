//! The leader's side of every agent: sessions, heartbeats, assignments and status reports.
//!
//! [`Dispatcher`] is one value per leadership term. The shell feeds it [`Input`]s together with the
//! newest *committed* state, and carries out the [`Effect`]s it answers with. What agents are told
//! is therefore durable, and losing leadership is dropping the value.
//!
//! Nothing here reads a clock, draws random numbers, does I/O or knows the wire format. Nothing is
//! written unless something changed: an idle cluster leaves the log alone.

mod assignments;
mod batch;
mod dispatcher;
mod error;
mod input;
pub mod limits;
mod node;
mod session_id;
mod timers;

#[cfg(test)]
mod tests;

pub use dispatcher::{Dispatcher, Leadership};
pub use error::{CallError, Code};
pub use input::{
    Answer, AssignmentChange, AssignmentKind, Assignments, BatchId, CallId, Effect, Input, Item,
    ItemId, Manager, OpenSession, Outcome, SessionMessage, StreamId,
};
pub use session_id::SessionId;
