//! The simulator's command line: batches of seeds, one seed shown event by event, scenarios,
//! shrinking, planted bugs, and the proof that a seed is a history.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use sim::{BUGS, Bug, Failure, Options, Scenario, Show, run_scenario};
use swarm_sim::{
    Batch, Effort, catch_all, cores, is_enough, not_shown, run_batch, shrink, table, unreached,
};

/// The C library's allocator walks and merges lists of what was freed, an eighth of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds of a batch that must reach every mark.
const LARGE_BATCH: u64 = 200;

/// What shrinking may take.
const SHRINK_EFFORT: Effort = Effort {
    runs: 2_000,
    time: Duration::from_secs(180),
};

/// The batch that every change is tried with, which must see planted bugs: seeds from 0 on, and
/// ticks of faults in each.
const BATCH: (u64, u64) = (500, 10_000);

const USAGE: &str =
    "usage: swarm-sim [--seed S] [--seeds N] [--ticks N] [--threads N] [--keep-going]
           [--bug NAME] [--scenario FILE] [--show] [--until SECS] [--shrink]
           [--bugs [--write FILE]] [--twice] [--print]";

/// What the command line asks for.
#[derive(Default)]
struct Args {
    seed: u64,
    seeds: Option<u64>,
    ticks: Option<u64>,
    until: Option<u64>,
    threads: Option<u64>,
    bug: Option<Bug>,
    scenario: Option<PathBuf>,
    write: Option<PathBuf>,
    show: bool,
    shrink: bool,
    bugs: bool,
    twice: bool,
    print: bool,
    keep_going: bool,
}

impl Args {
    fn options(&self) -> Options {
        Options {
            bug: self.bug,
            ticks: self.ticks,
        }
    }

    fn threads(&self) -> usize {
        let asked = self.threads.and_then(|t| usize::try_from(t).ok());
        asked.unwrap_or_else(cores)
    }

    /// The scenario asked for: a file's, or a seed's.
    fn scenario(&self) -> Result<Scenario, String> {
        let Some(path) = &self.scenario else {
            let chaos = self.ticks.map(|t| t * 100_000);
            return Ok(Scenario::of_seed_lasting(self.seed, chaos));
        };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|e| format!("{}: {e}", path.display()))?;
        text.parse()
    }
}

