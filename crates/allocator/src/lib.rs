//! Gives services their published ports and lets tasks pass on to the scheduler: when their service
//! has what it asks for, and the services it depends on have come up.
//!
//! What is in use is read from the services themselves every time: nothing is remembered that a
//! new leader would have to rebuild. What cannot be allocated is said in the status of the tasks
//! that wait for it. Nothing here knows of nodes: host-mode ports are the scheduler's business.

mod addresses;
mod ports;
mod stage;
mod startup;

#[cfg(test)]
mod tests;

pub use addresses::{AddressError, Held, Holder};
pub use ports::{DYNAMIC_PORTS, PortError};
pub use stage::{ACTIONS_PER_PLAN_MAX, Allocator};
pub use startup::{Missing, Unmet, unmet};
