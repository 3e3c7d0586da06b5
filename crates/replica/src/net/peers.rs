//! The links to all peers, and where each of them is.
//!
//! Addresses come from the membership. A member that has just joined, or was restarted before it
//! knew the membership, learns them from its callers: without that it could answer nobody.
//!
//! Never blocks: the raft thread hands messages over and goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use consensus::{Membership, Message, RaftId};
use storage::SnapshotFile;
use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::metadata::errors::InvalidMetadataValue;

use super::guard::Ends;
use super::link::{self, LinkContext, QUEUE_MESSAGES};
use super::{Dial, sender};
use crate::handle::PeerReports;
use crate::peers::Peers;

/// Callers remembered beyond the membership. They are managers with a certificate of the cluster;
/// the bound only stops a bug from growing the table.
const LEARNED_MAX: usize = 256;

/// Peers reached over gRPC.
pub struct GrpcPeers {
    identity: Identity,
    dial: Arc<dyn Dial>,
    runtime: Runtime,
    reports: OnceLock<PeerReports>,
    table: Mutex<Table>,
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
    members: BTreeMap<RaftId, String>,
    learned: BTreeMap<RaftId, String>,
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
        })
    }

    /// Remembers where a member is that the membership may not name yet.
    pub fn learn(&self, member: RaftId, addr: &str) {
        let mut table = self.table();
        let known = table.learned.contains_key(&member);
        if known || table.learned.len() < LEARNED_MAX {
            table.learned.insert(member, addr.to_owned());
        }
    }

    /// Runs `act` on the link to `to`, which is made, or replaced when the address changed.
    /// Without an address the member counts as unreachable.
    fn with_link(&self, to: RaftId, act: impl FnOnce(&mut Link)) -> bool {
        let Some(reports) = self.reports.get() else {
            return false;
        };
        let mut table = self.table();
        let addr = table
            .members
            .get(&to)
            .or_else(|| table.learned.get(&to))
            .cloned();
        let Some(addr) = addr else { return false };
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
        let addr_of = |(id, member): (&RaftId, &consensus::Member)| (*id, member.addr.clone());
        table.members = membership.members.iter().map(addr_of).collect();
        table
            .learned
            .retain(|id, _| !membership.removed.contains(id));
        let Table {
            members,
            learned,
            links,
        } = &mut *table;
        links.retain(|id, _| members.contains_key(id) || learned.contains_key(id));
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
