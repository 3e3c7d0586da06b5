//! Everything a manager does.
//!
//! A manager is a raft member with the tables in memory. Every manager serves reads and forwards
//! what only the leader may do; the leader runs the pipeline, the dispatcher, the certificate
//! authority and the role manager.
//!
//! - [`Manager`]: starts, serves and stops one.
//! - [`ledger`]: the tables, committed and speculative.
//! - [`pipeline`], [`stages`]: what the leader plans.
//! - [`leader`]: what begins and ends with leadership.
//! - [`control_api`], [`dispatch`], [`ca`], [`logs`], [`watch`], [`cluster_api`], [`membership`]:
//!   the services.

mod addresses;
pub mod ca;
pub mod clock;
pub mod cluster_api;
pub mod control_api;
pub mod dispatch;
pub mod entropy;
pub mod leader;
pub mod ledger;
pub mod logs;
pub mod machine;
pub mod membership;
pub mod pipeline;
pub mod quorum;
pub mod raft;
pub mod roles;
pub mod seat;
pub mod seed;
mod settings;
pub mod stages;
pub mod view;
pub mod watch;

mod manager;

pub use manager::{Ended, Manager, ManagerConfig, Origin, StartError};
