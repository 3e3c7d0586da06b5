//! What a reader of logs has seen of each task's output, so that a stream that broke is taken up
//! again where it broke. Pure.
//!
//! The only mark that a line carries is its time. A new stream is asked for from a moment that lies
//! safely before the break, and what was seen already is left out: everything before the last time
//! seen of that task, and as many pieces of exactly that time as were seen.

use std::collections::BTreeMap;
use std::time::Duration;

use types::Timestamp;

use crate::api::{LogMessage, LogStream};
use crate::convert::moment;

/// Output of one task may be behind that of another by this much when a stream breaks. More is read
/// again after the break, none of it is shown again.
const BEHIND_MAX: Duration = Duration::from_secs(60);

type Key = (String, bool);

/// The newest time seen, and how many pieces had it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Timestamp,
    pieces: u64,
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    began: Timestamp,
    wants_all: bool,
    count: u64,
    last: BTreeMap<Key, Mark>,
    /// What is still to be left out after a break.
    repeated: Option<BTreeMap<Key, Mark>>,
}

impl Seen {
    /// Nothing was seen yet. Whoever does not want everything from the past wants nothing from
    /// before `began` after a break either.
    pub fn new(began: Timestamp, wants_all: bool) -> Self {
        Self {
            began,
            wants_all,
            count: 0,
            last: BTreeMap::new(),
            repeated: None,
        }
    }

    /// How many pieces were seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether a piece was not seen yet; it counts as seen from now on.
    pub fn is_new(&mut self, message: &LogMessage) -> bool {
        let at = moment(message.timestamp);
        let task = message.context.as_ref().map(|c| c.task_id.clone());
        let key = (
            task.unwrap_or_default(),
            message.stream() == LogStream::Stderr,
        );
        if self.is_repeated(&key, at) {
            return false;
        }
        self.count += 1;
        let mark = self.last.entry(key).or_insert(Mark { at, pieces: 0 });
        if at > mark.at {
            *mark = Mark { at, pieces: 0 };
        }
        mark.pieces += u64::from(at == mark.at);
        true
    }

    fn is_repeated(&mut self, key: &Key, at: Timestamp) -> bool {
        let Some(repeated) = self.repeated.as_mut() else {
            return false;
        };
        let Some(mark) = repeated.get_mut(key) else {
            let is_known = self.last.contains_key(key);
            return !is_known && !self.wants_all && at < self.began;
        };
        if at < mark.at {
            return true;
        }
        if at == mark.at && mark.pieces > 0 {
            mark.pieces -= 1;
            return true;
        }
        repeated.remove(key);
        false
    }

    /// The stream broke: the next one repeats some of it.
    pub fn interrupted(&mut self) {
        self.repeated = Some(self.last.clone());
    }

    /// The moment from which the next stream has to begin.
    pub fn resume_from(&self) -> Timestamp {
        let times = || self.last.values().map(|mark| mark.at);
        match (times().min(), times().max()) {
            (Some(oldest), Some(newest)) => oldest.max(newest.minus(BEHIND_MAX)),
            _ => self.began,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LogContext;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + secs)
    }

    fn piece(task: &str, secs: u64, text: &str) -> LogMessage {
        LogMessage {
            context: Some(LogContext {
                task_id: task.into(),
                ..LogContext::default()
            }),
            timestamp: crate::convert::timestamp(at(secs)),
            stream: LogStream::Stdout.into(),
            data: text.as_bytes().to_vec().into(),
            ..LogMessage::default()
        }
    }

    fn shown(seen: &mut Seen, pieces: &[LogMessage]) -> String {
        let new = pieces.iter().filter(|p| seen.is_new(p));
        new.map(|p| String::from_utf8_lossy(&p.data).into_owned())
            .collect()
    }

    #[test]
    fn after_a_break_every_piece_is_shown_once() {
        let all = [
            piece("a", 1, "1"),
            piece("a", 2, "2"),
            piece("b", 2, "x"),
            piece("a", 2, "3"),
            piece("a", 2, "4"),
            piece("b", 3, "y"),
            piece("a", 5, "5"),
        ];
        for broken in 0..=all.len() {
            let mut seen = Seen::new(at(0), true);
            let first = shown(&mut seen, &all[..broken]);
            seen.interrupted();
            let from = seen.resume_from();
            let again = all.iter().filter(|p| moment(p.timestamp) >= from);
            let again: Vec<_> = again.cloned().collect();
            let both = first + &shown(&mut seen, &again);
            let mut letters: Vec<_> = both.chars().collect();
            letters.sort_unstable();
            assert_eq!(
                String::from_iter(letters),
                "12345xy",
                "broken after {broken}"
            );
        }
    }

    #[test]
    fn two_breaks_repeat_nothing_either() {
        let all = [piece("a", 1, "1"), piece("a", 1, "2"), piece("a", 1, "3")];
        let mut seen = Seen::new(at(0), true);
        let mut text = shown(&mut seen, &all[..1]);
        seen.interrupted();
        text += &shown(&mut seen, &all[..2]);
        seen.interrupted();
        text += &shown(&mut seen, &all);
        assert_eq!(text, "123");
    }

    #[test]
    fn whoever_wanted_nothing_of_the_past_gets_nothing_of_it_after_a_break() {
        let mut seen = Seen::new(at(10), false);
        assert_eq!(seen.resume_from(), at(10));
        seen.interrupted();
        let pieces = [piece("a", 9, "old"), piece("a", 11, "new")];
        assert_eq!(shown(&mut seen, &pieces), "new");
    }

    #[test]
    fn a_task_that_is_silent_for_long_does_not_make_all_be_read_again() {
        let mut seen = Seen::new(at(0), true);
        shown(&mut seen, &[piece("a", 1, "1"), piece("b", 1_000, "x")]);
        assert_eq!(seen.resume_from(), at(940));
    }
}
