//! Turns services into tasks: one reconciler over slots, where a service's mode is data.
//!
//! Three stages share the shape `new(view)`, `observe(change)`, `plan(view, now)`:
//!
//! - [`Orchestrator`] makes, replaces, starts and stops tasks, and walks updates and rollbacks.
//! - [`Reaper`] deletes records that nobody needs any more.
//! - [`Enforcer`] evicts tasks from nodes that no longer fit them.
//!
//! An event only says where to look again; every decision is made from the state. What is kept
//! between calls is a cache that [`Orchestrator::new`] rebuilds, so a new leader needs no other
//! way to start. Nothing here reads a clock, talks to a node or calls another stage.
//!
//! The caller has three duties, in this order: give every change between two views to `observe`,
//! call `plan` on the newer view, apply the plan's steps before the next `plan`. A step that is
//! dropped because its ground moved needs no care: the change that moved it is observed, and each
//! stage remembers what its latest plan was decided from until it plans again. A plan
//! that is thrown away as a whole (leadership lost) means that the stage is thrown away too.

mod act;
mod alarms;
mod budget;
mod enforcer;
mod fit;
mod freshness;
mod ground;
mod ledger;
mod mode;
mod needs;
mod orchestrator;
mod reaper;
mod rebalance;
mod restart;
mod schedule;
mod settle;
mod slot;
mod update;

#[cfg(test)]
mod tests;

pub use budget::ACTIONS_PER_PLAN_MAX;
pub use enforcer::Enforcer;
pub use orchestrator::Orchestrator;
pub use reaper::Reaper;
pub use rebalance::{REQUEST_IDLE_MAX, Rebalancer};
pub use restart::delayed_until;
pub use schedule::{ON_TIME_MAX, job_after_update, next_run};
pub use update::{PLACED_DEADLINE, UNPLACED_DEADLINE};
