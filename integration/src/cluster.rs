//! A cluster of `swarmd` processes and what is done to it.
//!
//! Nodes are counted from 0 and named `n1`, `n2`, …

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::binaries::Binaries;
use crate::ctl::{Ctl, NodeRow, Output, ServiceRow, TaskRow};
use crate::loopback::{self, Network, TaskProcess};
use crate::process::{self, signal};
use crate::rig::Rig;
use crate::waiting::wait_for;

/// How long a node may take until it serves: three elections on a busy machine.
const READY_TIME_MAX: Duration = Duration::from_secs(20);

/// How long a node may take to stop; the daemon promises 10 s.
const STOP_TIME_MAX: Duration = Duration::from_secs(11);

/// Lines of each node's log that are shown after a failure.
const LOG_LINES_SHOWN: usize = 15;

/// The standard port.
const PORT: u16 = 2377;

/// What a node joins as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Votes, decides, and runs tasks.
    Manager,
    /// Runs tasks.
    Worker,
}

/// Where nodes live.
#[derive(Debug)]
enum Ground {
    Loopback(Network),
    Rig(Rig),
}

/// A node and its process.
#[derive(Debug)]
pub struct Node {
    /// Host name.
    pub name: String,
    /// Address, without port.
    pub address: String,
    /// State directory.
    pub state_dir: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// Standard error of all its processes, one after the other.
    pub log: PathBuf,
    /// Standard output of its present process.
    pub stdout: PathBuf,
    /// Flags beyond those that every node has.
    pub flags: Vec<String>,
    /// Environment of its next process beyond this one's.
    pub environment: Vec<(String, String)>,
    child: Option<Child>,
}

/// Nodes on one ground, ended when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    executor: String,
    binaries: Binaries,
    ground: Ground,
    dir: Option<TempDir>,
}

// === impl Role ===

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Manager => "manager",
            Self::Worker => "worker",
        }
    }
}

// === impl Node ===

impl Node {
    /// Where other nodes reach it.
    pub fn endpoint(&self) -> String {
        format!("{}:{PORT}", self.address)
    }

