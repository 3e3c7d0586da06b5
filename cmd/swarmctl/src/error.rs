//! What can go wrong, in the words that people see, and the exit code for each.

use docker_cli::out::FormatError;
use docker_cli::parse::filter::FilterError;
use tonic::{Code, Status};

/// The command did what was asked.
pub const EXIT_DONE: u8 = 0;
/// The command failed.
pub const EXIT_FAILED: u8 = 1;
/// The command line makes no sense.
pub const EXIT_USAGE: u8 = 2;
/// What was asked goes on, but was not done when the command stopped waiting.
pub const EXIT_NOT_CONVERGED: u8 = 3;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The value of a flag cannot be read.
    #[error("invalid value \"{value}\" for --{flag}: {why}")]
    Flag {
        /// Name of the flag without dashes.
        flag: String,
        /// As it was given.
        value: String,
        /// What is wrong and what is expected.
        why: String,
    },
    /// A format of the output cannot be used.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The command failed.
    #[error("{0}")]
    Failed(String),
    /// Nothing has that name or id.
    #[error("no such {kind}: {wanted}")]
    NoSuch {
        /// What users call the kind.
        kind: &'static str,
        /// As the user named it.
        wanted: String,
    },
    /// The cluster refused a call or did not answer it.
    #[error("cannot {attempt}: {why}")]
    Call {
        /// What was attempted, as a verb with its object.
        attempt: String,
        /// What the cluster said.
        why: String,
        /// gRPC's code.
        code: Code,
    },
    /// The command stopped waiting.
    #[error("{0}")]
    NotConverged(String),
    /// The output could not be written.
    #[error("writing the output: {0}")]
    Output(#[from] std::io::Error),
}

/// Result of a command or of a part of it.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// A flag's value that cannot be read.
    pub fn flag(flag: &str, value: &str, why: impl ToString) -> Self {
        Self::Flag {
            flag: flag.to_owned(),
            value: value.to_owned(),
            why: why.to_string(),
        }
    }

    /// A call that was refused or not answered.
    pub fn call(attempt: &str, status: &Status) -> Self {
        Self::Call {
            attempt: attempt.to_owned(),
            why: reason(status),
            code: status.code(),
        }
    }

    /// The code that the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Flag { .. } | Self::Format(_) | Self::Filter(_) => EXIT_USAGE,
            Self::Failed(_) | Self::NoSuch { .. } => EXIT_FAILED,
            Self::Call { .. } | Self::Output(_) => EXIT_FAILED,
            Self::NotConverged(_) => EXIT_NOT_CONVERGED,
        }
    }

    /// Whether nobody reads the output any more.
    pub fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(e) if e.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Whether the node that was asked says that it is no manager, or is known to be none any more.
    pub fn says_no_manager(&self) -> bool {
        let Self::Call { code, why, .. } = self else {
            return false;
        };
        matches!(code, Code::FailedPrecondition | Code::PermissionDenied)
            && why.contains("is not a manager")
    }

    /// Whether the same call may succeed a little later.
    pub fn is_passing(&self) -> bool {
        let Self::Call { code, .. } = self else {
            return false;
        };
        matches!(
            code,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
        )
    }
}

/// One clause for a refusal: what the cluster said, and what to look at where that helps.
fn reason(status: &Status) -> String {
    let said = match status.message() {
        "" => status.code().description(),
        said => said,
    };
    match status.code() {
        Code::Unavailable => format!("{said} (`swarmctl cluster status` shows the managers)"),
        Code::Unimplemented => said.to_owned(),
        Code::Internal => format!("unexpected answer: {said}"),
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_exit_code() {
        let call = CliError::call("list the nodes", &Status::not_found("gone"));
        assert_eq!(call.exit_code(), EXIT_FAILED);
        assert_eq!(
            CliError::flag("replicas", "x", "no number").exit_code(),
            EXIT_USAGE
        );
        let late = CliError::NotConverged("late".into());
        assert_eq!(late.exit_code(), EXIT_NOT_CONVERGED);
    }

    #[test]
    fn a_call_without_leader_says_where_to_look() {
        let status = Status::unavailable("no manager leads the cluster");
        let text = CliError::call("create service web", &status).to_string();
        assert_eq!(
            text,
            "cannot create service web: no manager leads the cluster \
             (`swarmctl cluster status` shows the managers)"
        );
    }
}
