//! Scripts over a simulated cluster, each command with its recorded outcome beside it.
//!
//! The stages of the leader's pipeline run unchanged over real tables; nodes, images and time are
//! pretended: time moves only when a script says so, and every run of a script is the same.
//!
//! A `.swarm` file is a list of commands (`> service create web replicas=3`), each followed by
//! what it printed; see `README.md` beside this crate's scripts for the commands. The network,
//! the replicated log and the dispatcher are not here: the simulator of whole clusters has those.

mod agents;
mod command;
mod declare;
mod script;
mod show;
mod words;
mod world;

pub use agents::Behaviour;
pub use command::run as command;
pub use declare::Declared;
pub use script::{Mismatch, rewrite, run};
pub use world::World;
