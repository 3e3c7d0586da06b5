//! Reads a task's log files into a stream.

use std::io;
use std::time::Duration;

use executor::{ExecError, LogChunk, LogOptions, LogStream};

use crate::logfile::LogReader;
use crate::record::{Stage, TaskDir};

/// Chunks read at a time before they are handed on.
const BATCH_CHUNKS: usize = 64;

/// How often a follower looks for more.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// The output of a task.
pub(super) fn open(dir: TaskDir, options: LogOptions) -> LogStream {
    let (sender, stream) = LogStream::channel();
    tokio::spawn(async move {
        let skip = match blocking({
            let (dir, options) = (dir.clone(), options.clone());
            move || skip_count(&dir, &options)
        })
        .await
        {
            Ok(skip) => skip,
            Err(error) => {
                // A reader that is gone needs no reason.
                let _ = sender.send(Err(error)).await;
                return;
            }
        };
        let mut cursor = Cursor {
            reader: LogReader::new(dir.logs()),
            dir,
            options,
            skip,
        };
        loop {
            let (back, batch) = match blocking(move || cursor.batch()).await {
                Ok(read) => read,
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            };
            cursor = back;
            let (is_empty, is_last) = (batch.chunks.is_empty(), batch.is_last);
            for chunk in batch.chunks {
                if sender.send(Ok(chunk)).await.is_err() {
                    return;
                }
            }
            if is_last {
                return;
            }
            if is_empty {
                tokio::select! {
                    () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
                    () = sender.closed() => return,
                }
            }
        }
    });
    stream
}

struct Cursor {
    dir: TaskDir,
    reader: LogReader,
    options: LogOptions,
    skip: u64,
}

struct Batch {
    chunks: Vec<LogChunk>,
    is_last: bool,
}

impl Cursor {
    fn batch(mut self) -> io::Result<(Self, Batch)> {
        // Asked before reading: output precedes the end.
        let has_ended = !self.options.follow || has_ended(&self.dir)?;
        let mut chunks = Vec::new();
        while chunks.len() < BATCH_CHUNKS {
            let Some(chunk) = self.reader.next()? else {
                let is_last = has_ended;
                return Ok((self, Batch { chunks, is_last }));
            };
            if !is_wanted(&chunk, &self.options) {
                continue;
            }
            if self.skip > 0 {
                self.skip -= 1;
            } else {
                chunks.push(chunk);
            }
        }
        let is_last = false;
        Ok((self, Batch { chunks, is_last }))
    }
}

fn has_ended(dir: &TaskDir) -> io::Result<bool> {
    Ok(matches!(
        dir.stage()?,
        Stage::Exited(_) | Stage::Lost(_) | Stage::Absent
    ))
}

fn is_wanted(chunk: &LogChunk, options: &LogOptions) -> bool {
    options.wants(chunk.output) && chunk.timestamp >= options.since
}

/// How many of the wanted records come before the tail.
fn skip_count(dir: &TaskDir, options: &LogOptions) -> io::Result<u64> {
    let Some(tail) = options.tail else {
        return Ok(0);
    };
    let mut reader = LogReader::new(dir.logs());
    let mut count = 0u64;
    while let Some(chunk) = reader.next()? {
        count += u64::from(is_wanted(&chunk, options));
    }
    Ok(count.saturating_sub(tail))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ExecError> {
    let fail = |error: &dyn std::fmt::Display| {
        ExecError::rejected(format!("cannot read the output: {error}"))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| fail(&error)),
        Err(error) => Err(fail(&error)),
    }
}
