//! One reader of logs: which nodes it waits for, and how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use store::{Change, Commit, State};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;
use types::{NodeId, TaskState};
use wire::{Seen, api as pb};

use super::{Event, LogBroker, Source, Subscription, display_name, nodes_of, tasks_of};
use crate::ledger::{Cursor, News};

/// How long a node may take to begin sending before it is given up.
const BEGIN_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Has the subscription and has not begun.
    Asked(Instant),
    /// Sends.
    Sending,
    /// Listens anew while its old stream of lines is not known to have ended.
    Returning,
    /// Is finished or given up.
    Over,
}

/// Whether another node may have matching tasks after these commits.
fn moves_tasks(commits: &[Arc<Commit>]) -> bool {
    let node = |task: &Option<Arc<types::Task>>| task.as_ref().and_then(|t| t.node_id);
    let moves = |change: &Change| match change {
        Change::Task(diff) => node(&diff.new).is_some() && node(&diff.old) != node(&diff.new),
        _ => false,
    };
    commits.iter().flat_map(|c| &c.changes).any(moves)
}

/// Carries one subscription from its nodes to its reader.
pub(super) struct Relay {
    pub(super) broker: LogBroker,
    pub(super) subscription: Arc<Subscription>,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) reader: mpsc::Sender<Result<pb::SubscribeLogsMessage, Status>>,
    pub(super) follow: bool,
    nodes: BTreeMap<NodeId, Part>,
    /// The newest stream of each node: only its lines are passed on. An older one is asked for no
    /// more than the newer one, which repeats it.
    newest: BTreeMap<NodeId, u64>,
    /// What a reader that follows was sent of each node: one that comes back is asked for the rest.
    seen: BTreeMap<NodeId, Seen>,
    /// What the reader misses, each said once however often it happens.
    troubles: BTreeSet<String>,
}

impl Relay {
    pub(super) fn new(
        broker: LogBroker,
        subscription: Arc<Subscription>,
        events: mpsc::Receiver<Event>,
        reader: mpsc::Sender<Result<pb::SubscribeLogsMessage, Status>>,
    ) -> Self {
        let follow = subscription
            .message
            .options
            .as_ref()
            .is_some_and(|o| o.follow);
        Self {
            broker,
            subscription,
            events,
            reader,
            follow,
            nodes: BTreeMap::new(),
            newest: BTreeMap::new(),
            seen: BTreeMap::new(),
            troubles: BTreeSet::new(),
        }
    }

    /// Runs until every node is finished, or for ever when following.
    pub(super) async fn run(mut self) {
        let (state, mut cursor) = self.broker.ledger.subscribe();
        if !self.follow {
            self.note_unscheduled(&state);
        }
        self.ask(&state);
        while self.follow || self.nodes.values().any(|part| *part != Part::Over) {
            if !self.step(&mut cursor).await {
                break;
            }
        }
        self.broker.unregister(&self.subscription.message.id);
        self.finish().await;
    }

