//! Who may ask: lists of client prefixes that are allowed and denied, for the server and for a zone.
//!
//! The longest prefix that has the client decides; of two that are equal, the denied one. Where none has it, the client is
//! allowed unless the list names allowed ones. The XDP program looks the same prefixes up in a map.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use dns_common::access::verdict;
use dns_common::address::mapped;
use ipnet::IpNet;

/// What happens to a client that may not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Allowed,
    /// It gets REFUSED.
    Refused,
    /// It gets nothing.
    Dropped,
}

/// One list. Equal lists decide equally.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessList {
    /// By length and address, IPv4 as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2).
    prefixes: BTreeMap<(u8, u128), Access>,
    /// The lengths that there are, the longest last.
    lengths: BTreeSet<u8>,
}

/// The prefix of all IPv4 addresses.
const IPV4: (u8, u128) = (96, 0xFFFF_0000_0000);

impl Access {
    /// As the XDP program's map has it.
    pub fn to_octet(self) -> u8 {
        match self {
            Self::Allowed => verdict::ALLOWED,
            Self::Refused => verdict::REFUSED,
            Self::Dropped => verdict::DROPPED,
        }
    }
}

impl AccessList {
    /// A list of these; `denied` is what happens to clients that may not ask.
    pub fn new(allow: &[IpNet], deny: &[IpNet], denied: Access) -> Self {
        let otherwise = if allow.is_empty() { Access::Allowed } else { denied };
        // A short IPv6 prefix is not one of mapped addresses, too.
        let mut prefixes = BTreeMap::from([((0, 0), otherwise), (IPV4, otherwise)]);
        prefixes.extend(allow.iter().map(|prefix| (place(*prefix), Access::Allowed)));
        prefixes.extend(deny.iter().map(|prefix| (place(*prefix), denied)));
        let lengths = prefixes.keys().map(|(bits, _)| *bits).collect();
        Self { prefixes, lengths }
    }

    /// What happens to this client.
    pub fn of(&self, client: IpAddr) -> Access {
        let address = match client.to_canonical() {
            IpAddr::V4(client) => u128::from_be_bytes(mapped(client.octets())),
            IpAddr::V6(client) => client.to_bits(),
        };
        let found = self.lengths.iter().rev().find_map(|&bits| {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            self.prefixes.get(&(bits, address & mask)).copied()
        });
        found.unwrap_or(Access::Allowed)
    }

    /// Every prefix: its bits, its address, and what it stands for.
    pub fn prefixes(&self) -> impl Iterator<Item = (u8, [u8; 16], Access)> {
        let prefixes = self.prefixes.iter();
        prefixes.map(|(&(bits, address), &access)| (bits, address.to_be_bytes(), access))
    }
}

fn place(prefix: IpNet) -> (u8, u128) {
    match prefix {
        IpNet::V4(prefix) => (
            96 + prefix.prefix_len(),
            u128::from_be_bytes(mapped(prefix.network().octets())),
        ),
        IpNet::V6(prefix) => (prefix.prefix_len(), prefix.network().to_bits()),
    }
}

impl fmt::Debug for AccessList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.prefixes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(allow: &[&str], deny: &[&str]) -> AccessList {
        let read =
            |texts: &[&str]| -> Vec<IpNet> { texts.iter().map(|text| text.parse().expect("a prefix")).collect() };
        AccessList::new(&read(allow), &read(deny), Access::Refused)
    }

    fn is_allowed(list: &AccessList, client: &str) -> bool {
        list.of(client.parse().expect("an address")) == Access::Allowed
    }

    #[test]
    fn without_allowed_ones_all_but_the_denied_may_ask() {
        let list = list(&[], &["10.0.0.0/8", "2001:db8::/32"]);
        for (client, expected) in [
            ("10.1.2.3", false),
            ("::ffff:10.1.2.3", false),
            ("11.1.2.3", true),
            ("2001:db8::1", false),
            ("2001:db9::1", true),
        ] {
            assert_eq!(is_allowed(&list, client), expected, "{client}");
        }
        assert!(is_allowed(&AccessList::new(&[], &[], Access::Dropped), "::1"));
    }

    #[test]
    fn with_allowed_ones_nobody_else_may() {
        let list = list(&["192.0.2.0/24"], &[]);
        assert!(is_allowed(&list, "192.0.2.1") && !is_allowed(&list, "192.0.3.1") && !is_allowed(&list, "::1"));
    }

    #[test]
    fn the_longest_prefix_decides_and_of_equals_the_denied_one() {
        let list = list(
            &["10.0.0.0/8", "10.1.2.3/32", "192.0.2.0/24"],
            &["10.1.0.0/16", "192.0.2.0/24", "0.0.0.0/0"],
        );
        assert!(is_allowed(&list, "10.2.0.1") && !is_allowed(&list, "10.1.0.1") && is_allowed(&list, "10.1.2.3"));
        assert!(!is_allowed(&list, "192.0.2.1") && !is_allowed(&list, "8.8.8.8"));
    }

    #[test]
    fn all_of_one_family_is_not_the_other() {
        let no_ipv6 = list(&[], &["::/0"]);
        assert!(is_allowed(&no_ipv6, "192.0.2.1") && !is_allowed(&no_ipv6, "2001:db8::1"));
        let no_ipv4 = list(&[], &["0.0.0.0/0"]);
        assert!(!is_allowed(&no_ipv4, "192.0.2.1") && is_allowed(&no_ipv4, "2001:db8::1"));
        let only_ipv6 = list(&["::/0"], &[]);
        assert!(!is_allowed(&only_ipv6, "192.0.2.1") && is_allowed(&only_ipv6, "::1"));
    }
}
