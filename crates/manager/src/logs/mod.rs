//! The log broker: carries the output of tasks from the nodes that have it to whoever asks.
//!
//! A subscription is pushed to the nodes that run matching tasks; each node opens a stream of
//! its own to publish. Queues are bounded: a reader that is slow slows the nodes down and costs
//! no memory. A node that cannot be reached costs its own lines and a warning; one that was
//! removed is cut off.

mod api;
mod subscription;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use store::{Change, State};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use types::{Entropy, Node, NodeId, Task, TaskState};
use wire::api as pb;

use crate::entropy::SystemEntropy;
use crate::ledger::{Ledger, News};

/// Batches of lines waiting for a reader. With the agents' batches of up to 64 KiB this bounds
/// a subscription to a few megabytes.
const LINES_QUEUE: usize = 64;

/// Subscriptions waiting for a node to take them. A node takes them at once or is gone.
const LISTENER_QUEUE: usize = 256;

/// What happened to a subscription.
#[derive(Debug)]
enum Event {
    /// A node sent lines.
    Lines(Source, Vec<pb::LogMessage>),
    /// A node is about to send.
    Began(Source),
    /// A node has nothing more; with the reason if it stopped early.
    Ended(Source, Option<String>),
    /// A node that was not there is listening now.
    Listening(NodeId),
}

/// One stream of lines. A node that was asked twice sends two, which repeat one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    node: NodeId,
    /// Streams are numbered as they come.
    stream: u64,
}

struct Subscription {
    message: pb::SubscriptionMessage,
    events: mpsc::Sender<Event>,
    /// Cancelled when another manager leads.
    over: CancellationToken,
}

type Listener = mpsc::Sender<Result<pb::SubscriptionMessage, Status>>;

#[derive(Default)]
struct Parties {
    subscriptions: BTreeMap<String, Arc<Subscription>>,
    listeners: BTreeMap<NodeId, Listener>,
    /// Open streams of lines, by node, to be cut off when the node is removed.
    publishing: BTreeMap<NodeId, CancellationToken>,
    /// Streams of lines that were opened so far.
    streams: u64,
    /// Ends with the reign.
    over: CancellationToken,
}

impl Parties {
    /// Cuts a node off.
    fn forget(&mut self, node: NodeId) {
        self.listeners.remove(&node);
        if let Some(cut) = self.publishing.remove(&node) {
            cut.cancel();
        }
    }
}

/// The log broker of a leader.
#[derive(Clone)]
pub struct LogBroker {
    ledger: Arc<Ledger>,
    parties: Arc<Mutex<Parties>>,
}

