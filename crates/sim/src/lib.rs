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
mod clients;
mod clock;
mod disk;
mod faults;
mod files;
mod host;
mod identity;
mod intruder;
mod link;
mod look;
mod marks;
mod members;
mod node;
mod operator;
mod oracle;
mod queue;
mod reign;
mod run;
mod serving;
mod show;
mod snapshot;
mod told;
mod world;

use sim_bugs as bugs;

pub use bugs::{BUGS, Bug};
pub use look::{CONVERGED_WITHIN, QUIET};
pub use run::{Failure, Options, Outcome, run, run_scenario, run_with};
pub use sim_script::params::SEC;
pub use sim_script::{Act, Params, Scenario, Step};
pub use world::{Marks, Show};
