//! Between whoever takes queries and whoever answers them: how a query came, and what becomes of it.
//!
//! ```text
//! UDP, streams ─ query, Arrival ─► Answerer ─ Disposition ─► a reply, silence, or a job that gives the reply later
//! ```
//!
//! Whoever takes queries knows nothing of what a job does: it runs the job, sends what it gives, and drops it where the
//! client goes away.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};

use crate::message::{Limit, Protocol, write_failure};

/// What becomes of a query.
#[derive(Debug)]
pub enum Disposition {
    /// The reply is in `out`.
    Reply,
    /// Nothing is sent: not a query, too short to be answered, or over a rate limit.
    Silence,
    /// Nothing is sent, and a connection is closed: this client gets nothing.
    Denied,
    /// The job gives the reply.
    Later(Job),
}

/// Work that gives the messages of one reply, in order. It goes on as long as somebody asks for the next message, and
/// is given up by dropping it.
///
/// A stream of messages gets all of them. Over UDP the first is the reply, and nothing more is asked for.
pub struct Job(BoxStream<'static, Vec<u8>>);

/// Whose query it is, and how it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// How the query came.
    pub protocol: Protocol,
    /// The largest reply that may be sent.
    pub limit: Limit,
    /// Whether the client has shown that it receives what is sent to its address.
    pub is_proven: bool,
    /// The client, never as an IPv4-mapped address.
    pub client: IpAddr,
    /// The client's port; 0 where it is not known.
    pub port: u16,
    /// The interface that a datagram came in at, and the address of ours that it was sent to, where that is known.
    pub at: Option<(u32, IpAddr)>,
    /// The datagram was longer than any query, and its end is not there.
    pub is_cut_off: bool,
}

/// Answers queries; each worker has its own.
pub trait Answerer: Send + 'static {
    /// Decides on `query`; a reply is written to `out`, which is empty before and keeps its capacity
    /// from query to query.
    fn answer(&mut self, query: &[u8], arrival: &Arrival, out: &mut Vec<u8>) -> Disposition;
}

/// Makes the answerer of each worker, and a new one after a panic.
pub type AnswererFactory = Arc<dyn Fn() -> Box<dyn Answerer> + Send + Sync>;

impl Arrival {
    /// A whole query that came by `protocol`, with what holds of all such queries.
    pub fn by(protocol: Protocol, client: IpAddr) -> Self {
        Self {
            protocol,
            limit: protocol.limit(),
            is_proven: protocol.proves_addresses(),
            client,
            port: 0,
            at: None,
            is_cut_off: false,
        }
    }
}

impl Job {
    /// A job that gives one message.
    pub fn one(message: impl Future<Output = Vec<u8>> + Send + 'static) -> Self {
        Self::many(stream::once(message))
    }

    /// A job that gives these messages. Each is made when it is asked for.
    pub fn many(messages: impl Stream<Item = Vec<u8>> + Send + 'static) -> Self {
        Self(messages.boxed())
    }

    /// The same, with its first message shown to `observe`.
    pub fn observed(self, observe: impl FnOnce(&[u8]) + Send + 'static) -> Self {
        let mut observe = Some(observe);
        let shown = self.0.inspect(move |message| {
            if let Some(observe) = observe.take() {
                observe(message);
            }
        });
        Self(shown.boxed())
    }

    /// The next message; `None` after the last.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

/// Writes to `out` the reply that says `rcode` and nothing else: the header and, where it can be read, the question.
/// What is not a query gets none.
pub fn failure(query: &[u8], rcode: u8, out: &mut Vec<u8>) -> Disposition {
    if write_failure(query, rcode, out) {
        Disposition::Reply
    } else {
        Disposition::Silence
    }
}
