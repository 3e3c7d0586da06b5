//! Why a control call was refused, and how a gRPC client sees it.

use store::{ApplyError, Dropped, Kind};
use tonic::{Code, Status};
use validate::Invalid;
use wire::convert::ConvertError;

use crate::ledger::{ProposeFailure, WriteError};

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

impl From<ControlError> for Status {
    fn from(e: ControlError) -> Self {
        let code = match &e {
            ControlError::Field(_) | ControlError::Invalid(_) | ControlError::Argument(_) => {
                Code::InvalidArgument
            }
            ControlError::NotFound { .. } => Code::NotFound,
            ControlError::Precondition(_) => Code::FailedPrecondition,
            ControlError::Forbidden(_) => Code::PermissionDenied,
            ControlError::Unsupported(_) => Code::Unimplemented,
            ControlError::Exists(_) => Code::AlreadyExists,
            ControlError::TooLarge(_) => Code::ResourceExhausted,
            ControlError::Store(dropped) => return store_status(dropped),
            ControlError::Read(_) => Code::Unavailable,
        };
        Status::new(code, e.to_string())
    }
}

/// Tools that were written for SwarmKit look for its phrases; they come first in the text.
fn store_status(dropped: &Dropped) -> Status {
    let Dropped::Action(error) = dropped else {
        return Status::aborted("the object changed meanwhile; read it again and repeat");
    };
    match error {
        ApplyError::NameTaken { .. } => {
            Status::already_exists(format!("name conflicts with an existing object: {error}"))
        }
        ApplyError::Exists { .. } | ApplyError::SecondCluster => {
            Status::already_exists(error.to_string())
        }
        ApplyError::NotFound { .. } => Status::not_found(error.to_string()),
        ApplyError::Stale { .. } => Status::failed_precondition(format!(
            "update out of sequence: {error}; read it again and repeat"
        )),
        ApplyError::NoKind { .. } => Status::invalid_argument(error.to_string()),
        ApplyError::Backwards { .. } | ApplyError::NoRevision { .. } => {
            Status::aborted(error.to_string())
        }
        ApplyError::OutOfOrder { .. } => Status::internal(error.to_string()),
    }
}

/// What a client sees of a write that did not happen.
pub fn write_status(error: WriteError<ControlError>) -> Status {
    match error {
        WriteError::NotLeader => Status::unavailable("this manager is not the leader; try again"),
        WriteError::Refused(e) => e.into(),
        WriteError::TooLarge { .. } => Status::invalid_argument(error.to_string()),
        WriteError::Log(ProposeFailure::Refused(why)) => {
            Status::unavailable(format!("the write was not accepted: {why}"))
        }
        WriteError::Log(e @ ProposeFailure::Unknown) => Status::unknown(e.to_string()),
    }
}
