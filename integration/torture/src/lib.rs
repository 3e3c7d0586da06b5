//! Torments clusters of real processes and judges what their clients saw.
//!
//! A run forms a cluster, sets clients to work through all managers, does [faults](faults) to it
//! that its seed has chosen, heals everything, and then demands that the cluster comes together,
//! that clients can write, that every service is as desired in its tables (the predicates of
//! `invariants`) and in its processes, that no task ever had two processes, that no process ended
//! by itself, and that the history of all calls is [linearizable](linearizability).
//!
//! The seed gives the faults and what clients do, not the moments at which machines do it: a
//! failure may take several tries to come again. Everything that was seen is written to a file.
//!
//! Nothing here looks into a node: it sees what users and the operating system see.

mod calls;
mod client;
mod dice;
mod disk;
mod faults;
mod record;
mod scene;
mod stage;
mod verdict;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use integration::{Binaries, wait_for};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use calls::{Answer, Caller};
pub use client::Client;
pub use dice::Dice;
pub use record::{Kind, Record};
pub use scene::{Doors, Opened, Scene};

use stage::{Remedy, Stage};

/// Clients that work on configs, and those that work on services.
const CLIENTS: [(Kind, u64); 2] = [(Kind::Config, 6), (Kind::Service, 2)];
/// Calls that must be answered after everything is healed before the clients may stop.
const FRESH_ANSWERS: usize = 100;
/// They are by then.
const FRESH_TIME_MAX: Duration = Duration::from_secs(60);

/// Where the nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// On loopback: no privileges, no links to cut. With root, one disk can be filled.
    Loopback,
    /// On hosts of their own, with links.
    Hosts,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Chooses everything.
    pub seed: u64,
    /// Where.
    pub ground: Ground,
    /// How long faults are done.
    pub faults: Duration,
}

/// What a run without findings was.
#[derive(Debug, Clone)]
pub struct Report {
    options: Options,
    managers: usize,
    rounds: usize,
    calls: usize,
    answered: usize,
    took: Duration,
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Hosts => "hosts",
        })
    }
}

impl std::str::FromStr for Ground {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "loopback" => Ok(Self::Loopback),
            "hosts" => Ok(Self::Hosts),
            other => Err(format!("{other:?} is neither loopback nor hosts")),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { seed, ground, .. } = &self.options;
        write!(
            f,
            "seed {seed} on {ground}: {} managers, {} rounds of faults, {} calls, {} answered, \
             {:.0} s",
            self.managers,
            self.rounds,
            self.calls,
            self.answered,
            self.took.as_secs_f64()
        )
    }
}

impl Options {
    /// The line that does the same again.
    fn line(&self) -> String {
        let Self {
            seed,
            ground,
            faults,
        } = self;
        let secs = faults.as_secs();
        format!("cargo xtask torture --seed {seed} --ground {ground} --faults-secs {secs}")
    }
}

/// Torments one cluster.
///
/// # Errors
/// What was found, with the line that does the same again and the file of everything seen.
pub fn run(options: &Options, binaries: Binaries) -> anyhow::Result<Report> {
    let mut dice = Dice::new(options.seed);
    let begin = Instant::now();
    let mut stage = Stage::form(options.ground, binaries, &mut dice).context("form a cluster")?;
    let scene = Arc::new(Scene {
        record: Record::new(move || begin.elapsed()),
        doors: Box::new(stage.sockets()),
    });
    let played = play(options, &mut stage, &scene, &mut dice);
    scene.judge();
    let mut findings = scene.record.findings();
    let rounds = match played {
        Ok(rounds) => rounds,
        Err(why) => {
            findings.push(format!("{why:#}"));
            0
        }
    };
    if !findings.is_empty() {
        let kept = keep(options, &stage, &scene.record)?;
        bail!(
            "{}\n\nagain: {}\nseen: {}",
            findings.join("\n\n"),
            options.line(),
            kept.display()
        );
    }
    let (calls, answered) = scene.record.counts();
    Ok(Report {
        options: options.clone(),
        managers: stage.reach.managers,
        rounds,
        calls,
        answered,
        took: begin.elapsed(),
    })
}

