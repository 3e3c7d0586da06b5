//! The one true history of a cluster: what was committed, in which order, and what clients know
//! of it. Every manager is compared with it, and every transaction is checked once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use invariants::{Checker, Replication, Verdict, Violation, first_difference};
use sim_script::rng::{fold, mix};
use store::{Change, Commit, State};
use types::Timestamp;

/// Versions between two comparisons of whole tables.
const FULL_COMPARISON_EVERY: u64 = 128;

/// One committed transaction.
struct Fact {
    /// Hash of its encoded form.
    hash: u64,
    /// Tables after it.
    state: State,
    /// Hash of what watchers see of it.
    seen: u64,
    /// What came of it on the first manager that took it from the log.
    replayed: Option<Replayed>,
}

/// Tables that equal tables become by the same bytes, so that each manager need not find them anew.
struct Replayed {
    /// Managers of one line hold equal tables at equal versions.
    line: u64,
    state: State,
    /// What the transaction changed; nothing where the line began here.
    commit: Option<Arc<Commit>>,
    /// Whether the tables were compared with the true ones as a whole.
    compared: bool,
}

/// What is known of a write by its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Acknowledged,
    Refused,
}

/// The true history.
#[derive(Default)]
pub struct Oracle {
    checker: Checker,
    facts: Vec<Fact>,
    empty: State,
    answers: BTreeMap<u64, (u64, Answer)>,
    by_hash: BTreeMap<u64, u64>,
    /// Lines of tables that were begun.
    lines: u64,
    /// What is remembered of the members of the log.
    pub members: Replication,
    /// Newest version that a client was told of.
    pub newest_ack: u64,
}

/// Hash of an encoded transaction.
pub fn hash_of(data: &Bytes) -> u64 {
    data.chunks(8).fold(data.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        fold(hash, mix(u64::from_le_bytes(word)))
    })
}

impl Oracle {
    /// The newest committed tables.
    pub fn state(&self) -> &State {
        self.facts.last().map_or(&self.empty, |f| &f.state)
    }

    /// What is remembered of the cluster's past.
    pub fn checker(&self) -> &Checker {
        &self.checker
    }

    fn fact(&self, version: u64) -> Option<&Fact> {
        self.facts.get(place(version)?)
    }

    /// The line of these tables. Those that equal the ones of a line, indexes and all, give way to
    /// them and belong to it; others begin a line of their own.
    pub fn line(&mut self, state: &mut State) -> u64 {
        let fact = place(state.version()).and_then(|v| self.facts.get_mut(v));
        let Some(fact) = fact else { return 0 };
        match &fact.replayed {
            Some(known) if known.state == *state => {
                *state = known.state.clone();
                return known.line;
            }
            _ => self.lines += 1,
        }
        let line = self.lines;
        fact.replayed.get_or_insert_with(|| Replayed {
            line,
            state: state.clone(),
            commit: None,
            compared: false,
        });
        line
    }

    /// What a transaction with this hash made of the tables of this line, once that is known.
    pub fn replayed(&self, line: u64, version: u64, hash: u64) -> Option<(State, Arc<Commit>)> {
        let fact = self.fact(version).filter(|f| f.hash == hash)?;
        let known = fact.replayed.as_ref().filter(|r| r.line == line)?;
        Some((known.state.clone(), known.commit.clone()?))
    }

    /// Remembers what the newest entry that a manager took from the log made of tables of a line.
    pub fn remember(&mut self, line: u64, state: &State, commit: &Arc<Commit>) {
        let fact = place(commit.version).and_then(|v| self.facts.get_mut(v));
        if let Some(fact) = fact.filter(|f| f.replayed.is_none()) {
            fact.replayed = Some(Replayed {
                line,
                state: state.clone(),
                commit: Some(commit.clone()),
                compared: commit.version.is_multiple_of(FULL_COMPARISON_EVERY),
            });
        }
    }

    /// A manager applied an entry of this hash and has these tables now.
    ///
    /// # Errors
    /// If managers differ, or the transaction broke an invariant.
    pub fn applied(
        &mut self,
        hash: u64,
        (commit, state): (&Commit, &State),
        now: Timestamp,
    ) -> Verdict {
        let version = commit.version;
        let known = self.facts.len() as u64;
        if version == known + 1 {
            if let Some(earlier) = self.by_hash.insert(hash, version) {
                let text = format!("transaction {earlier} is applied again as {version}");
                return Err(Violation::new("R6", text));
            }
            let before = self.state().clone();
            self.facts.push(Fact {
                hash,
                state: state.clone(),
                seen: seen_of(commit),
                replayed: None,
            });
            return self.checker.check((&before, state), commit, now);
        }
        let Some(fact) = self.fact(version) else {
            let text = format!("version {version} is applied, {known} is the newest");
            return Err(Violation::new("R3", text));
        };
        if fact.hash != hash {
            let text = format!("version {version} is another transaction on two managers");
            return Err(Violation::new("R3", text));
        }
        let differs = rows_differ(commit, state, &fact.state);
        if let Some(what) = differs {
            return Err(Violation::new(
                "R7",
                format!("at version {version}: {what}"),
            ));
        }
        if version.is_multiple_of(FULL_COMPARISON_EVERY) {
            same("R7", state, &fact.state)?;
        }
        Ok(())
    }

