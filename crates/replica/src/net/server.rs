//! The receiving side: messages are stepped in order, snapshot files are received, checked and
//! handed to consensus.
//!
//! Never accepts a message whose sender, receiver or cluster differs from what its call claims.

use std::sync::Arc;

use consensus::{Message, MessageKind, RaftId};
use storage::{SnapshotError, SnapshotReceiver, SnapshotStore};
use tokio::sync::Mutex;
use tonic::{Extensions, Request, Response, Status, Streaming};
use wire::swarm::v1::raft_transport_server::{RaftTransport, RaftTransportServer};
use wire::swarm::v1::{
    RaftMessageBatch, RaftMessagesEnd, RaftSnapshotChunk, RaftSnapshotId, RaftSnapshotProgress,
};

use super::{GrpcPeers, convert, guard};
use crate::handle::Handle;

/// Largest message on the wire. A batch holds a mebibyte of entries and at most one message more,
/// which is no larger than an entry of two mebibytes; the rest is room.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// The node whose certificate a call came with, if it came with one.
pub type NodeOf = fn(&Extensions) -> Option<String>;

/// The gRPC service of one replica.
#[derive(Clone)]
pub struct RaftService {
    handle: Handle,
    cluster_id: Arc<str>,
    peers: Arc<GrpcPeers>,
    node_of: NodeOf,
    snapshots: SnapshotStore,
    /// One transfer at a time: there is one leader, and a newer transfer replaces an older one.
    receiving: Arc<Mutex<()>>,
}

impl std::fmt::Debug for RaftService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RaftService")
            .field("cluster_id", &self.cluster_id)
            .finish_non_exhaustive()
    }
}

impl RaftService {
    /// The service of `handle`, for members of `cluster_id` only. `peers` are told where callers
    /// are; where a member of the log is, only its own node may say, which `node_of` tells.
    pub fn new(handle: Handle, cluster_id: &str, peers: Arc<GrpcPeers>, node_of: NodeOf) -> Self {
        let snapshots = handle.snapshots();
        let cluster_id = cluster_id.into();
        Self {
            handle,
            cluster_id,
            peers,
            node_of,
            snapshots,
            receiving: Arc::default(),
        }
    }

    /// The service with the message limit that peers rely on.
    pub fn into_server(self) -> RaftTransportServer<Self> {
        RaftTransportServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Others say where the member of a node is. For a replica that nobody answers because what it
    /// knows of the others is outdated, as theirs of it: it tells them where it is by calling them.
    pub fn heard(&self, node_id: &str, addr: &str) {
        let status = self.handle.status_now();
        let own = status.id;
        let member = status.membership.member_of_node(node_id);
        if let Some(member) = member.filter(|m| m.raft_id != own) {
            self.peers.heard(member.raft_id, addr);
        }
    }

    fn check<T>(&self, request: &Request<T>) -> Result<RaftId, Status> {
        let status = self.handle.status_now();
        let membership = &status.membership;
        let caller = guard::check(request.metadata(), &self.cluster_id, status.id, membership)?;
        let (id, addr) = (caller.raft_id, &caller.addr);
        match membership.members.get(&id) {
            _ if addr.is_empty() => {}
            None => self.peers.learn(id, addr),
            Some(member) => {
                let node = (self.node_of)(request.extensions());
                if node.as_ref() == Some(&member.node_id) {
                    self.peers.told(id, addr);
                }
            }
        }
        Ok(id)
    }

    fn accept(
        &self,
        message: wire::swarm::v1::RaftMessage,
        from: RaftId,
    ) -> Result<Message, Status> {
        let message =
            convert::from_wire(message).map_err(|e| Status::invalid_argument(e.to_string()))?;
        if message.from != from || message.to != self.handle.id() {
            return Err(Status::invalid_argument(
                "the message names other members than its call",
            ));
        }
        Ok(message)
    }

    async fn step(&self, message: Message) -> Result<(), Status> {
        let stopped = |_| Status::unavailable("this manager is stopping");
        self.handle.step(message).await.map_err(stopped)
    }
}

#[tonic::async_trait]
impl RaftTransport for RaftService {
    async fn messages(
        &self,
        request: Request<Streaming<RaftMessageBatch>>,
    ) -> Result<Response<RaftMessagesEnd>, Status> {
        let from = self.check(&request)?;
        let mut batches = request.into_inner();
        while let Some(batch) = batches.message().await? {
            for message in batch.messages {
                let message = self.accept(message, from)?;
                if message.kind == MessageKind::Snapshot {
                    let text = "a snapshot travels by the Snapshot call";
                    return Err(Status::invalid_argument(text));
                }
                self.step(message).await?;
            }
            if self.handle.status_now().membership.removed.contains(&from) {
                return Err(guard::removed());
            }
        }
        Ok(Response::new(RaftMessagesEnd {}))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<RaftSnapshotChunk>>,
    ) -> Result<Response<RaftSnapshotProgress>, Status> {
        let from = self.check(&request)?;
        let mut chunks = request.into_inner();
        let head = chunks.message().await?;
        let Some(RaftSnapshotChunk {
            id: Some(id),
            message: Some(message),
            offset,
            data,
        }) = head
        else {
            return Err(Status::invalid_argument(
                "the first chunk lacks the snapshot's identity",
            ));
        };
        let id = convert::snapshot_id_from_wire(&id);
        let message = self.accept(message, from)?;
        let announced = message
            .snapshot
            .as_ref()
            .map(|meta| (meta.term, meta.index));
        if announced != Some((id.term, id.index)) {
            return Err(Status::invalid_argument(
                "the message announces another snapshot",
            ));
        }
        let Ok(_turn) = self.receiving.try_lock() else {
            return Err(Status::unavailable("another snapshot is being received"));
        };
        if self.find(id)?.is_none() {
            let receiver = self.snapshots.receive(id).map_err(refuse)?;
            let receiver = receive(receiver, offset, data, &mut chunks).await?;
            if !receiver.is_complete() {
                let offset = receiver.offset();
                return Ok(Response::new(RaftSnapshotProgress {
                    offset,
                    installed: false,
                }));
            }
            blocking(move || receiver.finish()).await?;
        }
        self.step(message).await?;
        Ok(Response::new(RaftSnapshotProgress {
            offset: id.file_bytes,
            installed: true,
        }))
    }

