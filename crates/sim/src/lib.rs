//! A whole cluster in simulated time, from one seed.
//!
//! The core crates run unchanged: real raft members with their logs, the pipeline's stages, the
//! dispatcher and the agents' workers. The world around them is scripted: network, disks, clocks,
//! containers, operators and faults. Every transaction is checked against the invariants when it is
//! first committed, every manager against the one true history, and every node against what it was
//! told. Then everything heals, and the cluster must come to be as desired, rest, take fresh writes
//! and still hold all it acknowledged.
//!
//! Nothing here reads a clock or draws a number that does not follow from the seed.

mod agent;
mod faults;
mod host;
mod look;
mod node;
mod operator;
mod oracle;
mod params;
mod reign;
mod rng;
mod run;
mod serving;
mod show;
mod world;

pub use look::{CONVERGED_WITHIN, QUIET};
pub use params::{BUGS, Bug, Params};
pub use run::{Failure, Options, Outcome, run, run_with};
pub use world::{Marks, Show};
