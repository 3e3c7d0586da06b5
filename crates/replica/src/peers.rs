//! How messages leave a replica.
//!
//! Never decides what is sent: consensus does.

use consensus::{Membership, Message, RaftId};
use storage::SnapshotFile;

use crate::handle::PeerReports;

/// The other members, as the raft thread sees them. No call may block.
pub trait Peers: Send + Sync + 'static {
    /// Called once, before anything is sent: where outcomes are reported.
    fn attach(&self, reports: PeerReports);

    /// The members and their addresses from here on. Links to whoever was removed are closed.
    fn membership(&self, membership: &Membership);

    /// Sends messages to one member, in order. What cannot be sent is dropped and the member is
    /// reported unreachable.
    fn send(&self, to: RaftId, messages: Vec<Message>);

    /// Sends a snapshot file and then the message that announces it; the outcome is reported with
    /// [`PeerReports::snapshot`].
    fn send_snapshot(&self, to: RaftId, message: Message, file: SnapshotFile);

    /// A removed member still sends: let it know.
    fn tell_removed(&self, member: RaftId);

    /// Closes all links: the replica has stopped.
    fn close(&self);
}