    /// What its present process has written to standard output.
    pub fn said(&self) -> String {
        text_of(&self.stdout)
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = text_of(&self.log);
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// What a file holds. A device has no end.
fn text_of(path: &Path) -> String {
    if !path.is_file() {
        return String::new();
    }
    std::fs::read_to_string(path).unwrap_or_default()
}

// === impl Cluster: making ===

impl Cluster {
    /// Nodes on loopback, for a test.
    ///
    /// # Errors
    /// If the programs do not build or no network is free.
    pub fn loopback(executor: &str) -> anyhow::Result<Self> {
        Self::new(
            Binaries::built()?,
            executor,
            Ground::Loopback(Network::take()?),
        )
    }

    /// Nodes on loopback with finished programs, for a benchmark.
    ///
    /// # Errors
    /// If no network is free.
    pub fn loopback_with(binaries: Binaries, executor: &str) -> anyhow::Result<Self> {
        Self::new(binaries, executor, Ground::Loopback(Network::take()?))
    }

    /// Nodes on the hosts of a rig, with their Docker Engines: node 0 on host 1 and so on.
    ///
    /// # Errors
    /// If the programs do not build.
    pub fn on_rig(rig: Rig) -> anyhow::Result<Self> {
        Self::new(Binaries::built()?, "docker", Ground::Rig(rig))
    }

    /// Nodes on the hosts of a rig with finished programs, for a benchmark.
    ///
    /// # Errors
    /// If there is no room for their files.
    pub fn on_rig_with(rig: Rig, binaries: Binaries, executor: &str) -> anyhow::Result<Self> {
        Self::new(binaries, executor, Ground::Rig(rig))
    }

    fn new(binaries: Binaries, executor: &str, ground: Ground) -> anyhow::Result<Self> {
        // Short: the path of a socket may have 107 bytes.
        let dir = tempfile::Builder::new()
            .prefix("swarm-")
            .tempdir_in("/tmp")?;
        let executor = executor.to_owned();
        Ok(Self {
            nodes: Vec::new(),
            executor,
            binaries,
            ground,
            dir: Some(dir),
        })
    }

    /// Directory of everything that the cluster writes.
    pub fn dir(&self) -> &Path {
        self.dir
            .as_ref()
            .map_or(Path::new("/nonexistent"), TempDir::path)
    }

    /// The hosts.
    ///
    /// # Errors
    /// If the cluster is not on a rig.
    pub fn rig(&self) -> anyhow::Result<&Rig> {
        match &self.ground {
            Ground::Rig(rig) => Ok(rig),
            Ground::Loopback(_) => bail!("this cluster is on loopback"),
        }
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node.
    pub fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    /// A node, to be changed before its next process starts.
    pub fn node_mut(&mut self, node: usize) -> &mut Node {
        &mut self.nodes[node]
    }

    /// The node with this host name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(&self, name: &str) -> anyhow::Result<usize> {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.with_context(|| format!("no node is named {name:?}"))
    }

    /// A further node, not started.
    pub fn add(&mut self, flags: &[&str]) -> usize {
        let number = self.nodes.len() + 1;
        let name = format!("n{number}");
        let address = match &self.ground {
            Ground::Loopback(network) => network.address(number),
            Ground::Rig(rig) => rig.address(number),
        };
        let path = |suffix: &str| self.dir().join(format!("{name}{suffix}"));
        self.nodes.push(Node {
            address,
            state_dir: path(""),
            socket: path(".sock"),
            log: path(".log"),
            stdout: path(".out"),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            environment: Vec::new(),
            child: None,
            name,
        });
        number - 1
    }

    /// A new cluster: the first node makes it, the others join, all of them ready, all managers
    /// voting. A manager serves before it votes, so a majority is not what it seems until then.
    ///
    /// # Errors
    /// If a node does not get ready.
    pub fn form(&mut self, managers: usize, workers: usize) -> anyhow::Result<()> {
        self.form_with(managers, workers, &[])
    }

    /// As [`Cluster::form`], with further flags for the managers.
    ///
    /// # Errors
    /// If a node does not get ready.
    pub fn form_with(
        &mut self,
        managers: usize,
        workers: usize,
        flags: &[&str],
    ) -> anyhow::Result<()> {
        let first = self.add(flags);
        self.start(first, &["init"])?;
        self.ready(first)?;
        for _ in 1..managers {
            self.join(first, Role::Manager, flags)?;
        }
        let token = self.token(first, Role::Worker)?;
        let seed = self.node(first).endpoint();
        let joined: Vec<usize> = (0..workers).map(|_| self.add(&[])).collect();
        for node in &joined {
            self.start(*node, &["join", "--token", &token, &seed])?;
        }
        joined
            .iter()
            .try_for_each(|node| self.ready(*node).map(drop))?;
        let all = managers + workers;
        self.wait(
            "all nodes to be ready",
            Duration::from_secs(20),
            |cluster| {
                let ready = cluster
                    .list_nodes(first)?
                    .iter()
                    .filter(|n| n.status == "Ready")
                    .count();
                Ok((ready == all).then_some(()))
            },
        )?;
        self.wait_voters(first, managers)
    }

    /// How many managers vote, as this node knows it.
    ///
    /// # Errors
    /// If it does not tell.
    pub fn voters(&self, via: usize) -> anyhow::Result<usize> {
        self.ctl_of(via).voters()
    }

    /// Waits until this many managers vote.
    ///
    /// # Errors
    /// If they do not in time.
    pub fn wait_voters(&self, via: usize, voters: usize) -> anyhow::Result<()> {
        let what = format!("{voters} managers to vote");
        self.wait(&what, READY_TIME_MAX, |cluster| {
            let voting = cluster.ctl_of(via).voters()?;
            Ok((voting == voters).then_some(()))
        })
    }

    /// A further node that joins through another and is ready.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn join(&mut self, via: usize, role: Role, flags: &[&str]) -> anyhow::Result<usize> {
        let token = self.token(via, role)?;
        let seed = self.node(via).endpoint();
        let node = self.add(flags);
        self.start(node, &["join", "--token", &token, &seed])?;
        self.ready(node)?;
        Ok(node)
    }
}

// === impl Cluster: processes ===

impl Cluster {
    /// Starts a node's process with a verb and its arguments. Does not wait for it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self, node: usize, verb: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command(node, verb);
        let node = &mut self.nodes[node];
        ensure!(node.child.is_none(), "{} runs already", node.name);
        let log = File::options().create(true).append(true).open(&node.log)?;
        command
            .stdin(Stdio::null())
            .stdout(File::create(&node.stdout)?)
            .stderr(log);
        node.child = Some(command.spawn().context("start swarmd")?);
        Ok(())
    }

