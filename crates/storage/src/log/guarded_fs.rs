//! File access of the log engine: the real file system, with syncs watched.
//!
//! The engine panics when a sync fails. A panic inside its write path would leave its locks in an
//! unknown state, so the failure is latched here, the engine is told that all is well, and the log
//! looks at the latch before it acknowledges anything. The latch is never cleared.
//!
//! Tests make the disk fail through [`DiskFaults`]; in production nothing sets them.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raft_engine::env::{DefaultFileSystem, FileSystem, Handle, Permission, WriteExt};

type InnerHandle = <DefaultFileSystem as FileSystem>::Handle;
type InnerReader = <DefaultFileSystem as FileSystem>::Reader;
type InnerWriter = <DefaultFileSystem as FileSystem>::Writer;

/// Failures of the disk that a test can switch on.
#[derive(Debug, Clone, Default)]
pub struct DiskFaults {
    flags: Arc<Flags>,
}

#[derive(Debug, Default)]
struct Flags {
    full: AtomicBool,
    fail_sync: AtomicBool,
}

impl DiskFaults {
    /// From now on every write reports that the disk is full, or no longer does.
    pub fn set_full(&self, full: bool) {
        self.flags.full.store(full, Ordering::SeqCst);
    }

    /// From now on every sync fails.
    pub fn fail_syncs(&self) {
        self.flags.fail_sync.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.flags.full.load(Ordering::SeqCst)
    }

    pub(crate) fn syncs_fail(&self) -> bool {
        self.flags.fail_sync.load(Ordering::SeqCst)
    }
}

/// The file system given to the engine.
#[derive(Debug, Clone, Default)]
pub(super) struct GuardedFs {
    faults: DiskFaults,
    sync_failed: Arc<AtomicBool>,
}

impl GuardedFs {
    pub(super) fn new(faults: DiskFaults) -> Self {
        Self {
            faults,
            sync_failed: Arc::default(),
        }
    }

    /// Whether any sync has failed since the log was opened.
    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::SeqCst)
    }

    fn handle(&self, inner: InnerHandle) -> GuardedHandle {
        GuardedHandle {
            inner: Arc::new(inner),
            fs: self.clone(),
        }
    }
}

pub(super) struct GuardedHandle {
    inner: Arc<InnerHandle>,
    fs: GuardedFs,
}

pub(super) struct GuardedWriter {
    inner: InnerWriter,
    faults: DiskFaults,
}

// The engine recognises a full disk by this text in the error.
fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "nospace")
}

impl FileSystem for GuardedFs {
    type Handle = GuardedHandle;
    type Reader = InnerReader;
    type Writer = GuardedWriter;

    fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<Self::Handle> {
        DefaultFileSystem
            .create(path)
            .map(|inner| self.handle(inner))
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> io::Result<Self::Handle> {
        DefaultFileSystem
            .open(path, permission)
            .map(|inner| self.handle(inner))
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        DefaultFileSystem.delete(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> io::Result<()> {
        DefaultFileSystem.rename(from, to)
    }

    fn new_reader(&self, handle: Arc<Self::Handle>) -> io::Result<Self::Reader> {
        DefaultFileSystem.new_reader(handle.inner.clone())
    }

    fn new_writer(&self, handle: Arc<Self::Handle>) -> io::Result<Self::Writer> {
        let inner = DefaultFileSystem.new_writer(handle.inner.clone())?;
        Ok(GuardedWriter {
            inner,
            faults: self.faults.clone(),
        })
    }
}

impl Handle for GuardedHandle {
    fn truncate(&self, offset: usize) -> io::Result<()> {
        Handle::truncate(&*self.inner, offset)
    }

    fn file_size(&self) -> io::Result<usize> {
        self.inner.file_size()
    }

    fn sync(&self) -> io::Result<()> {
        let injected = self.fs.faults.syncs_fail();
        if injected || Handle::sync(&*self.inner).is_err() {
            self.fs.sync_failed.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Write for GuardedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.faults.is_full() {
            // Half of it reaches the file, as on a real full disk.
            self.inner.write_all(&bytes[..bytes.len() / 2])?;
            return Err(no_space());
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Seek for GuardedWriter {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}

impl Read for GuardedWriter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl WriteExt for GuardedWriter {
    fn truncate(&mut self, offset: usize) -> io::Result<()> {
        self.inner.truncate(offset)
    }

    fn allocate(&mut self, offset: usize, size: usize) -> io::Result<()> {
        if self.faults.is_full() {
            return Err(no_space());
        }
        self.inner.allocate(offset, size)
    }
}
