//! One supervisor for a machine: the agent always, the manager when the certificate says so.
//!
//! [`Node::start`] founds, joins or goes on with a cluster and returns when the node serves. From
//! then on one task watches what the cluster says of this node: it renews the certificate when it
//! is due or the role changes, starts and stops the manager as the role demands, and remembers
//! where the managers are.

mod config;
mod connect;
mod enroll;
mod error;
mod files;
mod found;
mod leave;
mod metrics;
mod node;
mod serve;
mod skew;
mod supervisor;

pub use config::{Addresses, Memory, NodeConfig, Runner, Start};
pub use enroll::first as enroll;
pub use error::NodeError;
pub use found::{Founded, found};
pub use leave::{Left, leave};
pub use node::{Node, Ready};
