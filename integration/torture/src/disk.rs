//! A small disk of its own for one node's state, which can be filled up.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

/// Room on the disk: several times what a raft log of a small cluster and its reserves take.
const DISK_BYTES: &str = "size=192m";
/// File that takes the room away.
const FILLER: &str = "filler";
/// What is written at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// A mounted disk; gone when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Whether this process may mount disks.
    pub(crate) fn is_possible() -> bool {
        nix::unistd::geteuid().is_root()
    }

    /// Makes a directory that is a disk. Hosts that are made afterwards see it, and after a power
    /// cut find what was on it.
    pub(crate) fn mount() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("disk-")
            .tempdir_in("/tmp")?;
        mount(
            Some("tmpfs"),
            dir.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some(DISK_BYTES),
        )
        .with_context(|| format!("mount a disk at {}", dir.path().display()))?;
        Ok(Self { dir })
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.dir().join(FILLER))?;
        let chunk = [0_u8; CHUNK_BYTES];
        loop {
            match file.write_all(&chunk) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        let file = self.dir().join(FILLER);
        ensure!(file.exists(), "the disk was not full");
        Ok(std::fs::remove_file(file)?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Detached: processes that still hold files of it are about to be killed.
        if let Err(error) = umount2(self.dir(), MntFlags::MNT_DETACH) {
            eprintln!("the disk at {} stays: {error}", self.dir().display());
        }
    }
}
