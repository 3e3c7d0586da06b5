//! Exit codes. Usage errors (2) are clap's own.

use std::process::ExitCode;

/// Done.
pub const DONE: ExitCode = ExitCode::SUCCESS;

/// Failed.
pub const FAILED: ExitCode = ExitCode::FAILURE;

/// Not converged in time.
pub fn not_converged() -> ExitCode {
    ExitCode::from(3)
}
