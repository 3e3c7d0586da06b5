//! Processes of the machine: who they are, whose children, what they were started with.

use std::fs;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Unit of CPU times in `/proc`: a constant of Linux towards programs.
const TICKS_PER_SEC: f64 = 100.0;

/// A process that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: i32,
    /// Its parent's number.
    pub(crate) parent: i32,
    /// Name of its program, cut to 15 bytes by the kernel.
    pub(crate) name: String,
}

impl Process {
    /// What it was started with, arguments separated by spaces.
    pub(crate) fn command_line(&self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }

    /// From `/proc/PID/stat`; the fields after the name, which may hold spaces and brackets.
    fn parse(pid: i32, stat: &str) -> Option<Self> {
        let (open, close) = (stat.find('(')?, stat.rfind(')')?);
        let mut fields = stat[close + 1..].split_ascii_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
        let parent = fields.next()?.parse().ok()?;
        let name = stat[open + 1..close].to_owned();
        (!is_dead).then_some(Self { pid, parent, name })
    }
}

/// All that live and are not zombies.
pub(crate) fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let process = |pid| Process::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
    pids.filter_map(process).collect()
}

/// A variable of a process's environment.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let value = |pair: &str| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    text.split('\0').find_map(value)
}

/// Sends a signal; a process that is gone is no error.
pub fn signal(pid: i32, signal: Signal) {
    // The only other failure is a missing permission, and the processes are our own children.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Resident memory of a process in bytes.
///
/// # Errors
/// If the process is gone.
pub fn resident_bytes(pid: i32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("find VmRSS in {path}"))? * 1024)
}

/// CPU time of a process so far, in seconds.
///
/// # Errors
/// If the process is gone.
pub fn cpu_secs(pid: i32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let after_name = stat.rfind(')').map_or("", |at| &stat[at + 1..]);
    // Fields 14 and 15 of the whole line; the first after the name is the third.
    let fields = after_name.split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|f| f.parse::<u64>().unwrap_or(0)).sum();
    Ok(ticks as f64 / TICKS_PER_SEC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_fields() {
        let found = Process::parse(7, "7 (a) b (c) S 3 7 7 0 -1").unwrap();
        assert_eq!((found.parent, found.name.as_str()), (3, "a) b (c"));
        assert_eq!(Process::parse(7, "7 (x) Z 3 7"), None);
    }

    #[test]
    fn this_process_is_among_all_and_has_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(all().iter().any(|p| p.pid == own));
        assert!(resident_bytes(own).unwrap() > 0);
    }
}
