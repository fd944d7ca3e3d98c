//! Names that are not ours: upstream servers, asked in order.
//!
//! ```text
//! client's query ─► Query ─► for each server: UDP (again after a while) ─TC─► TCP ─► Message
//!                                 error, time-out, bad rcode: the next
//!        reply ◄─ write: the client's ID and question, our chain, their sections, within the client's limit
//! ```
//!
//! A reply is never relayed as bytes: its records are read, names expanded, and written anew, so a client gets what its own query
//! asked for (with or without OPT, of its size) and nothing malformed. RDATA of unknown types is kept octet for octet (RFC 3597).
//!
//! The time-out is the whole budget of a query. Each server in turn may use an equal share of what is left, so a dead
//! first server does not use up the time of the second. RFC 1035 §7, RFC 5452, RFC 5625, RFC 6891, RFC 8914.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::answer::{Edns, ExtendedError, InfoCode};
use crate::cookies::Cookies;
use crate::dataplane::worker::{Disposition, Transport};
use crate::name::Name;
use crate::record::RrSet;

mod exchange;
mod message;
mod reply;

use exchange::Asking;
pub use message::Message;
use reply::Query;

/// RCODEs (RFC 1035 §4.1.1, RFC 2136 §2.2).
const NOERROR: u16 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u16 = 3;
const YXDOMAIN: u16 = 6;

/// What a forwarder needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardSettings {
    /// Asked in this order; never empty, and none of them ourselves (`sockets::is_ourselves`).
    pub servers: Vec<SocketAddr>,
    /// For a query as a whole, over all servers.
    pub timeout: Duration,
    /// Our own `edns.udp_payload`: the largest reply to a client over UDP.
    pub udp_payload: u16,
    /// Our own `edns.nsid`.
    pub nsid: Option<Box<str>>,
    /// Queries that may be on their way at once. Each has a socket.
    pub in_flight: usize,
}

impl ForwardSettings {
    /// The largest value that `in_flight` has a use for; less where there are fewer descriptors.
    pub const MOST_IN_FLIGHT: usize = 10_000;
}

/// A chain of aliases of ours whose last target is not ours.
#[derive(Debug, Clone)]
pub struct PartialChain {
    /// The name to resolve upstream, for the query's type.
    pub target: Name,
    /// The answer so far, in order; no owner means the question's.
    pub answer: Vec<(Option<Name>, Arc<RrSet>)>,
}

/// Resolves queries through upstream servers.
#[derive(Debug)]
pub struct Forwarder {
    settings: ForwardSettings,
    cookies: Arc<Cookies>,
    slots: Arc<Semaphore>,
}

/// The right to one query on its way; gives it back when dropped.
#[derive(Debug)]
pub struct Permit {
    _slot: OwnedSemaphorePermit,
}

impl Forwarder {
    /// A forwarder with nothing on its way.
    pub fn new(settings: ForwardSettings, cookies: Arc<Cookies>) -> Self {
        let slots = Arc::new(Semaphore::new(settings.in_flight.min(Semaphore::MAX_PERMITS)));
        Self {
            settings,
            cookies,
            slots,
        }
    }

    /// A permit for one more query; `None` where too many are on their way. The caller keeps it until the reply.
    pub fn admit(&self) -> Option<Permit> {
        Arc::clone(&self.slots)
            .try_acquire_owned()
            .ok()
            .map(|slot| Permit { _slot: slot })
    }

    /// The reply to a client's `query`, as upstream has it, or SERVFAIL. RA=1 and AA=0.
    pub async fn forward(&self, query: &[u8], client: IpAddr, transport: Transport) -> Vec<u8> {
        self.reply(query, client, transport, None).await
    }

    /// As [`Forwarder::forward`], for a chain that began with us: upstream resolves its target, and its sections follow ours.
    /// AA=1: it tells of the first owner name in the answer section (RFC 1035 §4.1.1).
    pub async fn complete(&self, query: &[u8], chain: &PartialChain, client: IpAddr, transport: Transport) -> Vec<u8> {
        self.reply(query, client, transport, Some(chain)).await
    }

    /// The reply to a `query` that cannot be sent upstream now: SERVFAIL.
    pub fn decline(&self, query: &[u8], client: IpAddr) -> Vec<u8> {
        match Query::read(query) {
            Some(query) => {
                let edns = self.edns(&query, client, Some(&Failure::Overloaded));
                reply::write(&query, None, None, edns, usize::from(u16::MAX))
            }
            None => bare_servfail(query),
        }
    }