    async fn snapshot_status(
        &self,
        request: Request<RaftSnapshotId>,
    ) -> Result<Response<RaftSnapshotProgress>, Status> {
        self.check(&request)?;
        let id = convert::snapshot_id_from_wire(request.get_ref());
        if self.find(id)?.is_some() {
            let offset = id.file_bytes;
            return Ok(Response::new(RaftSnapshotProgress {
                offset,
                installed: false,
            }));
        }
        let Ok(_turn) = self.receiving.try_lock() else {
            return Err(Status::unavailable("another snapshot is being received"));
        };
        let snapshots = self.snapshots.clone();
        let offset = blocking(move || snapshots.receive(id).map(|r| r.offset())).await?;
        Ok(Response::new(RaftSnapshotProgress {
            offset,
            installed: false,
        }))
    }
}

impl RaftService {
    /// Whether the whole file is here already.
    fn find(&self, id: storage::SnapshotId) -> Result<Option<storage::SnapshotInfo>, Status> {
        let list = self.snapshots.list().map_err(refuse)?;
        Ok(list.into_iter().find(|info| info.id == id))
    }
}

/// Writes chunks until the stream ends.
async fn receive(
    mut receiver: SnapshotReceiver,
    mut offset: u64,
    mut data: bytes::Bytes,
    chunks: &mut Streaming<RaftSnapshotChunk>,
) -> Result<SnapshotReceiver, Status> {
    loop {
        receiver = blocking(move || receiver.write_at(offset, &data).map(|()| receiver)).await?;
        match chunks.message().await? {
            Some(chunk) => (offset, data) = (chunk.offset, chunk.data),
            None => return Ok(receiver),
        }
    }
}

/// Runs disk work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(refuse),
        Err(e) => Err(Status::internal(e.to_string())),
    }
}

fn refuse(error: SnapshotError) -> Status {
    match error {
        SnapshotError::Full { .. } => Status::resource_exhausted(error.to_string()),
        SnapshotError::WrongOffset { .. } => Status::out_of_range(error.to_string()),
        SnapshotError::Damaged { .. } => Status::data_loss(error.to_string()),
        SnapshotError::Io { .. } => Status::internal(error.to_string()),
    }
}
