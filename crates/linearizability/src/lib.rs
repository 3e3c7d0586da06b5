//! Judges histories of concurrent clients: could an object that does one thing at a time, each
//! between its call and its answer, have given these answers?
//!
//! [`check`] takes a [`Model`] (what the object is) and a list of [`Operation`]s (what clients saw)
//! and returns a [`Witness`] (an order that explains everything) or a [`Failure`]: a
//! [`Violation`] in words, or the word that it gave up. The search is that of Wing and Gong as
//! Lowe improved it: operations are put in order one after the other, a configuration (which ones
//! have been placed, and the state after them) is never looked at twice, and keys that have nothing
//! to do with each other are judged apart, which is sound because linearizability is local.
//!
//! An operation whose outcome is unknown may have happened at any time after its call, or not at
//! all. Two moments that are equal count as overlapping: clocks are too coarse to say more.
//!
//! # Cost and limits
//!
//! The problem is NP-complete. With `c` operations open at a time and `n` operations of one key,
//! there are at most `n · 2^c` sets to look at, times the states that each can lead to; a history
//! that can be explained usually takes about `n` steps. Operations of unknown outcome stay open to
//! the end; each is tried wherever the search gets stuck and would change what follows, so many
//! unknown writes that depend on nothing make a refusal slow (10,000 operations of 5 clients on one
//! register with 10 lost writes: 0.1 s to accept, 7 s to refuse and explain, a minute or more with
//! 100 of them, without optimisation). Writes that name the version they replace cost next to
//! nothing.
//!
//! A search that takes more than the allowed number of configurations ends undecided, which is
//! never a pass. Memory grows with the configurations, about 100 bytes each and the state.
//!
//! Nothing here reads a clock, knows how a history was recorded, or guesses: a verdict is a proof.

mod explain;
mod history;
mod model;
pub mod models;
mod placed;
mod search;

use std::collections::BTreeMap;

pub use explain::Violation;
pub use history::{Malformed, Operation, Outcome};
pub use model::Model;

use history::Calls;
use search::{Search, Verdict};

/// Configurations that a search may look at before it gives up, for callers without a better
/// number: some seconds and some hundred megabytes.
pub const CONFIGURATIONS_MAX: usize = 2_000_000;

/// Orders that explain a history: for each key the operations that took effect, by their place in
/// the list that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness<K> {
    /// Orders by key.
    pub orders: BTreeMap<K, Vec<usize>>,
    /// Configurations that were looked at.
    pub configurations: usize,
}

/// Why a history was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No order explains it.
    Violation(Box<Violation>),
    /// The search was given up.
    Undecided {
        /// The key it was about.
        key: String,
        /// Configurations that were looked at.
        configurations: usize,
    },
    /// It is no history.
    Malformed(Malformed),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Violation(violation) => violation.fmt(f),
            Self::Undecided {
                key,
                configurations,
            } => write!(
                f,
                "{key}: not decided after {configurations} configurations; allow more of them or \
                 record shorter histories"
            ),
            Self::Malformed(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

/// Judges a history. `configurations_max` bounds the search for each key.
///
/// # Errors
/// [`Failure`], with the shortest beginning of the history that cannot be explained.
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    configurations_max: usize,
) -> Result<Witness<M::Key>, Failure> {
    history::check_form(history).map_err(Failure::Malformed)?;
    let mut keys: BTreeMap<M::Key, Vec<usize>> = BTreeMap::new();
    for (at, operation) in history.iter().enumerate() {
        keys.entry(model.key(&operation.input))
            .or_default()
            .push(at);
    }
    let mut witness = Witness {
        orders: BTreeMap::new(),
        configurations: 0,
    };
    for (key, places) in keys {
        let calls = Calls::of(places.iter().map(|at| &history[*at]));
        let found = Search::new(model, &calls, configurations_max).run();
        witness.configurations += found.configurations;
        match found.verdict {
            Verdict::Explained(order) => {
                let order = order.into_iter().map(|at| places[at]).collect();
                witness.orders.insert(key, order);
            }
            Verdict::Impossible => {
                let violation = explain::violation(model, &key, &calls, configurations_max);
                return Err(Failure::Violation(Box::new(violation)));
            }
            Verdict::GaveUp => {
                return Err(Failure::Undecided {
                    key: key.to_string(),
                    configurations: found.configurations,
                });
            }
        }
    }
    Ok(witness)
}
