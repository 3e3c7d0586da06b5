//! Who is talking to whom: metadata that every raft call carries, and the check of it.
//!
//! Never authenticates: that the caller is a manager of this cluster is proven by its certificate
//! before a call gets here.

use consensus::{Membership, RaftId};
use tonic::metadata::errors::InvalidMetadataValue;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Status};

use super::peers::Identity;

const CLUSTER: &str = "swarm-cluster-id";
const FROM: &str = "swarm-raft-id";
const TO: &str = "swarm-raft-to";
const ADDR: &str = "swarm-raft-addr";
const REMOVED: &str = "swarm-removed";

/// The two ends of a call, as the caller sees them.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    cluster_id: MetadataValue<Ascii>,
    addr: MetadataValue<Ascii>,
    from: RaftId,
    pub(super) to: RaftId,
}

/// Who calls, and where it can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) raft_id: RaftId,
    pub(super) addr: String,
}

impl Ends {
    pub(super) fn new(own: &Identity, to: RaftId) -> Result<Self, InvalidMetadataValue> {
        let Identity {
            cluster_id,
            raft_id,
            addr,
        } = own;
        Ok(Self {
            cluster_id: cluster_id.parse()?,
            addr: addr.parse()?,
            from: *raft_id,
            to,
        })
    }

    /// Marks a request of the caller.
    pub(super) fn mark<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, self.cluster_id.clone());
        metadata.insert(ADDR, self.addr.clone());
        metadata.insert(FROM, self.from.get().into());
        metadata.insert(TO, self.to.get().into());
        request
    }
}

/// Checks a call at the receiver; returns the caller.
pub(super) fn check(
    metadata: &MetadataMap,
    cluster_id: &str,
    own: RaftId,
    membership: &Membership,
) -> Result<Caller, Status> {
    let cluster = metadata.get(CLUSTER).and_then(|v| v.to_str().ok());
    if cluster != Some(cluster_id) {
        return Err(Status::failed_precondition(
            "this manager belongs to another cluster: check the address of the member",
        ));
    }
    let from = raft_id(metadata, FROM)?;
    if membership.removed.contains(&from) {
        return Err(removed());
    }
    let to = raft_id(metadata, TO)?;
    if to != own {
        let text = format!("this manager is raft member {own}, not {to}: update its address");
        return Err(Status::failed_precondition(text));
    }
    let addr = metadata
        .get(ADDR)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    Ok(Caller {
        raft_id: from,
        addr: addr.to_owned(),
    })
}

/// Whether an answer says that the caller has been removed from the cluster.
pub(super) fn says_removed(status: &Status) -> bool {
    status.code() == Code::NotFound && status.metadata().contains_key(REMOVED)
}

/// The answer to a removed member.
pub(super) fn removed() -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(REMOVED, MetadataValue::from_static("true"));
    let text = "this member has been removed from the cluster: join it again";
    Status::with_metadata(Code::NotFound, text, metadata)
}

fn raft_id(metadata: &MetadataMap, name: &'static str) -> Result<RaftId, Status> {
    let text = metadata.get(name).and_then(|v| v.to_str().ok());
    let id = text.and_then(|t| t.parse().ok()).and_then(RaftId::new);
    id.ok_or_else(|| Status::invalid_argument(format!("metadata {name} is missing or not an id")))
}
