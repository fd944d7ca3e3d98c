//! Why the fast path did not answer: closed, numbered, counted (metric label `reason`).
//!
//! The numbers are the indexes of the kernel's counters, so a new reason goes to the end.

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The reason of an index.
            #[inline(always)]
            pub const fn from_index(index: u32) -> Option<Self> {
                $(if index == $name::$variant as u32 { return Some($name::$variant); })*
                None
            }

            /// The metric's label value.
            pub const fn label(self) -> &'static str {
                match self { $($name::$variant => $label,)* }
            }

            /// The index of the counter.
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

reasons! {
    /// Why a packet to one of our addresses and ports went up untouched.
    PassReason {
        /// IPv4 options: the ports are not where we look (to one of our addresses).
        Ipv4Options = "ipv4_options",
        /// A fragment of an IPv4 or IPv6 packet (to one of our addresses).
        Fragment = "fragment",
        /// An IPv6 extension header other than a fragment's (to one of our addresses).
        Ipv6Extension = "ipv6_extension",
        /// The IPv4 header checksum is wrong.
        Ipv4Checksum = "ipv4_checksum",
        /// IP and UDP lengths disagree, or run past the frame.
        Length = "length",
        /// A UDP checksum of zero over IPv6 (RFC 8200 §8.1).
        ZeroChecksum = "zero_checksum",
        /// The frame is not addressed to the interface, or comes from a group address.
        MacAddress = "mac_address",
        /// Source port 0, or a source address that can be no client.
        Source = "source",
        /// The source is one of our own sockets: an answer could loop.
        OwnSource = "own_source",
        /// Shorter than a header and a question.
        Short = "short",
        /// Longer than the fast path reads.
        Long = "long",
        /// QR is set.
        Response = "response",
        /// An opcode other than QUERY.
        Opcode = "opcode",
        /// Counts other than one question, no answer, no authority and at most one additional.
        Counts = "counts",
        /// A name that is malformed, compressed or too long.
        Name = "name",
        /// A class other than IN.
        Class = "class",
        /// A meta or question type, which userspace answers (RFC 6895 §3.1).
        Qtype = "qtype",
        /// An additional record that is no well-formed OPT of version 0 at the end of the message.
        Edns = "edns",
        /// Octets after the message.
        Trailing = "trailing",
        /// A line of the table was being written.
        Torn = "torn",
        /// The home line has no room to say where its names are.
        Overflow = "overflow",
        /// The name is being changed, or only userspace answers it.
        Marked = "marked",
        /// Below a name whose descendants only userspace answers.
        Below = "below",
        /// The name has types that the line does not list.
        Incomplete = "incomplete",
        /// No zone of ours, and the client may use the upstream.
        Foreign = "foreign",
        /// Below a DNAME.
        Dname = "dname",
        /// The answer is larger than the client takes.
        TooLarge = "too_large",
        /// The answer is larger than the interface's MTU.
        Mtu = "mtu",
        /// The frame cannot grow to the answer's size.
        NoRoom = "no_room",
        /// A helper of the kernel failed, or a map entry that must be there was not.
        Internal = "internal",
        /// The client asks for our NSID (RFC 5001).
        Nsid = "nsid",
        /// The zone has an access list, which this plane cannot ask.
        Access = "acl",
    }
}

reasons! {
    /// Why a packet was dropped: it can no longer be passed up, or nobody is to answer it.
    DropReason {
        /// The packet had been changed when a write to it failed.
        HalfWritten = "half_written",
        /// The client's prefix, or all clients together, are over the rate limit.
        RateLimit = "rate_limit",
        /// The client may not ask, and is not told.
        Access = "acl",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (position, reason) in PassReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), position);
            assert_eq!(PassReason::from_index(position as u32), Some(*reason));
            assert!(
                reason
                    .label()
                    .bytes()
                    .all(|octet| octet == b'_' || octet.is_ascii_alphanumeric())
            );
        }
        assert_eq!(DropReason::ALL.len(), 3);
    }
}
