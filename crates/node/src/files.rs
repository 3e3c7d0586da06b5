//! The node's identity on disk: certificates, key, and the seed of a cluster that is being founded.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pki::files::{
    CERTIFICATE_MODE, CHAIN_FILE, CredentialsError, KEY_FILE, KEY_MODE, NodeCredentials, ROOT_FILE,
};
use pki::{ChainError, Identity, NodeChain, PrivateKeyPem};
use storage::StateDir;
use types::Timestamp;

use crate::error::NodeError;

/// Key of the root certificate, kept only until the cluster's tables hold it.
pub const ROOT_KEY_FILE: &str = "swarm-root-ca.key";

/// How the names of logs that were set aside begin.
const RETIRED_LOG: &str = "raft.retired";

/// A state directory to go on with must be there: a mistyped one is not made.
///
/// # Errors
/// If it is not.
pub fn must_exist(state_dir: &Path) -> Result<(), NodeError> {
    match state_dir.exists() {
        true => Ok(()),
        false => Err(NodeError::NotMember {
            dir: state_dir.display().to_string(),
        }),
    }
}

/// Reads a file that must be there.
///
/// # Errors
/// If it is missing or cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, NodeError> {
    let file = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(NodeError::MissingFile { file }),
        Err(source) => Err(NodeError::File { file, source }),
    }
}

/// Writes a file so that it is there whole or not at all, with its mode from the start.
///
/// # Errors
/// If the file system refuses.
pub fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), NodeError> {
    let failed = |source| NodeError::File {
        file: path.display().to_string(),
        source,
    };
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(&temporary).map_err(failed)?;
    std::io::Write::write_all(&mut file, content).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    storage::sync_dir(dir).map_err(failed)
}

/// Stores roots, chain and key. The key goes first: a chain without its key is worthless, a key
/// without a chain is replaced.
///
/// # Errors
/// If the file system refuses.
pub fn store(dir: &StateDir, node: &NodeCredentials) -> Result<(), NodeError> {
    let at = |name: &str| dir.certificates().join(name);
    write(&at(ROOT_FILE), CERTIFICATE_MODE, node.roots.pem())?;
    write(&at(KEY_FILE), KEY_MODE, node.key.expose().as_bytes())?;
    write(
        &at(CHAIN_FILE),
        CERTIFICATE_MODE,
        node.chain.pem().as_bytes(),
    )
}

/// Removes logs that were set aside. A worker must not keep what managers know: they hold the
/// root's key and every secret. The other managers have all of it.
///
/// # Errors
/// If the file system refuses.
pub fn remove_retired_logs(dir: &StateDir) -> Result<(), NodeError> {
    let failed = |path: &Path, source| NodeError::File {
        file: path.display().to_string(),
        source,
    };
    let root = dir.root();
    for entry in fs::read_dir(root).map_err(|e| failed(root, e))? {
        let path = entry.map_err(|e| failed(root, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(RETIRED_LOG) {
            fs::remove_dir_all(&path).map_err(|e| failed(&path, e))?;
        }
    }
    Ok(())
}

/// What the certificate files hold, unchecked.
pub struct StoredFiles {
    /// Roots, PEM.
    pub roots: Vec<u8>,
    /// Chain, PEM.
    pub chain: String,
    /// Key.
    pub key: PrivateKeyPem,
}

/// Reads the certificate files.
///
/// # Errors
/// If one is missing or cannot be read.
pub fn load(dir: &StateDir) -> Result<StoredFiles, NodeError> {
    let at = |name: &str| dir.certificates().join(name);
    let text = |path: PathBuf| read(&path).map(|b| String::from_utf8_lossy(&b).into_owned());
    Ok(StoredFiles {
        roots: read(&at(ROOT_FILE))?,
        chain: text(at(CHAIN_FILE))?,
        key: PrivateKeyPem::new(text(at(KEY_FILE))?),
    })
}

impl StoredFiles {
    /// Checks that the files fit each other and the present.
    ///
    /// # Errors
    /// If they do not; an expired certificate among them.
    pub fn check(self, now: Timestamp) -> Result<NodeCredentials, NodeError> {
        let claimed = self.claimed();
        let checked = NodeCredentials::check(&self.roots, &self.chain, self.key, now);
        checked.map_err(|error| match (error, claimed) {
            (CredentialsError::Refused(ChainError::Clock(_)), Some(claimed)) => {
                out_of_time(&claimed, now)
            }
            (error, _) => NodeError::Credentials(error),
        })
    }

    /// The same for a certificate that may have expired: the moment of its own end stands in for
    /// the present.
    ///
    /// # Errors
    /// If the files do not fit each other.
    pub fn check_but_clock(self) -> Result<NodeCredentials, NodeError> {
        let end = self.claimed().map(|identity| identity.not_after);
        let now = manager::clock::now();
        self.check(end.map_or(now, |end| end.min(now)))
    }

    /// Who the chain says this node is, without checking it.
    pub fn claimed(&self) -> Option<Identity> {
        NodeChain::parse(&self.chain).ok()?.claimed_identity().ok()
    }
}

/// A certificate whose time this is not, with both times.
fn out_of_time(claimed: &Identity, now: Timestamp) -> NodeError {
    let shown = crate::skew::shown;
    match now < claimed.not_before {
        true => NodeError::NotYetValid {
            begin: shown(claimed.not_before),
            now: shown(now),
        },
        false => NodeError::Expired {
            end: shown(claimed.not_after),
            now: shown(now),
        },
    }
}
