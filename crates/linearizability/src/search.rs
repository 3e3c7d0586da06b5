//! The search for an order.
//!
//! Depth first over configurations. From a configuration any operation may come next that was
//! called before the first answer among those that are not placed yet: whatever was called later
//! must come after the one answered there.
//!
//! Operations of unknown outcome may come anywhere or nowhere, which would make nearly every search
//! hopeless. Where one can be left out or put off by one place without a difference to what
//! follows, it is: every order has a form in which each of them stands right before an operation
//! that needs it, and only those forms are looked at.

use std::collections::BTreeSet;

use crate::history::{Calls, Operation};
use crate::model::Model;
use crate::placed::Placed;

/// What a search found.
pub(crate) struct Found {
    pub(crate) verdict: Verdict,
    pub(crate) configurations: usize,
}

/// How a search ended.
pub(crate) enum Verdict {
    /// This order explains everything; places as given, not numbers by call.
    Explained(Vec<usize>),
    /// No order does.
    Impossible,
    /// Too many configurations.
    GaveUp,
}

/// A search over one key.
pub(crate) struct Search<'a, M: Model> {
    model: &'a M,
    calls: &'a Calls<'a, M::Input, M::Output>,
    /// Operations with an answer, by call: their numbers.
    answered: Vec<usize>,
    /// Operations without one, by call.
    unknown: Vec<usize>,
    /// The times of the answers in order, and places in `answered`.
    answers: Vec<(u64, usize)>,
    configurations_max: usize,
    configurations: usize,
    seen: BTreeSet<(Configuration, M::State)>,
    longest: Longest<M::State>,
}

/// The best that was reached.
#[derive(Debug, Clone)]
pub(crate) struct Longest<S> {
    /// Numbers by call.
    pub(crate) order: Vec<usize>,
    pub(crate) state: S,
    /// Answers in a row, by time, that were explained.
    pub(crate) answers: usize,
    /// The first answer that was not.
    pub(crate) stuck: Option<usize>,
}

/// Which operations have been placed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Configuration {
    answered: Placed,
    unknown: Placed,
}

/// A configuration on the way down.
struct Frame<S> {
    placed: Configuration,
    state: S,
    /// Answers that are placed, in a row by time.
    answers: usize,
    /// The next operation to try: of those with an answer, then of those without.
    next: Next,
    /// If an operation of unknown outcome came last: which, and the state before it.
    doubtful: Option<(usize, S)>,
}

#[derive(Clone, Copy)]
enum Next {
    Answered(usize),
    Unknown(usize),
}

impl<'a, M: Model> Search<'a, M> {
    pub(crate) fn new(
        model: &'a M,
        calls: &'a Calls<'a, M::Input, M::Output>,
        configurations_max: usize,
    ) -> Self {
        let has_answer = |number: &usize| calls.get(*number).output().is_some();
        let (answered, unknown): (Vec<_>, Vec<_>) = (0..calls.len()).partition(has_answer);
        let answer = |(at, number): (usize, &usize)| Some((calls.get(*number).returned()?, at));
        let mut answers: Vec<_> = answered.iter().enumerate().filter_map(answer).collect();
        answers.sort_unstable();
        let longest = Longest {
            order: Vec::new(),
            state: model.initial(),
            answers: 0,
            stuck: answers.first().map(|(_, at)| answered[*at]),
        };
        Self {
            model,
            calls,
            answered,
            unknown,
            answers,
            configurations_max,
            configurations: 0,
            seen: BTreeSet::new(),
            longest,
        }
    }

    /// Searches, and tells the best order as well if there is none that explains all.
    pub(crate) fn run_to_longest(mut self) -> (Found, Longest<M::State>) {
        let found = self.search();
        (found, self.longest)
    }

    pub(crate) fn run(mut self) -> Found {
        self.search()
    }

    fn search(&mut self) -> Found {
        let mut path = vec![Frame {
            placed: Configuration::default(),
            state: self.model.initial(),
            answers: 0,
            next: Next::Answered(0),
            doubtful: None,
        }];
        let mut order: Vec<usize> = Vec::new();
        let verdict = loop {
            let Some(frame) = path.last_mut() else {
                break Verdict::Impossible;
            };
            if frame.answers == self.answers.len() {
                let places = order.iter().map(|number| self.calls.place(*number));
                break Verdict::Explained(places.collect());
            }
            if self.configurations > self.configurations_max {
                break Verdict::GaveUp;
            }
            match self.advance(frame) {
                Some((number, child)) => {
                    order.push(number);
                    self.note(&child, &order);
                    path.push(child);
                }
                None => {
                    path.pop();
                    order.pop();
                }
            }
        };
        Found {
            verdict,
            configurations: self.configurations,
        }
    }