impl LogBroker {
    /// A broker without subscriptions.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            parties: Arc::default(),
        }
    }

    /// Ends every subscription and every listener: another manager leads now.
    pub fn reset(&self) {
        let ended = std::mem::take(&mut *self.parties());
        ended.over.cancel();
        for cut in ended.publishing.values() {
            cut.cancel();
        }
    }

    /// Cuts removed nodes off, as long as this manager leads. Runs until it is dropped.
    pub async fn watch_removals(self) {
        let (_, mut cursor) = self.ledger.subscribe();
        while let Some(news) = cursor.next().await {
            match news {
                News::Commits(commits, _) => {
                    for change in commits.iter().flat_map(|c| &c.changes) {
                        match change {
                            Change::Node(diff) if diff.new.is_none() => {
                                self.parties().forget(diff.latest().id);
                            }
                            _ => {}
                        }
                    }
                }
                News::Afresh(state) => self.forget_unknown(&state),
            }
        }
    }

    fn forget_unknown(&self, state: &State) {
        let mut parties = self.parties();
        let known = parties.listeners.keys().chain(parties.publishing.keys());
        let gone: Vec<_> = known
            .copied()
            .filter(|id| !state.nodes().contains(*id))
            .collect();
        gone.into_iter().for_each(|id| parties.forget(id));
    }

    /// What ends when a node's lines must not be taken any more.
    ///
    /// The node's record is looked at afterwards, so that a removal is never missed.
    fn admit(&self, node: NodeId) -> Result<CancellationToken, Status> {
        let cut = {
            let mut parties = self.parties();
            let cut = parties.publishing.entry(node).or_default();
            cut.clone()
        };
        if self.ledger.state().nodes().contains(node) {
            return Ok(cut);
        }
        self.parties().forget(node);
        let text = format!("node {node} was removed from the cluster");
        Err(Status::permission_denied(text))
    }

    fn parties(&self) -> MutexGuard<'_, Parties> {
        self.parties.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A name for a node's new stream of lines.
    fn source(&self, node: NodeId) -> Source {
        let mut parties = self.parties();
        parties.streams += 1;
        let stream = parties.streams;
        Source { node, stream }
    }

    fn find(&self, id: &str) -> Option<Arc<Subscription>> {
        self.parties().subscriptions.get(id).cloned()
    }

    fn register(
        &self,
        selector: pb::LogSelector,
        options: pb::LogSubscriptionOptions,
        events: mpsc::Sender<Event>,
    ) -> Arc<Subscription> {
        let mut parties = self.parties();
        let id = fresh_id();
        let message = pb::SubscriptionMessage {
            id: id.clone(),
            selector: Some(selector),
            options: Some(options),
            close: false,
        };
        let over = parties.over.clone();
        let subscription = Arc::new(Subscription {
            message,
            events,
            over,
        });
        parties.subscriptions.insert(id, subscription.clone());
        subscription
    }

    /// Forgets a subscription and tells the nodes to stop.
    fn unregister(&self, id: &str) {
        let mut parties = self.parties();
        if let Some(subscription) = parties.subscriptions.remove(id) {
            let close = pb::SubscriptionMessage {
                close: true,
                ..subscription.message.clone()
            };
            for listener in parties.listeners.values() {
                // A node that does not take it ends its stream when the broker refuses it.
                let _full_or_gone = listener.try_send(Ok(close.clone()));
            }
        }
    }

    /// Hands a subscription to a node. Returns whether the node is listening.
    fn push(&self, node: NodeId, message: &pb::SubscriptionMessage) -> bool {
        let parties = self.parties();
        let listener = parties.listeners.get(&node);
        listener.is_some_and(|l| l.try_send(Ok(message.clone())).is_ok())
    }

    fn listen(
        &self,
        node: NodeId,
    ) -> Result<mpsc::Receiver<Result<pb::SubscriptionMessage, Status>>, Status> {
        // Admitted first: a removal from here on finds the node.
        self.admit(node)?;
        let (sender, receiver) = mpsc::channel(LISTENER_QUEUE);
        let mut parties = self.parties();
        parties.listeners.insert(node, sender);
        for subscription in parties.subscriptions.values() {
            tell(&subscription.events, Event::Listening(node));
        }
        Ok(receiver)
    }
}

/// Tells a subscription what it must not miss, also if its reader is slow: a node that comes back
/// would not be asked again, one that ends would be waited for.
fn tell(events: &mpsc::Sender<Event>, event: Event) {
    let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) else {
        return;
    };
    // Without a runtime the manager is ending, and its subscriptions with it.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let events = events.clone();
        runtime.spawn(async move {
            let _reader_gone = events.send(event).await;
        });
    }
}

/// A name for a subscription that nobody can guess.
fn fresh_id() -> String {
    let mut entropy = SystemEntropy;
    format!("{:016x}{:016x}", entropy.next_u64(), entropy.next_u64())
}

/// The nodes that have output of matching tasks.
fn nodes_of(state: &State, selector: &pb::LogSelector, follow: bool) -> Vec<NodeId> {
    let mut nodes: Vec<_> = tasks_of(state, selector)
        .into_iter()
        .filter(|t| follow || t.status.state >= TaskState::Running)
        .filter_map(|t| t.node_id)
        .chain(selector.node_ids.iter().filter_map(|id| id.parse().ok()))
        .collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

fn tasks_of<'a>(state: &'a State, selector: &pb::LogSelector) -> Vec<&'a Arc<Task>> {
    let services = selector.service_ids.iter().filter_map(|id| id.parse().ok());
    let tasks = selector.task_ids.iter().filter_map(|id| id.parse().ok());
    services
        .flat_map(|id| state.tasks().of_service(id))
        .chain(tasks.filter_map(|id| state.tasks().get(id)))
        .collect()
}

