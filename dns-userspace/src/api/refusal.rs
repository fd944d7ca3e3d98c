//! Problem bodies for what the HTTP parser refuses.
//!
//! hyper answers a request that it cannot parse by itself, with a status and nothing else, and has no hook for it. Such
//! an answer is written whole and alone, and no handler's error comes without a content type: it can be told apart
//! where it is written, and gets its body there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::problem::{MEDIA_TYPE, Problem};
use super::security::HEADERS;

/// A stream that completes the parser's answers.
pub(super) struct WithProblems<S> {
    stream: S,
    /// A completed answer and how much of it is written.
    pending: Vec<u8>,
    written: usize,
}

impl<S> WithProblems<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            pending: Vec::new(),
            written: 0,
        }
    }
}

impl<S: AsyncWrite + Unpin> WithProblems<S> {
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.pending.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => self.written += more,
            }
        }
        self.pending.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WithProblems<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WithProblems<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        match completed(bytes) {
            Some(answer) => {
                this.pending = answer;
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut this.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// The parser's answer with a body; `None` for all that a handler wrote.
fn completed(bytes: &[u8]) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(bytes.strip_suffix(b"\r\n\r\n")?).ok()?;
    let (status_line, headers) = head.split_once("\r\n")?;
    let status = status_line.strip_prefix("HTTP/1.")?.get(2..5)?;
    let status = StatusCode::from_bytes(status.as_bytes()).ok()?;
    let has = |name: &str| {
        headers.split("\r\n").any(|line| {
            let (found, _) = line.split_once(':').unwrap_or((line, ""));
            found.eq_ignore_ascii_case(name)
        })
    };
    if !status.is_client_error() || has("content-type") {
        return None;
    }
    let (code, detail) = match status {
        StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "headers_too_large",
            "the request line and the header fields are too many or too large",
        ),
        _ => ("bad_request", "the request is not HTTP/1.1 (RFC 9112)"),
    };
    let body = Problem::new(status, code, detail).body();
    let kept = headers.split("\r\n").filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !name.eq_ignore_ascii_case("content-length")
    });
    let mut answer = format!("{status_line}\r\n");
    for line in kept {
        answer.push_str(line);
        answer.push_str("\r\n");
    }
    for (name, value) in HEADERS {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    answer.push_str(&format!(
        "content-type: {MEDIA_TYPE}\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
    Some(answer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_client_errors_are_completed() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let answer = String::from_utf8(completed(bare).expect("completed")).expect("text");
        assert!(answer.contains("\"code\":\"headers_too_large\"") && answer.contains("connection: close\r\n"));
        assert_eq!(answer.matches("content-length").count(), 1);
        assert!(answer.contains("\r\nx-content-type-options: nosniff\r\n"));
        for other in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: 9\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            b"\"HTTP/1.1 400 Bad\r\nx: y\r\n\r\n",
        ] {
            assert_eq!(completed(other), None);
        }
    }
}