    async fn reply(&self, query: &[u8], client: IpAddr, transport: Transport, chain: Option<&PartialChain>) -> Vec<u8> {
        let Some(query) = Query::read(query) else {
            return bare_servfail(query);
        };
        let limit = query.limit(transport, self.settings.udp_payload);
        let asking = Asking {
            name: chain.map_or(query.name, |chain| chain.target.as_wire()),
            qtype: query.qtype,
            qclass: query.qclass,
            checking_disabled: query.checking_disabled,
            authentic_data: query.authentic_data,
            dnssec_ok: query.dnssec_ok(),
            // Where the client could not be given more than a truncated reply has, it asks again over TCP itself.
            whole: limit > usize::from(exchange::UDP_PAYLOAD),
        };
        let message = self.resolve(&asking).await;
        let edns = self.edns(&query, client, message.as_ref().err());
        reply::write(&query, message.as_ref().ok(), chain, edns, limit)
    }

    /// Our OPT, where the client has one.
    fn edns(&self, query: &Query<'_>, client: IpAddr, failure: Option<&Failure>) -> Option<Edns<'_>> {
        let asked = query.edns.as_ref()?;
        let client_cookie = asked.options.client_cookie;
        let code = failure.and_then(Failure::info_code);
        Some(Edns {
            udp_payload: self.settings.udp_payload,
            dnssec_ok: asked.dnssec_ok,
            extended_rcode: 0,
            cookie: client_cookie.map(|cookie| self.cookies.source(client).cookie(cookie)),
            nsid: self.settings.nsid.as_deref().filter(|_| asked.options.nsid),
            error: code.map(|code| ExtendedError { code, text: "" }),
        })
    }

    /// The first good reply: an answer, or that there is none (NXDOMAIN is final).
    async fn resolve(&self, asking: &Asking<'_>) -> Result<Message, Failure> {
        let mut failure = Failure::Silence;
        let deadline = Instant::now() + self.settings.timeout;
        let servers = &self.settings.servers;
        for (place, server) in servers.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(servers.len() - place).unwrap_or(u32::MAX);
            match exchange::ask(*server, asking, share).await {
                Ok(message) if matches!(message.rcode(), NOERROR | NXDOMAIN | YXDOMAIN) => return Ok(message),
                Ok(message) => {
                    failure = Failure::Errors;
                    tracing::debug!(%server, rcode = message.rcode(), "an upstream server has no answer");
                }
                Err(error) => tracing::debug!(%server, %error, "an upstream server failed"),
            }
        }
        Err(failure)
    }
}

/// Why there is no answer from upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// No server sent a reply.
    Silence,
    /// A server sent a reply, and it was an error.
    Errors,
    /// No server was asked: too many queries are on their way.
    Overloaded,
}

impl Failure {
    /// What a client is told (RFC 8914).
    fn info_code(&self) -> Option<InfoCode> {
        match self {
            Self::Silence => Some(InfoCode::NoReachableAuthority),
            Self::Errors => Some(InfoCode::NetworkError),
            Self::Overloaded => None,
        }
    }
}

fn bare_servfail(query: &[u8]) -> Vec<u8> {
    let mut reply = Vec::new();
    failure(query, SERVFAIL, &mut reply);
    reply
}

/// Writes to `out` the reply that says `rcode` and nothing else: the header and, where it can be read, the question.
/// What is not a query gets none.
pub fn failure(query: &[u8], rcode: u8, out: &mut Vec<u8>) -> Disposition {
    out.clear();
    let Some((header, rest)) = query.split_first_chunk::<12>() else {
        return Disposition::Silence;
    };
    if header[2] & 0x80 != 0 {
        return Disposition::Silence;
    }
    // Opcode and RD are copied, the rest is zero.
    out.extend_from_slice(&[
        header[0],
        header[1],
        0x80 | header[2] & 0x79,
        rcode,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    if header[4..6] == [0, 1]
        && let Some(question) = crate::name::wire_name_length(rest).and_then(|length| rest.get(..length + 4))
    {
        out[5] = 1;
        out.extend_from_slice(question);
    }
    Disposition::Reply
}

#[cfg(test)]
mod tests;
