//! The open streams of agents: each has room for one message, and says when there is room again.

use std::collections::BTreeMap;

use dispatcher::StreamId;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{OwnedPermit, Sender};
use tonic::Status;
use wire::api;

use super::{AssignmentsOut, SessionOut};
use crate::quorum::BoxFuture;

type Item<T> = Result<T, Status>;

enum Room {
    Session(OwnedPermit<Item<api::SessionMessage>>),
    Assignments(OwnedPermit<Item<api::AssignmentsMessage>>),
    /// The agent has gone.
    Gone,
}

impl Room {
    /// Ends the stream with an error.
    fn end(self, status: Status) {
        match self {
            Self::Session(room) => drop(room.send(Err(status))),
            Self::Assignments(room) => drop(room.send(Err(status))),
            Self::Gone => {}
        }
    }
}

/// Open streams by number.
#[derive(Default)]
pub(super) struct Streams {
    /// Streams that can take a message.
    rooms: BTreeMap<StreamId, Room>,
    /// Streams that end when their last message was taken.
    ending: BTreeMap<StreamId, Status>,
    /// Streams whose message was not taken yet.
    waiting: FuturesUnordered<BoxFuture<'static, (StreamId, Room)>>,
    next: u64,
}

impl Streams {
    pub(super) fn add_session(&mut self, out: SessionOut) -> StreamId {
        let id = self.fresh();
        self.insert(
            id,
            out.try_reserve_owned().map_or(Room::Gone, Room::Session),
        )
    }

    pub(super) fn add_assignments(&mut self, out: AssignmentsOut) -> StreamId {
        let id = self.fresh();
        self.insert(
            id,
            out.try_reserve_owned()
                .map_or(Room::Gone, Room::Assignments),
        )
    }

    fn fresh(&mut self) -> StreamId {
        self.next += 1;
        StreamId(self.next)
    }

    fn insert(&mut self, id: StreamId, room: Room) -> StreamId {
        self.rooms.insert(id, room);
        id
    }

    pub(super) fn send_session(&mut self, id: StreamId, message: api::SessionMessage) {
        match self.rooms.remove(&id) {
            Some(Room::Session(room)) => self.wait(id, room.send(Ok(message)), Room::Session),
            other => self.gone(id, other),
        }
    }

    pub(super) fn send_assignments(&mut self, id: StreamId, message: api::AssignmentsMessage) {
        match self.rooms.remove(&id) {
            Some(Room::Assignments(room)) => {
                self.wait(id, room.send(Ok(message)), Room::Assignments);
            }
            other => self.gone(id, other),
        }
    }

    fn wait<T: Send + 'static>(
        &mut self,
        id: StreamId,
        out: Sender<Item<T>>,
        room: fn(OwnedPermit<Item<T>>) -> Room,
    ) {
        self.waiting.push(Box::pin(async move {
            (id, out.reserve_owned().await.map_or(Room::Gone, room))
        }));
    }

    fn gone(&mut self, id: StreamId, room: Option<Room>) {
        debug_assert!(
            matches!(room, Some(Room::Gone)),
            "one message at a time on {id:?}"
        );
        self.waiting
            .push(Box::pin(std::future::ready((id, Room::Gone))));
    }

    /// Ends a stream with an error, which comes after the message that was not taken yet.
    pub(super) fn close(&mut self, id: StreamId, status: Status) {
        match self.rooms.remove(&id) {
            Some(room) => room.end(status),
            None => drop(self.ending.insert(id, status)),
        }
    }

    /// The next stream whose message was taken (true) or whose agent has gone (false).
    pub(super) async fn next_ready(&mut self) -> (StreamId, bool) {
        loop {
            match self.waiting.next().await {
                None => std::future::pending().await,
                Some((id, room)) => match (self.ending.remove(&id), room) {
                    (Some(status), room) => room.end(status),
                    (None, Room::Gone) => return (id, false),
                    (None, room) => {
                        self.rooms.insert(id, room);
                        return (id, true);
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn message(session: &str) -> api::SessionMessage {
        api::SessionMessage {
            session_id: session.into(),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_error_after_the_message_that_waits() {
        let mut streams = Streams::default();
        let (out, mut agent) = mpsc::channel(1);
        let id = streams.add_session(out);
        streams.send_session(id, message("a"));
        streams.close(id, Status::aborted("over"));
        assert_eq!(agent.recv().await.unwrap().unwrap().session_id, "a");
        let ended = async { while let Some(Ok(_)) = agent.recv().await {} };
        tokio::select! {
            () = ended => {}
            (id, _) = streams.next_ready() => panic!("{id:?} is closed already"),
        }
        assert!(streams.rooms.is_empty() && streams.ending.is_empty());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_stream_that_was_closed() {
        let mut streams = Streams::default();
        let (out, mut agent) = mpsc::channel(1);
        let id = streams.add_session(out);
        streams.close(id, Status::aborted("over"));
        assert_eq!(agent.recv().await.unwrap().unwrap_err().message(), "over");
        assert!(agent.recv().await.is_none());
        assert!(streams.rooms.is_empty() && streams.ending.is_empty());
    }

    #[tokio::test]
    async fn an_agent_that_has_gone_is_noticed_at_the_next_message() {
        let mut streams = Streams::default();
        let (out, agent) = mpsc::channel(1);
        let id = streams.add_session(out);
        drop(agent);
        streams.send_session(id, message("a"));
        assert_eq!(streams.next_ready().await, (id, false));
        assert!(streams.rooms.is_empty());
    }
}
