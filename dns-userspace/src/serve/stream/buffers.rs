//! The octets of a session: what was read and not yet answered, and replies that are not yet written.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::task::unconstrained;

use super::{Octets, READ_BYTES, SPARE_BYTES};

/// A stream with its buffers.
pub(super) struct Buffers<S> {
    pub(super) stream: S,
    /// Octets that are not yet answered.
    pub(super) input: Vec<u8>,
    /// Replies, of which the first `written` octets are sent.
    output: Vec<u8>,
    written: usize,
    /// The stream holds octets back until it is told to send them.
    is_unflushed: bool,
    /// The stream has not taken all of the output.
    pub(super) is_blocked: bool,
    /// Nothing more is read: the client has finished, broken the protocol, or the plane stops.
    pub(super) is_ended: bool,
    /// Octets that were written, until somebody sets it back.
    pub(super) progress: usize,
}

impl<S: Octets> Buffers<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            is_unflushed: false,
            is_blocked: false,
            is_ended: false,
            progress: 0,
        }
    }

    /// Adds a reply to the output; one that no length stands for is left out.
    pub(super) fn push(&mut self, reply: &[u8]) {
        let Ok(length) = u16::try_from(reply.len()) else {
            return;
        };
        // RFC 7766 §8: length and message in one write.
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(reply);
    }

    /// Octets of replies that the stream has not taken.
    pub(super) fn unwritten(&self) -> usize {
        self.output.len() - self.written
    }

    /// Whether there is something to write or to send.
    pub(super) fn has_output(&self) -> bool {
        self.unwritten() > 0 || self.is_unflushed
    }

    /// Gives back what the input has to spare.
    pub(super) fn shrink_input(&mut self) {
        shrink(&mut self.input);
    }

    /// Writes what the stream takes at once.
    pub(super) async fn write_now(&mut self) -> io::Result<()> {
        // Unconstrained: that the task has had its turn does not mean that the stream is blocked.
        unconstrained(poll_fn(|context| at_once(self.poll_write(context)))).await
    }

    /// Reads what has come, `most` octets at most.
    pub(super) async fn read_now(&mut self, most: usize) -> io::Result<()> {
        unconstrained(poll_fn(|context| at_once(self.poll_read(context, most)))).await
    }

    /// Writes what there is to write and, where `read` says how many octets at most, reads. Ready once some octets have
    /// moved, or the stream has failed.
    pub(super) fn poll_move(&mut self, context: &mut Context<'_>, read: Option<usize>) -> Poll<io::Result<()>> {
        if self.has_output() {
            let before = self.progress;
            match self.poll_write(context) {
                Poll::Pending if self.progress == before => {}
                Poll::Pending => return Poll::Ready(Ok(())),
                written => return written,
            }
        }
        read.map_or(Poll::Pending, |most| self.poll_read(context, most))
    }

    /// Writes as far as the stream takes it; ready once it has all and sends it.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            match Pin::new(&mut self.stream).poll_write(context, &self.output[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(length)) => {
                    self.written += length;
                    self.progress += length;
                    self.is_unflushed = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // Keeps the buffer from growing at its end while its head is done with.
                    self.output.drain(..self.written);
                    self.written = 0;
                    self.is_blocked = true;
                    shrink(&mut self.output);
                    return Poll::Pending;
                }
            }
        }
        self.written = 0;
        self.output.clear();
        shrink(&mut self.output);
        if self.is_unflushed {
            self.is_blocked = true;
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_unflushed = false;
        }
        self.is_blocked = false;
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>, most: usize) -> Poll<io::Result<()>> {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(&mut scratch[..most]);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            let octets = read.filled();
            if octets.is_empty() {
                self.is_ended = true;
            }
            // Not the double: most of what comes is answered at once.
            if octets.len() > self.input.capacity() - self.input.len() {
                self.input.reserve_exact(octets.len() + SPARE_BYTES);
            }
            self.input.extend_from_slice(octets);
            Poll::Ready(Ok(()))
        })
    }
}

/// What has come of it by now; that it is not done yet is no error.
fn at_once(polled: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match polled {
        Poll::Pending => Poll::Ready(Ok(())),
        done => done,
    }
}

/// Gives back what a buffer has to spare, but for a little: not with every octet that comes or goes.
fn shrink(buffer: &mut Vec<u8>) {
    if buffer.capacity() - buffer.len() > SPARE_BYTES {
        buffer.shrink_to_fit();
    }
}