    /// Starts a node again from its state directory and waits until it serves.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn resume(&mut self, node: usize) -> anyhow::Result<()> {
        self.start(node, &["run"])?;
        self.ready(node).map(drop)
    }

    /// Runs a verb of `swarmd` for a node to its end, beside its process if there is one.
    ///
    /// # Errors
    /// If it cannot be run; what it answers is in the output.
    pub fn swarmd(&self, node: usize, verb: &[&str]) -> anyhow::Result<Output> {
        let done = self
            .command(node, verb)
            .stdin(Stdio::null())
            .output()
            .context("run swarmd")?;
        Ok(Output {
            code: done.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: String::from_utf8_lossy(&done.stderr).into_owned(),
        })
    }

    fn command(&self, node: usize, verb: &[&str]) -> Command {
        let mut command = match &self.ground {
            Ground::Loopback(_) => Command::new(self.binaries.swarmd()),
            Ground::Rig(rig) => {
                let mut command = rig.command(node + 1);
                command.arg(self.binaries.swarmd());
                command
            }
        };
        let node = &self.nodes[node];
        command.envs(node.environment.iter().map(|(k, v)| (k, v)));
        command.args(verb);
        command.arg("--state-dir").arg(&node.state_dir);
        if verb.first() == Some(&"leave") {
            return command;
        }
        let own = |flag: &str| node.flags.iter().any(|f| f == flag);
        let endpoint = node.endpoint();
        let defaults: [(&str, &str); 5] = [
            ("--listen-addr", &endpoint),
            ("--advertise-addr", &endpoint),
            ("--hostname", &node.name),
            ("--executor", &self.executor),
            ("--log-level", "info"),
        ];
        for (flag, value) in defaults.iter().filter(|(flag, _)| !own(flag)) {
            command.args([flag, value]);
        }
        command.args(&node.flags);
        command.arg("--control-socket").arg(&node.socket);
        command
    }

    /// Waits until a node serves and returns the line with which it says so.
    ///
    /// # Errors
    /// If it ends or takes too long, with the end of its log.
    pub fn ready(&mut self, node: usize) -> anyhow::Result<String> {
        let start = Instant::now();
        let shown = &mut self.nodes[node];
        let ready = wait_for(
            &format!("{} to be ready", shown.name),
            READY_TIME_MAX,
            || {
                if let Some(line) = shown.said().lines().find(|l| l.starts_with("node ready")) {
                    return Ok(Some(Ok(line.to_owned())));
                }
                let child = shown.child.as_mut().context("it was not started")?;
                Ok(child.try_wait()?.map(Err))
            },
        );
        match ready {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(status)) => {
                shown.child = None;
                let after = start.elapsed().as_secs_f64();
                let log = shown.log_tail(LOG_LINES_SHOWN);
                bail!("{} ended after {after:.1} s ({status}):\n{log}", shown.name)
            }
            Err(late) => Err(self.with_logs(late)),
        }
    }

    /// Number of a node's `swarmd` process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self, node: usize) -> anyhow::Result<i32> {
        let shown = &self.nodes[node];
        let child = shown
            .child
            .as_ref()
            .with_context(|| format!("{} does not run", shown.name))?;
        let direct = i32::try_from(child.id())?;
        match &self.ground {
            Ground::Loopback(_) => Ok(direct),
            // The direct child only waits at the door of the host.
            Ground::Rig(_) => wait_for("swarmd on the host", Duration::from_secs(5), || {
                let inside = |p: &process::Process| p.parent == direct && p.name == "swarmd";
                Ok(process::all().into_iter().find(inside).map(|p| p.pid))
            }),
        }
    }

    /// Asks a node's process to stop and waits for its end. Its tasks go on.
    ///
    /// # Errors
    /// If it takes longer than promised.
    pub fn stop(&mut self, node: usize) -> anyhow::Result<ExitStatus> {
        signal(self.pid(node)?, Signal::SIGTERM);
        self.ended(node, STOP_TIME_MAX)
    }

    /// How a node's process ended, if it did and nobody has taken note yet.
    pub fn has_ended(&mut self, node: usize) -> Option<ExitStatus> {
        let child = self.nodes[node].child.as_mut()?;
        let ended = child.try_wait().ok().flatten();
        if ended.is_some() {
            self.nodes[node].child = None;
        }
        ended
    }

    /// Waits for the end of a node's process.
    ///
    /// # Errors
    /// If it goes on.
    pub fn ended(&mut self, node: usize, limit: Duration) -> anyhow::Result<ExitStatus> {
        let shown = &mut self.nodes[node];
        let child = shown
            .child
            .as_mut()
            .with_context(|| format!("{} does not run", shown.name))?;
        let what = format!("{} to end", shown.name);
        let ended = wait_for(&what, limit, || Ok(child.try_wait()?));
        match ended {
            Ok(status) => {
                shown.child = None;
                Ok(status)
            }
            Err(late) => Err(self.with_logs(late)),
        }
    }

    /// Kills a node's process. Its tasks go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self, node: usize) -> anyhow::Result<()> {
        signal(self.pid(node)?, Signal::SIGKILL);
        self.ended(node, STOP_TIME_MAX).map(drop)
    }

    /// Kills a node's process and its tasks, as a power cut does.
    ///
    /// # Errors
    /// If it does not run.
    pub fn cut_power(&mut self, node: usize) -> anyhow::Result<()> {
        match &self.ground {
            Ground::Loopback(_) => {
                self.kill(node)?;
                loopback::kill_tasks_below(&self.nodes[node].state_dir);
                Ok(())
            }
            Ground::Rig(rig) => {
                rig.cut_power(node + 1)?;
                self.ended(node, STOP_TIME_MAX).map(drop)
            }
        }
    }

    /// Starts a node again after a power cut.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn power_on(&mut self, node: usize) -> anyhow::Result<()> {
        if let Ground::Rig(rig) = &self.ground {
            rig.boot(node + 1)?;
        }
        self.resume(node)
    }

    /// Stops a node's process in its tracks, or lets it go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&self, node: usize, frozen: bool) -> anyhow::Result<()> {
        let sent = if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        signal(self.pid(node)?, sent);
        // At the door of a host the direct child stops with what it waits for, but nobody wakes it.
        if let (false, Some(child)) = (frozen, &self.nodes[node].child) {
            signal(i32::try_from(child.id())?, sent);
        }
        Ok(())
    }
}

