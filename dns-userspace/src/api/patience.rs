//! How long a client may take for its answers: a stream that ends where the client takes next to nothing.
//!
//! What waits to be written is little (see `pieces`); the client must take it, or [`PROGRESS_BYTES`] of it, within
//! [`PATIENCE`]. The DNS over TCP side has the same rule (`serve::stream`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::admission::Activity;
use crate::observe::figures::HttpFigures;

/// How long a client may take for the next [`PROGRESS_BYTES`].
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// What a client must take of a waiting answer within [`PATIENCE`], unless less is waiting.
const PROGRESS_BYTES: usize = 4096;

/// A stream whose writes fail once the client has had enough time for them.
pub(super) struct Patient<S> {
    stream: S,
    activity: Arc<Activity>,
    figures: Arc<HttpFigures>,
    patience: Duration,
    /// While the client takes nothing.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Octets taken since the deadline was set.
    taken: usize,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, figures: Arc<HttpFigures>) -> Self {
        Self {
            stream,
            activity,
            figures,
            patience: PATIENCE,
            deadline: None,
            taken: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Poll::Ready(written) = Pin::new(&mut this.stream).poll_write(cx, bytes) {
            if let Ok(written) = written {
                this.activity.progress();
                this.taken += written;
                if written == bytes.len() || this.taken >= PROGRESS_BYTES {
                    this.deadline = None;
                    this.taken = 0;
                }
            }
            return Poll::Ready(written);
        }
        let deadline = this.deadline.get_or_insert_with(|| {
            this.taken = 0;
            Box::pin(tokio::time::sleep(this.patience))
        });
        if deadline.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.figures.stalled.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not take its answer",
        )))
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// A stream whose client has room for so many octets.
    fn patient(room: usize, patience: Duration) -> (Patient<DuplexStream>, DuplexStream) {
        let (server, client) = tokio::io::duplex(room);
        let mut stream = Patient::new(server, Activity::alone(), Arc::default());
        stream.patience = patience;
        (stream, client)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut stream, _client) = patient(10, Duration::from_millis(20));
        let error = stream.write_all(&[0; 11]).await.expect_err("given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(stream.figures.stalled.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_client_that_takes_next_to_nothing_is_given_up_too() {
        let (mut stream, mut client) = patient(1, Duration::from_millis(50));
        let writing = async {
            let written = stream.write_all(&[0; PROGRESS_BYTES]).await;
            (written, stream)
        };
        // It takes an octet, and waits: as long as the server is patient, a few dozen times.
        let reading = async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if client.read_u8().await.is_err() {
                    return;
                }
            }
        };
        let (written, stream) = tokio::select! {
            ended = writing => ended,
            () = reading => unreachable!("the server's end is there"),
        };
        assert_eq!(written.expect_err("given up").kind(), io::ErrorKind::TimedOut);
        assert_eq!(stream.figures.stalled.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_client_that_takes_its_answer_gets_all_of_it() {
        let (mut stream, mut client) = patient(100, Duration::from_secs(3600));
        let text = vec![7; 3 * PROGRESS_BYTES];
        let mut taken = vec![0; text.len()];
        let (written, read) = tokio::join!(stream.write_all(&text), client.read_exact(&mut taken));
        written.expect("written");
        read.expect("read");
        assert!(taken == text && stream.deadline.is_none());
        assert_eq!(stream.figures.stalled.load(Ordering::Relaxed), 0);
    }
}
