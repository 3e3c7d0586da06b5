//! `--detach`: the node runs in a child of its own session; this process returns when it is ready.

use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use crate::exit;

/// Tells a child that it has to leave its parent's session.
const OWN_SESSION: &str = "SWARMD_OWN_SESSION";

/// File of the state directory that takes the log of a detached node.
const LOG_FILE: &str = "swarmd.log";

/// Mode of the state directory, as whoever opens it makes it.
const STATE_DIR_MODE: u32 = 0o700;

/// Mode of the log.
const LOG_MODE: u32 = 0o600;

/// Most of a child's log that is searched for the reason of its end.
const REASON_BYTES_MAX: u64 = 1 << 20;

/// Leaves the session of whoever started this process, and what they had open, if asked to.
pub fn own_session_if_asked() {
    if !is_child() {
        return;
    }
    executor_process::inherited::close();
    if let Err(error) = nix::unistd::setsid() {
        eprintln!("swarmd: cannot leave the session of the shell: {error}");
    }
}

/// Whether this process is the background child.
pub fn is_child() -> bool {
    std::env::var_os(OWN_SESSION).is_some()
}

/// Starts this very command in the background, repeats what it says and returns when it is ready.
/// A child that ends before is answered for: with its reason and its exit code.
pub fn detach(state_dir: &Path) -> anyhow::Result<ExitCode> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(STATE_DIR_MODE)
        .create(state_dir)
        .with_context(|| format!("cannot make {}", state_dir.display()))?;
    let path = state_dir.join(LOG_FILE);
    let mut log = open_log(&path).with_context(|| {
        let shown = path.display();
        format!("cannot write {shown}; make the state directory writable or choose another")
    })?;
    let begin = log.seek(SeekFrom::End(0)).unwrap_or_default();
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
    let why = reason(&path, begin).unwrap_or_else(|| status.to_string());
    exit::say(&format!("{why}; the log is {}", path.display()));
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(exit::FAILED, ExitCode::from))
}

/// The log tells what runs here and where: it is for the node's owner, also if it was made by an
/// earlier release.
fn open_log(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    let log = options
        .create(true)
        .append(true)
        .mode(LOG_MODE)
        .open(path)?;
    log.set_permissions(Permissions::from_mode(LOG_MODE))?;
    Ok(log)
}

/// The sentence that the child ended with, among what it wrote after `begin`.
fn reason(path: &Path, begin: u64) -> Option<String> {
    let mut log = File::open(path).ok()?;
    log.seek(SeekFrom::Start(begin)).ok()?;
    let mut text = String::new();
    log.take(REASON_BYTES_MAX).read_to_string(&mut text).ok()?;
    let said = text.lines().rev().find_map(|l| l.strip_prefix("swarmd: "));
    said.or_else(|| text.lines().next_back()).map(str::to_owned)
}
