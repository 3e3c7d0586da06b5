//! The links to all peers.
//!
//! Never blocks: the raft thread hands messages over and goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use consensus::{Membership, Message, RaftId};
use storage::SnapshotFile;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::metadata::errors::InvalidMetadataValue;

use super::book::{Addresses, Book};
use super::guard::Ends;
use super::link::{self, LinkContext, QUEUE_MESSAGES};
use super::{Dial, sender};
use crate::handle::PeerReports;
use crate::peers::Peers;

/// Peers reached over gRPC.
pub struct GrpcPeers {
    identity: Identity,
    dial: Arc<dyn Dial>,
    runtime: Runtime,
    reports: OnceLock<PeerReports>,
    table: Mutex<Table>,
    moved: watch::Sender<Addresses>,
}

/// Who this member is to its peers.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The cluster; plain text, as ids are.
    pub cluster_id: String,
    /// This member.
    pub raft_id: RaftId,
    /// Where its peers reach it, `host:port`.
    pub addr: String,
}

#[derive(Default)]
struct Table {
    book: Book,
    links: BTreeMap<RaftId, Link>,
}

struct Link {
    context: LinkContext,
    queue: mpsc::Sender<Message>,
    snapshot: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for GrpcPeers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcPeers")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

// === impl GrpcPeers ===

impl GrpcPeers {
    /// Links of one member. Must be called inside a tokio runtime, which then runs the links.
    pub fn new(identity: Identity, dial: Arc<dyn Dial>) -> Result<Self, InvalidMetadataValue> {
        // Checked here so that no request can fail on it later.
        Ends::new(&identity, identity.raft_id)?;
        Ok(Self {
            identity,
            dial,
            runtime: Runtime::current(),
            reports: OnceLock::new(),
            table: Mutex::default(),
            moved: watch::Sender::default(),
        })
    }

    /// Remembers where a member is that the membership may not name yet.
    pub(super) fn learn(&self, member: RaftId, addr: &str) {
        self.table().book.learn(member, addr);
    }

    /// A member of the log says itself where it is.
    pub(super) fn told(&self, member: RaftId, addr: &str) {
        let mut table = self.table();
        table.book.told(member, addr);
        self.show_moved(&table);
    }

    /// Others say where a member of the log is.
    pub(super) fn heard(&self, member: RaftId, addr: &str) {
        self.table().book.heard(member, addr);
    }

    /// Members that say that they are elsewhere than the membership has them, and every change of
    /// it: what the leader is to record.
    pub fn moved(&self) -> watch::Receiver<Addresses> {
        self.moved.subscribe()
    }

    /// Under the lock of the table, so that the newest is shown last.
    fn show_moved(&self, table: &Table) {
        self.moved.send_if_modified(|shown| {
            let differs = shown != table.book.moved();
            if differs {
                shown.clone_from(table.book.moved());
            }
            differs
        });
    }

    /// Runs `act` on the link to `to`, which is made, or replaced when the address changed.
    /// Without an address the member counts as unreachable.
    fn with_link(&self, to: RaftId, act: impl FnOnce(&mut Link)) -> bool {
        let Some(reports) = self.reports.get() else {
            return false;
        };
        let mut table = self.table();
        let Some(addr) = table.book.find(to).cloned() else {
            return false;
        };
        if table
            .links
            .get(&to)
            .is_none_or(|link| link.context.addr != addr)
        {
            let Ok(ends) = Ends::new(&self.identity, to) else {
                return false;
            };
            let (dial, reports) = (self.dial.clone(), reports.clone());
            let context = LinkContext {
                ends,
                addr,
                dial,
                reports,
            };
            table.links.insert(to, Link::start(&self.runtime, context));
        }
        table.links.get_mut(&to).map(act).is_some()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report_unreachable(&self, member: RaftId) {
        if let Some(reports) = self.reports.get() {
            reports.unreachable(member);
        }
    }
}

impl Peers for GrpcPeers {
    fn attach(&self, reports: PeerReports) {
        // A second replica on the same peers would send under the wrong id; it gets no reports and
        // therefore no links.
        let _first = self.reports.set(reports);
    }

    fn membership(&self, membership: &Membership) {
        let mut table = self.table();
        table.book.follow(membership);
        self.show_moved(&table);
        let Table { book, links } = &mut *table;
        links.retain(|id, _| book.knows(*id));
    }

    fn send(&self, to: RaftId, messages: Vec<Message>) {
        let mut queued = true;
        let linked = self.with_link(to, |link| {
            for message in messages {
                queued &= link.queue.try_send(message).is_ok();
            }
        });
        if !linked || !queued {
            self.report_unreachable(to);
        }
    }

    fn send_snapshot(&self, to: RaftId, message: Message, file: SnapshotFile) {
        let linked = self.with_link(to, |link| {
            if let Some(previous) = link.snapshot.take() {
                previous.abort();
            }
            let transfer = sender::run(link.context.clone(), message, file);
            link.snapshot = Some(self.runtime.spawn(transfer));
        });
        if !linked && let Some(reports) = self.reports.get() {
            reports.snapshot(to, false);
        }
    }

    fn tell_removed(&self, _member: RaftId) {
        // The service answers on the removed member's own stream.
    }

    fn close(&self) {
        self.table().links.clear();
    }
}

// === impl Link ===

impl Link {
    fn start(runtime: &Runtime, context: LinkContext) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE_MESSAGES);
        runtime.spawn(link::run(context.clone(), receiver));
        Self {
            context,
            queue,
            snapshot: None,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The task of the messages ends by itself once its queue is closed and empty, so that the
        // last message to a removed member (which tells it of its removal) still leaves.
        if let Some(snapshot) = self.snapshot.take() {
            snapshot.abort();
        }
    }
}