// === impl Cluster: asking ===

impl Cluster {
    /// Runs `swarmctl` against a node.
    ///
    /// # Errors
    /// If it cannot be run; what it answers is in the output.
    pub fn ctl(&self, via: usize, args: &[&str]) -> anyhow::Result<Output> {
        self.ctl_of(via).run(args)
    }

    /// Standard output of a `swarmctl` command that must succeed.
    ///
    /// # Errors
    /// If it fails, with the end of every node's log.
    pub fn ctl_ok(&self, via: usize, args: &[&str]) -> anyhow::Result<String> {
        let shown = || anyhow!("swarmctl {} on {}", args.join(" "), self.nodes[via].name);
        let done = self.ctl(via, args)?.ok();
        done.map_err(|error| self.with_logs(anyhow!("{}: {error:#}", shown())))
    }

    /// A `swarmctl` command against a node that goes on beside the test.
    pub fn ctl_command(&self, via: usize, args: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.swarmctl());
        command.arg("--socket").arg(&self.nodes[via].socket);
        command.args(args).stdin(Stdio::null());
        command
    }

    fn ctl_of(&self, via: usize) -> Ctl {
        let socket = self.nodes[via].socket.clone();
        Ctl {
            program: self.binaries.swarmctl(),
            socket,
        }
    }

    /// A join token.
    ///
    /// # Errors
    /// If the node does not tell.
    pub fn token(&self, via: usize, role: Role) -> anyhow::Result<String> {
        Ok(self
            .ctl_ok(via, &["join-token", "-q", role.word()])?
            .trim()
            .to_owned())
    }

    /// All nodes, as this node knows them.
    ///
    /// # Errors
    /// If it does not tell.
    pub fn list_nodes(&self, via: usize) -> anyhow::Result<Vec<NodeRow>> {
        self.ctl_of(via).nodes()
    }

    /// All services.
    ///
    /// # Errors
    /// If the node does not tell.
    pub fn list_services(&self, via: usize) -> anyhow::Result<Vec<ServiceRow>> {
        self.ctl_of(via).services()
    }

    /// Tasks of a service, those that ended included.
    ///
    /// # Errors
    /// If the node does not tell.
    pub fn list_tasks(&self, via: usize, service: &str) -> anyhow::Result<Vec<TaskRow>> {
        self.ctl_of(via).tasks(service)
    }

    /// What a node says of another one.
    ///
    /// # Errors
    /// If it does not tell or does not know it.
    pub fn row(&self, via: usize, node: usize) -> anyhow::Result<NodeRow> {
        let name = &self.nodes[node].name;
        let found = self
            .list_nodes(via)?
            .into_iter()
            .find(|row| row.hostname == *name);
        found.with_context(|| format!("{name} is not listed"))
    }

    /// The leader, as this node knows it.
    ///
    /// # Errors
    /// If it knows none.
    pub fn leader(&self, via: usize) -> anyhow::Result<usize> {
        let leads = |row: &NodeRow| row.manager_status == "Leader";
        let found = self
            .list_nodes(via)?
            .into_iter()
            .find(leads)
            .context("nobody leads")?;
        self.named(&found.hostname)
    }

    /// The processes of tasks whose service gave them `MARK` with this value.
    pub fn task_processes(&self, mark: &str) -> Vec<TaskProcess> {
        loopback::tasks_marked(mark)
    }

    /// Polls a question to the cluster; a timeout shows the end of every node's log.
    ///
    /// # Errors
    /// If the answer does not come in time.
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut(&Self) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        wait_for(what, limit, || probe(self)).map_err(|late| self.with_logs(late))
    }

    /// Waits until exactly this many tasks of a service run, and returns them.
    ///
    /// # Errors
    /// If they do not within the limit, with what the tasks say.
    pub fn wait_running(
        &self,
        via: usize,
        service: &str,
        tasks: usize,
        limit: Duration,
    ) -> anyhow::Result<Vec<TaskRow>> {
        let what = format!("{tasks} running tasks of {service}");
        let mut last = Vec::new();
        let waited = wait_for(&what, limit, || {
            last = self.list_tasks(via, service)?;
            let wanted: Vec<_> = last.iter().filter(|t| t.desired == "running").collect();
            let all_run = wanted.iter().all(|t| t.is_running()) && wanted.len() == tasks;
            Ok(all_run.then(|| wanted.into_iter().cloned().collect()))
        });
        waited.map_err(|late| self.with_logs(late.context(describe(&last))))
    }

    fn with_logs(&self, error: anyhow::Error) -> anyhow::Error {
        anyhow!("{error:#}\n{}", self.log_tails())
    }

    fn log_tails(&self) -> String {
        let tail = |node: &Node| format!("--- {}\n{}\n", node.name, node.log_tail(LOG_LINES_SHOWN));
        self.nodes.iter().map(tail).collect()
    }
}

fn describe(tasks: &[TaskRow]) -> String {
    let line = |t: &TaskRow| {
        format!(
            "{} on {:?}: {} ({} wanted) {}\n",
            t.name, t.node, t.state, t.desired, t.error
        )
    };
    format!("the tasks:\n{}", tasks.iter().map(line).collect::<String>())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            eprintln!("{}", self.log_tails());
        }
        for node in 0..self.nodes.len() {
            if let Ok(pid) = self.pid(node) {
                signal(pid, Signal::SIGKILL);
            }
            if let Some(mut child) = self.nodes[node].child.take() {
                // On a rig the child only waits for swarmd and may outlive it for a moment.
                drop(child.kill());
                drop(child.wait());
            }
        }
        loopback::kill_tasks_below(self.dir());
        if failed && std::env::var_os("SWARM_KEEP").is_some() {
            let kept = self.dir.take().map(TempDir::keep);
            eprintln!("kept: {}", kept.unwrap_or_default().display());
        }
    }
}
