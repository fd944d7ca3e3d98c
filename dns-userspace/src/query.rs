//! Between whoever takes queries and whoever answers them: how a query came, and what becomes of it.
//!
//! ```text
//! UDP, TCP ─ query, Arrival ─► Answerer ─ Disposition ─► a reply, silence, or an upstream server first
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use crate::message::{Limit, Protocol, write_failure};
use crate::model::name::Name;
use crate::model::record::RrSet;

/// What becomes of a query.
#[derive(Debug)]
pub enum Disposition {
    /// The reply is in `out`.
    Reply,
    /// Nothing is sent: not a query, too short to be answered, or over a rate limit.
    Silence,
    /// Nothing is sent, and a connection is closed: this client gets nothing.
    Denied,
    /// To be resolved upstream as it is.
    Forward,
    /// The end of this chain is to be resolved upstream.
    CompleteUpstream(PartialChain),
}

/// Whose query it is, and how it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The client, never as an IPv4-mapped address.
    pub client: IpAddr,
    /// How it asks.
    pub protocol: Protocol,
    /// The largest reply that may be sent.
    pub limit: Limit,
    /// Whether the client has shown that it receives what is sent to its address.
    pub is_proven: bool,
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

/// A chain of aliases of ours whose last target is not ours.
#[derive(Debug, Clone)]
pub struct PartialChain {
    /// The name to resolve upstream, for the query's type.
    pub target: Name,
    /// The answer so far, in order; no owner means the question's.
    pub answer: Vec<(Option<Name>, Arc<RrSet>)>,
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
