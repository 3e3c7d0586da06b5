//! The ordered stream of messages to one peer.
//!
//! Messages that cannot be sent are dropped and the peer is reported unreachable: raft repairs what
//! is lost, and old messages are worth less than new ones. Never blocks the sender.

use std::sync::Arc;
use std::time::Duration;

use consensus::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wire::swarm::v1::RaftMessageBatch;
use wire::swarm::v1::raft_transport_client::RaftTransportClient;

use super::backoff::Backoff;
use super::guard::{self, Ends};
use super::{Dial, convert};
use crate::handle::PeerReports;

/// Messages waiting for one peer. Raft has at most a few hundred appends in flight to a member;
/// this leaves room for the answers and heartbeats beside them.
pub(super) const QUEUE_MESSAGES: usize = 4_096;
/// Batches handed to the stream and not yet taken by the connection. Small, so that what waits,
/// waits in the queue, where a lost connection drops it.
const STREAM_BATCHES: usize = 4;
/// Entries of a batch stay below this unless one message alone is larger.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_MESSAGES: usize = 256;

/// How long a closed link tries to deliver what it already took.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a link needs besides its queue.
#[derive(Clone)]
pub(super) struct LinkContext {
    pub(super) ends: Ends,
    pub(super) addr: String,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) reports: PeerReports,
}

/// Runs until the queue is closed.
pub(super) async fn run(context: LinkContext, mut queue: mpsc::Receiver<Message>) {
    let mut backoff = Backoff::new();
    loop {
        let Some(first) = queue.recv().await else {
            return;
        };
        match connect_and_send(&context, first, &mut queue, &mut backoff).await {
            Ended::QueueClosed => return,
            Ended::Lost => {}
        }
        context.reports.unreachable(context.ends.to);
        tokio::time::sleep(backoff.next_delay()).await;
        // What piled up meanwhile is outdated; the newest messages come again by themselves.
        while queue.try_recv().is_ok() {}
        if queue.is_closed() && queue.is_empty() {
            return;
        }
    }
}

enum Ended {
    QueueClosed,
    Lost,
}

async fn connect_and_send(
    context: &LinkContext,
    first: Message,
    queue: &mut mpsc::Receiver<Message>,
    backoff: &mut Backoff,
) -> Ended {
    let channel = match context.dial.dial(&context.addr).await {
        Ok(channel) => channel,
        Err(e) => {
            let (peer, addr) = (context.ends.to, &context.addr);
            tracing::debug!(%peer, addr, error = %e, "dial failed");
            return Ended::Lost;
        }
    };
    let mut client = RaftTransportClient::new(channel);
    let (batches, stream) = mpsc::channel(STREAM_BATCHES);
    let request = context.ends.mark(ReceiverStream::new(stream));
    let call = tokio::spawn(async move { client.messages(request).await });
    let mut call = AbortOnDrop(call);
    let mut next = Some(first);
    loop {
        let message = match next.take() {
            Some(message) => message,
            None => tokio::select! {
                message = queue.recv() => match message {
                    Some(message) => message,
                    None => {
                        drop(batches);
                        let _answer = tokio::time::timeout(LAST_WORDS, &mut call.0).await;
                        return Ended::QueueClosed;
                    }
                },
                answer = &mut call.0 => return lost(context, answer),
            },
        };
        let batch = fill_batch(message, queue);
        tokio::select! {
            sent = batches.send(batch) => if sent.is_err() {
                return lost(context, (&mut call.0).await);
            },
            answer = &mut call.0 => return lost(context, answer),
        }
        backoff.reset();
    }
}

type Answer = Result<
    Result<tonic::Response<wire::swarm::v1::RaftMessagesEnd>, tonic::Status>,
    tokio::task::JoinError,
>;

fn lost(context: &LinkContext, answer: Answer) -> Ended {
    if let Ok(Err(status)) = answer {
        if guard::says_removed(&status) {
            context.reports.told_removed(context.ends.to);
        }
        let (peer, addr) = (context.ends.to, &context.addr);
        tracing::debug!(%peer, addr, %status, "stream to peer ended");
    }
    Ended::Lost
}

/// Takes what else is waiting, in order.
fn fill_batch(first: Message, queue: &mut mpsc::Receiver<Message>) -> RaftMessageBatch {
    let mut bytes = convert::payload_bytes(&first);
    let mut messages = vec![convert::to_wire(first)];
    while bytes < BATCH_BYTES && messages.len() < BATCH_MESSAGES {
        let Ok(message) = queue.try_recv() else { break };
        bytes += convert::payload_bytes(&message);
        messages.push(convert::to_wire(message));
    }
    RaftMessageBatch { messages }
}

/// A call that ends with its link.
struct AbortOnDrop(tokio::task::JoinHandle<CallResult>);

type CallResult = Result<tonic::Response<wire::swarm::v1::RaftMessagesEnd>, tonic::Status>;

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
