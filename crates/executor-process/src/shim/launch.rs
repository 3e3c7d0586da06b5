//! The shim's second stage: takes on what the command shall have, then becomes the command.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, dup2_stdin, setgid, setgroups, setsid, setuid};

use super::read_launch;
use crate::record::TaskDir;
use crate::spec::Launch;
use crate::user::Identity;

/// Runs the stage. Standard input is the channel on which the reason of a failure is told; it
/// closes unused when the command takes over.
pub(super) fn main(task: &TaskDir) -> ExitCode {
    let reason = match take_channel() {
        Ok(channel) => {
            let reason = become_command(task);
            // Nobody else is there to be told.
            let _ = fs::File::from(channel).write_all(reason.as_bytes());
            return ExitCode::FAILURE;
        }
        Err(error) => error,
    };
    // The shim holds the other end and reads the end of the channel as success, so say it aloud.
    let _ = writeln!(io::stderr(), "cannot run the command: {reason}");
    ExitCode::FAILURE
}

/// Moves the channel away from standard input, to a descriptor that the command does not inherit.
fn take_channel() -> io::Result<OwnedFd> {
    let channel = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(channel)
}

/// Returns only if that failed, with the reason.
fn become_command(task: &TaskDir) -> String {
    let launch = match read_launch(task) {
        Ok(launch) => launch,
        Err(error) => return error.to_string(),
    };
    if let Err(reason) = take_on(&launch) {
        return reason;
    }
    let Some((name, arguments)) = launch.argv.split_first() else {
        return "there is no command".to_owned();
    };
    let error = Command::new(&launch.program)
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(launch.env)
        .exec();
    format!("cannot run {:?}: {error}", launch.program)
}

fn take_on(launch: &Launch) -> Result<(), String> {
    let fail = |what: &str, error: io::Error| format!("cannot set {what}: {error}");
    setsid().map_err(|e| fail("the session", e.into()))?;
    for (name, soft, hard) in &launch.ulimits {
        let resource = resource(name).ok_or_else(|| format!("there is no limit {name:?}"))?;
        setrlimit(resource, *soft, *hard)
            .map_err(|e| fail(&format!("the resource limit {name}"), e.into()))?;
    }
    if launch.oom_score_adj != 0 {
        fs::write("/proc/self/oom_score_adj", launch.oom_score_adj.to_string())
            .map_err(|e| fail("the out-of-memory score", e))?;
    }
    if launch.no_new_privileges {
        prctl::set_no_new_privs().map_err(|e| fail("no-new-privileges", e.into()))?;
    }
    if let Some(identity) = &launch.identity {
        become_user(identity).map_err(|e| fail("the user", e.into()))?;
    }
    // After the user: it is the user that must be allowed to be there.
    std::env::set_current_dir(&launch.dir)
        .map_err(|e| fail(&format!("the working directory {:?}", launch.dir), e))
}

fn become_user(identity: &Identity) -> nix::Result<()> {
    let groups: Vec<_> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    setgid(Gid::from_raw(identity.gid))?;
    setuid(Uid::from_raw(identity.uid))
}

/// The resource limit of a name as container users write it.
pub(crate) fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::RLIMIT_AS,
        "core" => Resource::RLIMIT_CORE,
        "cpu" => Resource::RLIMIT_CPU,
        "data" => Resource::RLIMIT_DATA,
        "fsize" => Resource::RLIMIT_FSIZE,
        "locks" => Resource::RLIMIT_LOCKS,
        "memlock" => Resource::RLIMIT_MEMLOCK,
        "msgqueue" => Resource::RLIMIT_MSGQUEUE,
        "nice" => Resource::RLIMIT_NICE,
        "nofile" => Resource::RLIMIT_NOFILE,
        "nproc" => Resource::RLIMIT_NPROC,
        "rss" => Resource::RLIMIT_RSS,
        "rtprio" => Resource::RLIMIT_RTPRIO,
        "rttime" => Resource::RLIMIT_RTTIME,
        "sigpending" => Resource::RLIMIT_SIGPENDING,
        "stack" => Resource::RLIMIT_STACK,
        _ => return None,
    })
}