fn display_name(state: &State, id: NodeId) -> String {
    let name = state.nodes().get(id).map(|n| Node::hostname(n).to_owned());
    name.filter(|n| !n.is_empty())
        .unwrap_or_else(|| id.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use store::{Action, Transaction};
    use types::NodeRole;
    use types::node::{Availability, Certificate};

    use super::*;
    use crate::ca::new_node;
    use crate::ledger::{Log, Proposal, ProposeFailure, Reign};

    struct NoLog;

    impl Log for NoLog {
        fn propose(&self, _: Reign, _: Bytes) -> Proposal {
            Box::pin(std::future::ready(Err(ProposeFailure::Unknown)))
        }
    }

    /// A broker of a cluster with one node.
    fn broker(node: NodeId) -> LogBroker {
        let certificate = Certificate::default();
        let node = new_node(node, NodeRole::Worker, Availability::Active, certificate, 0);
        let mut state = State::default();
        let create = Transaction {
            digest: None,
            version: 1,
            at: types::Timestamp::ZERO,
            actions: vec![Action::Create(node.into())],
        };
        state.apply(&create).unwrap();
        LogBroker::new(Ledger::new(state, Box::new(NoLog), |_| Bytes::new()))
    }

    #[tokio::test]
    async fn a_node_that_comes_back_is_noticed_although_the_reader_is_slow() {
        let node = NodeId::from_u128(1).unwrap();
        let broker = broker(node);
        let (events, mut queue) = mpsc::channel(1);
        let selector = pb::LogSelector::default();
        broker.register(
            selector,
            pb::LogSubscriptionOptions::default(),
            events.clone(),
        );
        let waiting = Event::Lines(broker.source(node), Vec::new());
        events.send(waiting).await.unwrap();
        let _listening = broker.listen(node).unwrap();
        assert!(matches!(queue.recv().await, Some(Event::Lines(..))));
        let next = tokio::time::timeout(std::time::Duration::from_secs(5), queue.recv());
        assert!(matches!(next.await, Ok(Some(Event::Listening(n))) if n == node));
    }

    fn line(node: NodeId, number: u64) -> pb::LogMessage {
        pb::LogMessage {
            context: Some(pb::LogContext {
                node_id: node.to_string(),
                ..pb::LogContext::default()
            }),
            timestamp: wire::convert::timestamp(types::Timestamp::from_secs(number)),
            data: number.to_string().into(),
            ..pb::LogMessage::default()
        }
    }

    #[tokio::test]
    async fn a_node_that_was_asked_twice_is_read_once() {
        let node = NodeId::from_u128(1).unwrap();
        let broker = broker(node);
        let (events, queue) = mpsc::channel(16);
        let (reader, mut read) = mpsc::channel(16);
        let options = pb::LogSubscriptionOptions {
            follow: true,
            ..pb::LogSubscriptionOptions::default()
        };
        let subscription = broker.register(pb::LogSelector::default(), options, events.clone());
        let (first, second) = (broker.source(node), broker.source(node));
        let lines = |source, numbers: std::ops::RangeInclusive<u64>| {
            Event::Lines(source, numbers.map(|n| line(node, n)).collect())
        };
        for event in [
            Event::Began(first),
            lines(first, 1..=3),
            Event::Began(second),
            lines(second, 1..=3),
            lines(first, 4..=5),
            lines(second, 4..=4),
            Event::Ended(first, None),
            lines(second, 5..=6),
        ] {
            events.send(event).await.unwrap();
        }
        tokio::spawn(subscription::Relay::new(broker, subscription, queue, reader).run());
        let mut shown = String::new();
        while shown.len() < 6 {
            let batch = read.recv().await.unwrap().unwrap();
            let texts = batch.messages.iter();
            texts.for_each(|m| shown.push_str(&String::from_utf8_lossy(&m.data)));
        }
        assert_eq!(shown, "123456");
    }
}
