//! Leaving a cluster: its tasks end here, and the state directory forgets it. The node object
//! stays until a manager removes it.

use std::path::Path;
use std::sync::Arc;

use executor::Executor;
use pki::files::{CHAIN_FILE, KEY_FILE, ROOT_FILE};
use storage::StateDir;
use types::{NodeId, NodeRole, TaskId};

use crate::error::NodeError;
use crate::files::{self, ROOT_KEY_FILE};

/// What leaving has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The cluster that was left.
    pub cluster: String,
    /// Where the replicated log was set aside, if there was one.
    pub log_set_aside: Option<String>,
    /// Tasks that were stopped and removed.
    pub tasks_removed: usize,
    /// Why tasks may run on, if `force` was given.
    pub tasks_left: Option<String>,
}

/// Makes a stopped node forget its cluster. A manager must be demoted first, or `force` given.
/// `executor` is what ran its tasks, or why that cannot be used.
///
/// # Errors
/// If the node runs, is a manager without `force`, belongs to no cluster, or its tasks cannot be
/// stopped, without `force`.
pub async fn leave(
    state_dir: &Path,
    force: bool,
    executor: Result<Arc<dyn Executor>, String>,
) -> Result<Left, NodeError> {
    files::must_exist(state_dir)?;
    let dir = StateDir::open(state_dir)?;
    let shown = || dir.root().display().to_string();
    let cluster = dir
        .cluster_id()?
        .ok_or_else(|| NodeError::NotMember { dir: shown() })?;
    let identity = files::load(&dir).ok().and_then(|f| f.claimed());
    if identity.as_ref().map(|i| i.role) == Some(NodeRole::Manager) && !force {
        return Err(NodeError::LeavesManager { cluster });
    }
    let ended = match (identity, executor) {
        (Some(identity), Ok(executor)) => remove_tasks(&executor, identity.node_id).await,
        (_, Err(why)) => Err(why),
        (None, Ok(_)) => Err("the node's certificate cannot be read".to_owned()),
    };
    let (tasks_removed, tasks_left) = match ended {
        Ok(removed) => (removed, None),
        Err(why) if force => (0, Some(why)),
        Err(why) => return Err(NodeError::TasksLeft { cluster, why }),
    };
    let had_log = dir.raft_log().exists();
    let set_aside = if had_log {
        Some(dir.retire_raft()?)
    } else {
        None
    };
    forget(&dir, tasks_left.is_none())?;
    Ok(Left {
        cluster,
        log_set_aside: set_aside.map(|p| p.display().to_string()),
        tasks_removed,
        tasks_left,
    })
}

/// Stops every task of the node, each with its grace period, and removes it.
async fn remove_tasks(executor: &Arc<dyn Executor>, node: NodeId) -> Result<usize, String> {
    let found = executor.adopt(node).await.map_err(|e| e.to_string())?;
    let count = found.len();
    let mut ending = tokio::task::JoinSet::new();
    for task in found.into_iter().map(|found| found.task_id) {
        let executor = executor.clone();
        ending.spawn(async move { end(executor.as_ref(), task).await });
    }
    while let Some(ended) = ending.join_next().await {
        ended.map_err(|e| e.to_string())??;
    }
    Ok(count)
}

async fn end(executor: &dyn Executor, task: TaskId) -> Result<(), String> {
    executor.stop(task).await.map_err(|e| e.to_string())?;
    executor.remove(task).await.map_err(|e| e.to_string())
}

/// Removes what belongs to the cluster. The records of tasks that could not be stopped are kept:
/// they are what such tasks are found by.
fn forget(dir: &StateDir, tasks_ended: bool) -> Result<(), NodeError> {
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
    if tasks_ended {
        let path = dir.worker();
        std::fs::remove_dir_all(&path).map_err(|source| NodeError::File {
            file: path.display().to_string(),
            source,
        })?;
    }
    dir.remove_small("state.json")?;
    Ok(dir.unbind_cluster()?)
}
