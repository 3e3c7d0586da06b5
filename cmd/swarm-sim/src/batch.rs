//! Many seeds on all cores. What a seed does follows from the seed alone, so the result of a batch
//! does not depend on the number of threads.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use sim::{Failure, Marks, Options, Outcome, run_with};

/// What a batch of seeds came to.
#[derive(Debug, Default)]
pub struct Batch {
    /// Seeds that were run.
    pub seeds: u64,
    /// Simulated time of the runs that held, in seconds.
    pub simulated_secs: u64,
    /// Events of the runs that held.
    pub events: u64,
    /// Situations, and how often each was reached.
    pub marks: Marks,
    /// Runs that broke an invariant, in the order of their seeds.
    pub failures: Vec<Failure>,
}

impl Batch {
    fn add(&mut self, result: Result<Outcome, Failure>) {
        self.seeds += 1;
        match result {
            Ok(outcome) => {
                self.simulated_secs += outcome.simulated_secs;
                self.events += outcome.events;
                for (name, count) in outcome.marks {
                    *self.marks.entry(name).or_default() += count;
                }
            }
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// Threads to use when nobody says how many.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Runs seeds on `threads` threads. Ends at the first failure unless told to keep going; then the
/// failure with the lowest seed of those that were begun is among the results.
pub fn run_batch(seeds: Range<u64>, options: &Options, threads: usize, keep_going: bool) -> Batch {
    let results = Mutex::new(BTreeMap::new());
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let result = run_with(seed, options, None);
                    stop.fetch_or(result.is_err() && !keep_going, Ordering::Relaxed);
                    if let Ok(mut all) = results.lock() {
                        all.insert(seed, result);
                    }
                }
            });
        }
    });
    let mut batch = Batch::default();
    let results = results.into_inner().unwrap_or_default();
    results.into_values().for_each(|r| batch.add(r));
    batch
}
