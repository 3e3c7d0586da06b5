//! The process between a task's command and the agent, one per task.
//!
//! It outlives the agent, so that output is kept and the exit code is known whoever is there when
//! the command ends. It runs the command through a second stage of itself (`launch`), which
//! takes on session, limits and user and then becomes the command. It makes no decision of its
//! own: signals to the command come from the executor, never through the shim.

mod launch;
mod pump;

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};

use crate::clock;
use crate::inherited;
use crate::logfile::LogWriter;
use crate::record::{ChildRecord, ExitRecord, ProcessRef, TaskDir, processes};
use crate::spec::Launch;

pub(crate) use launch::resource;

/// Tells the second stage of the shim that it is one.
const STAGE_ENV: &str = "SWARM_TASK_SHIM_STAGE";

/// What the shim tells whoever started it, on standard output.
pub(crate) const STARTED_LINE: &str = "task-shim: started";
/// Begins the line that says why the command does not run.
pub(crate) const FAILED_LINE: &str = "task-shim: failed: ";

/// Exit code of a command that could not be run, as shells have it.
pub(crate) const NOT_RUN_CODE: i32 = 127;

/// How often a shim looks for room on a full disk.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// How long processes the command left behind may take to die of SIGKILL.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the task whose directory this is; for the hidden subcommand of the agent's program, which
/// must pass the directory as its last argument and do nothing else before.
pub fn main(dir: &Path) -> ExitCode {
    let task = TaskDir::new(dir);
    if std::env::var_os(STAGE_ENV).is_some() {
        return launch::main(&task);
    }
    // The command would have it too.
    inherited::close();
    match run(&task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{FAILED_LINE}{error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // Whoever started the shim may be gone.
    let _ = writeln!(io::stdout(), "{line}");
}

fn run(task: &TaskDir) -> io::Result<()> {
    let launch = read_launch(task)?;
    // A session of its own, out of reach of the agent's terminal and its signals.
    setsid()?;
    prctl::set_child_subreaper(true)?;
    task.begin(&ProcessRef::of(std::process::id().cast_signed())?)?;
    // Open for reading too: opening a FIFO for writing alone waits for a reader.
    let _alive = OpenOptions::new()
        .read(true)
        .write(true)
        .open(task.alive())?;
    let log = LogWriter::create(
        &task.logs(),
        launch.log_file_bytes_max,
        launch.log_files_max,
    )?;
    let (child, verdict) = spawn_stage(log)?;
    let pid = Pid::from_raw(child.child.id().cast_signed());
    if verdict.is_empty() {
        if let Err(error) = record(task, pid) {
            // A command that nobody can find again must not run.
            end(pid);
            return Err(error);
        }
        say(STARTED_LINE);
    } else {
        say(&format!("{FAILED_LINE}{verdict}"));
    }
    let code = wait_for(pid)?;
    sweep(pid);
    child.pumps.join();
    let code = match verdict.is_empty() {
        true => code,
        false => NOT_RUN_CODE,
    };
    let record = ExitRecord {
        code,
        detail: verdict,
        at_ns: clock::now().0,
        pid: pid.as_raw(),
    };
    write_patiently(|| task.write_exit(&record))
}

/// Writes down which process the command is. Also one that ended at once has a status: nobody has
/// waited for it yet.
fn record(task: &TaskDir, pid: Pid) -> io::Result<()> {
    let process = ProcessRef::of(pid.as_raw())?;
    task.write_child(&ChildRecord { process })
}

/// Ends a command and all it started.
fn end(pid: Pid) {
    // Gone already is fine.
    let _ = kill(pid, Signal::SIGKILL);
    let _ = wait_for(pid);
    sweep(pid);
}

/// Waits for room where there is none: an exit code that is not written is lost for good.
fn write_patiently(mut write: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match write() {
            Err(error) if is_full(&error) => thread::sleep(ROOM_INTERVAL),
            done => return done,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

struct Running {
    child: Child,
    pumps: pump::Pumps,
}

/// Starts the second stage and hears its verdict: empty when it became the command.
fn spawn_stage(log: LogWriter) -> io::Result<(Running, String)> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(STAGE_ENV, "launch")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pumps = pump::Pumps::start(child.stdout.take(), child.stderr.take(), log);
    let mut verdict = String::new();
    ours.read_to_string(&mut verdict)?;
    Ok((Running { child, pumps }, verdict))
}

/// Waits for the command, and for whatever else becomes the shim's child meanwhile.
fn wait_for(command: Pid) -> io::Result<i32> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == command => return Ok(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == command => {
                return Ok(128 + signal as i32);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills what the command left behind. As in a container, nothing outlives the main process.
///
/// Orphans become children of the shim, so no child left means nothing left at all; each death
/// may bring new orphans, so each is followed by another look.
fn sweep(command: Pid) {
    let (alive, done) = channel::<()>();
    thread::spawn(move || {
        let _alive = alive;
        loop {
            for pid in left_behind(command) {
                // That a process is gone already is what is wanted.
                let _ = kill(pid, Signal::SIGKILL);
            }
            if waitpid(None, None) == Err(Errno::ECHILD) {
                return;
            }
        }
    });
    // Nothing is ever sent: the channel closes when all are gone, or the time is up.
    let _ = done.recv_timeout(SWEEP_TIMEOUT);
}

/// Processes of the command's session, and orphans that became the shim's children.
fn left_behind(command: Pid) -> Vec<Pid> {
    let own = std::process::id().cast_signed();
    let left = processes(|stat| stat.session == command.as_raw() || stat.parent == own);
    left.into_iter().map(Pid::from_raw).collect()
}

fn read_launch(task: &TaskDir) -> io::Result<Launch> {
    task.launch()?
        .ok_or_else(|| io::Error::other("the task is not prepared"))
}
