//! Seeds of the shell over a simulated network: `SHELL_SEEDS=n SHELL_SEED=first` for others.

/// Seeds of each change, where `CI` is set.
const SEEDS: u64 = 20;
/// Seeds elsewhere: a minute or so.
const SEEDS_LOCAL: u64 = 4;

fn setting(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(otherwise)
}

/// Seeds that run at the same time; a simulation takes one thread.
const AT_A_TIME: u64 = 2;

#[test]
fn clusters_over_a_simulated_network_do_what_they_promise() -> anyhow::Result<()> {
    let first = setting("SHELL_SEED", 1);
    let count = match std::env::var_os("CI") {
        Some(_) => SEEDS,
        None => SEEDS_LOCAL,
    };
    let end = first + setting("SHELL_SEEDS", count);
    let share = |offset: u64| -> anyhow::Result<()> {
        for seed in (first + offset..end).step_by(AT_A_TIME as usize) {
            let begin = std::time::Instant::now();
            let report = shell_sim::run(seed, None)?;
            eprintln!("{report}, {:.1} s real", begin.elapsed().as_secs_f64());
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME)
            .map(|offset| scope.spawn(move || share(offset)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}