/// Faults, healing, and what must be true then. Returns the number of rounds.
fn play(
    options: &Options,
    stage: &mut Stage,
    scene: &Arc<Scene>,
    dice: &mut Dice,
) -> anyhow::Result<usize> {
    let (stop, stopped) = watch::channel(false);
    let clients = start_clients(stage, scene, dice, &stopped);
    let tormented = torment(options, stage, scene, dice);
    let after = tormented.and_then(|rounds| {
        verdict::wait_together(stage).context("after everything was healed")?;
        wait_fresh(scene)?;
        Ok(rounds)
    });
    stop.send_replace(true);
    for client in clients {
        stage.runtime().block_on(client).context("a client ended")?;
    }
    let rounds = after?;
    scene.record.event("the clients have stopped".to_owned());
    verdict::read_all(stage, scene).context("read everything in the end")?;
    verdict::wait_converged(stage, scene)?;
    look(stage, scene);
    Ok(rounds)
}

fn start_clients(
    stage: &Stage,
    scene: &Arc<Scene>,
    dice: &mut Dice,
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let kinds = CLIENTS.into_iter();
    let kinds = kinds.flat_map(|(kind, count)| (0..count).map(move |_| kind));
    let start = |(number, kind)| {
        let pause_ms = match kind {
            Kind::Config => 1..=60,
            Kind::Service => 100..=1_500,
        };
        let client = Client::new((number, dice.fork()), (kind, pause_ms), scene.clone());
        let stopped = stopped.clone();
        let run = client.run(move || *stopped.borrow());
        stage.runtime().spawn(run)
    };
    (0..).zip(kinds).map(start).collect()
}

/// Does faults until the time is up, and undoes them all.
fn torment(
    options: &Options,
    stage: &mut Stage,
    scene: &Scene,
    dice: &mut Dice,
) -> anyhow::Result<usize> {
    let record = &scene.record;
    let end = Instant::now() + options.faults;
    let mut rounds = 0;
    while Instant::now() < end && record.findings().is_empty() {
        let round = stage.reach.round(dice);
        let mut remedies: Vec<Remedy> = Vec::new();
        for fault in round.faults {
            remedies.extend(stage.apply(fault, record)?);
        }
        let_pass(Duration::from_millis(round.hold_ms));
        look(stage, scene);
        for remedy in remedies.into_iter().rev() {
            stage.undo(remedy, record)?;
        }
        let_pass(Duration::from_millis(round.rest_ms));
        look(stage, scene);
        rounds += 1;
    }
    stage.bring_back(record)?;
    record.event("everything is healed".to_owned());
    Ok(rounds)
}

/// Lets a fault last, or a cluster rest: the time is what was chosen, nothing is waited for.
pub(crate) fn let_pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// What must be true at any time.
fn look(stage: &mut Stage, scene: &Scene) {
    for found in stage.unexpected_ends() {
        scene.record.finding(found);
    }
    let processes = stage.cluster.task_processes(&stage.mark());
    for found in verdict::doubled(&processes) {
        scene.record.finding(found);
    }
}

/// Waits until clients are answered again.
fn wait_fresh(scene: &Scene) -> anyhow::Result<()> {
    let (_, before) = scene.record.counts();
    wait_for("clients to be answered again", FRESH_TIME_MAX, || {
        let (_, now) = scene.record.counts();
        Ok((now >= before + FRESH_ANSWERS).then_some(()))
    })
}

/// Keeps what was seen and the nodes' logs, and says where.
fn keep(options: &Options, stage: &Stage, record: &Record) -> anyhow::Result<PathBuf> {
    let Options { seed, ground, .. } = options;
    let target = std::env::current_exe()?;
    let target = target
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file())
        .unwrap_or(Path::new("/tmp"));
    let dir = target.join(format!("torture/{ground}-{seed}"));
    std::fs::create_dir_all(&dir)?;
    for node in stage.cluster.nodes() {
        // A node that never started has no log.
        drop(std::fs::copy(
            &node.log,
            dir.join(format!("{}.log", node.name)),
        ));
    }
    record.write(&dir.join("history.txt"))?;
    Ok(dir)
}
