//! A stream whose first bytes were read ahead of its user.
//!
//! In TLS 1.3 a client is done before the server has looked at its certificate, and an HTTP/2
//! server speaks first. Waiting for those first bytes turns a refused certificate, or a peer that
//! speaks something else, into an error of connecting instead of a broken first call.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// An HTTP/2 frame header: length (3), kind (1), flags (1), stream (4).
const FRAME_HEADER_BYTES: usize = 9;
/// Kind of the frame every HTTP/2 server sends first.
const SETTINGS: u8 = 4;

/// A stream with bytes to be read before its own.
#[derive(Debug)]
pub(crate) struct Prefetched<S> {
    first: Bytes,
    stream: S,
}

/// What came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstWords {
    /// The beginning of HTTP/2.
    Http2,
    /// The end of the stream.
    Closed,
    /// Something else.
    Other,
}

impl<S> Prefetched<S> {
    /// Nothing read ahead.
    pub(crate) fn nothing(stream: S) -> Self {
        Self {
            first: Bytes::new(),
            stream,
        }
    }
}

impl<S: AsyncRead + Unpin> Prefetched<S> {
    /// Waits for the first frame header.
    ///
    /// Not cancellation-safe: bytes read before a cancellation stay in `self`, later ones follow.
    pub(crate) async fn first_words(&mut self) -> io::Result<FirstWords> {
        let mut seen = [0; FRAME_HEADER_BYTES];
        let mut length = 0;
        while length < FRAME_HEADER_BYTES {
            match self.stream.read(&mut seen[length..]).await? {
                0 => {
                    return Ok(if length == 0 {
                        FirstWords::Closed
                    } else {
                        FirstWords::Other
                    });
                }
                more => length += more,
            }
            self.first = Bytes::copy_from_slice(&seen[..length]);
        }
        let stream_id = &seen[5..];
        let settings = seen[3] == SETTINGS && stream_id == [0; 4];
        Ok(if settings {
            FirstWords::Http2
        } else {
            FirstWords::Other
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefetched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let length = this.first.len().min(buf.remaining());
        buf.put_slice(&this.first[..length]);
        this.first.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefetched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn words(bytes: &'static [u8]) -> (FirstWords, Vec<u8>) {
        let mut stream = Prefetched::nothing(bytes);
        let words = stream.first_words().await.expect("memory");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.expect("memory");
        (words, all)
    }

    #[tokio::test]
    async fn what_was_read_ahead_is_read_again() {
        let settings = b"\0\0\x06\x04\0\0\0\0\0abcdef";
        assert_eq!(
            words(settings).await,
            (FirstWords::Http2, settings.to_vec())
        );
        let html = b"HTTP/1.1 400 Bad Request\r\n";
        assert_eq!(words(html).await, (FirstWords::Other, html.to_vec()));
        assert_eq!(words(b"").await, (FirstWords::Closed, Vec::new()));
    }
}
