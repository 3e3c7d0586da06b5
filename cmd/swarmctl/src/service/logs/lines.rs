//! Puts pieces of output together to lines, apart for each task and stream. Pure.

use std::collections::BTreeMap;

use types::Timestamp;
use wire::api::{LogContext, LogMessage, LogStream};

use crate::out::human;

/// A line longer than this is shown in several parts, so that a task that never ends its line
/// costs no memory.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A line of a task's output, without its line feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Whose it is.
    pub context: LogContext,
    /// When its first piece was written.
    pub at: Timestamp,
    /// It was written to standard error.
    pub stderr: bool,
    /// Attributes as `key=value,…`.
    pub attrs: String,
    /// The text.
    pub data: Vec<u8>,
}

/// Lines that are not complete, by task and stream.
#[derive(Default)]
pub struct Assembler {
    open: BTreeMap<(String, bool), Line>,
}

impl Assembler {
    /// Takes a piece and gives the lines that it completes.
    pub fn take(&mut self, message: LogMessage) -> Vec<Line> {
        let stderr = message.stream() == LogStream::Stderr;
        let context = message.context.unwrap_or_default();
        let key = (context.task_id.clone(), stderr);
        let attrs: Vec<_> = message
            .attrs
            .iter()
            .map(|a| format!("{}={}", a.key, a.value))
            .collect();
        let begun = Line {
            context,
            at: human::moment(message.timestamp.as_ref()),
            stderr,
            attrs: attrs.join(","),
            data: Vec::new(),
        };
        let mut lines = Vec::new();
        for piece in message.data.split_inclusive(|byte| *byte == b'\n') {
            let line = self
                .open
                .entry(key.clone())
                .or_insert_with(|| begun.clone());
            line.data.extend_from_slice(piece);
            if line.data.ends_with(b"\n") || line.data.len() >= LINE_BYTES_MAX {
                lines.extend(self.open.remove(&key).map(without_line_feed));
            }
        }
        lines
    }

    /// What is left when nothing follows.
    pub fn finish(self) -> Vec<Line> {
        self.open.into_values().map(without_line_feed).collect()
    }
}

fn without_line_feed(mut line: Line) -> Line {
    if line.data.last() == Some(&b'\n') {
        line.data.pop();
    }
    if line.data.last() == Some(&b'\r') {
        line.data.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(task: &str, stderr: bool, data: &[u8]) -> LogMessage {
        let stream = if stderr {
            LogStream::Stderr
        } else {
            LogStream::Stdout
        };
        LogMessage {
            context: Some(LogContext {
                task_id: task.into(),
                ..LogContext::default()
            }),
            stream: stream.into(),
            data: data.to_vec().into(),
            ..LogMessage::default()
        }
    }

    fn texts(lines: &[Line]) -> Vec<(String, bool, String)> {
        let text = |l: &Line| String::from_utf8_lossy(&l.data).into_owned();
        lines
            .iter()
            .map(|l| (l.context.task_id.clone(), l.stderr, text(l)))
            .collect()
    }

    #[test]
    fn pieces_of_two_tasks_and_streams_do_not_mix() {
        let mut assembler = Assembler::default();
        assert!(assembler.take(piece("a", false, b"he")).is_empty());
        assert!(assembler.take(piece("b", false, b"wor")).is_empty());
        assert!(assembler.take(piece("a", true, b"err")).is_empty());
        let lines = assembler.take(piece("a", false, b"llo\r\nnext\nrest"));
        assert_eq!(
            texts(&lines),
            [
                ("a".into(), false, "hello".into()),
                ("a".into(), false, "next".into())
            ]
        );
        assert_eq!(
            texts(&assembler.finish()),
            [
                ("a".into(), false, "rest".into()),
                ("a".into(), true, "err".into()),
                ("b".into(), false, "wor".into()),
            ]
        );
    }

    #[test]
    fn a_line_that_never_ends_is_shown_in_parts() {
        let mut assembler = Assembler::default();
        let lines = assembler.take(piece("a", false, &vec![b'x'; LINE_BYTES_MAX]));
        assert_eq!(lines.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn lines_do_not_depend_on_where_pieces_are_cut(text in "[ab\n]{0,40}", cut in 1_usize..9) {
            let mut assembler = Assembler::default();
            let mut lines = Vec::new();
            for part in text.as_bytes().chunks(cut) {
                lines.extend(assembler.take(piece("a", false, part)));
            }
            lines.extend(assembler.finish());
            let shown: Vec<_> = texts(&lines).into_iter().map(|(_, _, line)| line).collect();
            let expected: Vec<_> = text.lines().map(str::to_owned).collect();
            prop_assert_eq!(shown, expected);
        }
    }
}
