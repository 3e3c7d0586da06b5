//! The shell over a simulated network: real managers with their gates, servers, streams, forwarding
//! and shutdown, real agents with their sessions, TLS included; the network is `turmoil`'s, and
//! time is simulated.
//!
//! A run forms a cluster of three managers and two agents, sets clients to work, cuts and holds
//! links, crashes and stops managers as its seed says, heals everything, and demands that all
//! becomes as desired and that the history of all calls is linearizable.
//!
//! Everything of a run is on one thread, the leader's pipeline too, and goes by simulated time: how
//! busy the machine is changes nothing. What is real and not simulated: disks (temporary
//! directories), random numbers of ids, keys and elections, in what order a task looks at what is
//! ready at the same moment, and the times that certificates and records show. A seed therefore
//! fixes the faults, the delays of messages and what clients do, but not everything that follows:
//! two runs of one seed are alike, not equal.
//!
//! Bugs can be planted around the shell ([`BUGS`]) to prove that runs see them.
//!
//! Nothing here is shipped.

mod bugs;
mod clients;
mod network;
mod nodes;
mod run;

pub use bugs::{BUGS, Bug};
pub use run::{Report, run};
