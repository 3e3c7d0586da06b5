//! The output of tasks as a bounded stream. Never splits or joins lines.

use bytes::Bytes;
use tokio::sync::mpsc;
use types::Timestamp;

use crate::error::ExecError;

/// Chunks that wait for a slow reader; then the source waits too. A chunk is a line or at most
/// 16 KiB (the engine's longest record), so a reader costs at most 1 MiB.
pub const LOG_QUEUE_CHUNKS_MAX: usize = 64;

/// Which output of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Which part of the output is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on until the task has ended, instead of stopping at what is there.
    pub follow: bool,
    /// Only the last records; `None` is all.
    pub tail: Option<u64>,
    /// Only records of this moment or later; zero is all.
    pub since: Timestamp,
    /// Include standard output.
    pub stdout: bool,
    /// Include standard error.
    pub stderr: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            follow: false,
            tail: None,
            since: Timestamp::ZERO,
            stdout: true,
            stderr: true,
        }
    }
}

impl LogOptions {
    /// Whether an output is wanted.
    pub fn wants(&self, output: Output) -> bool {
        match output {
            Output::Stdout => self.stdout,
            Output::Stderr => self.stderr,
        }
    }
}

/// A piece of a task's output, usually a line with its line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// When it was written.
    pub timestamp: Timestamp,
    /// Where it was written to.
    pub output: Output,
    /// What was written.
    pub data: Bytes,
}

/// The output of a task. Dropping it ends the work behind it.
#[derive(Debug)]
pub struct LogStream {
    receiver: mpsc::Receiver<Result<LogChunk, ExecError>>,
}

/// The sending end of a [`LogStream`].
pub type LogSender = mpsc::Sender<Result<LogChunk, ExecError>>;

impl LogStream {
    /// A stream and its sending end, [`LOG_QUEUE_CHUNKS_MAX`] deep.
    pub fn channel() -> (LogSender, Self) {
        let (sender, receiver) = mpsc::channel(LOG_QUEUE_CHUNKS_MAX);
        (sender, Self { receiver })
    }

    /// The next chunk; `None` at the end. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<LogChunk, ExecError>> {
        self.receiver.recv().await
    }
}
