//! A task's directory: what executor and shim tell each other, and what survives them both.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `launch.json` | executor | what to run; the task is prepared |
//! | `begun.json` | shim | a shim took the task, this one; created once, so no task runs twice |
//! | `child.json` | shim | the command runs, as this process |
//! | `exit.json` | shim | how it ended |
//! | `alive` | shim holds it open | a FIFO whose readers see its end when the shim is gone |
//! | `logs/` | shim | output, see [`crate::logfile`] |
//!
//! Every file appears whole or not at all. Nothing here holds secrets.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::spec::Launch;

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRef {
    /// Process id.
    pub(crate) pid: i32,
    /// Start time in ticks since the boot: field 22 of `/proc/PID/stat`.
    pub(crate) start_ticks: u64,
    /// The kernel's id of that boot.
    pub(crate) boot_id: String,
}

impl ProcessRef {
    /// The process that has this id now.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let stat = Stat::read(pid)?;
        Ok(Self {
            pid,
            start_ticks: stat.start_ticks,
            boot_id: boot_id()?,
        })
    }

    /// Whether it still runs. A dead process that nobody has waited for does not.
    pub(crate) fn is_alive(&self) -> bool {
        let same = |stat: Stat| stat.start_ticks == self.start_ticks && !stat.is_dead;
        boot_id().is_ok_and(|boot| boot == self.boot_id) && Stat::read(self.pid).is_ok_and(same)
    }
}

fn boot_id() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) is_dead: bool,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    pub(crate) start_ticks: u64,
}

impl Stat {
    pub(crate) fn read(pid: i32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::other("the process status cannot be read"))
    }

    /// Fields are counted after the command name, which may hold spaces and brackets.
    fn parse(text: &str) -> Option<Self> {
        let after_name = &text[text.rfind(')')? + 1..];
        let fields: Vec<_> = after_name.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            is_dead: matches!(field(3)?, "Z" | "X" | "x"),
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
        })
    }
}

/// The living processes of which this holds.
pub(crate) fn processes(is_wanted: impl Fn(&Stat) -> bool) -> Vec<i32> {
    let wanted = |pid: i32| {
        let stat = Stat::read(pid).ok()?;
        (!stat.is_dead && is_wanted(&stat)).then_some(pid)
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| wanted(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// The command runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChildRecord {
    /// Its process; also the number of its session and process group.
    pub(crate) process: ProcessRef,
}

/// The command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    /// Exit code; 128 + number for a signal.
    pub(crate) code: i32,
    /// Why it could not be run; empty if it ran.
    pub(crate) detail: String,
    /// When, in nanoseconds since the epoch.
    pub(crate) at_ns: u64,
    /// Its process id; 0 if it never ran.
    pub(crate) pid: i32,
}

/// How far a task got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing is there.
    Absent,
    /// Can be started.
    Prepared,
    /// A shim is at work: before the command runs, or after it ended.
    Between,
    /// The command runs.
    Running(ChildRecord),
    /// It ended.
    Exited(ExitRecord),
    /// Its shim died before it could say how it ended.
    Lost(Option<ChildRecord>),
}

/// The directory of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskDir {
    path: PathBuf,
}

impl TaskDir {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    pub(crate) fn alive(&self) -> PathBuf {
        self.path.join("alive")
    }

    pub(crate) fn launch(&self) -> io::Result<Option<Launch>> {
        self.read("launch.json")
    }

    pub(crate) fn write_launch(&self, launch: &Launch) -> io::Result<()> {
        self.write("launch.json", launch)
    }

    pub(crate) fn write_child(&self, child: &ChildRecord) -> io::Result<()> {
        self.write("child.json", child)
    }

    pub(crate) fn write_exit(&self, exit: &ExitRecord) -> io::Result<()> {
        self.write("exit.json", exit)
    }

    /// Takes the task for this shim.
    ///
    /// # Errors
    ///
    /// Fails when another shim, living or dead, took it before.
    pub(crate) fn begin(&self, shim: &ProcessRef) -> io::Result<()> {
        let scratch = self.scratch("begun.json");
        write_synced(&scratch, shim)?;
        let taken = fs::hard_link(&scratch, self.path.join("begun.json"));
        fs::remove_file(&scratch)?;
        taken
    }

    pub(crate) fn stage(&self) -> io::Result<Stage> {
        let stage = self.stage_once()?;
        if !matches!(stage, Stage::Lost(_)) {
            return Ok(stage);
        }
        // The shim may have ended between two of the looks above: its last word counts.
        match self.read("exit.json")? {
            Some(exit) => Ok(Stage::Exited(exit)),
            None => Ok(stage),
        }
    }

    fn stage_once(&self) -> io::Result<Stage> {
        if let Some(exit) = self.read("exit.json")? {
            return Ok(Stage::Exited(exit));
        }
        let Some(shim) = self.read::<ProcessRef>("begun.json")? else {
            let is_prepared = self.path.join("launch.json").exists();
            return Ok(if is_prepared {
                Stage::Prepared
            } else {
                Stage::Absent
            });
        };
        match self.read::<ChildRecord>("child.json")? {
            Some(child) if child.process.is_alive() => Ok(Stage::Running(child)),
            _ if shim.is_alive() => Ok(Stage::Between),
            child => Ok(Stage::Lost(child)),
        }
    }

    fn scratch(&self, name: &str) -> PathBuf {
        self.path.join(format!(".{name}.{}", std::process::id()))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let scratch = self.scratch(name);
        write_synced(&scratch, value)?;
        fs::rename(scratch, self.path.join(name))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        match fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn write_synced(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let mut fields = vec!["S", "7", "8", "9"];
        fields.extend(["0"; 15]);
        fields.push("12345");
        let text = format!("42 (a) b (c)) {} 0 0\n", fields.join(" "));
        let stat = Stat::parse(&text).unwrap();
        assert_eq!((stat.parent, stat.session, stat.start_ticks), (7, 9, 12345));
        assert!(!stat.is_dead);
        assert!(Stat::parse(&text.replace(") S ", ") Z ")).unwrap().is_dead);
    }

    #[test]
    fn a_process_is_known_by_more_than_its_number() {
        let me = ProcessRef::of(std::process::id().cast_signed()).unwrap();
        assert!(me.is_alive());
        let earlier = ProcessRef {
            start_ticks: me.start_ticks - 1,
            ..me.clone()
        };
        assert!(!earlier.is_alive());
        let other_boot = ProcessRef {
            boot_id: String::new(),
            ..me
        };
        assert!(!other_boot.is_alive());
    }

    #[test]
    fn a_task_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let task = TaskDir::new(dir.path());
        assert_eq!(task.stage().unwrap(), Stage::Absent);
        let shim = ProcessRef::of(std::process::id().cast_signed()).unwrap();
        task.begin(&shim).unwrap();
        assert_eq!(
            task.begin(&shim).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(task.stage().unwrap(), Stage::Between);
    }

    #[test]
    fn a_shim_that_died_without_a_word_leaves_a_lost_task() {
        let dir = tempfile::tempdir().unwrap();
        let task = TaskDir::new(dir.path());
        let dead = ProcessRef {
            pid: 1,
            start_ticks: u64::MAX,
            boot_id: String::new(),
        };
        task.begin(&dead).unwrap();
        assert_eq!(task.stage().unwrap(), Stage::Lost(None));
    }
}
