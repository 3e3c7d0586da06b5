//! One run: hosts, clients, faults chosen by the seed, healing, and the verdict.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use torture::{Client, Dice, Kind, Record, Scene};
use turmoil::Sim;

use crate::bugs::Bug;
use crate::clients::{self, SimulatedDoors};
use crate::nodes::{self, Stage};

/// Managers of each run.
const MANAGERS: usize = 3;
/// Agents of each run.
const WORKERS: usize = 2;
/// Hosts with two clients each, one that works on configs and one on services.
const CLIENT_HOSTS: [&str; 2] = ["c1", "c2"];
/// One step of the simulation.
const TICK: Duration = Duration::from_millis(10);
/// A message takes at most this long in a healthy network.
const LATENCY_MAX: Duration = Duration::from_millis(30);
/// Until then the cluster forms undisturbed.
const CALM: Duration = Duration::from_secs(8);
/// From then on everything is healed.
const HEALED: Duration = Duration::from_secs(50);
/// The clients' last calls begin before.
const QUIET: Duration = Duration::from_secs(65);
/// The run must be over by then: convergence after healing has a bound.
const END: Duration = Duration::from_secs(240);

/// What is done to the network or to a manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing passes between two hosts.
    Cut(usize, usize),
    /// Nothing passes from one host to another.
    CutOneWay(usize, usize),
    /// Nothing passes between a manager and any other host.
    Isolate(usize),
    /// Nothing passes between a manager and the others; clients and agents reach it.
    Seclude(usize),
    /// Messages between two hosts wait until the end of the fault.
    Hold(usize, usize),
    /// A manager dies and starts again at the end of the fault.
    Crash(usize),
    /// A manager is asked to stop, and starts again at the end of the fault.
    Stop(usize),
}

/// What a run without findings was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Chose everything.
    pub seed: u64,
    /// Faults.
    pub faults: usize,
    /// Calls that were made.
    pub calls: usize,
    /// Calls that were answered.
    pub answered: usize,
    /// Simulated time until everything was as desired.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            faults,
            calls,
            answered,
            took,
        } = self;
        let secs = took.as_secs();
        write!(
            f,
            "seed {seed}: {faults} faults, {calls} calls, {answered} answered, {secs} s simulated"
        )
    }
}

/// The simulation and its faults.
struct Run<'a> {
    sim: Sim<'a>,
    stage: Arc<Stage>,
    hosts: Vec<String>,
    clients: u64,
    dice: Dice,
    /// The fault that is there, and until when.
    present: Option<(Fault, Duration)>,
    faults: usize,
}

/// Runs one seed, with a bug if one is to be found.
///
/// # Errors
/// What was found, with the seed.
pub fn run(seed: u64, bug: Option<Bug>) -> anyhow::Result<Report> {
    run_seed(seed, bug)
        .with_context(|| format!("SHELL_SEED={seed} SHELL_SEEDS=1 cargo test -p shell-sim"))
}

fn run_seed(seed: u64, bug: Option<Bug>) -> anyhow::Result<Report> {
    let disks = tempfile::tempdir()?;
    let size = (MANAGERS, WORKERS);
    let stage = Arc::new(Stage::new(size, disks.path().to_owned(), bug)?);
    let scene = Arc::new(Scene {
        record: Record::new(clients::elapsed),
        doors: Box::new(SimulatedDoors(stage.clone())),
    });
    let mut run = Run {
        sim: simulation(seed),
        hosts: Vec::new(),
        clients: 0,
        dice: Dice::new(seed),
        present: None,
        faults: 0,
        stage,
    };
    run.people(&scene);
    let played = run.play();
    scene.judge();
    let findings = scene.record.findings();
    ensure!(findings.is_empty(), "{}", findings.join("\n\n"));
    let (calls, answered) = scene.record.counts();
    Ok(Report {
        seed,
        faults: run.faults,
        calls,
        answered,
        took: played?,
    })
}

fn simulation<'a>(seed: u64) -> Sim<'a> {
    turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(LATENCY_MAX)
        .simulation_duration(END)
        .tcp_capacity(16_384)
        .build()
}

