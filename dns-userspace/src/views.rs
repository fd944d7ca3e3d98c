//! Views: which client gets which records (`views`).
//!
//! ```text
//! views: name, prefixes ─► Clients: address ─► number of its view, 0 for none ─► the tree that it is answered from
//! ```
//!
//! The longest prefix that holds a client's address decides, over all views. Numbers count from 1 in the order of the
//! configuration. The XDP program is given the same prefixes, so both planes choose alike.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// The name of a view.
pub type ViewName = Arc<str>;

/// A view without its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewClients {
    /// Its name.
    pub name: ViewName,
    /// The prefixes of its clients.
    pub clients: Vec<IpNet>,
}

/// A prefix as tables of prefixes hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The address; IPv4 as an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2).
    pub address: [u8; 16],
    /// Its length, in bits of that address.
    pub bits: u8,
    /// The number of the view; 0 for none.
    pub view: u16,
}

/// All prefixes of all views: from a client to its view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clients {
    /// The longest first.
    by_length: Vec<(u8, HashMap<u128, u16>)>,
}

/// Bits before the IPv4 address in a mapped one.
const MAPPED_BITS: u8 = 96;

impl Clients {
    /// The clients of these views. A prefix that two of them have is the first one's.
    pub fn new(views: &[ViewClients]) -> Self {
        let mut lengths: Vec<u8> = Vec::new();
        let mut all: HashMap<(u8, u128), u16> = HashMap::new();
        let mut add = |bits: u8, address: u128, view: u16| {
            lengths.push(bits);
            all.entry((bits, address)).or_insert(view);
        };
        let mapped = |address: std::net::Ipv4Addr| address.to_ipv6_mapped().to_bits();
        let no_one = mapped(std::net::Ipv4Addr::UNSPECIFIED);
        for (view, ViewClients { clients, .. }) in (1..).zip(views) {
            for prefix in clients {
                match prefix {
                    IpNet::V4(prefix) => add(MAPPED_BITS + prefix.prefix_len(), mapped(prefix.network()), view),
                    // No client comes from an IPv4-mapped address.
                    IpNet::V6(prefix)
                        if covers(no_one, MAPPED_BITS, prefix.network().to_bits())
                            && prefix.prefix_len() >= MAPPED_BITS => {}
                    IpNet::V6(prefix) => add(prefix.prefix_len(), prefix.network().to_bits(), view),
                }
            }
        }
        // What holds all mapped addresses, `::/0` say, is a prefix of IPv6 clients alone.
        let mut prefixes = all.keys();
        if prefixes.any(|&(bits, address)| bits < MAPPED_BITS && covers(address, bits, no_one)) {
            lengths.push(MAPPED_BITS);
            all.entry((MAPPED_BITS, no_one)).or_insert(0);
        }
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        lengths.dedup();
        let by_length = lengths.into_iter().map(|bits| {
            let of_length = all.iter().filter(|((length, _), _)| *length == bits);
            (bits, of_length.map(|((_, address), view)| (*address, *view)).collect())
        });
        Self {
            by_length: by_length.collect(),
        }
    }

    /// The number of the client's view, 0 for none. An IPv4 client is not given as a mapped address.
    pub fn view_of(&self, client: IpAddr) -> u16 {
        if self.is_empty() {
            return 0;
        }
        let address = match client {
            IpAddr::V4(client) => client.to_ipv6_mapped().to_bits(),
            IpAddr::V6(client) => client.to_bits(),
        };
        self.view_of_mapped(address)
    }

    /// The same for an address of 128 bits; IPv4 as an IPv4-mapped one.
    pub fn view_of_mapped(&self, address: u128) -> u16 {
        let mut found = self
            .by_length
            .iter()
            .filter_map(|(bits, views)| views.get(&(address & mask(*bits))));
        found.next().copied().unwrap_or(0)
    }

    /// Whether no client is in a view.
    pub fn is_empty(&self) -> bool {
        self.by_length.is_empty()
    }

    /// Every prefix.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.by_length.iter().flat_map(|(bits, views)| {
            views.iter().map(|(address, view)| Prefix {
                address: address.to_be_bytes(),
                bits: *bits,
                view: *view,
            })
        })
    }
}

/// The mask of a prefix's length.
fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

fn covers(prefix: u128, bits: u8, address: u128) -> bool {
    address & mask(bits) == prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(views: &[&[&str]]) -> Clients {
        let views: Vec<ViewClients> = views
            .iter()
            .map(|prefixes| ViewClients {
                name: "view".into(),
                clients: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
            })
            .collect();
        Clients::new(&views)
    }

    #[test]
    fn the_longest_prefix_over_all_views_decides() {
        let clients = clients(&[&["10.0.0.0/8", "2001:db8::/32"], &["10.1.0.0/16", "2001:db8:1::/48"]]);
        for (client, view) in [
            ("10.0.0.1", 1),
            ("10.1.255.255", 2),
            ("10.2.0.0", 1),
            ("11.0.0.0", 0),
            ("2001:db8::1", 1),
            ("2001:db8:1::1", 2),
            ("2001:db9::", 0),
        ] {
            assert_eq!(clients.view_of(client.parse().unwrap()), view, "{client}");
        }
        assert_eq!(Clients::default().view_of("10.0.0.1".parse().unwrap()), 0);
    }

    #[test]
    fn prefixes_are_of_one_family() {
        let clients = clients(&[&["::/0", "::ffff:10.0.0.0/104"], &["0.0.0.0/1"]]);
        for (client, view) in [("2001:db8::1", 1), ("10.0.0.1", 2), ("192.0.2.1", 0)] {
            assert_eq!(clients.view_of(client.parse().unwrap()), view, "{client}");
        }
        let everyone = self::clients(&[&["::/0"], &["0.0.0.0/0"]]);
        assert_eq!(everyone.view_of("192.0.2.1".parse().unwrap()), 2);
        assert_eq!(everyone.prefixes().count(), 2);
    }
}
