//! Logs: to standard error, as text or JSON.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::cli::{Common, LogFormat};

/// Starts logging.
pub fn start(common: &Common) -> anyhow::Result<()> {
    let level = &common.log_level;
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("--log-level {level:?}: expected a level such as `info`"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match common.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(false).with_target(false).try_init(),
    };
    started.map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}
