//! Claims about the scheduler as a whole.

mod affinities;
mod explaining;
mod filters;
mod preempting;
mod properties;
mod ranking;
mod rebalancing;
mod reference;
mod simulating;
mod strategies;
mod waiting;
