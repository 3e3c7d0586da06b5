//! What is done with simulated clusters: batches of seeds on all cores, failing runs made small,
//! and planted bugs that must be caught. What a cluster does is in the crate `sim`.

mod batch;
mod marks;
mod planted;
mod shrink;

pub use batch::{Batch, cores, run_batch};
pub use marks::{MARKS, unreached};
pub use planted::{CAUGHT_MIN_PERCENT, Catch, SHOWN, catch_all, is_enough, not_shown, table};
pub use shrink::{Effort, Shrunk, shrink};
