//! Seeds of the shell over a simulated network: `SHELL_SEEDS=n SHELL_SEED=first` for others. Then
//! the same with bugs that must be found.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::ensure;
use shell_sim::{BUGS, Bug};

/// Seeds of each change, where `CI` is set.
const SEEDS: u64 = 20;
/// Seeds elsewhere: a minute or so.
const SEEDS_LOCAL: u64 = 4;
/// A planted bug must be found within so many; the rarest shows in four of ten.
const SEEDS_OF_BUG: u64 = 24;
/// Planted bugs elsewhere than where `CI` is set.
const BUGS_LOCAL: usize = 2;
/// Runs at the same time; a simulation takes one thread.
const AT_A_TIME: usize = 2;

fn setting(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(otherwise)
}

fn is_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// Does all of these, some at a time.
fn each<T: Send>(
    all: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let queue = Mutex::new(all);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let share = || -> anyhow::Result<()> {
        while let Some(one) = next() {
            work(one)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(share)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

#[test]
fn clusters_over_a_simulated_network_do_what_they_promise() -> anyhow::Result<()> {
    let first = setting("SHELL_SEED", 1);
    let count = if is_ci() { SEEDS } else { SEEDS_LOCAL };
    each(first..first + setting("SHELL_SEEDS", count), |seed| {
        let begin = Instant::now();
        let report = shell_sim::run(seed, None)?;
        eprintln!("{report}, {:.1} s real", begin.elapsed().as_secs_f64());
        Ok(())
    })
}

fn find(bug: Bug) -> anyhow::Result<()> {
    for seed in 1..=SEEDS_OF_BUG {
        if let Err(why) = shell_sim::run(seed, Some(bug)) {
            let text = format!("{why:#}");
            eprintln!(
                "{bug:?}, seed {seed}: {}",
                text.lines().next().unwrap_or_default()
            );
            return Ok(());
        }
    }
    ensure!(false, "{bug:?} was not seen in {SEEDS_OF_BUG} seeds");
    Ok(())
}

#[test]
fn bugs_planted_around_the_shell_are_found() -> anyhow::Result<()> {
    let count = if is_ci() { BUGS.len() } else { BUGS_LOCAL };
    each(BUGS.into_iter().take(count), find)
}
