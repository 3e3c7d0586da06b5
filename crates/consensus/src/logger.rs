//! Passes the raft library's log lines to the caller.
//!
//! Never prints anything itself.

use std::fmt::{self, Write};
use std::panic::AssertUnwindSafe;

use slog::{Drain, KV, Level, Logger, Never, OwnedKVList, Record};

use crate::config::{Config, LogLevel, LogSink};

struct Forward {
    sink: AssertUnwindSafe<LogSink>,
}

struct Line(String);

/// The logger of a member.
pub(crate) fn logger(config: &Config) -> Logger {
    match &config.log {
        None => Logger::root(slog::Discard, slog::o!()),
        Some(sink) => Logger::root(
            Forward {
                sink: AssertUnwindSafe(sink.clone()),
            },
            slog::o!(),
        ),
    }
}

fn level(level: Level) -> Option<LogLevel> {
    match level {
        Level::Critical | Level::Error => Some(LogLevel::Error),
        Level::Warning => Some(LogLevel::Warn),
        Level::Info => Some(LogLevel::Info),
        Level::Debug | Level::Trace => None,
    }
}

// === impl Forward ===

impl Drain for Forward {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        if let Some(level) = level(record.level()) {
            let mut line = Line(record.msg().to_string());
            // A value that cannot be formatted is missing from the line; nothing else depends
            // on it.
            let _ = record.kv().serialize(record, &mut line);
            (self.sink)(level, &line.0);
        }
        Ok(())
    }
}

// === impl Line ===

impl slog::Serializer for Line {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, ", {key}: {value}").map_err(slog::Error::from)
    }
}
