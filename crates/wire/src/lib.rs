//! Messages and services that cross a process boundary, and their conversions to domain types.
//!
//! - [`api`] is SwarmKit's package `docker.swarmkit.v1`: what stock Docker Engines and tools speak.
//! - [`swarm::v1`] is ours: the replicated log, snapshots, and services that SwarmKit lacks.
//!
//! Generated types stop here: nothing but this crate and the code at an RPC boundary uses them.

pub mod convert;
pub mod log;
mod record;
mod seen;
pub mod snapshot;
#[cfg(any(test, feature = "testgen"))]
pub mod testgen;

#[cfg(test)]
mod tests;

pub use docker::swarmkit::v1 as api;
pub use record::RecordError;
pub use seen::Seen;

/// Packages with SwarmKit's names and numbers.
pub mod docker {
    /// SwarmKit's packages.
    pub mod swarmkit {
        /// SwarmKit's only version.
        #[expect(
            missing_docs,
            clippy::all,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::too_many_lines,
            reason = "generated code"
        )]
        pub mod v1 {
            tonic::include_proto!("docker.swarmkit.v1");
        }
    }
}

/// Packages of this project.
pub mod swarm {
    /// First version.
    #[expect(
        missing_docs,
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::too_many_lines,
        reason = "generated code"
    )]
    pub mod v1 {
        tonic::include_proto!("swarm.v1");
    }
}
