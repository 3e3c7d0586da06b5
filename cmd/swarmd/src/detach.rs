//! `--detach`: the node runs in a child of its own session; this process returns when it is ready.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use crate::exit;

/// Tells a child that it has to leave its parent's session.
const OWN_SESSION: &str = "SWARMD_OWN_SESSION";

/// File of the state directory that takes the log of a detached node.
const LOG_FILE: &str = "swarmd.log";

/// Leaves the session of whoever started this process, if asked to.
pub fn own_session_if_asked() {
    if std::env::var_os(OWN_SESSION).is_some()
        && let Err(error) = nix::unistd::setsid()
    {
        eprintln!("swarmd: cannot leave the session of the shell: {error}");
    }
}

/// Whether this process is the background child.
pub fn is_child() -> bool {
    std::env::var_os(OWN_SESSION).is_some()
}

/// Starts this very command in the background, repeats what it says and returns when it is ready.
pub fn detach(state_dir: &Path) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(state_dir)
        .with_context(|| format!("cannot make {}", state_dir.display()))?;
    let path = state_dir.join(LOG_FILE);
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path);
    let log = log.with_context(|| format!("cannot write {}", path.display()))?;
    let exe = std::env::current_exe().context("cannot find this program")?;
    let mut child = Command::new(exe)
        .args(std::env::args_os().skip(1))
        .env(OWN_SESSION, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("cannot start in the background")?;
    let stdout = child.stdout.take().context("the child has no output")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read what the child says")?;
        println!("{line}");
        if line.starts_with("node ready") {
            return Ok(exit::DONE);
        }
    }
    let status = child.wait().context("cannot wait for the child")?;
    let why = last_line(&path).unwrap_or_else(|| status.to_string());
    anyhow::bail!(
        "{}; the log is {}",
        why.trim_start_matches("swarmd: "),
        path.display()
    )
}

fn last_line(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next_back().map(str::to_owned)
}
