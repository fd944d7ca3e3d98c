//! Who may ask: lists of client prefixes that are allowed and denied, for the server and for a zone.
//!
//! The longest prefix that has the client decides; of two that are equal, the denied one. Where none has it, the client
//! is allowed unless the list names allowed ones. The XDP program looks the same prefixes up in a map.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dns_common::access::verdict;
use ipnet::IpNet;

use crate::model::prefixes::{AddressPrefix, Prefixes, bits_of};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessList(Prefixes<Access>);

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
        let mut places = BTreeMap::from([(AddressPrefix::ALL, otherwise), (AddressPrefix::IPV4, otherwise)]);
        let allow = allow
            .iter()
            .map(|prefix| (AddressPrefix::from(*prefix), Access::Allowed));
        places.extend(allow);
        places.extend(deny.iter().map(|prefix| (AddressPrefix::from(*prefix), denied)));
        Self(Prefixes::new(places))
    }

    /// What happens to this client.
    pub fn of(&self, client: IpAddr) -> Access {
        self.0.of(bits_of(client.to_canonical())).unwrap_or(Access::Allowed)
    }

    /// Every prefix, and what it stands for.
    pub fn prefixes(&self) -> impl Iterator<Item = (AddressPrefix, Access)> {
        self.0.iter()
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
