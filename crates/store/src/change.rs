//! What did change: the feed that every stage and watcher lives on.

use std::collections::VecDeque;
use std::sync::Arc;

use types::{
    Cluster, Config, Extension, Network, Node, Resource, Secret, Service, Task, Timestamp, Volume,
};

use crate::digest::Digest;
use crate::error::Kind;

/// An object before and after a transaction.
#[derive(Debug, Clone)]
pub struct Diff<T> {
    /// Before; `None` when it was created.
    pub old: Option<Arc<T>>,
    /// After; `None` when it was removed.
    pub new: Option<Arc<T>>,
}

impl<T> Diff<T> {
    /// The object as it is, or as it last was.
    ///
    /// # Panics
    /// Never: a change has a before or an after.
    pub fn latest(&self) -> &Arc<T> {
        self.new
            .as_ref()
            .or(self.old.as_ref())
            .expect("a change has a before or an after")
    }
}

macro_rules! changes {
    ($($kind:ident,)+) => {
        /// One changed object.
        #[derive(Debug, Clone)]
        pub enum Change {
            $(
                #[doc = concat!("A ", stringify!($kind), " changed.")]
                $kind(Diff<$kind>),
            )+
        }

        impl Change {
            /// Kind of the object.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)+
                }
            }

            /// Takes the change into account in a digest of the tables.
            pub(crate) fn count(&self, digest: &mut Digest) {
                match self {
                    $(Self::$kind(diff) => {
                        diff.old.iter().for_each(|old| digest.take(&**old));
                        diff.new.iter().for_each(|new| digest.add(&**new));
                    })+
                }
            }

            /// Whether the object was created.
            pub fn is_create(&self) -> bool {
                match self {
                    $(Self::$kind(diff) => diff.old.is_none(),)+
                }
            }

            /// Whether the object was removed.
            pub fn is_remove(&self) -> bool {
                match self {
                    $(Self::$kind(diff) => diff.new.is_none(),)+
                }
            }
        }

        $(
            impl From<Diff<$kind>> for Change {
                fn from(diff: Diff<$kind>) -> Self {
                    Self::$kind(diff)
                }
            }
        )+
    };
}

changes! {
    Cluster,
    Node,
    Service,
    Task,
    Network,
    Secret,
    Config,
    Volume,
    Extension,
    Resource,
}

/// The changes of one transaction, in order.
#[derive(Debug)]
pub struct Commit {
    /// Version of the tables that it made.
    pub version: u64,
    /// When the transaction was made.
    pub at: Timestamp,
    /// What changed.
    pub changes: Vec<Change>,
}

/// The latest commits, bounded by the number of changes they hold.
///
/// A reader remembers the last version it has seen. One that fell behind the bound is told so
/// and starts again from a fresh state; nothing is buffered for it.
#[derive(Debug)]
pub struct History {
    commits: VecDeque<Arc<Commit>>,
    changes: usize,
    changes_max: usize,
    version: u64,
}

/// What a reader of the history gets.
#[derive(Debug, Clone)]
pub enum Resume {
    /// The commits after the version it named; empty when it is up to date.
    Commits(Vec<Arc<Commit>>),
    /// Some of them are no longer kept: read the state afresh.
    Compacted,
}

impl History {
    /// An empty history of tables at `version`, keeping at most about `changes_max` changes.
    pub fn new(version: u64, changes_max: usize) -> Self {
        Self {
            commits: VecDeque::new(),
            changes: 0,
            changes_max,
            version,
        }
    }

    /// The latest version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Adds a commit; it must follow the latest one.
    pub fn push(&mut self, commit: Arc<Commit>) {
        assert_eq!(
            commit.version,
            self.version + 1,
            "commits are pushed in order"
        );
        self.version = commit.version;
        self.changes += commit.changes.len();
        self.commits.push_back(commit);
        while self.changes > self.changes_max && self.commits.len() > 1 {
            if let Some(oldest) = self.commits.pop_front() {
                self.changes -= oldest.changes.len();
            }
        }
    }

    /// The commits after `version`, at most `limit`.
    pub fn after(&self, version: u64, limit: usize) -> Resume {
        if version >= self.version {
            return Resume::Commits(Vec::new());
        }
        let first = self.commits.front().map_or(self.version + 1, |c| c.version);
        if version + 1 < first {
            return Resume::Compacted;
        }
        let skip = usize::try_from(version + 1 - first).unwrap_or(usize::MAX);
        Resume::Commits(
            self.commits
                .iter()
                .skip(skip)
                .take(limit)
                .cloned()
                .collect(),
        )
    }
}
