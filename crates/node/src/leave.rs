//! Leaving a cluster: the state directory forgets it. The node object stays until a manager
//! removes it.

use std::path::Path;

use pki::files::{CHAIN_FILE, KEY_FILE, ROOT_FILE};
use storage::StateDir;
use types::NodeRole;

use crate::error::NodeError;
use crate::files::{self, ROOT_KEY_FILE};

/// What leaving would mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The cluster that was left.
    pub cluster: String,
    /// Where the replicated log was set aside, if there was one.
    pub log_set_aside: Option<String>,
}

/// Makes a stopped node forget its cluster. A manager must be demoted first, or `force` given.
///
/// # Errors
/// If the node runs, is a manager without `force`, or belongs to no cluster.
pub fn leave(state_dir: &Path, force: bool) -> Result<Left, NodeError> {
    let dir = StateDir::open(state_dir)?;
    let shown = || dir.root().display().to_string();
    let cluster = dir
        .cluster_id()?
        .ok_or_else(|| NodeError::NotMember { dir: shown() })?;
    let role = files::load(&dir)
        .ok()
        .and_then(|f| f.claimed())
        .map(|i| i.role);
    if role == Some(NodeRole::Manager) && !force {
        return Err(NodeError::Identity(format!(
            "this node is a manager of cluster {cluster}: demote it first with `swarmctl node \
             demote`, or give --force to leave a cluster that is lost or has no other node"
        )));
    }
    let had_log = dir.raft_log().exists();
    let set_aside = if had_log {
        Some(dir.retire_raft()?)
    } else {
        None
    };
    for name in [ROOT_FILE, CHAIN_FILE, KEY_FILE, ROOT_KEY_FILE] {
        let path = dir.certificates().join(name);
        if let Err(source) = std::fs::remove_file(&path)
            && source.kind() != std::io::ErrorKind::NotFound
        {
            return Err(NodeError::File {
                file: path.display().to_string(),
                source,
            });
        }
    }
    dir.remove_small("state.json")?;
    dir.unbind_cluster()?;
    Ok(Left {
        cluster,
        log_set_aside: set_aside.map(|p| p.display().to_string()),
    })
}
