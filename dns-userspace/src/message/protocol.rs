//! How messages travel.

/// A protocol that clients ask by. What differs between protocols is in `Protocol::traits`: a new one is a variant, a
/// place in [`Protocol::ALL`], and an arm there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Each message is one datagram (RFC 1035 §4.2.1).
    Udp,
    /// A stream of messages, each behind its length (RFC 1035 §4.2.2, RFC 7766).
    Tcp,
}

/// What a protocol is like.
struct Traits {
    /// The value of the label `transport` of metrics.
    label: &'static str,
    limit: Limit,
    proves_addresses: bool,
    has_keepalive: bool,
}

impl Protocol {
    /// Each at the place of its number.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Tcp];

    const fn traits(self) -> Traits {
        match self {
            Self::Udp => Traits {
                label: "udp",
                limit: Limit::Datagram,
                proves_addresses: false,
                has_keepalive: false,
            },
            Self::Tcp => Traits {
                label: "tcp",
                limit: Limit::STREAM,
                proves_addresses: true,
                has_keepalive: true,
            },
        }
    }

    /// A number below the length of [`Protocol::ALL`], for arrays with something for each.
    pub const fn number(self) -> usize {
        self as usize
    }

    /// The value of the label `transport` of metrics.
    pub const fn label(self) -> &'static str {
        self.traits().label
    }

    /// The largest reply that it carries.
    pub const fn limit(self) -> Limit {
        self.traits().limit
    }

    /// Whether a client that asks by it has shown that it receives what is sent to its address.
    pub const fn proves_addresses(self) -> bool {
        self.traits().proves_addresses
    }

    /// Whether edns-tcp-keepalive has a meaning: for streams that are not of QUIC (RFC 7828 §3.2, RFC 9250 §5.5.2).
    pub const fn has_keepalive(self) -> bool {
        self.traits().has_keepalive
    }
}

/// The largest reply that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// What the client's OPT says that it takes, and never more than `edns.udp_payload`; 512 octets without an OPT.
    Datagram,
    /// So many octets, whatever the OPT says: its size is one of datagrams (RFC 6891 §6.2.3).
    Octets(u16),
}

impl Limit {
    /// The most that a message has where a length of 16 bits stands before it.
    pub const STREAM: Self = Self::Octets(u16::MAX);

    /// In octets, for a client whose OPT says that it takes `client_payload`, where `edns.udp_payload` is
    /// `own_payload`.
    pub fn octets(self, client_payload: Option<u16>, own_payload: u16) -> u16 {
        match (self, client_payload) {
            (Self::Octets(octets), _) => octets,
            (Self::Datagram, None) => 512,
            // RFC 6891 §6.2.3 and §6.2.5: values below 512 count as 512.
            (Self::Datagram, Some(client_payload)) => client_payload.min(own_payload).max(512),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_is_at_the_place_of_its_number() {
        for (place, protocol) in Protocol::ALL.into_iter().enumerate() {
            assert_eq!(protocol.number(), place);
        }
        assert_eq!(Protocol::ALL.map(Protocol::label), ["udp", "tcp"]);
    }

    #[test]
    fn rfc6891_6_2_3_the_size_in_an_opt_is_one_of_datagrams() {
        let limits = [None, Some(0), Some(512), Some(800), Some(4096)];
        let of = |limit: Limit| limits.map(|client_payload| limit.octets(client_payload, 1232));
        assert_eq!(of(Limit::Datagram), [512, 512, 512, 800, 1232]);
        assert_eq!(of(Limit::STREAM), [65_535; 5]);
    }
}
