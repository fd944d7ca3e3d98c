//! Bodies of answers that are given to the connection in pieces: what it buffers stays small, whatever the answer.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use serde::Serialize;

use super::problem::Problem;

/// Octets of one piece.
pub(super) const PIECE_BYTES: usize = 16 << 10;

/// A whole answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => json_response(status, Body::new(Pieces(text.into()))),
        Err(error) => Problem::internal(&error.to_string()).into_response(),
    }
}

/// An answer whose body is JSON.
pub(super) fn json_response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A text that this body alone holds.
#[derive(Debug)]
pub(super) struct Pieces(pub(super) Bytes);

/// The next piece, cut off.
pub(super) fn next_piece(text: &mut Bytes) -> Bytes {
    text.split_to(text.len().min(PIECE_BYTES))
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let text = &mut self.get_mut().0;
        let piece = (!text.is_empty()).then(|| Ok(Frame::data(next_piece(text))));
        Poll::Ready(piece)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// A text that others hold, and may let go of: then the answer is cut off.
#[derive(Debug)]
pub(super) struct SharedPieces {
    text: Weak<Vec<u8>>,
    at: usize,
    length: usize,
}

impl SharedPieces {
    pub(super) fn new(text: &std::sync::Arc<Vec<u8>>) -> Self {
        Self {
            text: std::sync::Arc::downgrade(text),
            at: 0,
            length: text.len(),
        }
    }
}

impl HttpBody for SharedPieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.at == this.length {
            return Poll::Ready(None);
        }
        let Some(text) = this.text.upgrade() else {
            let error = io::Error::new(io::ErrorKind::TimedOut, "newer texts have taken the place of this one");
            return Poll::Ready(Some(Err(error)));
        };
        let end = this.length.min(this.at + PIECE_BYTES);
        let piece = Bytes::copy_from_slice(&text[this.at..end]);
        this.at = end;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.length - self.at) as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn collected(body: impl HttpBody<Data = Bytes, Error = impl std::fmt::Debug>) -> Result<Vec<u8>, usize> {
        let mut body = std::pin::pin!(body);
        let mut text = Vec::new();
        let expected = body.size_hint().exact();
        loop {
            let is_end = body.is_end_stream();
            match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                Some(Ok(frame)) => {
                    let piece = frame.into_data().expect("data");
                    assert!(!is_end && (1..=PIECE_BYTES).contains(&piece.len()));
                    text.extend_from_slice(&piece);
                }
                Some(Err(_)) => return Err(text.len()),
                None => break,
            }
        }
        assert_eq!(expected, Some(text.len() as u64));
        Ok(text)
    }

    #[tokio::test]
    async fn pieces_make_the_whole() {
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7] {
            let text: Vec<u8> = (0..length).map(|at| at as u8).collect();
            assert_eq!(collected(Pieces(text.clone().into())).await.as_ref(), Ok(&text));
            let shared = Arc::new(text.clone());
            assert_eq!(collected(SharedPieces::new(&shared)).await, Ok(text));
        }
    }

    #[tokio::test]
    async fn a_text_that_is_gone_ends_its_bodies_with_an_error() {
        let text = Arc::new(vec![0; 2 * PIECE_BYTES]);
        let mut body = SharedPieces::new(&text);
        let first = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(first.is_some_and(|frame| frame.is_ok()));
        drop(text);
        assert_eq!(collected(body).await, Err(0));
    }
}
