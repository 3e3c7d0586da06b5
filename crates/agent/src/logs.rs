//! Sends the output of tasks to managers that ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use executor::{ExecError, Executor, LogChunk, LogOptions, Output};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;
use types::{NodeId, Task, TaskId, Timestamp};
use wire::api::{self, log_broker_client::LogBrokerClient};
use wire::convert::timestamp;

use crate::limits::{LOG_BATCH_MAX, LOG_QUEUE_MAX, LOG_RETRY_PAUSE, SUBSCRIPTIONS_MAX};
use crate::owner::Message;

/// Serves the log subscriptions of one session.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) node: NodeId,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) owner: mpsc::Sender<Message>,
    pub(crate) tasks_changed: watch::Receiver<()>,
    pub(crate) channel: Channel,
}

impl Publisher {
    /// Listens for subscriptions. Never ends: logs must not cost a session.
    pub(crate) async fn run(self) {
        loop {
            match self.listen().await {
                Err(status) if status.code() == Code::Unimplemented => {
                    return std::future::pending().await;
                }
                Err(status) => {
                    tracing::debug!(reason = status.message(), "log subscriptions were cut off");
                }
                Ok(()) => {}
            }
            sleep(LOG_RETRY_PAUSE).await;
        }
    }

    async fn listen(&self) -> Result<(), tonic::Status> {
        let mut client = LogBrokerClient::new(self.channel.clone());
        let request = api::ListenSubscriptionsRequest {};
        let mut stream = client.listen_subscriptions(request).await?.into_inner();
        // Dropping the set ends all publishing of this stream.
        let mut work = JoinSet::new();
        let mut open: BTreeMap<String, CancellationToken> = BTreeMap::new();
        loop {
            while work.try_join_next().is_some() {}
            let has_room = work.len() < SUBSCRIPTIONS_MAX;
            let message = tokio::select! {
                message = stream.message(), if has_room => message?,
                _ = work.join_next(), if !has_room => continue,
            };
            let Some(message) = message else {
                return Ok(());
            };
            if message.close {
                if let Some(end) = open.remove(&message.id) {
                    end.cancel();
                }
                continue;
            }
            open.retain(|_, end| !end.is_cancelled());
            let end = CancellationToken::new();
            open.insert(message.id.clone(), end.clone());
            work.spawn(self.clone().serve(message, end));
        }
    }

    async fn serve(self, subscription: api::SubscriptionMessage, end: CancellationToken) {
        let id = subscription.id.clone();
        let result = tokio::select! {
            () = end.cancelled() => return,
            result = self.publish(subscription) => result,
        };
        end.cancel();
        if let Err(status) = result {
            let reason = status.message();
            tracing::debug!(subscription = id, reason, "publishing logs was cut off");
        }
    }

    /// One stream of records for one subscription, closed when there is no more to come.
    async fn publish(&self, subscription: api::SubscriptionMessage) -> Result<(), tonic::Status> {
        let (records, queue) = mpsc::channel(LOG_QUEUE_MAX);
        let id = subscription.id.clone();
        let closing = api::PublishLogsMessage {
            subscription_id: id.clone(),
            messages: Vec::new(),
            close: true,
        };
        let batches =
            ReceiverStream::new(batched(queue)).map(move |messages| api::PublishLogsMessage {
                subscription_id: id.clone(),
                messages,
                close: false,
            });
        let stream = batches.chain(tokio_stream::once(closing));
        let mut client = LogBrokerClient::new(self.channel.clone());
        let (sent, ()) = tokio::join!(
            client.publish_logs(stream),
            self.collect(subscription, records)
        );
        sent.map(drop)
    }

