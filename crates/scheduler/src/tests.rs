//! Claims about the scheduler as a whole.

mod explaining;
mod filters;
mod properties;
mod ranking;
mod simulating;
mod waiting;
