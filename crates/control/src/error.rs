//! Why a control call was refused. How a gRPC client sees it is the business of who serves it.

use store::{ApplyError, Dropped, Kind};
use validate::Invalid;
use wire::convert::ConvertError;

/// Why a control call was refused.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A field cannot be read.
    #[error(transparent)]
    Field(#[from] ConvertError),
    /// A field breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// An argument is missing or malformed.
    #[error("{0}")]
    Argument(String),
    /// There is no such object.
    #[error("{kind} {id} not found")]
    NotFound {
        /// Kind.
        kind: Kind,
        /// As the caller named it.
        id: String,
    },
    /// The present state forbids it.
    #[error("{0}")]
    Precondition(String),
    /// The caller may not do this to this object.
    #[error("{0}")]
    Forbidden(String),
    /// Not offered.
    #[error("{0}")]
    Unsupported(String),
    /// There is one already, and there can be only one.
    #[error("{0}")]
    Exists(String),
    /// The answer does not fit into a message.
    #[error("{0}")]
    TooLarge(String),
    /// The tables refused the change.
    #[error(transparent)]
    Store(#[from] Dropped),
    /// This manager cannot say what the newest state is.
    #[error("reading the newest state: {0}")]
    Read(String),
}

impl ControlError {
    /// The error that an object of `kind` named `id` does not exist.
    pub fn not_found(kind: Kind, id: impl ToString) -> Self {
        Self::NotFound {
            kind,
            id: id.to_string(),
        }
    }
}

impl From<ApplyError> for ControlError {
    fn from(e: ApplyError) -> Self {
        Self::Store(Dropped::Action(e))
    }
}
