//! Our own addresses, from netlink: what the XDP program may answer for, on which interface and under which tags.
//!
//! | frame on an attached interface | is ours if its address is on |
//! |---|---|
//! | untagged | that interface (on `lo`: on any interface, since the host talks to itself there) |
//! | one tag | the VLAN interface of that ID on it |
//! | two tags | the VLAN interface of the inner ID on the VLAN interface of the outer ID |
//!
//! All else passes: where a card takes tags off (offload), a frame for a VLAN's address arrives untagged, and an
//! answer would leave without its tag.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use dns_common::address::{OwnKey, OwnValue, TAGGED, mapped};
use futures_util::TryStreamExt;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVlan, LinkAttribute, LinkInfo};
use rtnetlink::{Handle, MulticastGroup};

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its MAC address; zero where it has none.
    pub mac: [u8; 6],
    /// The largest IP packet, in octets.
    pub mtu: u32,
    /// For a VLAN interface: the interface below, and the VLAN ID.
    pub vlan: Option<(u32, u16)>,
    /// Whether native XDP would send answers to a peer that may drop them: one end of a veth pair, or loopback.
    pub is_veth_or_loopback: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// An address and port that we listen on; no address: all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address, or `None` for every address.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// Asks the kernel for all interfaces and their addresses.
pub async fn interfaces(handle: &Handle) -> Result<Vec<Interface>, rtnetlink::Error> {
    let mut found = Vec::new();
    let mut links = handle.link().get().execute();
    while let Some(message) = links.try_next().await? {
        found.push(interface(message.header.index, message.attributes));
    }
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        let Some(interface) = found
            .iter_mut()
            .find(|interface| interface.index == message.header.index)
        else {
            continue;
        };
        // On point-to-point links the local address is `Local`, and `Address` is the peer's.
        let local = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
        let address = local.or_else(|| {
            message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            })
        });
        interface.addresses.extend(address);
    }
    Ok(found)
}

