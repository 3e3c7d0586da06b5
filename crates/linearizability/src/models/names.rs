//! A set of names that are taken and given back, and listed all at once.
//!
//! A list sees all names in one moment, so the set cannot be judged name by name: it has one key.

use std::collections::BTreeSet;

use crate::{Model, Operation};

/// A set that is empty in the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Names;

/// What is asked of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamesInput {
    /// To take a name in that is not there.
    Take(String),
    /// To let a name go that is there.
    Release(String),
    /// All names.
    List,
}

/// What the set answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamesOutput {
    /// It was done.
    Done,
    /// The name was there already, or was not there.
    Refused,
    /// All names.
    All(BTreeSet<String>),
}

impl Model for Names {
    type Key = &'static str;
    type Input = NamesInput;
    type Output = NamesOutput;
    type State = BTreeSet<String>;

    fn key(&self, _: &NamesInput) -> &'static str {
        "names"
    }

    fn initial(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn step(
        &self,
        state: &BTreeSet<String>,
        input: &NamesInput,
        output: Option<&NamesOutput>,
    ) -> Option<BTreeSet<String>> {
        let (name, takes) = match (input, output) {
            (NamesInput::List, Some(NamesOutput::All(all))) => {
                return (all == state).then(|| state.clone());
            }
            (NamesInput::List, _) | (_, Some(NamesOutput::All(_))) => return None,
            (NamesInput::Take(name), _) => (name, true),
            (NamesInput::Release(name), _) => (name, false),
        };
        let possible = state.contains(name) != takes;
        if output == Some(&NamesOutput::Refused) {
            return (!possible).then(|| state.clone());
        }
        let mut after = state.clone();
        let changed = if takes {
            after.insert(name.clone())
        } else {
            after.remove(name)
        };
        changed.then_some(after)
    }

    fn only_reads(&self, input: &NamesInput) -> bool {
        matches!(input, NamesInput::List)
    }

    fn describe(&self, operation: &Operation<NamesInput, NamesOutput>) -> String {
        let asked = match &operation.input {
            NamesInput::Take(name) => format!("take {name}"),
            NamesInput::Release(name) => format!("release {name}"),
            NamesInput::List => "list".to_owned(),
        };
        let answered = match operation.output() {
            None => "unknown".to_owned(),
            Some(NamesOutput::Done) => "done".to_owned(),
            Some(NamesOutput::Refused) => "refused".to_owned(),
            Some(NamesOutput::All(all)) => self.describe_state(all),
        };
        format!("{asked}: {answered}")
    }

    fn describe_state(&self, state: &BTreeSet<String>) -> String {
        if state.is_empty() {
            return "no names".to_owned();
        }
        state.iter().cloned().collect::<Vec<_>>().join(", ")
    }
}
