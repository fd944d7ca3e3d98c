//! Counters as plain values: those who count write them, and the metrics show them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use crate::message::Protocol;

/// Is told of every answer that was sent.
pub trait CountAnswers: Send + Sync + 'static {
    /// `rcode` includes the upper bits of EDNS, so BADVERS is 16.
    fn count(&self, protocol: Protocol, qtype: u16, rcode: u8);
}

/// Rare events of the socket plane, for metrics.
#[derive(Debug, Default)]
pub struct Figures {
    /// Queries that made the answerer or the forwarder panic, and panics elsewhere in a worker.
    pub panics: AtomicU64,
    /// UDP replies that the kernel did not take.
    pub udp_unsent: AtomicU64,
    /// Connections closed because of a limit: at once, or once far too much waits for all clients.
    pub tcp_refused: AtomicU64,
    /// Connections that are open; the only one that goes down.
    pub tcp_connections: AtomicU64,
    /// Those of each IPv4 address, and of each IPv6 /64.
    pub tcp_clients: Mutex<HashMap<IpAddr, usize>>,
    /// Queries answered SERVFAIL because too many were on their way upstream.
    pub forward_overflow: AtomicU64,
    /// Queries answered SERVFAIL because this server had sent them upstream itself.
    pub forward_loops: AtomicU64,
    /// Datagrams over a rate limit that got nothing.
    pub limit_dropped: AtomicU64,
    /// Datagrams over a rate limit that got a truncated answer.
    pub limit_truncated: AtomicU64,
    /// Queries refused because of an access list.
    pub acl_refused: AtomicU64,
    /// Queries that got nothing because of an access list.
    pub acl_dropped: AtomicU64,
    /// Queries that were written to the query log.
    pub query_log_written: AtomicU64,
    /// Queries that were to be, and were not.
    pub query_log_dropped: AtomicU64,
    /// Answers of the XDP program that were to be shown, and found no room on their way up.
    pub xdp_untold: AtomicU64,
    /// Frames that a dnstap collector has taken.
    pub dnstap_written: AtomicU64,
    /// Frames that were to be.
    pub dnstap_dropped: AtomicU64,
}

/// Connections, and what limits did to them.
#[derive(Debug, Default)]
pub struct HttpFigures {
    /// Connections that are open; the only one that goes down.
    pub connections: AtomicU64,
    /// Connections that waited for their client and were closed to make room for others.
    pub displaced: AtomicU64,
    /// Connections whose client took too little of an answer for too long.
    pub stalled: AtomicU64,
    /// Connections that were closed at once, because all others had work in hand.
    pub full: AtomicU64,
    /// Requests that were answered 503 `overloaded`.
    pub overloaded: AtomicU64,
}

/// The cache of upstream answers.
#[derive(Debug, Default)]
pub struct CacheFigures {
    /// Questions that it had an answer to.
    pub hits: AtomicU64,
    /// Questions that it had none to, or one that was over.
    pub misses: AtomicU64,
    /// Questions that were answered with what was over.
    pub stale: AtomicU64,
    /// Answers that were fetched anew before they were over.
    pub prefetch: AtomicU64,
    /// Answers that went for want of room.
    pub evictions: AtomicU64,
    /// Questions that the XDP program had a kept answer to.
    pub hits_in_xdp: AtomicU64,
    /// Questions that the XDP program answered as a rule says.
    pub ruled_in_xdp: AtomicU64,
    /// Answers that were promoted: given at once by the fast path and by XDP from then on.
    pub promoted: AtomicU64,
    /// Those that are; goes up and down.
    pub hot_entries: AtomicU64,
    /// Memory that it takes; goes up and down.
    pub bytes: AtomicU64,
    /// Answers in it; goes up and down.
    pub entries: AtomicU64,
}
