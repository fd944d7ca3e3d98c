//! From a query's octets to a reply's.
use super::{Environment, Outcome, PartialChain, Section, Serials};
use crate::snapshot::Snapshot;

/// Answers one query. `out` is emptied, and holds the reply where the outcome is [`Outcome::Reply`].
pub fn respond(
    query: &[u8],
    snapshot: &Snapshot,
    serials: &dyn Serials,
    environment: &Environment,
    out: &mut Vec<u8>,
) -> Outcome {
    let _ = (query, snapshot, serials, environment, out);
    unimplemented!()
}

/// What an upstream said about the target of a [`PartialChain`].
#[derive(Debug, Clone, Default)]
pub struct Upstream {
    /// Its RCODE.
    pub rcode: u8,
    /// Its answer section, RDATA uncompressed.
    pub answer: Vec<Section>,
    /// Its authority section, RDATA uncompressed.
    pub authority: Vec<Section>,
}

/// Writes the reply to `query` from our chain and what the upstream added; `None`: no upstream could answer, SERVFAIL.
pub fn complete(
    query: &[u8],
    chain: PartialChain,
    upstream: Option<Upstream>,
    serials: &dyn Serials,
    environment: &Environment,
    out: &mut Vec<u8>,
) -> Outcome {
    let _ = (query, chain, upstream, serials, environment, out);
    unimplemented!()
}
