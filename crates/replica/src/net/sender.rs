//! Sending a snapshot file to one peer, in chunks, continuing after a broken stream.
//!
//! Never reads the payload: the file travels as it is.

use std::sync::Arc;
use std::time::Duration;

use consensus::Message;
use storage::SnapshotFile;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wire::swarm::v1::raft_transport_client::RaftTransportClient;
use wire::swarm::v1::{RaftMessage, RaftSnapshotChunk};

use super::backoff::Backoff;
use super::convert;
use super::guard;
use super::link::LinkContext;

/// Bytes of one chunk on the wire: the size of a chunk in the file, well below the message limit.
const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS_AHEAD: usize = 4;
/// Broken streams in a row, without a byte of progress, before the transfer counts as failed and
/// consensus decides anew (it may have a newer snapshot by then).
const ATTEMPTS_WITHOUT_PROGRESS: u32 = 8;
/// A peer that takes no chunk for this long is stuck.
const STALL: Duration = Duration::from_secs(10);
/// Checking and installing a complete file may take the peer this long.
const INSTALL: Duration = Duration::from_secs(120);

/// Sends the file and reports the outcome.
pub(super) async fn run(context: LinkContext, message: Message, file: SnapshotFile) {
    let peer = context.ends.to;
    let installed = transfer(&context, convert::to_wire(message), Arc::new(file)).await;
    if !installed {
        tracing::warn!(%peer, addr = %context.addr, "snapshot could not be sent");
    }
    context.reports.snapshot(peer, installed);
}

async fn transfer(context: &LinkContext, message: RaftMessage, file: Arc<SnapshotFile>) -> bool {
    let mut backoff = Backoff::new();
    let mut furthest = None;
    let mut failures = 0;
    while failures < ATTEMPTS_WITHOUT_PROGRESS {
        match attempt(context, &message, &file).await {
            Ok(Progress {
                installed: true, ..
            }) => return true,
            Ok(Progress { offset, .. }) if Some(offset) > furthest => {
                furthest = Some(offset);
                failures = 0;
                backoff.reset();
            }
            Ok(_) => failures += 1,
            Err(status) => {
                if guard::says_removed(&status) {
                    context.reports.told_removed(context.ends.to);
                    return false;
                }
                tracing::debug!(peer = %context.ends.to, %status, "snapshot stream ended");
                failures += 1;
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
    false
}

struct Progress {
    offset: u64,
    installed: bool,
}

/// One stream, from where the peer is.
async fn attempt(
    context: &LinkContext,
    message: &RaftMessage,
    file: &Arc<SnapshotFile>,
) -> Result<Progress, tonic::Status> {
    let unavailable = |e: super::DialError| tonic::Status::unavailable(e.to_string());
    let channel = context
        .dial
        .dial(&context.addr)
        .await
        .map_err(unavailable)?;
    let mut client = RaftTransportClient::new(channel);
    let id = convert::snapshot_id_to_wire(file.id());
    let status = client
        .snapshot_status(context.ends.mark(id))
        .await?
        .into_inner();
    let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
    let reader = read_chunks(file.clone(), message.clone(), status.offset, chunks);
    let call = client.snapshot(context.ends.mark(ReceiverStream::new(stream)));
    let (read, answer) = tokio::join!(reader, tokio::time::timeout(INSTALL, call));
    match answer {
        Ok(Ok(progress)) => {
            let progress = progress.into_inner();
            Ok(Progress {
                offset: progress.offset,
                installed: progress.installed,
            })
        }
        Ok(Err(status)) => Err(status),
        Err(_) => Err(tonic::Status::deadline_exceeded(
            "the peer did not install in time",
        )),
    }
    .map_err(|status| read.err().unwrap_or(status))
}

/// Feeds the stream. The reads are short and come from the page cache most of the time, yet they
/// are moved off the async threads.
async fn read_chunks(
    file: Arc<SnapshotFile>,
    message: RaftMessage,
    mut offset: u64,
    chunks: mpsc::Sender<RaftSnapshotChunk>,
) -> Result<(), tonic::Status> {
    let mut head = Some((convert::snapshot_id_to_wire(file.id()), message));
    loop {
        let source = file.clone();
        let read = tokio::task::spawn_blocking(move || source.read_at(offset, CHUNK_BYTES)).await;
        let data = match read {
            Ok(Ok(data)) => data,
            Ok(Err(e)) => return Err(tonic::Status::aborted(format!("reading the file: {e}"))),
            Err(e) => return Err(tonic::Status::aborted(e.to_string())),
        };
        if data.is_empty() && head.is_none() {
            return Ok(());
        }
        let (id, message) = head.take().unzip();
        let length = data.len() as u64;
        let chunk = RaftSnapshotChunk {
            id,
            message,
            offset,
            data: data.into(),
        };
        match tokio::time::timeout(STALL, chunks.send(chunk)).await {
            Ok(Ok(())) => offset += length,
            // The call has ended; its answer says why.
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(tonic::Status::deadline_exceeded("the peer takes no chunk")),
        }
    }
}
