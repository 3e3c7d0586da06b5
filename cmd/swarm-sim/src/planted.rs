//! How many seeds each planted bug takes until an invariant sees it, and the table of that.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sim::{BUGS, Bug, Failure, Options, run_with};

/// Share of planted bugs that a batch must catch, in hundredths.
pub const CAUGHT_MIN_PERCENT: usize = 95;

/// How a bug was caught.
#[derive(Debug)]
pub struct Catch {
    /// The bug.
    pub bug: Bug,
    /// Seeds that it took, and what was seen; nothing if it was not caught.
    pub caught: Option<(u64, Failure)>,
}

/// Runs each bug over `seeds` seeds until it is caught.
pub fn catch_all(bugs: &[Bug], seeds: u64, threads: usize) -> Vec<Catch> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caught = catch_one(*bug, seeds);
                    if let Ok(mut found) = found.lock() {
                        found.push(caught);
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_default();
    found.sort_by_key(|c| c.bug);
    found
}

fn catch_one(bug: Bug, seeds: u64) -> Catch {
    let options = Options {
        bug: Some(bug),
        ..Options::default()
    };
    let tries = (0..seeds).find_map(|seed| {
        let failure = run_with(seed, &options, None).err()?;
        Some((seed + 1, failure))
    });
    Catch { bug, caught: tries }
}

/// Whether enough were caught.
pub fn is_enough(caught: &[Catch]) -> bool {
    let count = caught.iter().filter(|c| c.caught.is_some()).count();
    count * 100 >= caught.len() * CAUGHT_MIN_PERCENT && caught.len() <= BUGS.len()
}

/// The table for people.
pub fn table(caught: &[Catch], seeds: u64) -> String {
    let mut rows = String::from("| bug | what is wrong | seen as | seeds |\n|---|---|---|---|\n");
    for Catch { bug, caught } in caught {
        let (rule, count) = match caught {
            Some((count, failure)) => (short_rule(failure), count.to_string()),
            None => ("-".into(), format!("not in {seeds}")),
        };
        let text = bug.text().trim_end_matches('.');
        rows.push_str(&format!("| `{bug:?}` | {text} | {rule} | {count} |\n"));
    }
    rows
}

/// The invariant's name; what the cores assert is an assertion.
fn short_rule(failure: &Failure) -> String {
    let rule = failure.rule();
    let is_name = rule.len() <= 3 && rule.starts_with(|c: char| c.is_ascii_uppercase());
    if is_name {
        rule.to_owned()
    } else {
        "assertion".into()
    }
}
