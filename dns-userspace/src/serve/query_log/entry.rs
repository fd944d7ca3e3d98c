//! What is known of one query, and who wants to know it.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use dns_common::reason::PassReason;
use dns_common::tap::Tapped;

use crate::message::{Question, Reader};
use crate::observe::latency::Plane;

/// Who wants to know of a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) log: bool,
    pub(super) dnstap: bool,
    pub(super) top: bool,
}

impl Wants {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What is known beside the messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) wants: Wants,
    /// For how many queries it stands.
    pub(super) weight: u64,
    pub(super) time: SystemTime,
    /// None where it is not known.
    pub(super) took: Option<Duration>,
    pub(super) client: IpAddr,
    pub(super) port: u16,
    /// Our address and port, as far as they are known; 0 is no port.
    pub(super) server: Option<(IpAddr, u16)>,
    pub(super) transport: &'static str,
    pub(super) plane: Plane,
    /// Why the fast path has passed it, where it has.
    pub(super) passed: Option<PassReason>,
    /// Octets of the whole reply.
    pub(super) size: usize,
}

/// A query and its reply, as they are. They lie where they were put: in the XDP program's ring, or on a shelf.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) head: &'a Head,
    /// Empty where it is not known.
    pub(super) query: &'a [u8],
    /// Of what the XDP program shows, header and question at least.
    pub(super) reply: &'a [u8],
}

impl Head {
    /// What the XDP program has shown of an answer, at `time`.
    pub(super) fn of_xdp(head: &Tapped, client: IpAddr, time: SystemTime, wants: Wants, weight: u64) -> Self {
        Self {
            wants,
            weight,
            time,
            took: None,
            client,
            port: u16::from_be_bytes(head.client_port),
            server: Some((address(head.server), u16::from_be_bytes(head.server_port))),
            transport: "udp",
            plane: Plane::Xdp,
            passed: None,
            size: head.message_bytes.into(),
        }
    }
}

impl<'a> Entry<'a> {
    /// The question, where it can be read.
    pub(super) fn question(&self) -> Option<Question<'a>> {
        let message = if self.query.is_empty() { self.reply } else { self.query };
        Reader::behind_header(message).question()
    }

    /// Whether there is all of the reply.
    pub(super) fn has_whole_reply(&self) -> bool {
        self.reply.len() == self.head.size
    }
}

/// An address as it lies in the memory of the program.
pub(super) fn address(words: [u64; 2]) -> IpAddr {
    let octets: [u8; 16] = bytemuck::cast(words.map(u64::to_ne_bytes));
    Ipv6Addr::from(octets).to_canonical()
}

#[cfg(test)]
mod tests {
    use dns_common::address::mapped;

    use super::*;

    #[test]
    fn addresses_are_what_they_were() {
        let words = |octets: [u8; 16]| bytemuck::cast::<_, [[u8; 8]; 2]>(octets).map(u64::from_ne_bytes);
        assert_eq!(address(words(mapped([192, 0, 2, 1]))).to_string(), "192.0.2.1");
        let v6: Ipv6Addr = "2001:db8::7".parse().expect("an address");
        assert_eq!(address(words(v6.octets())), IpAddr::V6(v6));
    }
}
