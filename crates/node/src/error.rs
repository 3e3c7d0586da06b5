//! Why a node cannot start or go on. Each text says what was attempted, what is wrong, what to do.

use crate::skew::Skew;
use pki::files::CredentialsError;
use storage::StateDirError;
use transport::{BindError, DialError, ReplaceError};

/// Why a node cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// `init` or `join` over an existing node.
    #[error(
        "cannot {action}: {dir} already belongs to cluster {cluster}; start it with `swarmd run`, \
         leave with `swarmd leave`, or choose another --state-dir"
    )]
    AlreadyMember {
        /// `init` or `join`.
        action: &'static str,
        /// The state directory.
        dir: String,
        /// Its cluster.
        cluster: String,
    },
    /// `run` without a node.
    #[error("cannot start: {dir} belongs to no cluster; use `swarmd init` or `swarmd join`")]
    NotMember {
        /// The state directory.
        dir: String,
    },
    /// A file of the node's identity is missing.
    #[error(
        "cannot start: {file} is missing from the state directory; restore it, or leave with \
             `swarmd leave` and join again"
    )]
    MissingFile {
        /// The file.
        file: String,
    },
    /// A file cannot be read or written.
    #[error("cannot use {file}: {source}")]
    File {
        /// The file.
        file: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// The node's certificate cannot be used.
    #[error("{0}; {advice}", advice = advice(.0))]
    Credentials(#[source] CredentialsError),
    /// The node's certificate has expired, by this machine's clock.
    #[error(
        "cannot start: this node's certificate expired at {end}, and this machine's clock says \
         {now}; if the clock is right, the node was away for too long: `swarmd leave` and `swarmd \
         join` again (on the last manager `swarmd run --force-new-cluster`); if not, set the clock"
    )]
    Expired {
        /// When it ended.
        end: String,
        /// What the clock says.
        now: String,
    },
    /// The node's certificate is not valid yet, by this machine's clock.
    #[error(
        "cannot start: this node's certificate is valid from {begin} on, and this machine's clock \
         says {now}: set the clock (best by NTP), then start again"
    )]
    NotYetValid {
        /// When it begins.
        begin: String,
        /// What the clock says.
        now: String,
    },
    /// The TLS library refuses the certificate.
    #[error(transparent)]
    Tls(#[from] ReplaceError),
    /// Something cannot be made for a new identity.
    #[error("cannot make the node's identity: {0}")]
    Identity(String),
    /// The token is none, or not for this cluster.
    #[error("cannot join: {0}")]
    Token(String),
    /// No manager could be reached.
    #[error("cannot join through {addr}: {source}")]
    Dial {
        /// The address given.
        addr: String,
        /// Why.
        source: DialError,
    },
    /// A manager refused.
    #[error("cannot join through {addr}: {text}")]
    Refused {
        /// The address given.
        addr: String,
        /// The manager's words.
        text: String,
    },
    /// An address is none.
    #[error("{flag} {value:?}: {why}")]
    Address {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The manager cannot start.
    #[error(transparent)]
    Manager(#[from] manager::StartError),
    /// The manager ended by itself.
    #[error("the manager of this node cannot go on: {0}")]
    ManagerFailed(String),
    /// The node was removed from its cluster.
    #[error(
        "this node was removed from its cluster{}; `swarmd leave` makes it forget it, after which \
         it can join again", left_behind(.tasks_left)
    )]
    Removed {
        /// Tasks that could not be stopped and removed.
        tasks_left: usize,
    },
    /// The clock is too far from those of the managers.
    #[error(transparent)]
    Clock(Skew),
    /// The agent cannot start.
    #[error("the agent cannot start: {0}")]
    Agent(String),
    /// A manager is to leave.
    #[error(
        "cannot leave: this node is a manager of cluster {cluster}; demote it first with \
         `swarmctl node demote`, or give --force to leave a cluster that is lost or has no other \
         node"
    )]
    LeavesManager {
        /// The cluster.
        cluster: String,
    },
    /// The replicated log of the only manager is gone.
    #[error(
        "cannot start: {dir} holds no replicated log, and no other manager is known to get it \
         from; restore it from a backup, or leave with `swarmd leave --force` and start over"
    )]
    LostLog {
        /// Directory of the log.
        dir: String,
    },
    /// A node that is to leave may have tasks that cannot be stopped.
    #[error(
        "cannot leave cluster {cluster}: its tasks may run on, {why}; see to that, or give --force \
         to leave them as they are"
    )]
    TasksLeft {
        /// The cluster.
        cluster: String,
        /// What keeps them from being stopped.
        why: String,
    },
    /// The node was not ready in time.
    #[error("the node was not ready after {secs} s: {waiting_for}")]
    NotReady {
        /// How long it took.
        secs: u64,
        /// What was missing.
        waiting_for: String,
    },
}

fn left_behind(tasks: &usize) -> String {
    match tasks {
        0 => ", and its tasks were stopped".to_owned(),
        n => format!(", but {n} of its tasks could not be stopped"),
    }
}

fn advice(error: &CredentialsError) -> &'static str {
    match error {
        CredentialsError::Refused(pki::ChainError::Clock(_)) => "check the clock",
        _ => "restore the file, or leave with `swarmd leave` and join again",
    }
}
