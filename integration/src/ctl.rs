//! `swarmctl` as a user runs it, and its lists read back.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// A command that takes longer hangs: the longest wait inside `swarmctl` is asked for by
/// `--timeout`, and no test asks for as much.
const COMMAND_SECS_MAX: &str = "120";

/// What a command wrote and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 124 if it hung.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Output {
    /// Standard output of a command that must succeed.
    ///
    /// # Errors
    /// If it failed, with what it said.
    pub fn ok(self) -> anyhow::Result<String> {
        match self.code {
            0 => Ok(self.out),
            code => bail!("exit code {code}: {}{}", self.err, self.out),
        }
    }

    /// Standard error of a command that must fail with this code.
    ///
    /// # Errors
    /// If it ended otherwise.
    pub fn refused(self, code: i32) -> anyhow::Result<String> {
        if self.code == code && !self.err.trim().is_empty() {
            return Ok(self.err);
        }
        bail!("expected exit code {code} and a reason, got {self:?}")
    }
}

/// Runs a program to its end, in bounded time.
pub(crate) fn run(program: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let done = Command::new("timeout")
        .args(["--kill-after=1", COMMAND_SECS_MAX])
        .arg(program)
        .args(args)
        .output()
        .with_context(|| format!("run {}", program.display()))?;
    Ok(Output {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// A node's control socket, seen through `swarmctl`.
#[derive(Debug, Clone)]
pub(crate) struct Ctl {
    pub(crate) program: PathBuf,
    pub(crate) socket: PathBuf,
}

impl Ctl {
    pub(crate) fn run(&self, args: &[&str]) -> anyhow::Result<Output> {
        let socket = self.socket.display().to_string();
        let line: Vec<_> = ["--socket", &socket]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        run(&self.program, &line)
    }

    /// The rows of a list, one JSON object a line.
    fn rows<T>(&self, args: &[&str], row: fn(&Value) -> Option<T>) -> anyhow::Result<Vec<T>> {
        let line: Vec<_> = args.iter().copied().chain(["--format", "json"]).collect();
        let text = self
            .run(&line)?
            .ok()
            .with_context(|| format!("swarmctl {args:?}"))?;
        let read = |line: &str| {
            let value: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            row(&value).with_context(|| format!("fields are missing in {line}"))
        };
        text.lines()
            .filter(|line| !line.is_empty())
            .map(read)
            .collect()
    }

    pub(crate) fn nodes(&self) -> anyhow::Result<Vec<NodeRow>> {
        self.rows(&["node", "ls"], NodeRow::of)
    }

    /// How many members vote, as the node sees it.
    pub(crate) fn voters(&self) -> anyhow::Result<usize> {
        let text = self
            .run(&["cluster", "status", "--format", "json"])?
            .ok()
            .context("swarmctl cluster status")?;
        let status: Value = serde_json::from_str(&text)?;
        let members = status["Members"].as_array().context("find the members")?;
        let role = |member: &Value| member["Role"].as_str().unwrap_or_default().to_lowercase();
        let votes = |member: &&Value| ["leader", "follower"].contains(&role(member).as_str());
        Ok(members.iter().filter(votes).count())
    }

    pub(crate) fn services(&self) -> anyhow::Result<Vec<ServiceRow>> {
        self.rows(&["service", "ls"], ServiceRow::of)
    }

    pub(crate) fn tasks(&self, service: &str) -> anyhow::Result<Vec<TaskRow>> {
        self.rows(&["service", "ps", "--no-trunc", service], TaskRow::of)
    }
}

/// A line of `node ls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Id.
    pub id: String,
    /// Host name.
    pub hostname: String,
    /// "Ready", "Down", …
    pub status: String,
    /// "Active", "Pause", "Drain".
    pub availability: String,
    /// "Leader", "Reachable", "Unreachable"; empty for a worker.
    pub manager_status: String,
}

/// A line of `service ls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRow {
    /// Name.
    pub name: String,
    /// Such as "10/10".
    pub replicas: String,
}

/// A line of `service ps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Id.
    pub id: String,
    /// Such as "web.1".
    pub name: String,
    /// Host name of its node; empty while it has none.
    pub node: String,
    /// Lower case.
    pub desired: String,
    /// First word, lower case.
    pub state: String,
    /// Why it is not where it should be.
    pub error: String,
}

fn text(value: &Value, field: &str) -> Option<String> {
    Some(value.get(field)?.as_str()?.to_owned())
}

impl NodeRow {
    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            id: text(value, "ID")?,
            hostname: text(value, "Hostname")?,
            status: text(value, "Status")?,
            availability: text(value, "Availability")?,
            manager_status: text(value, "ManagerStatus")?,
        })
    }
}

impl ServiceRow {
    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            name: text(value, "Name")?,
            replicas: text(value, "Replicas")?,
        })
    }
}

impl TaskRow {
    fn of(value: &Value) -> Option<Self> {
        let current = text(value, "CurrentState")?.to_lowercase();
        Some(Self {
            id: text(value, "ID")?,
            name: text(value, "Name")?,
            node: text(value, "Node")?,
            desired: text(value, "DesiredState")?.to_lowercase(),
            state: current.split_whitespace().next()?.to_owned(),
            error: text(value, "Error")?,
        })
    }

    /// Whether it runs and should.
    pub fn is_running(&self) -> bool {
        self.desired == "running" && self.state == "running"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_task_counts_as_running_only_if_it_should_run() {
        let row = |desired: &str, state: &str| {
            let value = json!({"ID": "x", "Name": "web.1", "Node": "n1", "Error": "",
                "DesiredState": desired, "CurrentState": format!("{state} 3 seconds ago")});
            TaskRow::of(&value).unwrap()
        };
        assert!(row("Running", "Running").is_running());
        assert!(!row("Shutdown", "Running").is_running());
        assert!(!row("Running", "Starting").is_running());
    }
}
