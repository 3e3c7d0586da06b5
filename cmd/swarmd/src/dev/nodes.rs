//! The nodes of the throw-away cluster: child processes with their own directories.

use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::cli::DevArgs;

/// How long a child may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);

/// One child.
struct Running {
    name: String,
    child: Child,
}

/// All nodes of the cluster.
pub struct Nodes {
    root: PathBuf,
    executor: &'static str,
    log_level: String,
    managers: u8,
    workers: u8,
    running: Vec<Running>,
}

type Output = Lines<BufReader<ChildStdout>>;

impl Nodes {
    /// Makes the directory of a cluster that is not there yet.
    pub fn new(args: &DevArgs) -> anyhow::Result<Self> {
        let root = std::env::temp_dir().join(format!("swarmd-dev-{}", std::process::id()));
        // It must be new: the directory of temporary files is open to other users.
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&root)
            .with_context(|| format!("cannot make {}", root.display()))?;
        Ok(Self {
            root,
            executor: args.executor.name(),
            log_level: args.log_level.clone(),
            managers: args.managers,
            workers: args.workers,
            running: Vec::new(),
        })
    }

    /// Control socket of the first manager.
    pub fn control_socket(&self) -> PathBuf {
        self.dir("manager-1").join("control.sock")
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Starts all nodes, one after the other.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        println!(
            "starting {} managers and {} workers",
            self.managers, self.workers
        );
        println!("everything is in {}", self.root.display());
        let listen = free_address()?;
        let mut output = self.spawn("manager-1", &["init", "--listen-addr", &listen])?;
        let lines = self.until_ready("manager-1", &mut output).await?;
        let token = |role: &str| -> anyhow::Result<String> {
            let line = lines
                .iter()
                .find(|l| l.starts_with(&format!("to add a {role}:")));
            let token =
                line.and_then(|l| l.split_whitespace().skip_while(|w| *w != "--token").nth(1));
            token
                .map(str::to_owned)
                .context("the first manager printed no join token")
        };
        let (worker, manager) = (token("worker")?, token("manager")?);
        for n in 2..=self.managers {
            self.join(&format!("manager-{n}"), &manager, &listen)
                .await?;
        }
        for n in 1..=self.workers {
            self.join(&format!("worker-{n}"), &worker, &listen).await?;
        }
        Ok(())
    }

    async fn join(&mut self, name: &str, token: &str, manager: &str) -> anyhow::Result<()> {
        let listen = free_address()?;
        let args = ["join", "--token", token, manager, "--listen-addr", &listen];
        let mut output = self.spawn(name, &args)?;
        self.until_ready(name, &mut output).await.map(drop)
    }

    fn spawn(&mut self, name: &str, args: &[&str]) -> anyhow::Result<Output> {
        let dir = self.dir(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let log = std::fs::File::create(dir.join("log")).context("cannot write the node's log")?;
        let exe = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(exe)
            .args(args)
            .args(["--hostname", name, "--executor", self.executor])
            .args(["--log-level", &self.log_level])
            .arg("--state-dir")
            .arg(dir.join("state"))
            .arg("--control-socket")
            .arg(dir.join("control.sock"))
            // Ctrl-C in the terminal is for this process alone.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = child.stdout.take().context("the child has no output")?;
        self.running.push(Running {
            name: name.to_owned(),
            child,
        });
        Ok(BufReader::new(output).lines())
    }

    async fn until_ready(&self, name: &str, output: &mut Output) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        while let Some(line) = output.next_line().await? {
            if line.starts_with("node ready") {
                println!("  {name}: {line}");
                return Ok(lines);
            }
            lines.push(line);
        }
        let log = self.dir(name).join("log");
        anyhow::bail!("{name} did not start: {}", last_line(&log))
    }

    /// Waits until a node ends by itself, which none should.
    pub async fn watch(&mut self) -> anyhow::Result<ExitCode> {
        loop {
            for node in &mut self.running {
                if let Some(status) = node.child.try_wait()? {
                    println!("{} ended: {status}", node.name);
                    node.child.wait().await?;
                }
            }
            self.running.retain(|n| n.child.id().is_some());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends all nodes and removes their directories.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        for node in &self.running {
            signal(&node.child, Signal::SIGTERM);
        }
        for node in &mut self.running {
            if tokio::time::timeout(STOP_MAX, node.child.wait())
                .await
                .is_err()
            {
                println!("{} did not end in time and is killed", node.name);
                node.child.kill().await?;
            }
        }
        self.running.clear();
        std::fs::remove_dir_all(&self.root)
            .with_context(|| format!("cannot remove {}", self.root.display()))
    }
}

impl Drop for Nodes {
    /// However this process ends, its children do not outlive it.
    fn drop(&mut self) {
        for node in &self.running {
            signal(&node.child, Signal::SIGKILL);
        }
    }
}

fn signal(child: &Child, what: Signal) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended meanwhile.
        let _gone = kill(Pid::from_raw(pid), what);
    }
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .next_back()
        .unwrap_or("it said nothing")
        .to_owned()
}

/// A free port of the loopback address. Another process may take it before the node does; then
/// the node says so.
fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.to_string())
}
