//! Which addresses this host has, as the kernel's netlink lists them (`getifaddrs`).
//!
//! Binding an address does not tell whether it is ours: with `net.ipv4.ip_nonlocal_bind` every address can be bound.
//! So addresses are compared, in their canonical form: an IPv4-mapped IPv6 address is an IPv4 address
//! (RFC 4291 §2.5.5.2).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::Ipv4Net;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// The addresses of this host at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostAddresses {
    /// With the interface's index where the address is link-local, else with 0.
    own: BTreeSet<(IpAddr, u32)>,
    /// What is the host's as a whole: IPv4 prefixes of loopback interfaces.
    loopback: Vec<Ipv4Net>,
    broadcast: BTreeSet<Ipv4Addr>,
}

impl HostAddresses {
    /// Asks the kernel.
    pub fn read() -> io::Result<Self> {
        let mut host = Self::default();
        for entry in getifaddrs()? {
            host.add(&entry);
        }
        Ok(host)
    }

    fn add(&mut self, entry: &InterfaceAddress) {
        let Some((address, scope)) = entry.address.as_ref().and_then(ip) else {
            return;
        };
        self.own.insert((address, scope));
        let IpAddr::V4(address) = address else { return };
        let mask = match entry.netmask.as_ref().and_then(ip) {
            Some((IpAddr::V4(mask), _)) => mask,
            _ => return,
        };
        let Ok(network) = Ipv4Net::with_netmask(address, mask) else {
            return;
        };
        if entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            self.loopback.push(network.trunc());
        } else if entry.flags.contains(InterfaceFlags::IFF_BROADCAST) {
            // The kernel knows the last address of a network as its broadcast address, whatever else it was told.
            self.broadcast
                .extend((network.prefix_len() < 31).then(|| network.broadcast()));
            if let Some((IpAddr::V4(told), _)) = entry.broadcast.as_ref().and_then(ip)
                && told != address
            {
                self.broadcast.insert(told);
            }
        }
    }

    /// Whether what is sent to this address arrives at this host. The port is not looked at.
    pub fn has(&self, address: SocketAddr) -> bool {
        match canonical(address) {
            SocketAddr::V4(v4) => {
                let ip = *v4.ip();
                // Linux takes what is sent to 0.0.0.0 for itself.
                ip.is_loopback()
                    || ip.is_unspecified()
                    || self.own.contains(&(ip.into(), 0))
                    || self.loopback.iter().any(|network| network.contains(&ip))
            }
            SocketAddr::V6(v6) => {
                let ip = *v6.ip();
                ip.is_loopback() || ip.is_unspecified() || self.own.contains(&(ip.into(), scope(ip, v6.scope_id())))
            }
        }
    }

    /// Whether this is the broadcast address of a network of this host.
    pub fn has_broadcast(&self, address: Ipv4Addr) -> bool {
        self.broadcast.contains(&address)
    }

    /// Whether `server` is a name for ourselves, who listen on these addresses: to forward there would be to ask
    /// ourselves.
    pub fn is_ourselves(&self, server: SocketAddr, listening: &[SocketAddr]) -> bool {
        let server = canonical(server);
        listening.iter().copied().map(canonical).any(|ours| {
            let is_same = match (ours, server) {
                (SocketAddr::V4(ours), SocketAddr::V4(server)) => {
                    ours.ip() == server.ip() || (server.ip().is_unspecified() && ours.ip().is_loopback())
                }
                (SocketAddr::V6(ours), SocketAddr::V6(server)) => {
                    let scopes = [ours, server].map(|address| scope(*address.ip(), address.scope_id()));
                    (ours.ip() == server.ip() && scopes[0] == scopes[1])
                        || (server.ip().is_unspecified() && ours.ip().is_loopback())
                }
                _ => return false,
            };
            ours.port() == server.port() && (is_same || (ours.ip().is_unspecified() && self.has(server)))
        })
    }
}

