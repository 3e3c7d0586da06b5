//! Secrets and configs on their way into containers.
//!
//! The engine's API offers no way to put a file into a container without writing it to the
//! container's layer, which is on disk: archives uploaded before the start land there, since a
//! container's tmpfs mounts exist only while it runs. So the files are written to a directory of
//! the agent on a tmpfs and each is bind-mounted, read-only, to its target. That works with
//! read-only root file systems too, and needs an engine on the same machine. Where that directory
//! is on disk, a tmpfs is mounted over it, as Docker Engine does for its secrets; nothing is ever
//! written to a disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use executor::{ExecError, TaskFile, TaskRun};
use nix::mount::{MsFlags, mount};
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
    /// Held while the root is looked at and mounted over: a second mount would hide the files that
    /// were written below the first.
    mounting: Arc<Mutex<()>>,
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
        Self {
            root,
            mounting: Arc::default(),
        }
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
        make_dir(&self.root).map_err(|error| refuse(&self.root, error))?;
        self.require_memory()?;
        make_dir(&dir).map_err(|error| refuse(&dir, error))?;
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
        let _only_one = self.mounting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_memory() {
            return Ok(());
        }
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let kind = Some("tmpfs");
        mount(kind, &self.root, kind, flags, Some("mode=0700")).map_err(|error| {
            let root = self.root.display();
            ExecError::rejected(format!(
                "{root} is not on a tmpfs, so secrets and configs would be written to disk, and \
                 none could be mounted there ({error}); run `mount -t tmpfs tmpfs {root}` as root"
            ))
        })
    }

    fn is_memory(&self) -> bool {
        let kind = statfs(&self.root).map(|stat| stat.filesystem_type());
        matches!(kind, Ok(TMPFS_MAGIC | RAMFS_MAGIC))
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
    fn nothing_is_written_to_a_directory_on_disk() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let store = FileStore::new(dir.path().to_owned());
        let (first, second) = (run(), run());
        match store.write(&first) {
            Err(error) => assert!(error.to_string().contains("mount -t tmpfs"), "{error}"),
            Ok(()) => {
                assert!(store.is_memory(), "a tmpfs was mounted");
                store.write(&second).unwrap();
                for run in [&first, &second] {
                    let placed = store.placed(run).remove(0);
                    assert!(placed.source.exists(), "no second mount hides {placed:?}");
                }
                nix::mount::umount(dir.path()).unwrap();
            }
        }
        let on_disk = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(on_disk, 0, "nothing reached the disk");
    }
}
