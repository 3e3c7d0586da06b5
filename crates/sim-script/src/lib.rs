//! What a simulated cluster is like and what is done to it: numbers and a list of steps that follow
//! from a seed, or are written by hand, and the changes that operators ask for on the way.
//!
//! Nothing here simulates anything: crate `sim` does, with what it is given.

pub mod edits;
pub mod params;
pub mod rng;
pub mod scenario;
pub mod schedule;
pub mod spec_text;

pub use params::Params;
pub use rng::Rng;
pub use scenario::Scenario;
pub use schedule::{Act, Step};
