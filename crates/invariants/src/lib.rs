//! What must hold in every cluster at every moment, defined once.
//!
//! The checks are pure functions of committed tables and of the changes between them, so that the
//! simulator, integration tests and production asserts use the same ones. Their names (O1, R7,
//! L1, …) are those of `design/reliability.md`.
//!
//! Nothing here repairs anything, reads a clock or knows how a state came to be. The checks do not
//! call the code that they judge: what a slot is and how a constraint reads is shared with it,
//! every decision is derived again.

mod access;
mod checker;
mod desired;
mod replication;
mod services;
mod slots;
mod stops;
mod tables;
mod tasks;
#[cfg(test)]
mod testing;

pub use access::{Certificate, Certificates, Ground, Hearsay, admitted};
pub use checker::Checker;
pub use desired::{
    as_desired, history_is_bounded, is_updating, must_run, nothing_misplaced, updates_gave_up,
};
pub use replication::{Position, Replication};
pub use tables::{first_difference, state_hash};

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {text}")]
pub struct Violation {
    /// Name of the invariant.
    pub rule: &'static str,
    /// What was found.
    pub text: String,
}

impl Violation {
    /// A violation of a named rule.
    pub fn new(rule: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { rule, text }
    }
}

/// Nothing, or what was found.
pub type Verdict = Result<(), Violation>;

/// Fails with a violation unless a condition holds.
macro_rules! must {
    ($holds:expr, $rule:literal, $($text:tt)+) => {
        if !$holds {
            return Err($crate::Violation::new($rule, format!($($text)+)));
        }
    };
}
pub(crate) use must;