/// The same address, as an IPv4 address where it is one.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// An interface means something for link-local addresses alone (RFC 4007 §6).
fn scope(address: Ipv6Addr, interface: u32) -> u32 {
    if address.is_unicast_link_local() { interface } else { 0 }
}

fn ip(address: &SockaddrStorage) -> Option<(IpAddr, u32)> {
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some((v4.ip().into(), 0)),
        (None, Some(v6)) => Some((v6.ip().into(), scope(v6.ip(), v6.scope_id()))),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostAddresses {
        let own = [
            ("127.0.0.1", 0),
            ("198.51.100.7", 0),
            ("2001:db8::7", 0),
            ("::1", 0),
            ("fe80::7", 2),
        ];
        HostAddresses {
            own: own.map(|(text, scope)| (text.parse().unwrap(), scope)).into(),
            loopback: vec!["203.0.113.0/24".parse().unwrap()],
            broadcast: ["198.51.100.255".parse().unwrap()].into(),
        }
    }

    fn is_ourselves(server: &str, listening: &[&str]) -> bool {
        let listening: Vec<_> = listening.iter().map(|text| text.parse().unwrap()).collect();
        host().is_ourselves(server.parse().unwrap(), &listening)
    }

    #[test]
    fn every_name_of_this_host_is_ourselves_on_a_wildcard_address() {
        for server in [
            "127.0.0.1:53",
            "127.9.8.7:53",
            "0.0.0.0:53",
            "198.51.100.7:53",
            "203.0.113.200:53",
            "[::ffff:127.0.0.1]:53",
            "[::ffff:198.51.100.7]:53",
        ] {
            assert!(is_ourselves(server, &["0.0.0.0:53"]), "{server}");
            assert!(!is_ourselves(server, &["0.0.0.0:54"]), "{server}: another port");
            assert!(
                !is_ourselves(server, &["[::]:53"]),
                "{server}: sockets of IPv6 take IPv6 alone"
            );
        }
        for server in ["[::1]:53", "[::]:53", "[2001:db8::7]:53", "[fe80::7%2]:53"] {
            assert!(is_ourselves(server, &["[::]:53"]), "{server}");
            assert!(!is_ourselves(server, &["0.0.0.0:53"]), "{server}");
        }
        for server in [
            "198.51.100.8:53",
            "198.51.100.255:53",
            "[2001:db8::8]:53",
            "[fe80::7%3]:53",
        ] {
            assert!(!is_ourselves(server, &["0.0.0.0:53", "[::]:53"]), "{server}");
        }
    }

    #[test]
    fn on_other_addresses_only_the_same_one_is_ourselves() {
        assert!(is_ourselves("127.0.0.1:53", &["127.0.0.1:53"]));
        assert!(is_ourselves("[::ffff:127.0.0.1]:53", &["127.0.0.1:53"]));
        assert!(is_ourselves("127.0.0.1:53", &["[::ffff:127.0.0.1]:53"]));
        assert!(is_ourselves("0.0.0.0:53", &["127.0.0.1:53"]));
        assert!(is_ourselves("[fe80::7%2]:53", &["[fe80::7%2]:53"]));
        assert!(!is_ourselves("[fe80::7%3]:53", &["[fe80::7%2]:53"]));
        assert!(!is_ourselves("127.0.0.2:53", &["127.0.0.1:53"]));
        assert!(!is_ourselves("198.51.100.7:53", &["127.0.0.1:53"]));
        assert!(
            is_ourselves("192.0.2.9:53", &["192.0.2.9:53"]),
            "an address that is to come"
        );
    }

    #[test]
    fn the_kernel_lists_loopback() {
        let host = HostAddresses::read().unwrap();
        assert!(host.own.contains(&(Ipv4Addr::LOCALHOST.into(), 0)));
        assert!(host.has("127.0.0.1:1".parse().unwrap()) && host.has("127.1.2.3:1".parse().unwrap()));
        assert!(!host.has("192.0.2.1:1".parse().unwrap()));
        assert!(!host.has_broadcast("127.255.255.255".parse().unwrap()));
    }
}
