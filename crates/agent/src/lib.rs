//! Connects a node to its managers and runs what they assign.
//!
//! [`Agent::start`] is given an executor, a way to reach managers and, unless nothing need survive,
//! a database. From then on two tasks of the runtime belong to the agent: one owns the
//! [`worker::Worker`] and is the only one to feed it, the other keeps a session with one manager
//! after the other. What the node's supervisor must know comes out through [`Agent::facts`] and
//! [`Agent::state`].
//!
//! The agent decides nothing about tasks (the worker does), runs nothing itself (the executor
//! does) and opens no connection by itself ([`Connect`] does). Stopping it leaves tasks running. It
//! has no global state: many agents live in one process, see [`Fleet`].

mod agent;
mod backoff;
mod clock;
mod commands;
mod convert;
mod database;
mod fleet;
mod limits;
mod logs;
mod owner;
mod peers;
mod session;
mod sessions;

pub use agent::{Agent, Config, StartError};
pub use database::DatabaseError;
pub use fleet::Fleet;
pub use peers::Peer;
pub use session::SessionError;
pub use sessions::{AgentState, Connect, ConnectError, SessionFacts};