fn interface(index: u32, attributes: Vec<LinkAttribute>) -> Interface {
    let mut interface = Interface {
        name: String::new(),
        index,
        mac: [0; 6],
        mtu: 1500,
        vlan: None,
        is_veth_or_loopback: false,
        addresses: Vec::new(),
    };
    let (mut below, mut id) = (None, None);
    for attribute in attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Address(octets) => interface.mac = octets.try_into().unwrap_or([0; 6]),
            LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
            LinkAttribute::Link(index) => below = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(InfoKind::Veth) => interface.is_veth_or_loopback = true,
                        LinkInfo::Data(InfoData::Vlan(data)) => {
                            id = data.iter().find_map(|item| match item {
                                InfoVlan::Id(id) => Some(*id),
                                _ => None,
                            });
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    interface.is_veth_or_loopback |= interface.name == "lo";
    interface.vlan = below.zip(id);
    interface
}

/// The entries of the program's address map for the attached interfaces.
pub fn entries(interfaces: &[Interface], attached: &[u32], listens: &[Listen]) -> BTreeMap<OwnKey, OwnValue> {
    let mut entries = BTreeMap::new();
    for interface in interfaces
        .iter()
        .filter(|interface| attached.contains(&interface.index))
    {
        let mut add = |on: &Interface, outer_vlan: u16, inner_vlan: u16, addresses: &[IpAddr]| {
            let value = OwnValue {
                mac: on.mac,
                mtu: u16::try_from(on.mtu).unwrap_or(u16::MAX),
            };
            for &address in addresses {
                for port in ports(address, listens) {
                    let address = octets(address);
                    let key = OwnKey {
                        address,
                        interface: interface.index,
                        outer_vlan,
                        inner_vlan,
                        port,
                        unused: [0; 3],
                    };
                    entries.insert(key, value);
                    // "Some port of this address is ours".
                    entries.insert(OwnKey { port: 0, ..key }, value);
                }
            }
        };
        if interface.name == "lo" {
            for other in interfaces {
                add(interface, 0, 0, &other.addresses);
            }
        } else {
            add(interface, 0, 0, &interface.addresses);
        }
        for outer in above(interfaces, interface.index) {
            let outer_tag = outer.vlan.map_or(0, |(_, id)| id | TAGGED);
            add(outer, outer_tag, 0, &outer.addresses);
            for inner in above(interfaces, outer.index) {
                let inner_tag = inner.vlan.map_or(0, |(_, id)| id | TAGGED);
                add(inner, outer_tag, inner_tag, &inner.addresses);
            }
        }
    }
    entries
}

/// The VLAN interfaces on `below`.
fn above(interfaces: &[Interface], below: u32) -> impl Iterator<Item = &Interface> {
    interfaces
        .iter()
        .filter(move |interface| interface.vlan.is_some_and(|(index, _)| index == below))
}

fn ports(address: IpAddr, listens: &[Listen]) -> impl Iterator<Item = u16> {
    listens
        .iter()
        .filter(move |listen| listen.address.is_none_or(|listened| listened == address))
        .map(|listen| listen.port)
}

/// Where datagrams to this address come in once they were charged. Those of a VLAN come in at its own interface, and
/// also where the network card took the tag off, so that the program has not known them: sockets charge what comes from
/// there.
pub(super) fn charged_at(key: &OwnKey) -> Option<(u32, IpAddr)> {
    let is_untagged = key.outer_vlan & TAGGED == 0;
    let address = Ipv6Addr::from(key.address).to_canonical();
    (is_untagged && key.port != 0).then_some((key.interface, address))
}

/// About how many entries the addresses of this host come to: each with so many ports, at its interface and at
/// loopback.
pub fn likely_entries(ports: usize) -> usize {
    let addresses = nix::ifaddrs::getifaddrs().map_or(0, |found| {
        let is_ip = |address: &nix::ifaddrs::InterfaceAddress| {
            let address = address.address.as_ref();
            address.is_some_and(|address| address.as_sockaddr_in().is_some() || address.as_sockaddr_in6().is_some())
        };
        found.filter(is_ip).count()
    });
    2 * addresses * (1 + ports)
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => mapped(address.octets()),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The kernel's changes of links and addresses; each message of the stream means "look again".
pub const GROUPS: [MulticastGroup; 3] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32, vlan: Option<(u32, u16)>, address: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            index,
            mac: [2, 0, 0, 0, 0, index as u8],
            mtu: 1500,
            vlan,
            is_veth_or_loopback: name == "lo",
            addresses: vec![address.parse().expect("an address")],
        }
    }

    fn keys(attached: &[u32], listens: &[Listen]) -> Vec<(u32, u16, u16, [u8; 16], u16)> {
        let interfaces = [
            interface("lo", 1, None, "127.0.0.1"),
            interface("eth0", 2, None, "10.0.0.1"),
            interface("eth0.7", 3, Some((2, 7)), "10.0.7.1"),
            interface("eth0.7.8", 4, Some((3, 8)), "2001:db8::8"),
        ];
        entries(&interfaces, attached, listens)
            .into_keys()
            .filter(|key| key.port != 0)
            .map(|key| (key.interface, key.outer_vlan, key.inner_vlan, key.address, key.port))
            .collect()
    }

    #[test]
    fn addresses_are_keyed_by_tags() {
        let mut found = keys(
            &[2],
            &[Listen {
                address: None,
                port: 53,
            }],
        );
        found.sort();
        let v6 = "2001:db8::8".parse::<Ipv6Addr>().expect("an address").octets();
        assert_eq!(
            found,
            [
                (2, 0, 0, mapped([10, 0, 0, 1]), 53),
                (2, 7 | TAGGED, 0, mapped([10, 0, 7, 1]), 53),
                (2, 7 | TAGGED, 8 | TAGGED, v6, 53),
            ],
        );
    }

    #[test]
    fn loopback_has_every_address_and_listens_are_obeyed() {
        assert_eq!(
            keys(
                &[1],
                &[Listen {
                    address: None,
                    port: 53
                }]
            )
            .len(),
            4
        );
        let one = Listen {
            address: Some("10.0.0.1".parse().expect("an address")),
            port: 5300,
        };
        assert_eq!(keys(&[1], &[one]), [(1, 0, 0, mapped([10, 0, 0, 1]), 5300)]);
        assert!(keys(&[], &[one]).is_empty());
    }
}
