//! A network of 127.0.0.0/8 for the nodes of one cluster, and the processes that are their tasks.
//!
//! Each node has an address of its own, so all of them use the standard port.

use std::net::TcpListener;
use std::path::Path;

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::process::{self, Process, signal};

/// Third and second byte of the networks that may be taken: 127.64.0 to 127.127.255.
const NETWORKS: u32 = 64 * 256;

/// Port of the listener that holds a network.
const HOLD_PORT: u16 = 10_001;

/// Argument of the process that stands between swarmd and a task.
const SHIM: &str = "task-shim";

/// A network that no other cluster on this machine uses.
#[derive(Debug)]
pub(crate) struct Network {
    prefix: String,
    /// Bound to an address of the network that no node gets: whoever holds it has the network.
    _hold: TcpListener,
}

impl Network {
    /// Takes a network that is free.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let own = std::process::id();
        let take = |n: u32| {
            let at = (own + n) % NETWORKS;
            let prefix = format!("127.{}.{}", 64 + at / 256, at % 256);
            let hold = TcpListener::bind((format!("{prefix}.254"), HOLD_PORT)).ok()?;
            Some(Self {
                prefix,
                _hold: hold,
            })
        };
        (0..NETWORKS)
            .find_map(take)
            .context("find a free network of 127.0.0.0/8")
    }

    /// Address of a node; nodes are counted from 1.
    pub(crate) fn address(&self, node: usize) -> String {
        format!("{}.{node}", self.prefix)
    }
}

/// A process that is a task, by the environment that its service gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskProcess {
    /// Value of `SLOT`.
    pub slot: String,
    /// Value of `NODE`.
    pub node: String,
    /// Its number.
    pub pid: i32,
}

impl TaskProcess {
    /// A variable of its environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        process::variable(self.pid, name)
    }
}

/// The processes whose environment has `MARK` with this value. A task whose command starts
/// further processes counts once: only the shim's own child does.
pub(crate) fn tasks_marked(mark: &str) -> Vec<TaskProcess> {
    let all = process::all();
    let is_shim = |pid: i32| {
        all.iter()
            .any(|p| p.pid == pid && p.command_line().contains(SHIM))
    };
    let marked = |p: &&Process| process::variable(p.pid, "MARK").as_deref() == Some(mark);
    let tasks = all.iter().filter(marked).filter(|p| is_shim(p.parent));
    let mut found: Vec<_> = tasks
        .map(|p| TaskProcess {
            slot: process::variable(p.pid, "SLOT").unwrap_or_default(),
            node: process::variable(p.pid, "NODE").unwrap_or_default(),
            pid: p.pid,
        })
        .collect();
    found.sort();
    found
}

/// Kills every task, with its shim, that a node keeps below this directory.
pub(crate) fn kill_tasks_below(dir: &Path) {
    let dir = dir.display().to_string();
    loop {
        let all = process::all();
        let is_shim = |p: &&Process| {
            let line = p.command_line();
            line.contains(SHIM) && line.contains(&dir)
        };
        let shims: Vec<_> = all.iter().filter(is_shim).collect();
        if shims.is_empty() {
            return;
        }
        let is_task = |p: &&Process| shims.iter().any(|shim| shim.pid == p.parent);
        for task in all.iter().filter(is_task) {
            // A task leads its own process group; gone already is fine.
            let _ = killpg(Pid::from_raw(task.pid), Signal::SIGKILL);
        }
        shims
            .iter()
            .for_each(|shim| signal(shim.pid, Signal::SIGKILL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clusters_never_share_a_network() {
        let (one, other) = (Network::take().unwrap(), Network::take().unwrap());
        assert_ne!(one.address(1), other.address(1));
    }
}
