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
    Gone,
}

/// Open streams by number.
#[derive(Default)]
pub(super) struct Streams {
    rooms: BTreeMap<StreamId, Room>,
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

    /// Ends a stream with an error; a message that was not taken yet is lost with it.
    pub(super) fn close(&mut self, id: StreamId, status: Status) {
        match self.rooms.remove(&id) {
            Some(Room::Session(room)) => drop(room.send(Err(status))),
            Some(Room::Assignments(room)) => drop(room.send(Err(status))),
            // Its message is still waiting: the stream ends when its sender is dropped.
            Some(Room::Gone) | None => {}
        }
        self.rooms.insert(id, Room::Gone);
    }

    /// The next stream whose message was taken (true) or whose agent has gone (false).
    pub(super) async fn next_ready(&mut self) -> (StreamId, bool) {
        loop {
            match self.waiting.next().await {
                None => std::future::pending().await,
                // It was closed meanwhile: dropping the room ends it.
                Some((id, _)) if matches!(self.rooms.get(&id), Some(Room::Gone)) => {
                    self.rooms.remove(&id);
                }
                Some((id, Room::Gone)) => {
                    self.rooms.remove(&id);
                    return (id, false);
                }
                Some((id, room)) => {
                    self.rooms.insert(id, room);
                    return (id, true);
                }
            }
        }
    }
}
