//! Carries a command's output into its log, line by line.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdout};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use executor::Output;

use crate::clock;
use crate::logfile::{LogWriter, RECORD_BYTES_MAX};

/// How long after the command's end its output may take to drain: all writers are dead by then,
/// so only a stuck disk can need it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The threads that carry output, one per stream.
pub(super) struct Pumps {
    /// Closes when the last thread is done.
    done: Receiver<()>,
}

impl Pumps {
    pub(super) fn start(
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
        log: LogWriter,
    ) -> Self {
        let log = Arc::new(Mutex::new(log));
        let (alive, done) = channel();
        if let Some(stdout) = stdout {
            carry(stdout, Output::Stdout, Arc::clone(&log), alive.clone());
        }
        if let Some(stderr) = stderr {
            carry(stderr, Output::Stderr, log, alive);
        }
        Self { done }
    }

    /// Waits until all output is written.
    pub(super) fn join(self) {
        // Nothing is ever sent: the channel closes with the last thread, or the time is up.
        let _ = self.done.recv_timeout(DRAIN_TIMEOUT);
    }
}

fn carry(
    source: impl Read + Send + 'static,
    output: Output,
    log: Arc<Mutex<LogWriter>>,
    alive: Sender<()>,
) {
    thread::spawn(move || {
        let _alive = alive;
        let mut source = BufReader::with_capacity(RECORD_BYTES_MAX, source);
        let mut line = Vec::new();
        while let Ok(true) = read_line(&mut source, &mut line) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            // A full disk costs output, never the task: go on reading, or the command would block.
            let _ = log.write(output, clock::now(), &line);
        }
    });
}

/// Reads a line, or as much of a long one as a record holds; `false` at the end.
fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let limit = RECORD_BYTES_MAX as u64;
    source.by_ref().take(limit).read_until(b'\n', line)?;
    Ok(!line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_and_the_last_needs_no_line_feed() {
        let text = format!("a\n\n{}\nend", "x".repeat(RECORD_BYTES_MAX + 1));
        let (mut source, mut line, mut lengths) = (text.as_bytes(), Vec::new(), Vec::new());
        while read_line(&mut source, &mut line).unwrap() {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [2, 1, RECORD_BYTES_MAX, 2, 3]);
    }
}
