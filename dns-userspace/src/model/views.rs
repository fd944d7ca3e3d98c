//! Views: which client gets which records (`views`).
//!
//! ```text
//! views: name, prefixes ─► Clients: address ─► number of its view, 0 for none ─► the tree that it is answered from
//! ```
//!
//! The longest prefix that holds a client's address decides, over all views. Numbers count from 1 in the order of the
//! configuration. The XDP program is given the same prefixes, so both planes choose alike.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::prefixes::{AddressPrefix, Prefixes, bits_of};

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

/// All prefixes of all views: from a client to its view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clients(Prefixes<u16>);

impl Clients {
    /// The clients of these views. A prefix that two of them have is the first one's.
    pub fn new(views: &[ViewClients]) -> Self {
        let mut places = BTreeMap::new();
        for (view, ViewClients { clients, .. }) in (1..).zip(views) {
            for &prefix in clients {
                let place = AddressPrefix::from(prefix);
                // No client comes from an IPv4-mapped address.
                if matches!(prefix, IpNet::V4(_)) || !AddressPrefix::IPV4.covers(place) {
                    places.entry(place).or_insert(view);
                }
            }
        }
        // What holds all mapped addresses, `::/0` say, is a prefix of IPv6 clients alone.
        if places.keys().any(|place| place.covers(AddressPrefix::IPV4)) {
            places.entry(AddressPrefix::IPV4).or_insert(0);
        }
        Self(Prefixes::new(places))
    }

    /// The number of the client's view, 0 for none. An IPv4 client is not given as a mapped address.
    pub fn view_of(&self, client: IpAddr) -> u16 {
        self.view_of_mapped(bits_of(client))
    }

    /// The same for an address of 128 bits; IPv4 as an IPv4-mapped one.
    pub fn view_of_mapped(&self, address: u128) -> u16 {
        self.0.of(address).unwrap_or(0)
    }

    /// Whether no client is in a view.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A client of this view, 0 for none; the one that is wanted, where it is in it.
    pub fn one_in(&self, view: u16, wanted: IpAddr) -> Option<IpAddr> {
        let common = [wanted, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let is_in = |client: &IpAddr| self.view_of(*client) == view;
        // The view of addresses in their order is another only where a prefix begins, or behind one.
        let borders = self.prefixes().flat_map(|(place, _)| place.borders());
        let borders = std::iter::once(0).chain(borders);
        let borders = borders.map(|bits| Ipv6Addr::from_bits(bits).to_canonical());
        common.into_iter().chain(borders).find(is_in)
    }

    /// Every prefix, and the number of its view; 0 for none.
    pub fn prefixes(&self) -> impl Iterator<Item = (AddressPrefix, u16)> {
        self.0.iter()
    }
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
    fn a_client_of_each_view_is_found_where_there_is_one() {
        let wanted: IpAddr = "10.0.0.9".parse().unwrap();
        let others = clients(&[&["10.0.0.0/8"], &["10.0.0.0/9", "10.255.0.0/16"], &["10.0.0.0/10"]]);
        for (view, client) in [(0, "127.0.0.1"), (1, "10.128.0.0"), (2, "10.64.0.0"), (3, "10.0.0.9")] {
            assert_eq!(others.one_in(view, wanted), client.parse().ok(), "view {view}");
        }
        let hidden = clients(&[&["10.0.0.0/8"], &["10.0.0.0/9"], &["10.128.0.0/9"]]);
        assert_eq!(hidden.one_in(1, wanted), None);
        let everyone = clients(&[&["0.0.0.0/0", "::/0"]]);
        assert_eq!(
            (everyone.one_in(0, wanted), everyone.one_in(1, wanted)),
            (None, Some(wanted))
        );
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
