//! The log broker: carries the output of tasks from the nodes that have it to whoever asks.
//!
//! A subscription is pushed to the nodes that run matching tasks; each node opens a stream of
//! its own to publish. Queues are bounded: a reader that is slow slows the nodes down and costs
//! no memory. A node that cannot be reached costs its own lines and a warning.

mod api;
mod subscription;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use store::State;
use tokio::sync::mpsc;
use tonic::Status;
use types::{Node, NodeId, Task, TaskState};
use wire::api as pb;

use crate::ledger::Ledger;

/// Batches of lines waiting for a reader. With the agents' batches of up to 64 KiB this bounds
/// a subscription to a few megabytes.
const LINES_QUEUE: usize = 64;

/// Subscriptions waiting for a node to take them. A node takes them at once or is gone.
const LISTENER_QUEUE: usize = 256;

/// What happened to a subscription.
#[derive(Debug)]
enum Event {
    /// A node sent lines.
    Lines(Vec<pb::LogMessage>),
    /// A node is about to send.
    Began(NodeId),
    /// A node has nothing more; with the reason if it stopped early.
    Ended(NodeId, Option<String>),
    /// A node that was not there is listening now.
    Listening(NodeId),
}

struct Subscription {
    message: pb::SubscriptionMessage,
    events: mpsc::Sender<Event>,
}

type Listener = mpsc::Sender<Result<pb::SubscriptionMessage, Status>>;

#[derive(Default)]
struct Parties {
    subscriptions: BTreeMap<String, Arc<Subscription>>,
    listeners: BTreeMap<NodeId, Listener>,
    next_id: u64,
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
        *self.parties() = Parties::default();
    }

    fn parties(&self) -> MutexGuard<'_, Parties> {
        self.parties.lock().unwrap_or_else(|e| e.into_inner())
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
        parties.next_id += 1;
        let id = format!("sub{:016x}", parties.next_id);
        let message = pb::SubscriptionMessage {
            id: id.clone(),
            selector: Some(selector),
            options: Some(options),
            close: false,
        };
        let subscription = Arc::new(Subscription { message, events });
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

    fn listen(&self, node: NodeId) -> mpsc::Receiver<Result<pb::SubscriptionMessage, Status>> {
        let (sender, receiver) = mpsc::channel(LISTENER_QUEUE);
        let mut parties = self.parties();
        parties.listeners.insert(node, sender);
        for subscription in parties.subscriptions.values() {
            // A subscription whose queue is full has nodes enough to listen to.
            let _full_or_gone = subscription.events.try_send(Event::Listening(node));
        }
        receiver
    }
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
