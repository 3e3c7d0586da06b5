//! Logs: to standard error, as text or JSON.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::cli::{Common, LogFormat};

/// What is left out of the log of a bare level: libraries whose lines say less than ours, or
/// frighten for nothing. The log engine warns of every torn write, which storage judges and tells
/// itself; raft tells of every step of an election, and warns at each start of a lone manager.
const QUIET: &str = "raft=error,raft_engine=error";

/// Starts logging.
pub fn start(common: &Common) -> anyhow::Result<()> {
    let level = &common.log_level;
    let filter = EnvFilter::try_new(directives(level))
        .with_context(|| format!("--log-level {level:?}: expected a level such as `info`"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would say so on standard error, and panic when that fails as well: a full disk that
        // takes no more of the log must not take the node down.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let started = match common.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(false).with_target(false).try_init(),
    };
    started.map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}

/// The filter for what was given: a bare level up to `info` leaves the noisy libraries out; `debug`
/// and a filter of its own mean what they say.
fn directives(level: &str) -> String {
    match level.to_ascii_lowercase().as_str() {
        "info" | "warn" => format!("{level},{QUIET}"),
        _ => level.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_leaves_out_noisy_libraries_and_a_filter_means_what_it_says() {
        assert_eq!(directives("info"), "info,raft=error,raft_engine=error");
        assert_eq!(directives("debug"), "debug");
        assert_eq!(directives("info,raft=debug"), "info,raft=debug");
    }
}
