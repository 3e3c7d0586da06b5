//! The RPCs of the dispatcher.

use std::sync::Arc;

use dispatcher::Answer;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use transport::Caller;
use types::node::NodeDescription;
use types::service::PortConfig;
use types::{TaskId, TaskStatus};
use wire::api;
use wire::api::dispatcher_server::Dispatcher;

use super::{Command, DispatchApi, Reply, convert};

/// The host that the agent calls from, as the first manager saw it.
fn host<T>(request: &Request<T>) -> Result<String, Status> {
    let addr = Caller::of(request)?.remote_addr.clone().unwrap_or_default();
    Ok(addr
        .parse::<std::net::SocketAddr>()
        .map_or(addr, |a| a.ip().to_string()))
}

impl DispatchApi {
    async fn hand_over(&self, command: Command) -> Result<(), Status> {
        let sent = self.calls()?.send(command).await;
        sent.map_err(|_| Status::unavailable("this manager is no longer the leader"))
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<Answer, Status> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(command(reply)).await?;
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(convert::status(&error)),
            Err(_) => Err(stopped()),
        }
    }
}

/// What agents are told when the reign ends: SwarmKit's code and phrase, upon which stock engines
/// and our own agents look for the next leader at once.
fn stopped() -> Status {
    Status::aborted("dispatcher is stopped: this manager no longer leads")
}

/// What an agent is sent, and the reason when nothing more comes because the dispatcher is gone. A
/// stream that ends with an error of its own ends there.
fn until_stopped<T: Send + 'static>(
    messages: mpsc::Receiver<Result<T, Status>>,
) -> BoxStream<'static, Result<T, Status>> {
    let end = stream::once(async { Err(stopped()) });
    ReceiverStream::new(messages).chain(end).boxed()
}

/// Largest description of a node: far above what engines say of themselves, far below what one
/// transaction takes.
const DESCRIPTION_BYTES_MAX: usize = 256 << 10;

/// Most bytes of a text in a task's status. It is kept for every task, and shown in one line.
const TEXT_BYTES_MAX: usize = 4 << 10;

fn shorten(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
}

/// Updates that can be read; an unreadable one is skipped, for an error would end the session of
/// a stock engine.
fn readable(
    updates: Vec<api::update_task_status_request::TaskStatusUpdate>,
) -> Vec<(TaskId, TaskStatus)> {
    let read = |update: api::update_task_status_request::TaskStatusUpdate| {
        let id = update.task_id.parse().ok()?;
        let mut status = update.status?;
        shorten(&mut status.message);
        shorten(&mut status.err);
        match TaskStatus::try_from(status) {
            Ok(mut status) => {
                once_each(&mut status.ports);
                Some((id, status))
            }
            Err(error) => {
                tracing::warn!(task = %id, %error, "unreadable task status skipped");
                None
            }
        }
    };
    updates.into_iter().filter_map(read).collect()
}

/// A Docker Engine reports a published port once for each address family, in equal words.
fn once_each(ports: &mut Vec<PortConfig>) {
    let mut seen = Vec::with_capacity(ports.len());
    ports.retain(|port| {
        let is_new = !seen.contains(port);
        if is_new {
            seen.push(port.clone());
        }
        is_new
    });
}

#[tonic::async_trait]
impl Dispatcher for DispatchApi {
    type SessionStream = BoxStream<'static, Result<api::SessionMessage, Status>>;

    async fn session(
        &self,
        request: Request<api::SessionRequest>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (node, addr) = (Caller::of(&request)?.node_id()?, host(&request)?);
        let request = request.into_inner();
        let size = request.description.as_ref().map_or(0, Message::encoded_len);
        if size > DESCRIPTION_BYTES_MAX {
            return Err(Status::invalid_argument(format!(
                "description: {size} bytes, at most {DESCRIPTION_BYTES_MAX} are kept of a node"
            )));
        }
        let description = request
            .description
            .map(NodeDescription::try_from)
            .transpose();
        let description = description.map_err(|e| Status::invalid_argument(e.to_string()))?;
        let (out, stream) = mpsc::channel(1);
        self.hand_over(Command::Session {
            node,
            description: description.map(Arc::new),
            session: request.session_id,
            addr,
            out,
        })
        .await?;
        Ok(Response::new(until_stopped(stream)))
    }

    async fn heartbeat(
        &self,
        request: Request<api::HeartbeatRequest>,
    ) -> Result<Response<api::HeartbeatResponse>, Status> {
        let node = Caller::of(&request)?.node_id()?;
        let session = request.into_inner().session_id;
        match self
            .ask(|reply| Command::Heartbeat {
                node,
                session,
                reply,
            })
            .await?
        {
            Answer::Heartbeat { period } => Ok(Response::new(api::HeartbeatResponse {
                period: Some(wire::convert::duration(period)),
            })),
            Answer::Recorded => Err(Status::internal("the dispatcher mixed up two calls")),
        }
    }

    async fn update_task_status(
        &self,
        request: Request<api::UpdateTaskStatusRequest>,
    ) -> Result<Response<api::UpdateTaskStatusResponse>, Status> {
        let node = Caller::of(&request)?.node_id()?;
        let request = request.into_inner();
        let (session, updates) = (request.session_id, readable(request.updates));
        self.ask(|reply| Command::Status {
            node,
            session,
            updates,
            reply,
        })
        .await?;
        Ok(Response::new(api::UpdateTaskStatusResponse {}))
    }

    async fn update_volume_status(
        &self,
        _: Request<api::UpdateVolumeStatusRequest>,
    ) -> Result<Response<api::UpdateVolumeStatusResponse>, Status> {
        // No cluster volume is ever assigned, so there is nothing to record.
        Ok(Response::new(api::UpdateVolumeStatusResponse {}))
    }

    type TasksStream = ReceiverStream<Result<api::TasksMessage, Status>>;

    async fn tasks(
        &self,
        _: Request<api::TasksRequest>,
    ) -> Result<Response<Self::TasksStream>, Status> {
        Err(Status::unimplemented(
            "engines older than 1.13 are not supported; use Assignments",
        ))
    }

    type AssignmentsStream = BoxStream<'static, Result<api::AssignmentsMessage, Status>>;

    async fn assignments(
        &self,
        request: Request<api::AssignmentsRequest>,
    ) -> Result<Response<Self::AssignmentsStream>, Status> {
        let node = Caller::of(&request)?.node_id()?;
        let session = request.into_inner().session_id;
        let (out, stream) = mpsc::channel(1);
        self.hand_over(Command::Assignments { node, session, out })
            .await?;
        Ok(Response::new(until_stopped(stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[tokio::test]
    async fn a_stream_whose_dispatcher_is_gone_ends_with_the_code_that_makes_agents_reconnect() {
        let (out, messages) = mpsc::channel(2);
        out.send(Ok(1)).await.unwrap();
        drop(out);
        let got: Vec<_> = until_stopped(messages).collect().await;
        assert_eq!(got[0].as_ref().unwrap(), &1);
        let end = got[1].as_ref().unwrap_err();
        assert_eq!(end.code(), Code::Aborted);
        assert!(end.message().starts_with("dispatcher is stopped"), "{end}");
        assert_eq!(got.len(), 2);
    }
}
