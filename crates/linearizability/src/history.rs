//! What clients saw, and when.

use std::fmt;

/// One call of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// Who called; only for explanations.
    pub client: u64,
    /// When, in any unit that is the same everywhere.
    pub invoked: u64,
    /// What was asked.
    pub input: I,
    /// What came of it.
    pub outcome: Outcome<O>,
}

/// What a client knows of its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<O> {
    /// It was answered.
    Returned {
        /// When, in the unit of the call.
        at: u64,
        /// With what.
        output: O,
    },
    /// It was not: it may have happened, may yet happen, or never will.
    Unknown,
}

/// A list that is no history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The operation, by its place in the list.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {} was answered before it was called", self.at)
    }
}

impl<I, O> Operation<I, O> {
    /// Its answer, if there was one.
    pub fn output(&self) -> Option<&O> {
        match &self.outcome {
            Outcome::Returned { output, .. } => Some(output),
            Outcome::Unknown => None,
        }
    }

    /// When it was answered.
    pub fn returned(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::Returned { at, .. } => Some(*at),
            Outcome::Unknown => None,
        }
    }
}

pub(crate) fn check_form<I, O>(history: &[Operation<I, O>]) -> Result<(), Malformed> {
    let backwards = |o: &Operation<I, O>| o.returned().is_some_and(|at| at < o.invoked);
    match history.iter().position(backwards) {
        Some(at) => Err(Malformed { at }),
        None => Ok(()),
    }
}

/// The operations of one key in the order of their calls.
pub(crate) struct Calls<'a, I, O> {
    /// In the order in which they were given.
    given: Vec<&'a Operation<I, O>>,
    /// Places in `given`, by call.
    by_call: Vec<usize>,
}

impl<'a, I, O> Calls<'a, I, O> {
    pub(crate) fn of(operations: impl Iterator<Item = &'a Operation<I, O>>) -> Self {
        let given: Vec<_> = operations.collect();
        let mut by_call: Vec<usize> = (0..given.len()).collect();
        by_call.sort_by_key(|at| given[*at].invoked);
        Self { given, by_call }
    }

    pub(crate) fn len(&self) -> usize {
        self.given.len()
    }

    /// The operation with this number in the order of calls.
    pub(crate) fn get(&self, number: usize) -> &'a Operation<I, O> {
        self.given[self.by_call[number]]
    }

    /// Where that operation was in the list that was given.
    pub(crate) fn place(&self, number: usize) -> usize {
        self.by_call[number]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a Operation<I, O>> {
        (0..self.len()).map(|number| self.get(number))
    }
}
