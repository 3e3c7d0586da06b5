//! The RPCs of the log broker.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use transport::Caller;
use wire::api as pb;

use super::subscription::Relay;
use super::{Event, LINES_QUEUE, LogBroker, Source, tasks_of, tell};

#[tonic::async_trait]
impl pb::logs_server::Logs for LogBroker {
    type SubscribeLogsStream = ReceiverStream<Result<pb::SubscribeLogsMessage, Status>>;

    async fn subscribe_logs(
        &self,
        request: Request<pb::SubscribeLogsRequest>,
    ) -> Result<Response<Self::SubscribeLogsStream>, Status> {
        let request = request.into_inner();
        let selector = request.selector.unwrap_or_default();
        let options = request.options.unwrap_or_default();
        check(self, &selector, options.follow)?;
        let (events, queue) = mpsc::channel(LINES_QUEUE);
        let (reader, stream) = mpsc::channel(LINES_QUEUE);
        let subscription = self.register(selector, options, events);
        tokio::spawn(Relay::new(self.clone(), subscription, queue, reader).run());
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

fn check(broker: &LogBroker, selector: &pb::LogSelector, follow: bool) -> Result<(), Status> {
    let named = !selector.service_ids.is_empty() || !selector.task_ids.is_empty();
    if !named && selector.node_ids.is_empty() {
        return Err(Status::invalid_argument("name a service, a task or a node"));
    }
    let state = broker.ledger.state();
    for id in &selector.service_ids {
        if id
            .parse()
            .ok()
            .and_then(|id| state.services().get(id))
            .is_none()
        {
            return Err(Status::not_found(format!("service {id} not found")));
        }
    }
    if !follow && !selector.task_ids.is_empty() && tasks_of(&state, selector).is_empty() {
        let ids = selector.task_ids.join(", ");
        return Err(Status::not_found(format!("task {ids} not found")));
    }
    Ok(())
}

#[tonic::async_trait]
impl pb::log_broker_server::LogBroker for LogBroker {
    type ListenSubscriptionsStream = ReceiverStream<Result<pb::SubscriptionMessage, Status>>;

    async fn listen_subscriptions(
        &self,
        request: Request<pb::ListenSubscriptionsRequest>,
    ) -> Result<Response<Self::ListenSubscriptionsStream>, Status> {
        let node = Caller::of(&request)?.node_id()?;
        Ok(Response::new(ReceiverStream::new(self.listen(node)?)))
    }

    async fn publish_logs(
        &self,
        request: Request<Streaming<pb::PublishLogsMessage>>,
    ) -> Result<Response<pb::PublishLogsResponse>, Status> {
        let node = Caller::of(&request)?.node_id()?;
        let cut = self.admit(node)?;
        let publishing = Publishing {
            source: self.source(node),
            broker: self.clone(),
            open: None,
        };
        tokio::select! {
            done = publishing.run(request.into_inner()) => done,
            () = cut.cancelled() => Err(Status::aborted(
                "these logs are not taken any more: the node was removed, or another manager leads",
            )),
        }
    }
}

/// A node's stream of lines for one subscription.
struct Publishing {
    broker: LogBroker,
    source: Source,
    open: Option<(String, mpsc::Sender<Event>)>,
}

impl Publishing {
    async fn run(
        mut self,
        mut stream: Streaming<pb::PublishLogsMessage>,
    ) -> Result<Response<pb::PublishLogsResponse>, Status> {
        while let Some(message) = stream.message().await? {
            if self.take(message).await? {
                break;
            }
        }
        Ok(Response::new(pb::PublishLogsResponse {}))
    }

    /// Passes one message on. Returns whether it was the last one.
    async fn take(&mut self, message: pb::PublishLogsMessage) -> Result<bool, Status> {
        let events = self.events(&message.subscription_id).await?;
        if !self.owns(&message.messages) {
            let text = "a node can publish only its own logs";
            return Err(Status::permission_denied(text));
        }
        if !message.messages.is_empty() {
            let lines = Event::Lines(self.source, message.messages);
            self.send(&events, lines).await?;
        }
        if message.close {
            self.open = None;
            self.send(&events, Event::Ended(self.source, None)).await?;
        }
        Ok(message.close)
    }

    /// Whether all lines are of this node: it says so, and none is of a task of another one. A task
    /// whose record is gone may still have lines.
    fn owns(&self, messages: &[pb::LogMessage]) -> bool {
        let (state, own) = (self.broker.ledger.state(), self.source.node.to_string());
        let mut last = "";
        messages.iter().all(|message| {
            let Some(context) = message.context.as_ref() else {
                return false;
            };
            if context.task_id != last {
                last = &context.task_id;
                let task = last.parse().ok().and_then(|id| state.tasks().get(id));
                if task.is_some_and(|t| t.node_id != Some(self.source.node)) {
                    return false;
                }
            }
            context.node_id == own
        })
    }

    async fn events(&mut self, id: &str) -> Result<mpsc::Sender<Event>, Status> {
        if let Some((open, events)) = &self.open {
            if open == id {
                return Ok(events.clone());
            }
            let text = format!("this stream is for subscription {open}, not {id}");
            return Err(Status::invalid_argument(text));
        }
        let found = self.broker.find(id);
        let found = found.ok_or_else(|| Status::not_found(format!("no log subscription {id}")))?;
        let events = found.events.clone();
        self.send(&events, Event::Began(self.source)).await?;
        self.open = Some((id.to_owned(), events.clone()));
        Ok(events)
    }

    async fn send(&self, events: &mpsc::Sender<Event>, event: Event) -> Result<(), Status> {
        let sent = events.send(event).await;
        sent.map_err(|_| Status::cancelled("nobody reads these logs any more"))
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        if let Some((_, events)) = self.open.take() {
            let event = Event::Ended(self.source, Some("disconnected unexpectedly".into()));
            tell(&events, event);
        }
    }
}
