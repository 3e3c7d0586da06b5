//! Output of containers as the engine's log driver kept it.

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use bytes::{Bytes, BytesMut};
use executor::{LogChunk, LogOptions, LogSender, LogStream, Output};
use futures_util::{Stream, StreamExt};
use types::Timestamp;

use crate::engine::Engine;
use crate::time;

/// Longest line of a terminal that is kept together, as for other output.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// The output of a container.
pub(crate) fn open(engine: Engine, container: String, options: LogOptions) -> LogStream {
    let (sender, stream) = LogStream::channel();
    tokio::spawn(async move {
        let query = query(&options);
        let source = Box::pin(engine.docker.logs(&container, Some(query)));
        let reader = tokio::select! {
            result = copy(source, &sender, options.since) => result,
            () = sender.closed() => return,
        };
        if let Err(error) = reader {
            // A reader that is gone needs no reason.
            let _ = sender
                .send(Err(engine.failed("cannot read the output", &error)))
                .await;
        }
    });
    stream
}

fn query(options: &LogOptions) -> LogsOptions {
    let tail = options
        .tail
        .map_or_else(|| "all".to_owned(), |tail| tail.to_string());
    LogsOptionsBuilder::default()
        .follow(options.follow)
        .stdout(options.stdout)
        .stderr(options.stderr)
        .since(i32::try_from(options.since.secs()).unwrap_or(i32::MAX))
        .timestamps(true)
        .tail(&tail)
        .build()
}

async fn copy(
    mut source: impl Stream<Item = Result<LogOutput, Error>> + Unpin,
    sender: &LogSender,
    since: Timestamp,
) -> Result<(), Error> {
    let mut terminal = BytesMut::new();
    while let Some(item) = source.next().await {
        let (output, data) = match item? {
            LogOutput::StdErr { message } => (Output::Stderr, message),
            LogOutput::StdOut { message } => (Output::Stdout, message),
            LogOutput::Console { message } => {
                // A terminal's output comes in pieces of any size.
                terminal.extend_from_slice(&message);
                while let Some(line) = take_line(&mut terminal) {
                    send(sender, chunk(Output::Stdout, line), since).await;
                }
                continue;
            }
            LogOutput::StdIn { .. } => continue,
        };
        send(sender, chunk(output, data), since).await;
    }
    if !terminal.is_empty() {
        send(sender, chunk(Output::Stdout, terminal.freeze()), since).await;
    }
    Ok(())
}

async fn send(sender: &LogSender, chunk: LogChunk, since: Timestamp) {
    // The engine counts whole seconds.
    if chunk.timestamp >= since {
        // A reader that is gone ends the copy from outside.
        let _ = sender.send(Ok(chunk)).await;
    }
}

fn take_line(buffer: &mut BytesMut) -> Option<Bytes> {
    let end = match buffer.iter().position(|byte| *byte == b'\n') {
        Some(line_feed) => line_feed + 1,
        None if buffer.len() >= LINE_BYTES_MAX => LINE_BYTES_MAX,
        None => return None,
    };
    Some(buffer.split_to(end).freeze())
}

/// Splits the engine's `TIMESTAMP DATA`.
fn chunk(output: Output, line: Bytes) -> LogChunk {
    let space = line.iter().position(|byte| *byte == b' ');
    let stamped = space.and_then(|space| {
        let text = std::str::from_utf8(&line[..space]).ok()?;
        let timestamp = time::parse(text);
        timestamp
            .is_set()
            .then(|| (timestamp, line.slice(space + 1..)))
    });
    let (timestamp, data) = stamped.unwrap_or((Timestamp::ZERO, line));
    LogChunk {
        timestamp,
        output,
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &'static str) -> Result<LogOutput, Error> {
        Ok(LogOutput::Console {
            message: Bytes::from_static(text.as_bytes()),
        })
    }

    #[tokio::test]
    async fn a_terminals_pieces_become_lines_with_their_times() {
        let pieces = [
            console("2026-01-01T00:00:00Z he"),
            console("llo\n2026-01-01T00:00:01Z wor"),
            console("ld"),
        ];
        let (sender, mut stream) = LogStream::channel();
        let source = futures_util::stream::iter(pieces);
        copy(source, &sender, Timestamp::ZERO).await.unwrap();
        drop(sender);
        let mut lines = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.unwrap();
            lines.push((chunk.timestamp.secs() % 60, chunk.data));
        }
        assert_eq!(
            lines,
            [(0, Bytes::from("hello\n")), (1, Bytes::from("world"))]
        );
    }

    #[test]
    fn a_line_without_a_time_is_kept_whole() {
        let line = chunk(Output::Stderr, Bytes::from_static(b"no time here"));
        assert_eq!(line.data, "no time here");
        assert_eq!(line.timestamp, Timestamp::ZERO);
    }
}
