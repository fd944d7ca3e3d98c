//! Why there is no answer from upstream, and what a client is told of it.

use crate::message::{ExtendedError, InfoCode};

const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

/// Why there is no answer from upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// No server sent a reply.
    Silence,
    /// A server sent a reply, and it was an error.
    Error,
    /// A server sent this error, after which `failover_on` asks no other one.
    Rcode(u16),
    /// A server sent the beginning of a reply over UDP, and the whole was not to be had over TCP.
    Truncated,
    /// A server sent what is no DNS message.
    Malformed,
    /// The query has come back to this server.
    Loop,
    /// All servers are this server itself, at present.
    Ourselves,
    /// No server was asked: too many queries are on their way.
    Overloaded,
    /// No server was asked: no route leads to one.
    NotForwarded,
    /// A rule blocks the name, and the client is to get no reply.
    Dropped,
    /// The access list of a zone of ours denies what a rule or an alias leads to.
    Prohibited,
    /// The chain leads to data of ours that cannot be answered from.
    OurData(InfoCode, String),
}

impl Failure {
    /// This, or what another server gave: what a server has said says more than that another said nothing.
    pub(super) fn or_rather(self, other: Self) -> Self {
        if other == Self::Silence { self } else { other }
    }

    /// The code that a client gets.
    pub(super) fn rcode(&self) -> u8 {
        match self {
            Self::Rcode(rcode @ 1..=15) => *rcode as u8,
            Self::NotForwarded | Self::Prohibited => REFUSED,
            _ => SERVFAIL,
        }
    }

    /// What a client is told (RFC 8914).
    pub(super) fn extended_error(&self) -> Option<ExtendedError<'_>> {
        let (code, text) = match self {
            Self::Silence => (InfoCode::NoReachableAuthority, ""),
            Self::Error | Self::Rcode(_) => (InfoCode::NetworkError, ""),
            Self::Truncated => (
                InfoCode::NetworkError,
                "the reply is too large for UDP, and was not to be had over TCP",
            ),
            Self::Malformed => (InfoCode::NetworkError, "the reply is malformed"),
            Self::Loop => (InfoCode::Other, "a forwarding loop: the query came back"),
            Self::Ourselves => (InfoCode::Other, "every upstream server is this server itself"),
            Self::Overloaded | Self::Dropped => return None,
            Self::NotForwarded => (InfoCode::NotAuthoritative, ""),
            Self::Prohibited => (InfoCode::Prohibited, ""),
            Self::OurData(code, text) => (*code, &text[..]),
        };
        Some(ExtendedError { code, text })
    }
}
