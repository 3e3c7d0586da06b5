//! A register per key: written, read, and changed if it has a certain value.

use crate::{Model, Operation};

/// Registers that hold nothing in the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Register;

/// What is asked of a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterInput {
    /// Its value.
    Read {
        /// The register.
        key: String,
    },
    /// To take a value.
    Write {
        /// The register.
        key: String,
        /// The value.
        value: u64,
    },
    /// To take a value if it has another one.
    CompareAndSet {
        /// The register.
        key: String,
        /// The value it must have.
        expected: u64,
        /// The value it takes then.
        value: u64,
    },
}

/// What a register answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterOutput {
    /// This is the value, `None` before the first write.
    Value(Option<u64>),
    /// It has the value now.
    Done,
    /// It did not have the expected value.
    Mismatch,
}

impl RegisterInput {
    fn key(&self) -> &str {
        match self {
            Self::Read { key } | Self::Write { key, .. } | Self::CompareAndSet { key, .. } => key,
        }
    }
}

impl Model for Register {
    type Key = String;
    type Input = RegisterInput;
    type Output = RegisterOutput;
    type State = Option<u64>;

    fn key(&self, input: &RegisterInput) -> String {
        input.key().to_owned()
    }

    fn initial(&self) -> Option<u64> {
        None
    }

    fn step(
        &self,
        state: &Option<u64>,
        input: &RegisterInput,
        output: Option<&RegisterOutput>,
    ) -> Option<Option<u64>> {
        use RegisterInput as In;
        use RegisterOutput as Out;
        match (input, output) {
            (In::Read { .. }, Some(Out::Value(value))) => (value == state).then_some(*state),
            (In::Write { value, .. }, Some(Out::Done) | None) => Some(Some(*value)),
            (
                In::CompareAndSet {
                    expected, value, ..
                },
                Some(Out::Done) | None,
            ) => (*state == Some(*expected)).then_some(Some(*value)),
            (In::CompareAndSet { expected, .. }, Some(Out::Mismatch)) => {
                (*state != Some(*expected)).then_some(*state)
            }
            _ => None,
        }
    }

    fn only_reads(&self, input: &RegisterInput) -> bool {
        matches!(input, RegisterInput::Read { .. })
    }

    fn describe(&self, operation: &Operation<RegisterInput, RegisterOutput>) -> String {
        use RegisterInput as In;
        let asked = match &operation.input {
            In::Read { key } => format!("read {key}"),
            In::Write { key, value } => format!("write {value} to {key}"),
            In::CompareAndSet {
                key,
                expected,
                value,
            } => format!("set {key} from {expected} to {value}"),
        };
        let answered = match operation.output() {
            None => "unknown".to_owned(),
            Some(RegisterOutput::Done) => "done".to_owned(),
            Some(RegisterOutput::Mismatch) => "refused, it has another value".to_owned(),
            Some(RegisterOutput::Value(value)) => self.describe_state(value),
        };
        format!("{asked}: {answered}")
    }

    fn describe_state(&self, state: &Option<u64>) -> String {
        state.map_or("nothing".to_owned(), |value| value.to_string())
    }
}
