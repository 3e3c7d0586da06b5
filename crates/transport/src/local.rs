//! The local control socket. Whoever can open it acts as the node: the file system protects it.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tracing::warn;

use crate::connection::{Closer, Connection};
use crate::listener::{BindError, Incoming};

/// Mode of directories made for the socket.
const DIRECTORY_MODE: u32 = 0o700;
/// Mode of the socket itself.
const SOCKET_MODE: u32 = 0o600;
/// Pause after the system refuses to accept.
const ACCEPT_RETRY_MS: u64 = 100;

/// A bound unix socket. Its file goes away when the listener does.
#[derive(Debug)]
pub struct LocalListener {
    unix: UnixListener,
    file: SocketFile,
}

/// Removes the socket's file when dropped, unless another process has put its own there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

// === impl LocalListener ===

impl LocalListener {
    /// Binds a path. Missing directories are made with mode 0700; a socket that nobody answers is
    /// replaced.
    ///
    /// # Errors
    /// [`BindError::Answered`] if a process serves the socket, or what the system says.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let shown = path.display().to_string();
        let failed = |source| BindError::new(shown.clone(), source);
        if let Some(directory) = path.parent() {
            let mut builder = std::fs::DirBuilder::new();
            builder
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(directory)
                .map_err(failed)?;
        }
        check_free(path, &shown).await?;
        // Bound under another name and renamed, so that it is never seen with a wider mode.
        let temporary = path.with_extension(format!("new-{}", std::process::id()));
        drop(std::fs::remove_file(&temporary));
        let unix = UnixListener::bind(&temporary).map_err(failed)?;
        let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
        std::fs::set_permissions(&temporary, mode).map_err(failed)?;
        std::fs::rename(&temporary, path).map_err(failed)?;
        let inode = std::fs::metadata(path).map_err(failed)?.ino();
        Ok(Self {
            unix,
            file: SocketFile {
                path: path.to_owned(),
                inode,
            },
        })
    }

    /// Starts accepting.
    #[must_use]
    pub fn incoming(self) -> Incoming {
        Incoming::start(|ready, closer| self.accept(ready, closer))
    }

    /// Runs until it is aborted or the server is gone.
    async fn accept(self, ready: mpsc::Sender<Connection>, closer: Closer) {
        loop {
            match self.unix.accept().await {
                Ok((stream, _)) => {
                    if ready
                        .send(Connection::local(stream, &closer))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Err(error) => {
                    warn!(%error, path = %self.file.path.display(), "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                }
            }
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if ours {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

async fn check_free(path: &Path, shown: &str) -> Result<(), BindError> {
    match UnixStream::connect(path).await {
        Ok(_) => Err(BindError::Answered {
            addr: shown.to_owned(),
        }),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                let other = std::fs::symlink_metadata(path).is_ok_and(|found| {
                    use std::os::unix::fs::FileTypeExt;
                    !found.file_type().is_socket()
                });
                if other {
                    let source = io::Error::other("a file that is not a socket is there");
                    return Err(BindError::new(shown.to_owned(), source));
                }
                Ok(())
            }
            _ => Err(BindError::new(shown.to_owned(), error)),
        },
    }
}
