//! What is counted of HTTP connections.

use std::sync::atomic::AtomicU64;

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
