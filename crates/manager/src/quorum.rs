//! What the rest of the manager needs to know of, and ask from, the replicated log.

use std::future::Future;
use std::pin::Pin;

use control::Member;
use types::NodeId;

/// A future that a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where this manager stands in the replicated log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Newest term it knows.
    pub term: u64,
    /// Highest index it knows to be committed.
    pub committed: u64,
    /// Highest index in its tables.
    pub applied: u64,
    /// What is wrong with its disk, in words.
    pub disk_trouble: Option<String>,
}

/// The managers of a cluster and their agreement.
pub trait Quorum: Send + Sync + 'static {
    /// All members.
    fn members(&self) -> Vec<Member>;

    /// Where this manager stands.
    fn standing(&self) -> Standing;

    /// Lets a node's manager in at `addr` and returns its id in the log. It receives the log at
    /// once and votes when it has caught up.
    ///
    /// # Errors
    /// In words, if it is refused or does not happen in time.
    fn join(&self, node: NodeId, addr: String) -> BoxFuture<'_, Result<u64, String>>;

    /// Waits until this manager's tables hold every write that was acknowledged before the call.
    ///
    /// # Errors
    /// In words, if this manager cannot find that out.
    fn read_barrier(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Removes a member.
    ///
    /// # Errors
    /// In words, if it is refused or does not happen in time.
    fn remove(&self, raft_id: u64) -> BoxFuture<'_, Result<(), String>>;

    /// Hands leadership to another member, to `to` if it is given.
    ///
    /// # Errors
    /// In words, if nobody takes it in time.
    fn transfer(&self, to: Option<u64>) -> BoxFuture<'_, Result<(), String>>;
}