impl Run<'_> {
    /// Puts everybody on their hosts.
    fn people(&mut self, scene: &Arc<Scene>) {
        let hosts = self.stage.hosts.iter();
        let names: Vec<String> = hosts.map(|host| host.name.clone()).collect();
        for (number, name) in names.iter().enumerate() {
            let stage = self.stage.clone();
            if number < MANAGERS {
                self.sim
                    .host(name.as_str(), move || nodes::manager(stage.clone(), number));
            } else {
                self.sim
                    .host(name.as_str(), move || nodes::worker(stage.clone(), number));
            }
        }
        self.hosts = names;
        for name in CLIENT_HOSTS {
            let clients = [(Kind::Config, 5..=80), (Kind::Service, 300..=2_000)].map(|work| {
                self.clients += 1;
                Client::new((self.clients, self.dice.fork()), work, scene.clone())
            });
            self.sim.client(name, clients::run_all(clients, QUIET));
            self.hosts.push(name.to_owned());
        }
        let last = clients::last(self.stage.clone(), scene.clone(), QUIET);
        self.sim.client("last", last);
    }

    /// Steps until all clients are done.
    fn play(&mut self) -> anyhow::Result<Duration> {
        loop {
            let now = self.sim.elapsed();
            if now >= END {
                bail!("not everything was as desired {END:?} after the beginning");
            }
            self.change_faults(now)?;
            if self.sim.step().map_err(|e| anyhow!("at {now:?}: {e}"))? {
                return Ok(now);
            }
        }
    }

    fn change_faults(&mut self, now: Duration) -> anyhow::Result<()> {
        if let Some((fault, until)) = self.present {
            if now < until && now < HEALED {
                return Ok(());
            }
            self.undo(fault);
            let rest = Duration::from_millis(self.dice.between(200, 2_000));
            self.present = None;
            if now + rest >= HEALED {
                return Ok(());
            }
        }
        // A second between faults on average, in simulated time too.
        let due = self.dice.below(1_000) < u64::try_from(TICK.as_millis())?;
        if now >= CALM && now < HEALED && due {
            let fault = self.choose();
            self.apply(fault);
            self.faults += 1;
            self.present = Some((
                fault,
                now + Duration::from_millis(self.dice.between(500, 6_000)),
            ));
        }
        Ok(())
    }

    fn choose(&mut self) -> Fault {
        // Half of the faults hit the leader.
        let manager = match self.dice.below(2) {
            0 => self.stage.leader.load(Ordering::Relaxed),
            _ => self.dice.index(MANAGERS),
        };
        let a = self.dice.index(self.hosts.len());
        let b = (a + 1 + self.dice.index(self.hosts.len() - 1)) % self.hosts.len();
        let other = (manager + 1 + self.dice.index(MANAGERS - 1)) % MANAGERS;
        match self.dice.below(9) {
            0 => Fault::Cut(a, b),
            1 => Fault::Cut(manager, other),
            2 => Fault::CutOneWay(manager, other),
            3 | 4 => Fault::Isolate(manager),
            5 => Fault::Hold(manager, b),
            6 => Fault::Crash(manager),
            7 => Fault::Seclude(manager),
            _ => Fault::Stop(manager),
        }
    }

    fn name(&self, host: usize) -> &str {
        &self.hosts[host]
    }

    fn others(&self, manager: usize) -> impl Iterator<Item = &str> {
        let others = self.hosts.iter().enumerate();
        let others = others.filter(move |(host, _)| *host != manager);
        others.map(|(_, name)| name.as_str())
    }

    fn apply(&mut self, fault: Fault) {
        match fault {
            Fault::Cut(a, b) => self.sim.partition(self.name(a), self.name(b)),
            Fault::CutOneWay(a, b) => self.sim.partition_oneway(self.name(a), self.name(b)),
            Fault::Isolate(manager) => {
                for other in self.others(manager) {
                    self.sim.partition(self.name(manager), other);
                }
            }
            Fault::Seclude(manager) => {
                for other in self.others(manager).take(MANAGERS - 1) {
                    self.sim.partition(self.name(manager), other);
                }
            }
            Fault::Hold(a, b) if a != b => self.sim.hold(self.name(a), self.name(b)),
            Fault::Hold(..) => {}
            Fault::Crash(manager) => {
                let name = self.hosts[manager].clone();
                self.sim.crash(name.as_str());
            }
            Fault::Stop(manager) => self.stage.hosts[manager]
                .stops
                .send_modify(|count| *count += 1),
        }
    }

    fn undo(&mut self, fault: Fault) {
        match fault {
            Fault::Cut(a, b) => self.sim.repair(self.name(a), self.name(b)),
            Fault::CutOneWay(a, b) => self.sim.repair_oneway(self.name(a), self.name(b)),
            Fault::Isolate(manager) | Fault::Seclude(manager) => {
                for other in self.others(manager) {
                    self.sim.repair(self.name(manager), other);
                }
            }
            Fault::Hold(a, b) if a != b => self.sim.release(self.name(a), self.name(b)),
            Fault::Hold(..) => {}
            Fault::Crash(manager) | Fault::Stop(manager) => {
                let name = self.hosts[manager].clone();
                self.sim.bounce(name.as_str());
            }
        }
    }
}
