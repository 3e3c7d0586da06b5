//! Places tasks on nodes: filters, ranking, explanation.
//!
//! [`Scheduler`] is the leader's stage between PENDING and ASSIGNED. It keeps an index of nodes
//! and of tasks that wait, follows it change by change, and answers [`Scheduler::plan`] with
//! assignments. [`simulate`] rehearses what a declaration would lead to. [`explain`] answers for
//! one task what the scheduler would see now, from a state alone. [`constraint`] and [`affinity`]
//! read expressions for everybody who needs them.
//!
//! Nothing here reads a clock, does I/O or changes a state; nothing here restarts or moves a task.

mod account;
pub mod affinity;
mod bonds;
mod candidates;
mod classes;
pub mod constraint;
pub mod explain;
pub mod expression;
mod failures;
mod filter;
mod images;
mod index;
mod preempt;
mod queue;
mod ranking;
pub mod rebalance;
mod regulars;
mod requirements;
mod scheduler;
mod simulate;
mod spread;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use failures::Failures;
pub use filter::{FILTERS, Filter};
pub use scheduler::{STEPS_MAX, Scheduler, TEXT_INTERVAL};
pub use simulate::{Outcome, Simulation, simulate};
