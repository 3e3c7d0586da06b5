//! Exit codes. Usage errors (2) are clap's own.

use std::io::Write;
use std::process::ExitCode;

use node::NodeError;

/// Done.
pub const DONE: ExitCode = ExitCode::SUCCESS;

/// Failed.
pub const FAILED: ExitCode = ExitCode::FAILURE;

/// Not converged in time.
pub fn not_converged() -> ExitCode {
    ExitCode::from(3)
}

/// The node was removed from its cluster: starting it again cannot help.
pub const REMOVED: u8 = 4;

/// The code for an error.
pub fn of(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<NodeError>() {
        Some(NodeError::Removed { .. }) => ExitCode::from(REMOVED),
        _ => FAILED,
    }
}

/// The one sentence for an error. A node's own errors are whole sentences that hold their causes;
/// others are told with them.
pub fn sentence(error: &anyhow::Error) -> String {
    match error.downcast_ref::<NodeError>() {
        Some(whole) => whole.to_string(),
        None => format!("{error:#}"),
    }
}

/// Says the last sentence. Nobody may be there to read it, which changes nothing.
pub fn say(sentence: &str) {
    let _unread = writeln!(std::io::stderr(), "swarmd: {sentence}");
}
