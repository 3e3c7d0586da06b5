//! A request that can be sent again, because all of its body is kept.
//!
//! Only short bodies are: that of a question has some hundred bytes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use hyper::body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

/// Longest body that is kept.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A request that travels once, or as often as needed.
pub(crate) enum Outgoing {
    Once(Request<Body>),
    Again(Parts, VecDeque<Bytes>),
}

/// A body of which a part was read already.
struct Read {
    first: VecDeque<Bytes>,
    rest: Option<Body>,
}

// === impl Outgoing ===

impl Outgoing {
    /// Reads the body of a request, to keep it; a long one, or one with trailers, travels once.
    ///
    /// # Errors
    /// What broke the caller's stream.
    pub(crate) async fn keep(request: Request<Body>) -> Result<Self, Status> {
        let (parts, mut body) = request.into_parts();
        let (mut kept, mut bytes) = (VecDeque::new(), 0);
        while let Some(frame) = frame(&mut body).await {
            let data = frame?.into_data();
            let is_data = data.is_ok();
            if let Ok(data) = data {
                bytes += data.len();
                kept.push_back(data);
            }
            if bytes > KEPT_BYTES_MAX || !is_data {
                let rest = is_data.then_some(body);
                let body = Body::new(Read { first: kept, rest });
                return Ok(Self::Once(Request::from_parts(parts, body)));
            }
        }
        Ok(Self::Again(parts, kept))
    }

    /// The request to send now, and what can be sent later if that comes to nothing.
    pub(crate) fn split(self) -> (Request<Body>, Option<Self>) {
        match self {
            Self::Once(request) => (request, None),
            Self::Again(parts, kept) => {
                let (first, rest) = (kept.clone(), None);
                let body = Body::new(Read { first, rest });
                let request = Request::from_parts(parts.clone(), body);
                (request, Some(Self::Again(parts, kept)))
            }
        }
    }

    /// The request, to be answered here.
    pub(crate) fn into_request(self) -> Request<Body> {
        self.split().0
    }
}

async fn frame(body: &mut Body) -> Option<Result<Frame<Bytes>, Status>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

// === impl Read ===

impl HttpBody for Read {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(data) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.rest.as_mut() {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
