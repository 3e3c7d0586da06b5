//! The body of an answer that comes from the leader.
//!
//! It ends, with a status that says "try again", when leadership moves or the connection breaks. A
//! stream would otherwise hang on a leader that lost power until its connection is given up.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};

type Moved = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct UntilMoved {
    inner: Body,
    moved: Moved,
    ended: bool,
}

impl UntilMoved {
    /// `moved` ends when another node has become the leader.
    pub(crate) fn new(inner: Body, moved: Moved) -> Self {
        Self {
            inner,
            moved,
            ended: false,
        }
    }

    fn end(&mut self, message: &str) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let added = Status::new(Code::Unavailable, message).add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
    }
}

impl HttpBody for UntilMoved {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.ended = frame.is_trailers();
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => {
                let why = error.message();
                let message = format!("the connection to the leader broke ({why}); try again");
                return this.end(&message);
            }
            Poll::Ready(None) => {
                this.ended = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        match this.moved.as_mut().poll(cx) {
            Poll::Ready(()) => this.end("leadership moved to another manager; try again"),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