fn parse() -> Result<Args, String> {
    let mut args = Args::default();
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || {
            given
                .next()
                .ok_or_else(|| format!("{name}: a value is needed"))
        };
        let number = |value: String| {
            let number = value.replace('_', "").parse::<u64>();
            number.map_err(|_| format!("{value}: a number is needed"))
        };
        match name.as_str() {
            "--seed" => args.seed = number(value()?)?,
            "--seeds" => args.seeds = Some(number(value()?)?),
            "--ticks" => args.ticks = Some(number(value()?)?),
            "--until" => args.until = Some(number(value()?)?),
            "--threads" => args.threads = Some(number(value()?)?),
            "--scenario" => args.scenario = Some(value()?.into()),
            "--write" => args.write = Some(value()?.into()),
            "--show" => args.show = true,
            "--shrink" => args.shrink = true,
            "--bugs" => args.bugs = true,
            "--twice" => args.twice = true,
            "--print" => args.print = true,
            "--keep-going" => args.keep_going = true,
            "--bug" => {
                let wanted = value()?;
                let found = BUGS.iter().find(|b| format!("{b:?}") == wanted);
                args.bug = Some(*found.ok_or_else(|| format!("{wanted}: one of {BUGS:?}"))?);
            }
            other => return Err(format!("{other}: unknown option")),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    let done = parse().and_then(|args| match &args {
        args if args.bugs => bugs(args),
        args if args.twice => twice(args),
        args if args.shrink => shrunk(args),
        args if args.print => {
            print!("{}", args.scenario()?);
            Ok(true)
        }
        args if args.show || args.scenario.is_some() => one(args),
        args => Ok(batch(args)),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs one seed or scenario, with a row per event if asked for.
fn one(args: &Args) -> Result<bool, String> {
    let until = args.until.unwrap_or(u64::MAX).saturating_mul(1_000_000);
    let row = move |at: u64, who: &str, what: &str| {
        if at <= until {
            let (secs, ms) = (at / 1_000_000, at / 1_000 % 1_000);
            println!("{secs:>6}.{ms:03} {who:<5} {what}");
        }
    };
    let show: Option<Show> = args.show.then(|| Box::new(row) as Show);
    let scenario = args.scenario()?;
    match run_scenario(&scenario, &args.options(), show) {
        Ok(outcome) => println!("seed {}: fine, trace {:016x}", scenario.seed, outcome.trace),
        Err(failure) => {
            match &args.scenario {
                Some(_) => println!("{}", heading(&failure)),
                None => tell(args, &failure),
            }
            return Ok(false);
        }
    }
    Ok(true)
}

/// When and what, without the commands that do it again.
fn heading(failure: &Failure) -> String {
    let Failure { seed, at, what, .. } = failure;
    let (secs, ms) = (at / 1_000_000, at / 1_000 % 1_000);
    format!("seed {seed} at {secs}.{ms:03} s: {what}")
}

/// Says what failed, how to see it again and how to make it small.
fn tell(args: &Args, failure: &Failure) {
    let ticks = failure.ticks.map(|t| format!(" --ticks {t}"));
    let bug = args.bug.map(|b| format!(" --bug {b:?}"));
    let (seed, ticks, bug) = (
        failure.seed,
        ticks.unwrap_or_default(),
        bug.unwrap_or_default(),
    );
    println!("{failure}");
    println!("  make small: cargo xtask sim --seed {seed}{ticks}{bug} --shrink > FILE.sim");
}

fn batch(args: &Args) -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let count = args.seeds.unwrap_or(1);
    let seeds = args.seed..args.seed + count;
    let batch = run_batch(seeds, &args.options(), args.threads(), args.keep_going);
    for (name, count) in &batch.marks {
        println!("{count:>10}  {name}");
    }
    batch.failures.iter().for_each(|f| tell(args, f));
    let missed = unreached(&batch.marks);
    let complete = missed.is_empty() || batch.seeds < LARGE_BATCH;
    if !complete {
        println!("never reached: {missed:?}");
    }
    summary(&batch, began.elapsed());
    batch.failures.is_empty() && complete
}

fn summary(batch: &Batch, took: Duration) {
    let Batch {
        seeds,
        simulated_secs,
        events,
        failures,
        ..
    } = batch;
    let (hours, failed) = (*simulated_secs as f64 / 3_600.0, failures.len());
    let speed = *simulated_secs as f64 / took.as_secs_f64();
    println!(
        "{seeds} seeds, {failed} failed, {hours:.1} simulated hours, {events} events in \
         {took:.1?}: {speed:.0} times real time"
    );
}

/// Runs every planted bug until it is caught.
fn bugs(args: &Args) -> Result<bool, String> {
    std::panic::set_hook(Box::new(|_| {}));
    let (seeds, ticks) = (args.seeds.unwrap_or(BATCH.0), args.ticks.unwrap_or(BATCH.1));
    let options = Options {
        ticks: Some(ticks),
        ..Options::default()
    };
    let only: Vec<Bug> = args.bug.into_iter().collect();
    let wanted = if only.is_empty() { BUGS } else { &only };
    let range = args.seed..args.seed + seeds;
    let caught = catch_all(wanted, range, &options, args.threads());
    let table = table(&caught, seeds);
    print!("{table}");
    for (_, failure) in caught.iter().filter_map(|c| c.caught.as_ref()) {
        println!("{}", first_line(failure));
    }
    if let Some(path) = &args.write {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let text = replaced(&text, &table).ok_or("the file has no place for the table")?;
        std::fs::write(path, text).map_err(|e| e.to_string())?;
    }
    let hidden = not_shown(&caught);
    if !hidden.is_empty() && only.is_empty() {
        println!("no bug was seen by {hidden:?}");
    }
    Ok(is_enough(&caught))
}

fn first_line(failure: &Failure) -> String {
    failure
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(160)
        .collect()
}

/// A text with the table between its marks.
fn replaced(text: &str, table: &str) -> Option<String> {
    const BEGIN: &str = "<!-- planted bugs: begin -->\n";
    const END: &str = "<!-- planted bugs: end -->";
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// Makes a failing run small and prints it as a scenario.
fn shrunk(args: &Args) -> Result<bool, String> {
    std::panic::set_hook(Box::new(|_| {}));
    let Some(found) = shrink(&args.scenario()?, args.bug, SHRINK_EFFORT) else {
        println!("# It does not fail.");
        return Ok(false);
    };
    for line in heading(&found.failure).lines() {
        println!("# {line}");
    }
    let bug = args.bug.map(|b| format!(" --bug {b:?}"));
    let (runs, bug) = (found.runs, bug.unwrap_or_default());
    println!("# Found in {runs} runs. Again: cargo xtask sim{bug} --scenario FILE.sim [--show]");
    print!("{}", found.scenario);
    Ok(true)
}

/// Runs seeds in two processes each and compares what they print.
fn twice(args: &Args) -> Result<bool, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    for seed in args.seed..args.seed + args.seeds.unwrap_or(1) {
        let show = || {
            let mut command = Command::new(&own);
            command.args(["--show", "--seed", &seed.to_string()]);
            command
                .output()
                .map(|o| o.stdout)
                .map_err(|e| e.to_string())
        };
        let (one, two) = (show()?, show()?);
        if one != two {
            println!(
                "seed {seed} has two histories:\n{}",
                first_difference(&one, &two)
            );
            return Ok(false);
        }
        let rows = one.iter().filter(|b| **b == b'\n').count();
        println!("seed {seed}: {rows} rows, the same in two processes");
    }
    Ok(true)
}

fn first_difference(one: &[u8], two: &[u8]) -> String {
    let (one, two) = (String::from_utf8_lossy(one), String::from_utf8_lossy(two));
    let mut pairs = one.lines().zip(two.lines());
    match pairs.find(|(a, b)| a != b) {
        Some((a, b)) => format!("  {a}\n  {b}"),
        None => "  one of them ends early".into(),
    }
}
