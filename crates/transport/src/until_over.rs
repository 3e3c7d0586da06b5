//! The body of an answer that ends before its stream does: because the leader that sends it was
//! deposed or fell silent, or because the caller may not have it any more.
//!
//! It ends with a status. A stream would otherwise hang on a leader that lost power until its
//! connection is given up, and a demoted manager would go on watching.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Ends when the answer is over, with what its receiver is told.
pub(crate) type Over = Pin<Box<dyn Future<Output = Status> + Send>>;

pub(crate) struct UntilOver {
    inner: Body,
    over: Over,
    broken: fn(Status) -> Status,
    /// Whether what has arrived already is still handed on.
    drains: bool,
    ended: bool,
}

impl UntilOver {
    /// The answer of a leader, until that is deposed; what has arrived by then is handed on.
    pub(crate) fn deposed(inner: Body, over: Over) -> Self {
        let broken = |why: Status| {
            let why = why.message();
            Status::unavailable(format!(
                "the connection to the leader broke ({why}); try again"
            ))
        };
        Self {
            inner,
            over,
            broken,
            drains: true,
            ended: false,
        }
    }

    /// The answer to a caller, until that may not have it any more; nothing is handed on then.
    pub(crate) fn refused(inner: Body, over: Over) -> Self {
        Self {
            inner,
            over,
            broken: |status| status,
            drains: false,
            ended: false,
        }
    }

    fn end(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let added = status.add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
    }
}

impl HttpBody for UntilOver {
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
        if !this.drains
            && let Poll::Ready(status) = this.over.as_mut().poll(cx)
        {
            return this.end(&status);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.ended = frame.is_trailers();
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => {
                let status = (this.broken)(error);
                return this.end(&status);
            }
            Poll::Ready(None) => {
                this.ended = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        if this.drains
            && let Poll::Ready(status) = this.over.as_mut().poll(cx)
        {
            return this.end(&status);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