    async fn step(&mut self, cursor: &mut Cursor) -> bool {
        let deadline = self.nodes.values().filter_map(|part| match part {
            Part::Asked(since) => Some(*since + BEGIN_MAX),
            _ => None,
        });
        let due = deadline.min();
        let late = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.reader.closed() => return false,
            () = self.subscription.over.cancelled() => {
                self.deposed().await;
                return false;
            }
            event = self.events.recv() => match event {
                Some(event) => return self.take(event).await,
                None => return false,
            },
            news = cursor.next(), if self.follow => match news {
                Some(News::Commits(commits, state)) if moves_tasks(&commits) => self.ask(&state),
                Some(News::Commits(..)) => {}
                Some(News::Afresh(state)) => self.ask(&state),
                None => return false,
            },
            () = late => self.give_up_late(),
        }
        true
    }

    /// Another manager leads. Whoever follows can ask that one for the rest; what is missing here
    /// may be there, so nothing else is said.
    async fn deposed(&mut self) {
        if !self.follow {
            let text = "another manager leads now; the rest was not read";
            self.troubles.insert(text.to_owned());
            return;
        }
        self.troubles.clear();
        let end = Status::aborted("another manager leads now; ask it for the rest");
        let _gone = self.reader.send(Err(end)).await;
    }

    async fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Lines(source, _) if self.is_overtaken(source) => {}
            Event::Lines(source, messages) => {
                let messages = self.new_ones(source.node, messages);
                if messages.is_empty() {
                    return true;
                }
                let message = pb::SubscribeLogsMessage { messages };
                return self.reader.send(Ok(message)).await.is_ok();
            }
            Event::Began(source) => self.begins(source),
            Event::Ended(source, _) if self.is_overtaken(source) => {}
            Event::Ended(Source { node, .. }, why) => {
                let returning = self.nodes.insert(node, Part::Over) == Some(Part::Returning);
                if returning && self.follow {
                    self.nodes.remove(&node);
                    self.ask(&self.broker.ledger.state());
                    return true;
                }
                if let Some(why) = why {
                    let name = display_name(&self.broker.ledger.state(), node);
                    self.troubles.insert(format!("node {name} {why}"));
                }
            }
            Event::Listening(node) => self.listens(node),
        }
        true
    }

    /// A stream of lines begins. What it repeats of an earlier one is left out.
    fn begins(&mut self, source: Source) {
        self.nodes.insert(source.node, Part::Sending);
        self.newest.insert(source.node, source.stream);
        if let Some(seen) = self.seen.get_mut(&source.node) {
            seen.interrupted();
        }
    }

    fn is_overtaken(&self, source: Source) -> bool {
        let newest = self.newest.get(&source.node);
        newest.is_some_and(|newest| source.stream < *newest)
    }

    /// A node listens, for the first time or anew. What it was asked before is lost with its old
    /// stream.
    fn listens(&mut self, node: NodeId) {
        match self.nodes.get(&node) {
            Some(Part::Over) if !self.follow => return,
            Some(Part::Sending) => {
                self.nodes.insert(node, Part::Returning);
                return;
            }
            Some(Part::Returning) => return,
            Some(Part::Over | Part::Asked(_)) | None => self.nodes.remove(&node),
        };
        self.ask(&self.broker.ledger.state());
    }

    /// What the reader was not sent before. A node that listens anew sends some of it again.
    fn new_ones(&mut self, node: NodeId, mut messages: Vec<pb::LogMessage>) -> Vec<pb::LogMessage> {
        if self.follow {
            let began = crate::clock::now();
            let seen = self.seen.entry(node).or_insert(Seen::new(began, true));
            messages.retain(|message| seen.is_new(message));
        }
        messages
    }

    /// What a node is asked: everything, or what comes after what it has sent.
    fn question(&mut self, node: NodeId) -> pb::SubscriptionMessage {
        let mut message = self.subscription.message.clone();
        let seen = self.seen.get_mut(&node).filter(|seen| seen.count() > 0);
        if let (Some(seen), Some(options)) = (seen, message.options.as_mut()) {
            seen.interrupted();
            options.tail = 0;
            options.since = wire::convert::timestamp(seen.resume_from());
        }
        message
    }

    /// Hands the subscription to every node that has matching tasks and was not asked yet.
    fn ask(&mut self, state: &State) {
        let Some(selector) = self.subscription.message.selector.clone() else {
            return;
        };
        for node in nodes_of(state, &selector, self.follow) {
            if self.nodes.contains_key(&node) {
                continue;
            }
            let question = self.question(node);
            if self.broker.push(node, &question) {
                self.nodes.insert(node, Part::Asked(Instant::now()));
            } else {
                self.nodes.insert(node, Part::Over);
                let name = display_name(state, node);
                self.troubles
                    .insert(format!("node {name} is not available"));
            }
        }
    }

    fn note_unscheduled(&mut self, state: &State) {
        let Some(selector) = self.subscription.message.selector.as_ref() else {
            return;
        };
        for task in tasks_of(state, selector) {
            let wanted = task.desired_state <= TaskState::Running;
            if task.node_id.is_none() && wanted {
                self.troubles
                    .insert(format!("task {} has not been scheduled", task.id));
            }
        }
    }

    fn give_up_late(&mut self) {
        let state = self.broker.ledger.state();
        for (node, part) in &mut self.nodes {
            if matches!(part, Part::Asked(since) if since.elapsed() >= BEGIN_MAX) {
                *part = Part::Over;
                let name = display_name(&state, *node);
                self.troubles
                    .insert(format!("node {name} did not answer in time"));
            }
        }
    }

    /// Ends the reader's stream; troubles come as its status, after all lines.
    async fn finish(self) {
        if self.troubles.is_empty() {
            return;
        }
        let text = format!(
            "warning: incomplete log stream. some logs could not be retrieved for the following \
             reasons: {}",
            Vec::from_iter(self.troubles).join(", ")
        );
        let _gone = self.reader.send(Err(Status::unavailable(text))).await;
    }
}
