//! What is wrong with a spec.

use std::fmt;

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, for example `task.container.image`.
    pub path: String,
    /// What is wrong with it and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// Everything that is wrong with a spec; at least one problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", join(.problems))]
pub struct Invalid {
    /// In the order of the fields.
    pub problems: Vec<Problem>,
}

fn join(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("; ")
}

/// Collects problems below one path.
#[derive(Debug, Default)]
pub(crate) struct Check {
    problems: Vec<Problem>,
}

impl Check {
    /// Notes a problem.
    pub(crate) fn fail(&mut self, path: impl fmt::Display, text: impl fmt::Display) {
        self.problems.push(Problem {
            path: path.to_string(),
            text: text.to_string(),
        });
    }

    /// Notes a problem unless the condition holds.
    pub(crate) fn require(
        &mut self,
        holds: bool,
        path: impl fmt::Display,
        text: impl fmt::Display,
    ) {
        if !holds {
            self.fail(path, text);
        }
    }

    /// What was found.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The verdict.
    ///
    /// # Errors
    /// If there is a problem.
    pub(crate) fn finish(self) -> Result<(), Invalid> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Invalid {
                problems: self.problems,
            })
        }
    }
}
