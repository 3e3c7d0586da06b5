//! Runs seeds: `sim --seeds N --seed S`, or one of them with `--show`.

use std::process::ExitCode;
use std::time::Duration;

use sim::{BUGS, Bug, Marks, Options, run_with};

/// What the command line asks for.
struct Args {
    seed: u64,
    seeds: Option<u64>,
    ticks: Option<u64>,
    show: bool,
    until: Option<u64>,
    bug: Option<Bug>,
    keep_going: bool,
}

impl Args {
    fn options(&self) -> Options {
        Options {
            bug: self.bug,
            ticks: self.ticks,
            show: None,
        }
    }
}

fn parse() -> Result<Args, String> {
    let mut args = Args {
        seed: 0,
        seeds: None,
        ticks: None,
        show: false,
        until: None,
        bug: None,
        keep_going: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut number = || {
            let value = given.next().and_then(|v| v.replace('_', "").parse().ok());
            value.ok_or_else(|| format!("{name}: a number is needed"))
        };
        match name.as_str() {
            "--seed" => args.seed = number()?,
            "--seeds" => args.seeds = Some(number()?),
            "--ticks" => args.ticks = Some(number()?),
            "--until" => args.until = Some(number()?),
            "--show" => args.show = true,
            "--keep-going" => args.keep_going = true,
            "--bug" => {
                let wanted = given.next().unwrap_or_default();
                let found = BUGS.into_iter().find(|b| format!("{b:?}") == wanted);
                args.bug = Some(found.ok_or_else(|| format!("{wanted}: one of {BUGS:?}"))?);
            }
            other => return Err(format!("{other}: unknown option")),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    let args = match parse() {
        Ok(args) => args,
        Err(why) => {
            eprintln!("{why}");
            eprintln!(
                "usage: sim [--seed S] [--seeds N] [--show] [--until SECS] [--bug NAME] \
                 [--keep-going]"
            );
            return ExitCode::from(2);
        }
    };
    if args.show {
        return show(&args);
    }
    batch(&args)
}

fn show(args: &Args) -> ExitCode {
    let until = args.until.unwrap_or(u64::MAX).saturating_mul(1_000_000);
    let row = move |at: u64, who: &str, what: &str| {
        if at <= until {
            println!(
                "{:>6}.{:03} {who:<5} {what}",
                at / 1_000_000,
                at / 1_000 % 1_000
            );
        }
    };
    let options = Options {
        show: Some(Box::new(row)),
        ..args.options()
    };
    match run_with(args.seed, options) {
        Ok(outcome) => {
            println!("seed {}: fine, trace {:016x}", args.seed, outcome.trace);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn batch(args: &Args) -> ExitCode {
    let (mut marks, mut simulated, mut failed) = (Marks::new(), 0, 0);
    let last = args.seed + args.seeds.unwrap_or(1);
    for seed in args.seed..last {
        match run_with(seed, args.options()) {
            Ok(outcome) => {
                simulated += outcome.simulated_secs;
                for (name, count) in outcome.marks {
                    *marks.entry(name).or_default() += count;
                }
            }
            Err(failure) => {
                println!("{failure}");
                failed += 1;
                if !args.keep_going {
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    for (name, count) in &marks {
        println!("{count:>10}  {name}");
    }
    let simulated = Duration::from_secs(simulated);
    println!(
        "{} seeds, {failed} failed, {simulated:?} simulated",
        last - args.seed
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