    /// Reads from every task that matches; following, also from those that come later.
    async fn collect(
        &self,
        subscription: api::SubscriptionMessage,
        records: mpsc::Sender<api::LogMessage>,
    ) {
        let selector = subscription.selector.unwrap_or_default();
        let options = log_options(&subscription.options.unwrap_or_default());
        let mut changes = self.tasks_changed.clone();
        let mut seen = BTreeSet::new();
        let mut readers = JoinSet::new();
        loop {
            changes.mark_unchanged();
            for task in self.tasks().await {
                if matches(&selector, &task, self.node) && seen.insert(task.id) {
                    let reader = Reader {
                        executor: self.executor.clone(),
                        node: self.node,
                        task,
                        options: options.clone(),
                        records: records.clone(),
                    };
                    readers.spawn(reader.run());
                }
            }
            if !options.follow {
                while readers.join_next().await.is_some() {}
                return;
            }
            tokio::select! {
                () = records.closed() => return,
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            while readers.try_join_next().is_some() {}
        }
    }

    async fn tasks(&self) -> Vec<Arc<Task>> {
        let (answer, tasks) = oneshot::channel();
        // Without an owner the agent is stopping, and there are no tasks to read from.
        let _gone = self.owner.send(Message::Tasks(answer)).await;
        tasks.await.unwrap_or_default()
    }
}

/// Reads one task.
struct Reader {
    executor: Arc<dyn Executor>,
    node: NodeId,
    task: Arc<Task>,
    options: LogOptions,
    records: mpsc::Sender<api::LogMessage>,
}

impl Reader {
    async fn run(self) {
        let task = self.task.id;
        let mut stream = loop {
            match self.executor.logs(task, self.options.clone()).await {
                Ok(stream) => break stream,
                // Followed before it was prepared.
                Err(ExecError::NotFound(_)) if self.options.follow => {
                    tokio::select! {
                        () = sleep(LOG_RETRY_PAUSE) => {}
                        () = self.records.closed() => return,
                    }
                }
                Err(error) => return say(task, &error),
            }
        };
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => {
                    if self.records.send(self.record(chunk)).await.is_err() {
                        return;
                    }
                }
                Err(error) => return say(task, &error),
            }
        }
    }

    fn record(&self, chunk: LogChunk) -> api::LogMessage {
        let stream = match chunk.output {
            Output::Stdout => api::LogStream::Stdout,
            Output::Stderr => api::LogStream::Stderr,
        };
        let service = self.task.service_id;
        api::LogMessage {
            context: Some(api::LogContext {
                service_id: service.map_or_else(String::new, |id| id.to_string()),
                node_id: self.node.to_string(),
                task_id: self.task.id.to_string(),
            }),
            timestamp: timestamp(chunk.timestamp),
            stream: stream.into(),
            data: chunk.data,
            attrs: Vec::new(),
        }
    }
}

fn say(task: TaskId, error: &ExecError) {
    let error = error as &dyn std::error::Error;
    tracing::info!(%task, error, "the output of a task cannot be read");
}

/// Gathers what is there, so that a message carries many records when there are many.
fn batched<T: Send + 'static>(mut queue: mpsc::Receiver<T>) -> mpsc::Receiver<Vec<T>> {
    let (batches, ready) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let mut batch = Vec::new();
            if queue.recv_many(&mut batch, LOG_BATCH_MAX).await == 0 {
                return;
            }
            if batches.send(batch).await.is_err() {
                return;
            }
        }
    });
    ready
}

/// Whether a subscription asks for a task: by itself, by its service or by its node.
fn matches(selector: &api::LogSelector, task: &Task, node: NodeId) -> bool {
    let service = task.service_id.map(|id| id.to_string());
    let (id, node) = (task.id.to_string(), node.to_string());
    selector.task_ids.contains(&id)
        || service.is_some_and(|s| selector.service_ids.contains(&s))
        || selector.node_ids.contains(&node)
}

fn log_options(asked: &api::LogSubscriptionOptions) -> LogOptions {
    let wants = |stream: api::LogStream| {
        asked.streams.is_empty() || asked.streams.contains(&i32::from(stream))
    };
    // Below zero: -1 - n asks for the last n records. Above zero is read as plain n.
    let tail = match asked.tail {
        0 => None,
        n if n < 0 => Some(n.unsigned_abs() - 1),
        n => Some(n.unsigned_abs()),
    };
    let since = asked.since.map_or(Timestamp::ZERO, |t| {
        Timestamp::from_parts(t.seconds, t.nanos)
    });
    LogOptions {
        follow: asked.follow,
        tail,
        since,
        stdout: wants(api::LogStream::Stdout),
        stderr: wants(api::LogStream::Stderr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_below_zero_counts_from_minus_one() {
        let tail = |tail| {
            log_options(&api::LogSubscriptionOptions {
                tail,
                ..Default::default()
            })
            .tail
        };
        assert_eq!(tail(0), None);
        assert_eq!(tail(-1), Some(0));
        assert_eq!(tail(-11), Some(10));
        assert_eq!(tail(10), Some(10));
    }

    #[test]
    fn a_subscription_matches_by_task_service_or_node() {
        let task = executor::testing::task("web", |_| {});
        let node = executor::testing::node_id();
        let mut selector = api::LogSelector::default();
        assert!(!matches(&selector, &task, node));
        selector.service_ids = vec![task.service_id.unwrap().to_string()];
        assert!(matches(&selector, &task, node));
        selector.service_ids.clear();
        selector.node_ids = vec![node.to_string()];
        assert!(matches(&selector, &task, node));
    }
}
