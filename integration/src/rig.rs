//! Hosts with their own Docker Engines on one machine, through `rig/hosts.sh`.
//!
//! Making them needs root and some programs; [`Rig::missing`] says what a machine lacks. One rig
//! exists at a time: a second one, also of another process, waits for the first to end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail, ensure};
use nix::fcntl::{Flock, FlockArg};

use crate::ctl::{self, Output};

/// Programs that the script runs.
const PROGRAMS: [&str; 8] = [
    "docker", "dockerd", "nft", "ip", "nsenter", "unshare", "busybox", "tini",
];

/// Where the script keeps the disks of a rig's hosts, and how their directory's name begins.
const DISKS: &str = "/var/lib";
const DISK_PREFIX: &str = "swarmrig-";

/// How the names of these rigs begin; others may be up beside them.
const NAME_PREFIX: &str = "it";

/// Held while a rig is up.
const LOCK: &str = "/tmp/swarm-rig.lock";

/// A set of hosts, counted from 1. They are gone when this is dropped.
#[derive(Debug)]
pub struct Rig {
    name: String,
    engines: bool,
    _turn: Flock<File>,
}

// === impl Rig ===

impl Rig {
    /// What this machine lacks for a rig; `None` if nothing.
    pub fn missing() -> Option<String> {
        if !nix::unistd::geteuid().is_root() {
            return Some("needs root".into());
        }
        let lacking = PROGRAMS.iter().find(|name| find_program(name).is_none());
        if let Some(name) = lacking {
            return Some(format!("needs the program {name}"));
        }
        let freezer = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let has_freezer = freezer
            .lines()
            .any(|l| l.contains("cgroup") && l.contains("freezer"));
        (!has_freezer).then(|| "needs cgroup version 1 with the freezer controller".into())
    }

    /// Makes hosts with running Docker Engines.
    ///
    /// # Errors
    /// If they do not come up.
    pub fn up(hosts: usize) -> anyhow::Result<Self> {
        Self::make(hosts, true)
    }

    /// Makes hosts without Docker Engines, which boot faster.
    ///
    /// # Errors
    /// If they do not come up.
    pub fn up_bare(hosts: usize) -> anyhow::Result<Self> {
        Self::make(hosts, false)
    }

    fn make(hosts: usize, engines: bool) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let turn = File::create(LOCK).with_context(|| format!("create {LOCK}"))?;
        let turn = Flock::lock(turn, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
        let name = format!("{NAME_PREFIX}{}x{count}", std::process::id());
        remove_left_over()?;
        let rig = Self {
            name,
            engines,
            _turn: turn,
        };
        rig.hosts(&["up", &hosts.to_string()])
            .context("bring the hosts up")?;
        Ok(rig)
    }

    /// Address of a host.
    pub fn address(&self, host: usize) -> String {
        format!("198.18.0.{host}")
    }

    /// Cuts the power of a host: its link falls silent, and everything on it dies. Nobody is told:
    /// connections to it stay open at their other ends.
    ///
    /// # Errors
    /// If the script fails.
    pub fn cut_power(&self, host: usize) -> anyhow::Result<()> {
        self.hosts(&["kill", &host.to_string()]).map(drop)
    }

