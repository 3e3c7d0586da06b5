//! From flags to a service's spec. Pure functions: what they need to know is handed in.

pub mod args;
pub mod build;
pub mod container;
pub mod edit;
pub mod lists;
pub mod mode;
pub mod options;
pub mod policy;
#[cfg(test)]
mod tests;