    /// The next configuration below this one that has not been looked at.
    fn advance(&mut self, frame: &mut Frame<M::State>) -> Option<(usize, Frame<M::State>)> {
        let limit = self.answers[frame.answers].0;
        loop {
            match frame.next {
                Next::Answered(at) => {
                    let called = |number: &&usize| self.calls.get(**number).invoked <= limit;
                    if self.answered.get(at).filter(called).is_none() {
                        frame.next = Next::Unknown(0);
                        continue;
                    }
                    frame.next = Next::Answered(at + 1);
                    if let Some(child) = self.place_answered(frame, at) {
                        return Some((self.answered[at], child));
                    }
                }
                Next::Unknown(at) => {
                    let number = *self.unknown.get(at)?;
                    if self.calls.get(number).invoked > limit {
                        return None;
                    }
                    frame.next = Next::Unknown(at + 1);
                    if let Some(child) = self.place_unknown(frame, at) {
                        return Some((number, child));
                    }
                }
            }
        }
    }

    fn place_answered(&mut self, frame: &Frame<M::State>, at: usize) -> Option<Frame<M::State>> {
        if frame.placed.answered.contains(at) {
            return None;
        }
        let operation = self.calls.get(self.answered[at]);
        let state = self.step(&frame.state, operation)?;
        if self.needs_not(frame, operation, &state, false) {
            return None;
        }
        let placed = Configuration {
            answered: frame.placed.answered.with(at),
            unknown: frame.placed.unknown.clone(),
        };
        self.configurations += 1;
        if !self.seen.insert((placed.clone(), state.clone())) {
            return None;
        }
        let is_placed = |(_, at): &&(u64, usize)| placed.answered.contains(*at);
        let rest = self.answers[frame.answers..].iter();
        Some(Frame {
            answers: frame.answers + rest.take_while(is_placed).count(),
            next: Next::Answered(placed.answered.first_missing()),
            placed,
            state,
            doubtful: None,
        })
    }

    fn place_unknown(&mut self, frame: &Frame<M::State>, at: usize) -> Option<Frame<M::State>> {
        if frame.placed.unknown.contains(at) {
            return None;
        }
        let operation = self.calls.get(self.unknown[at]);
        let state = self.step(&frame.state, operation)?;
        let in_turn = frame.doubtful.as_ref().is_some_and(|(last, _)| *last < at);
        if state == frame.state || self.needs_not(frame, operation, &state, in_turn) {
            return None;
        }
        self.configurations += 1;
        // Not noted as seen: it is looked at once from each configuration above it.
        Some(Frame {
            answers: frame.answers,
            next: Next::Answered(frame.placed.answered.first_missing()),
            placed: Configuration {
                answered: frame.placed.answered.clone(),
                unknown: frame.placed.unknown.with(at),
            },
            state,
            doubtful: Some((at, frame.state.clone())),
        })
    }

    fn step(
        &self,
        state: &M::State,
        operation: &Operation<M::Input, M::Output>,
    ) -> Option<M::State> {
        self.model.step(state, &operation.input, operation.output())
    }

    /// Whether the operation leads to `after` as well without the unknown one before it, or with
    /// that one behind it. Two unknown ones that can change places stand in the order of their
    /// calls (`in_turn`).
    fn needs_not(
        &self,
        frame: &Frame<M::State>,
        operation: &Operation<M::Input, M::Output>,
        after: &M::State,
        in_turn: bool,
    ) -> bool {
        let Some((doubtful, before)) = &frame.doubtful else {
            return false;
        };
        let Some(without) = self.step(before, operation) else {
            return false;
        };
        if without == *after {
            return true;
        }
        let doubtful = self.calls.get(self.unknown[*doubtful]);
        !in_turn && self.step(&without, doubtful).as_ref() == Some(after)
    }

    fn note(&mut self, frame: &Frame<M::State>, order: &[usize]) {
        if frame.answers > self.longest.answers {
            let next = self.answers.get(frame.answers);
            self.longest = Longest {
                order: order.to_vec(),
                state: frame.state.clone(),
                answers: frame.answers,
                stuck: next.map(|(_, at)| self.answered[*at]),
            };
        }
    }
}
