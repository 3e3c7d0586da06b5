//! How results are written. Pure functions.

pub mod human;
pub mod listing;
pub mod pretty;
pub mod table;
pub mod template;

/// A `--format` that cannot be used: no template, or one that names what does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--format: {0}")]
pub struct FormatError(pub String);
