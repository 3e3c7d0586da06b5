//! A violation in words: the shortest beginning of the history that cannot be explained, without
//! the reads that do not matter.
//!
//! Only reads may be left out: a history without one of its reads is still one that must have an
//! order, whereas without a write it would be another history.

use std::fmt;

use crate::history::{Calls, Operation, Outcome};
use crate::model::Model;
use crate::search::{Longest, Search, Verdict};

/// Operations of an explanation that are written out; more of them tell nothing more.
const SHOWN_MAX: usize = 12;

/// What cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key it is about.
    pub key: String,
    /// The operations that have no order, by call, in words.
    pub operations: Vec<String>,
    /// The longest order that explains a beginning of them, in words.
    pub explained: Vec<String>,
    /// The state after that order, in words.
    pub state: String,
    /// The operation whose answer no order explains, in words.
    pub stuck: String,
    /// Operations that were open when that one was answered and are not in the order, in words.
    pub open: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, key) = (self.operations.len(), &self.key);
        writeln!(
            f,
            "{key}: no order of {count} operations explains their answers"
        )?;
        if self.explained.is_empty() {
            writeln!(f, "  in the beginning it is {}", self.state)?;
        } else {
            let skipped = self.explained.len().saturating_sub(SHOWN_MAX);
            writeln!(
                f,
                "  the longest order that explains a beginning has {}; it ends with",
                self.explained.len()
            )?;
            for operation in &self.explained[skipped..] {
                writeln!(f, "    {operation}")?;
            }
            writeln!(f, "  and leaves {}", self.state)?;
        }
        write!(f, "  which does not allow\n    {}", self.stuck)?;
        for operation in self.open.iter().take(SHOWN_MAX) {
            write!(f, "\n  nor does it help to place\n    {operation}")?;
        }
        Ok(())
    }
}

/// Explains why the calls of a key, which are known to have no order, have none.
pub(crate) fn violation<M: Model>(
    model: &M,
    key: &M::Key,
    calls: &Calls<'_, M::Input, M::Output>,
    configurations_max: usize,
) -> Violation {
    let all: Vec<_> = calls.iter().cloned().collect();
    let judge = Judge {
        model,
        configurations_max,
    };
    let beginning = judge.shortest_beginning(&all);
    let shortest = judge.without_reads(beginning);
    let (_, longest) = judge.search(&shortest);
    words(model, key, &shortest, &longest)
}

type Operations<M> = Vec<Operation<<M as Model>::Input, <M as Model>::Output>>;

struct Judge<'a, M: Model> {
    model: &'a M,
    configurations_max: usize,
}

impl<M: Model> Judge<'_, M> {
    fn search(&self, operations: &Operations<M>) -> (Verdict, Longest<M::State>) {
        let calls = Calls::of(operations.iter());
        let search = Search::new(self.model, &calls, self.configurations_max);
        let (found, longest) = search.run_to_longest();
        (found.verdict, longest)
    }

    /// Whether these are known to have no order. Giving up does not count.
    fn is_impossible(&self, operations: &Operations<M>) -> bool {
        matches!(self.search(operations).0, Verdict::Impossible)
    }

    /// The least number of answers, by time, that has no order. A history that can be explained
    /// can be explained at every moment of it, so the number is found by halving.
    fn shortest_beginning(&self, all: &Operations<M>) -> Operations<M> {
        let mut times: Vec<u64> = all.iter().filter_map(Operation::returned).collect();
        times.sort_unstable();
        times.dedup();
        let impossible = |at: &u64| self.is_impossible(&self.until(all, *at));
        let first = times.partition_point(|at| !impossible(at));
        match times.get(first) {
            Some(at) => self.until(all, *at),
            None => all.clone(),
        }
    }

    /// What was known at a moment: what was called by then, answers that came by then.
    fn until(&self, all: &Operations<M>, moment: u64) -> Operations<M> {
        let known = |operation: &Operation<M::Input, M::Output>| {
            if operation.invoked > moment {
                return None;
            }
            let answered = operation.returned().is_some_and(|at| at <= moment);
            if answered {
                return Some(operation.clone());
            }
            // A read without an answer says nothing.
            (!self.model.only_reads(&operation.input)).then(|| Operation {
                outcome: Outcome::Unknown,
                ..operation.clone()
            })
        };
        all.iter().filter_map(known).collect()
    }

    /// Leaves out reads, many at a time and then fewer, as long as there is no order.
    fn without_reads(&self, mut operations: Operations<M>) -> Operations<M> {
        let is_read = |o: &Operation<M::Input, M::Output>| self.model.only_reads(&o.input);
        let mut chunk = operations.iter().filter(|o| is_read(o)).count();
        while chunk > 0 {
            let mut first = 0;
            loop {
                let count = operations.iter().filter(|o| is_read(o)).count();
                if first >= count {
                    break;
                }
                let fewer = leave_out(&operations, is_read, first..first + chunk);
                if self.is_impossible(&fewer) {
                    operations = fewer;
                } else {
                    first += chunk;
                }
            }
            chunk /= 2;
        }
        operations
    }
}

/// The operations without the reads that have these numbers among the reads.
fn leave_out<I: Clone, O: Clone>(
    operations: &[Operation<I, O>],
    is_read: impl Fn(&Operation<I, O>) -> bool,
    numbers: std::ops::Range<usize>,
) -> Vec<Operation<I, O>> {
    let mut reads = 0;
    let kept = operations.iter().filter(|operation| {
        let number = reads;
        let read = is_read(operation);
        reads += usize::from(read);
        !(read && numbers.contains(&number))
    });
    kept.cloned().collect()
}

fn words<M: Model>(
    model: &M,
    key: &M::Key,
    operations: &Operations<M>,
    longest: &Longest<M::State>,
) -> Violation {
    let calls = Calls::of(operations.iter());
    let say = |number: usize| line(model, calls.get(number));
    let stuck_at = longest.stuck.and_then(|at| calls.get(at).returned());
    let is_open = |number: &usize| {
        Some(*number) != longest.stuck
            && !longest.order.contains(number)
            && stuck_at.is_some_and(|at| calls.get(*number).invoked <= at)
    };
    Violation {
        key: key.to_string(),
        operations: (0..calls.len()).map(say).collect(),
        explained: longest.order.iter().map(|number| say(*number)).collect(),
        state: model.describe_state(&longest.state),
        stuck: longest.stuck.map(say).unwrap_or_default(),
        open: (0..calls.len()).filter(is_open).map(say).collect(),
    }
}

fn line<M: Model>(model: &M, operation: &Operation<M::Input, M::Output>) -> String {
    let times = match operation.returned() {
        Some(at) => format!("{}..{at}", operation.invoked),
        None => format!("{}..", operation.invoked),
    };
    let said = model.describe(operation);
    format!("client {} {times}: {said}", operation.client)
}