    /// A manager restored these tables.
    ///
    /// # Errors
    /// If they are not what was committed.
    pub fn restored(&mut self, state: &State) -> Verdict {
        let version = state.version();
        let fact = place(version).and_then(|v| self.facts.get_mut(v));
        let Some(fact) = fact else {
            let text = format!("version {version} never was");
            return if version == 0 {
                Ok(())
            } else {
                Err(Violation::new("R8", text))
            };
        };
        let known = fact.replayed.as_mut().filter(|r| r.state == *state);
        if known.as_ref().is_none_or(|r| !r.compared) {
            same("R8", state, &fact.state)?;
        }
        if let Some(known) = known {
            known.compared = true;
        }
        Ok(())
    }

    /// R11: a watcher that has seen everything up to a version is shown this next.
    ///
    /// # Errors
    /// If something is left out, comes again, or is not what was committed.
    pub fn watched(&self, seen: u64, commit: &Commit) -> Verdict {
        let version = commit.version;
        if version != seen + 1 {
            let text = format!("a watch that has seen {seen} is shown {version}");
            return Err(Violation::new("R11", text));
        }
        if self.fact(version).is_none_or(|f| f.seen != seen_of(commit)) {
            let text = format!("a watch is shown something else than version {version}");
            return Err(Violation::new("R11", text));
        }
        Ok(())
    }

    /// A client was told that its write is safe.
    ///
    /// # Errors
    /// If it is not.
    pub fn acknowledged(&mut self, serial: u64, hash: u64) -> Verdict {
        self.answers.insert(serial, (hash, Answer::Acknowledged));
        let version = self.by_hash.get(&hash).copied();
        self.newest_ack = self.newest_ack.max(version.unwrap_or(0));
        self.check_answer(serial)
    }

    /// A client was told that its write did not and will not happen.
    ///
    /// # Errors
    /// If it did.
    pub fn refused(&mut self, serial: u64, hash: u64) -> Verdict {
        self.answers.insert(serial, (hash, Answer::Refused));
        self.check_answer(serial)
    }

    /// Checks everything that clients were told.
    ///
    /// # Errors
    /// The first answer that was wrong.
    pub fn check_answers(&self) -> Verdict {
        self.answers.keys().try_for_each(|s| self.check_answer(*s))
    }

    /// Writes that were acknowledged.
    pub fn acknowledged_count(&self) -> usize {
        let told = self.answers.values();
        told.filter(|a| a.1 == Answer::Acknowledged).count()
    }

    fn check_answer(&self, serial: u64) -> Verdict {
        let Some((hash, answer)) = self.answers.get(&serial) else {
            return Ok(());
        };
        let there = self.by_hash.contains_key(hash);
        match answer {
            Answer::Acknowledged if !there => {
                let text = format!("write {serial} was acknowledged and is not committed");
                Err(Violation::new("R1", text))
            }
            Answer::Refused if there => {
                let text = format!("write {serial} was refused and is committed");
                Err(Violation::new("R6", text))
            }
            _ => Ok(()),
        }
    }
}

/// Where the fact of a version is; the empty tables have none.
fn place(version: u64) -> Option<usize> {
    usize::try_from(version.checked_sub(1)?).ok()
}

/// Hash of the kinds of changes of a commit, in their order, and of when it was made.
fn seen_of(commit: &Commit) -> u64 {
    let start = fold(commit.version, commit.at.0);
    let one = |hash, c: &Change| {
        let ends = u64::from(c.is_create()) | u64::from(c.is_remove()) << 1;
        fold(hash, (c.kind() as u64) << 2 | ends)
    };
    commit.changes.iter().fold(start, one)
}

fn same(rule: &'static str, state: &State, truth: &State) -> Verdict {
    match first_difference(state, truth) {
        None => Ok(()),
        Some(what) => {
            let text = format!("tables differ at version {}: {what}", state.version());
            Err(Violation::new(rule, text))
        }
    }
}

/// Compares the rows that a commit wrote with the rows of the true tables.
fn rows_differ(commit: &Commit, state: &State, truth: &State) -> Option<String> {
    let differs = |change: &&Change| match change {
        Change::Task(d) => {
            let id = d.latest().id;
            state.tasks().get(id) != truth.tasks().get(id)
        }
        Change::Service(d) => {
            let id = d.latest().id;
            state.services().get(id) != truth.services().get(id)
        }
        Change::Node(d) => {
            let id = d.latest().id;
            state.nodes().get(id) != truth.nodes().get(id)
        }
        _ => false,
    };
    let found = commit.changes.iter().find(differs);
    found.map(|change| format!("{change:?}"))
}