    /// Boots a host on the disk it had.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn boot(&self, host: usize) -> anyhow::Result<()> {
        self.hosts(&["boot", &host.to_string()]).map(drop)
    }

    /// Takes a host's network link down.
    ///
    /// # Errors
    /// If the script fails.
    pub fn isolate(&self, host: usize) -> anyhow::Result<()> {
        self.hosts(&["isolate", &host.to_string()]).map(drop)
    }

    /// Lets no packet pass between two hosts.
    ///
    /// # Errors
    /// If the script fails.
    pub fn cut(&self, one: usize, other: usize) -> anyhow::Result<()> {
        self.hosts(&["cut", &one.to_string(), &other.to_string()])
            .map(drop)
    }

    /// Lets no packet pass from one host to another; the other way they still do.
    ///
    /// # Errors
    /// If the script fails.
    pub fn cut_one_way(&self, from: usize, to: usize) -> anyhow::Result<()> {
        self.hosts(&["cut1", &from.to_string(), &to.to_string()])
            .map(drop)
    }

    /// Drops this share of the packets from one host to another, chosen at random.
    ///
    /// # Errors
    /// If the script fails.
    pub fn lose(&self, from: usize, to: usize, percent: u64) -> anyhow::Result<()> {
        let (from, to, percent) = (from.to_string(), to.to_string(), percent.to_string());
        self.hosts(&["loss", &from, &to, &percent]).map(drop)
    }

    /// Makes every packet of a host take longer, each way.
    ///
    /// # Errors
    /// If the script fails.
    pub fn delay(&self, host: usize, ms: u64, jitter_ms: u64) -> anyhow::Result<()> {
        let (host, ms, jitter) = (host.to_string(), ms.to_string(), jitter_ms.to_string());
        self.hosts(&["delay", &host, &ms, &jitter]).map(drop)
    }

    /// Undoes every fault of the network.
    ///
    /// # Errors
    /// If the script fails.
    pub fn heal(&self) -> anyhow::Result<()> {
        self.hosts(&["heal"]).map(drop)
    }

    /// Runs `docker` against a host's engine.
    ///
    /// # Errors
    /// If it cannot be run; what it answers is in the output.
    pub fn docker(&self, host: usize, args: &[&str]) -> anyhow::Result<Output> {
        let socket = self.hosts(&["sock", &host.to_string()])?;
        let address = format!("unix://{}", socket.trim());
        let line: Vec<_> = ["-H", &address]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        ctl::run(Path::new("docker"), &line)
    }

    /// Kills a host's Docker Engine.
    ///
    /// # Errors
    /// If the script fails.
    pub fn kill_engine(&self, host: usize) -> anyhow::Result<()> {
        self.hosts(&["killd", &host.to_string()]).map(drop)
    }

    /// Starts a host's Docker Engine again and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start_engine(&self, host: usize) -> anyhow::Result<()> {
        self.hosts(&["startd", &host.to_string()]).map(drop)
    }

    /// The same with further flags of the engine, such as `--live-restore`.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn start_engine_with(&self, host: usize, flags: &str) -> anyhow::Result<()> {
        let mut script = self.script();
        script.args(["startd", &host.to_string()]);
        let done = script.env("RIG_DOCKERD_FLAGS", flags).output();
        let done = done.context("run rig/hosts.sh")?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "rig/hosts.sh startd {host}: {said}");
        Ok(())
    }

    /// The data directory of a host's Docker Engine.
    ///
    /// # Errors
    /// If the script fails.
    pub fn engine_dir(&self, host: usize) -> anyhow::Result<PathBuf> {
        let socket = self.hosts(&["sock", &host.to_string()])?;
        Ok(Path::new(socket.trim()).with_file_name("docker"))
    }

    /// Names of the containers of a service's tasks that run on a host.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub fn containers(&self, host: usize, service: &str) -> anyhow::Result<Vec<String>> {
        let of_service = format!("label=com.docker.swarm.service.name={service}");
        let args = ["ps", "--filter", &of_service, "--format", "{{.Names}}"];
        let names = self.docker(host, &args)?.ok()?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// A command that runs on a host.
    pub(crate) fn command(&self, host: usize) -> Command {
        let mut command = self.script();
        command.args(["exec", &host.to_string()]);
        command
    }

    fn script(&self) -> Command {
        let mut command = script(&self.name);
        if !self.engines {
            command.env("NODOCKER", "1");
        }
        command
    }

    fn hosts(&self, args: &[&str]) -> anyhow::Result<String> {
        let done = self
            .script()
            .args(args)
            .output()
            .context("run rig/hosts.sh")?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "rig/hosts.sh {args:?}: {said}");
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Err(error) = self.hosts(&["down"]) {
            eprintln!("the hosts of rig {} were not removed: {error:#}", self.name);
        }
    }
}

fn script(rig: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("rig/hosts.sh");
    let mut command = Command::new(path);
    command.env("RIG", rig).env("QUIET", "1");
    command
}

/// Removes the hosts of test processes that were killed. Call it only with the lock: then no other
/// rig of a test is in use.
fn remove_left_over() -> anyhow::Result<()> {
    for entry in std::fs::read_dir(DISKS).with_context(|| format!("list {DISKS}"))? {
        let file = entry?.file_name();
        let name = file.to_str().and_then(|f| f.strip_prefix(DISK_PREFIX));
        if let Some(name) = name.filter(|n| n.starts_with(NAME_PREFIX)) {
            eprintln!("removing the hosts of rig {name}, left over");
            let done = script(name)
                .arg("down")
                .status()
                .context("run rig/hosts.sh")?;
            ensure!(done.success(), "the hosts of rig {name} cannot be removed");
        }
    }
    Ok(())
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let in_dir = |dir: PathBuf| Some(dir.join(name)).filter(|file| file.is_file());
    std::env::split_paths(&path).find_map(in_dir)
}

/// A rig for a test, or `None` with a printed reason where the machine cannot have one. In
/// continuous integration that is a failure: tests that are always skipped prove nothing.
///
/// # Errors
/// If the hosts do not come up, or cannot and `CI` is set.
pub fn rig_or_skip(hosts: usize) -> anyhow::Result<Option<Rig>> {
    match Rig::missing() {
        None => Rig::up(hosts).map(Some),
        Some(why) if std::env::var_os("CI").is_some() => bail!("no hosts on this machine: {why}"),
        Some(why) => {
            eprintln!("skipped: hosts on this machine: {why}");
            Ok(None)
        }
    }
}
