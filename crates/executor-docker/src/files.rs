//! Secrets and configs on their way into containers.
//!
//! The engine's API offers no way to put a file into a container without writing it to the
//! container's layer, which is on disk: archives uploaded before the start land there, since a
//! container's tmpfs mounts exist only while it runs. So the files are written to a directory of
//! the agent on a tmpfs and each is bind-mounted, read-only, to its target. That works with
//! read-only root file systems too, and needs an engine on the same machine.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use executor::{ExecError, TaskFile, TaskRun};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use types::TaskId;

/// Kind of a ramfs, which never swaps; not named by the library.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Permission bits of a file mode.
const MODE_MASK: u32 = 0o7777;

/// Where files of tasks are kept: a directory per task below a root on a tmpfs.
#[derive(Debug, Clone)]
pub(crate) struct FileStore {
    root: PathBuf,
}

/// A file of a task on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedFile {
    /// Where it is on the node.
    pub(crate) source: PathBuf,
    /// Where the container sees it.
    pub(crate) target: String,
}

impl FileStore {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the files of a task are, whether or not they are there.
    pub(crate) fn placed(&self, run: &TaskRun) -> Vec<PlacedFile> {
        let dir = self.dir(run.id());
        let place = |(index, file): (usize, &TaskFile)| PlacedFile {
            // A number, not the name: names come from users and may hold slashes.
            source: dir.join(index.to_string()),
            target: file.path(),
        };
        run.files.iter().enumerate().map(place).collect()
    }

    /// Writes the files of a task, over what is there.
    pub(crate) fn write(&self, run: &TaskRun) -> Result<(), ExecError> {
        if run.files.is_empty() {
            return Ok(());
        }
        let dir = self.dir(run.id());
        let refuse = |what: &Path, error: io::Error| {
            ExecError::rejected(format!(
                "cannot write secrets and configs to {}: {error}",
                what.display()
            ))
        };
        make_dir(&dir).map_err(|error| refuse(&dir, error))?;
        self.require_memory()?;
        for (file, placed) in run.files.iter().zip(self.placed(run)) {
            write_file(file, &placed.source).map_err(|error| refuse(&placed.source, error))?;
        }
        Ok(())
    }

    /// Removes the files of a task.
    pub(crate) fn remove(&self, task: TaskId) -> io::Result<()> {
        match fs::remove_dir_all(self.dir(task)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn dir(&self, task: TaskId) -> PathBuf {
        self.root.join(task.to_string())
    }

    fn require_memory(&self) -> Result<(), ExecError> {
        let kind = statfs(&self.root).map(|stat| stat.filesystem_type());
        if matches!(kind, Ok(TMPFS_MAGIC | RAMFS_MAGIC)) {
            return Ok(());
        }
        Err(ExecError::rejected(format!(
            "{} is not on a tmpfs, so secrets and configs would be written to disk",
            self.root.display()
        )))
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn write_file(file: &TaskFile, path: &Path) -> io::Result<()> {
    let bad = |what: &str, text: &str| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{text:?} is not a {what} number"),
        )
    };
    let number = |what: &str, text: &str| match text {
        "" => Ok(0),
        _ => text.parse::<u32>().map_err(|_| bad(what, text)),
    };
    let (uid, gid) = (
        number("user", &file.target.uid)?,
        number("group", &file.target.gid)?,
    );
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    out.write_all(file.content.expose())?;
    fchown(&out, Some(uid), Some(gid))?;
    out.set_permissions(fs::Permissions::from_mode(file.target.mode & MODE_MASK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use executor::{FileKind, NodeFacts, testing};
    use std::os::unix::fs::MetadataExt;
    use types::SecretBytes;
    use types::container::FileTarget;

    fn run() -> TaskRun {
        let mut run = TaskRun::new(testing::task("web", |_| {}).into(), NodeFacts::default());
        run.files.push(TaskFile {
            kind: FileKind::Secret,
            name: "password".into(),
            target: FileTarget {
                name: "../../etc/password".into(),
                uid: "12".into(),
                gid: "34".into(),
                mode: 0o440,
            },
            content: SecretBytes::new(b"hunter2".to_vec()),
        });
        run
    }

    #[test]
    fn files_have_their_owner_mode_and_content_and_go_with_the_task() {
        let root = Path::new("/dev/shm").join(format!("swarmd-test-{}", std::process::id()));
        let (store, run) = (FileStore::new(root.clone()), run());
        match store.write(&run) {
            Err(ExecError::Rejected(why)) if why.contains("not on a tmpfs") => {
                println!("skipped: /dev/shm is no tmpfs here");
                return;
            }
            other => other.unwrap(),
        }
        store.write(&run).unwrap();
        let placed = store.placed(&run).remove(0);
        assert!(placed.source.starts_with(root.join(run.id().to_string())));
        let meta = fs::metadata(&placed.source).unwrap();
        assert_eq!(
            (meta.uid(), meta.gid(), meta.mode() & 0o7777),
            (12, 34, 0o440)
        );
        assert_eq!(fs::read(&placed.source).unwrap(), b"hunter2");
        store.remove(run.id()).unwrap();
        store.remove(run.id()).unwrap();
        assert!(!placed.source.exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_directory_on_disk_is_refused() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let store = FileStore::new(dir.path().to_owned());
        let error = store.write(&run()).unwrap_err().to_string();
        assert!(error.contains("would be written to disk"), "{error}");
        let dirs = fs::read_dir(dir.path()).unwrap();
        let written = dirs
            .flat_map(|d| fs::read_dir(d.unwrap().path()).unwrap())
            .count();
        assert_eq!(written, 0, "nothing was written");
    }
}
