//! The shell over a simulated network: real managers with their gates, servers, streams, forwarding
//! and shutdown, real agents with their sessions, TLS included; the network is `turmoil`'s, and
//! time is simulated.
//!
//! A run forms a cluster of three managers and two agents, sets clients to work, cuts and holds
//! links, crashes and stops managers as its seed says, heals everything, and demands that all
//! becomes as desired and that the history of all calls is linearizable.
//!
//! What is real and not simulated: disks (temporary directories), the leader's pipeline, which has
//! a thread and the machine's clock, random numbers of ids, keys and elections, and the moments
//! at which certificates are valid. A seed therefore fixes the faults, the delays of messages and
//! what clients do, but not everything that follows: two runs of one seed are alike, not equal.
//!
//! Nothing here is shipped.

mod authority;
mod clients;
mod network;
mod nodes;
mod run;

pub use run::{Report, run};
