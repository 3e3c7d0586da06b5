//! What an object is: its states and what each operation does to them.

use std::fmt::Display;

use crate::Operation;

/// An object that does one thing at a time. It must be deterministic: a state, an operation and its
/// answer leave one next state. Where clients cannot know the whole state (an id that nobody has
/// been told yet), a state stands for all that are still possible, and answers narrow it down.
pub trait Model {
    /// What the parts that have nothing to do with each other are called.
    type Key: Ord + Clone + Display;
    /// What is asked.
    type Input: Clone;
    /// What is answered.
    type Output: Clone;
    /// What the object remembers of one key.
    type State: Clone + Ord;

    /// The part of the object that an operation is about.
    fn key(&self, input: &Self::Input) -> Self::Key;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after an operation, `None` if it cannot have given this answer in this state.
    /// Without an answer the operation's outcome is unknown: the state after it if it took effect,
    /// `None` if it could have had no effect.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Whether an operation never changes anything. It may be left out of an explanation.
    fn only_reads(&self, input: &Self::Input) -> bool;

    /// An operation and its answer in words.
    fn describe(&self, operation: &Operation<Self::Input, Self::Output>) -> String;

    /// A state in words.
    fn describe_state(&self, state: &Self::State) -> String;
}
