//! Everything a manager does.
//!
//! A manager is a raft member with the tables in memory. Every manager serves reads and forwards
//! what only the leader may do; the leader runs the pipeline, the dispatcher, the certificate
//! authority and the role manager.

pub mod clock;
pub mod entropy;
pub mod ledger;
pub mod pipeline;
