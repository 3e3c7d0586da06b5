//! How a gRPC client sees that a control call was refused.

use control::ControlError;
use store::{ApplyError, Dropped};
use tonic::{Code, Status};

use crate::ledger::{ProposeFailure, WriteError};

/// What a client sees of a refused call.
pub fn refusal(e: ControlError) -> Status {
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
        WriteError::Refused(e) => refusal(e),
        WriteError::TooLarge { .. } => Status::invalid_argument(error.to_string()),
        WriteError::Log(ProposeFailure::Refused(why)) => {
            Status::unavailable(format!("the write was not accepted: {why}"))
        }
        WriteError::Log(e @ ProposeFailure::Unknown) => Status::unknown(e.to_string()),
    }
}

/// Turns a refusal of the rules into what a client sees.
pub trait OrRefuse<T> {
    /// The value, or the refusal as a status.
    ///
    /// # Errors
    /// The refusal.
    fn or_refuse(self) -> Result<T, Status>;
}

impl<T> OrRefuse<T> for Result<T, ControlError> {
    fn or_refuse(self) -> Result<T, Status> {
        self.map_err(refusal)
    }
}
