//! Addresses, ports and prefixes in the configuration.

use std::cell::LazyCell;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use ipnet::IpNet;
use nix::net::if_::{if_nameindex, if_nametoindex};

use super::problem::ConfigProblem;
use crate::host::addresses::{HostAddresses, canonical};

/// The addresses of this host, which the kernel is asked for once, and only where a check needs them.
pub(super) type Host = LazyCell<HostAddresses>;

/// See [`Host`]; none where they cannot be listed.
pub(super) fn host() -> Host {
    LazyCell::new(|| HostAddresses::read().unwrap_or_default())
}

/// What an address is for: decides which kinds of addresses make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be bound.
    Listen,
    /// To be asked.
    Server,
}

/// An IP address, optionally with a port; an IPv6 address with a port is in brackets (RFC 3986 §3.2.2), and a
/// link-local one has its interface behind `%` (RFC 4007 §11). An IPv4-mapped IPv6 address is an IPv4 address.
pub(super) fn parse_address(
    key: &str,
    text: &str,
    default_port: u16,
    purpose: Purpose,
    host: &Host,
) -> Result<SocketAddr, ConfigProblem> {
    let owned = || (key.to_owned(), text.to_owned());
    let bad = || {
        let (key, text) = owned();
        ConfigProblem::BadAddress {
            key,
            text,
            port: default_port,
        }
    };
    let Some((rest, scope)) = split_scope(text) else {
        return Err(bad());
    };
    let address = parse_socket_address(key, text, &rest, default_port)?.ok_or_else(bad)?;
    let address = match (address, scope) {
        (address, None) => canonical(address),
        (SocketAddr::V6(v6), Some(scope)) => {
            if !v6.ip().is_unicast_link_local() {
                let (key, text) = owned();
                return Err(ConfigProblem::NeedlessScope { key, text });
            }
            let interface = scope.to_owned();
            let index = interface_index(scope).ok_or_else(|| {
                let (key, text) = owned();
                ConfigProblem::NoSuchScope { key, text, interface }
            })?;
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into()
        }
        (SocketAddr::V4(_), Some(_)) => return Err(bad()),
    };
    check_kind(key, text, address, purpose, host)?;
    Ok(address)
}

/// `text` without what stands behind `%`, and that.
fn split_scope(text: &str) -> Option<(String, Option<&str>)> {
    let Some((before, behind)) = text.split_once('%') else {
        return Some((text.to_owned(), None));
    };
    // An interface's name has no bracket in it as far as anyone knows, and no colon (`dev_valid_name`).
    let (scope, rest) = match behind.split_once(']') {
        Some((scope, rest)) => (scope, format!("]{rest}")),
        None => (behind, String::new()),
    };
    let is_name = !scope.is_empty() && !scope.contains([':', '/', '%']);
    is_name.then(|| (format!("{before}{rest}"), Some(scope)))
}

/// The index of an interface that is there, by its name or by the index itself.
fn interface_index(scope: &str) -> Option<u32> {
    if let Ok(index) = if_nametoindex(scope) {
        return Some(index);
    }
    let index = scope.parse().ok()?;
    let interfaces = if_nameindex().ok()?;
    interfaces
        .iter()
        .any(|interface| interface.index() == index)
        .then_some(index)
}

/// `Ok(None)` where it is none.
fn parse_socket_address(
    key: &str,
    whole: &str,
    text: &str,
    default_port: u16,
) -> Result<Option<SocketAddr>, ConfigProblem> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        if let Some((head, port)) = text.rsplit_once(':')
            && head.parse::<Ipv6Addr>().is_ok()
            && port.bytes().all(|digit| digit.is_ascii_digit())
        {
            return Err(ConfigProblem::AmbiguousAddress {
                key: key.to_owned(),
                text: whole.to_owned(),
                address: head.to_owned(),
                port: port.to_owned(),
            });
        }
        return Ok(Some(SocketAddr::new(IpAddr::V6(address), default_port)));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(address, default_port)));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(Ok(address)) = bracketed.map(str::parse::<Ipv6Addr>) {
        return Ok(Some(SocketAddr::new(IpAddr::V6(address), default_port)));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => Err(ConfigProblem::PortZero {
            key: key.to_owned(),
            text: whole.to_owned(),
        }),
        Ok(address) => Ok(Some(address)),
        Err(_) => Ok(None),
    }
}

/// Refuses what the system would refuse, or what nothing would ever come of.
fn check_kind(key: &str, text: &str, address: SocketAddr, purpose: Purpose, host: &Host) -> Result<(), ConfigProblem> {
    let (key, text) = (key.to_owned(), text.to_owned());
    let is_broadcast = match address.ip() {
        IpAddr::V4(ip) if ip.is_broadcast() => true,
        // Loopback has none, and most others are told apart without asking the kernel.
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast() => host.has_broadcast(ip),
        _ => false,
    };
    let needs_scope = matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0);
    if address.ip().is_multicast() {
        return Err(ConfigProblem::NotUnicast {
            key,
            text,
            kind: "multicast",
        });
    }
    if is_broadcast {
        return Err(ConfigProblem::NotUnicast {
            key,
            text,
            kind: "broadcast",
        });
    }
    if address.ip().is_unspecified() && purpose == Purpose::Server {
        return Err(ConfigProblem::UnspecifiedServer { key, text });
    }
    // 0.0.0.0/8 is "this network" (RFC 1122 §3.2.1.3): no host has such an address, and Linux sends nothing there.
    if matches!(address.ip(), IpAddr::V4(ip) if ip.octets()[0] == 0 && !ip.is_unspecified()) {
        return Err(ConfigProblem::NotUnicast {
            key,
            text,
            kind: "\"this network\"",
        });
    }
    if needs_scope {
        let (address, port) = (address.ip(), address.port());
        return Err(ConfigProblem::NoScope {
            key,
            text,
            address,
            port,
        });
    }
    Ok(())
}

/// An address prefix; an address alone is the prefix of just that one.
pub(super) fn parse_prefix(key: &str, text: &str) -> Result<IpNet, ConfigProblem> {
    let prefix = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match prefix {
        Ok(prefix) if prefix.addr() == prefix.network() => Ok(prefix),
        Ok(prefix) => Err(ConfigProblem::PrefixHostBits {
            key: key.to_owned(),
            text: text.to_owned(),
            network: prefix.trunc().to_string(),
        }),
        Err(_) => Err(ConfigProblem::BadPrefix {
            key: key.to_owned(),
            text: text.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, purpose: Purpose) -> Result<SocketAddr, ConfigProblem> {
        parse_address("listen", text, 53, purpose, &host())
    }

    #[test]
    fn addresses_take_the_default_port_or_their_own() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5300", "192.0.2.1:5300"),
            ("::", "[::]:53"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5300", "[2001:db8::1]:5300"),
            ("2001:db8::ab", "[2001:db8::ab]:53"),
            ("[::1:5300]", "[::1:5300]:53"),
            ("::ffff:192.0.2.1", "192.0.2.1:53"),
            ("[::ffff:192.0.2.1]:5300", "192.0.2.1:5300"),
            ("::ffff:0.0.0.0", "0.0.0.0:53"),
        ] {
            let address = parse(text, Purpose::Listen).expect(text);
            assert_eq!(address.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn link_local_addresses_have_an_interface() {
        let lo = if_nametoindex("lo").expect("lo");
        for (text, port) in [
            ("fe80::1%lo", 53),
            ("[fe80::1%lo]", 53),
            ("[fe80::1%lo]:5300", 5300),
            (&format!("[fe80::1%{lo}]:5300"), 5300),
        ] {
            for purpose in [Purpose::Listen, Purpose::Server] {
                let expected = SocketAddrV6::new("fe80::1".parse().expect("an address"), port, 0, lo);
                assert_eq!(parse(text, purpose).expect(text), expected.into(), "{text}");
            }
        }
        for text in ["fe80::1", "[fe80::1]:53", "febf::1"] {
            assert!(
                matches!(parse(text, Purpose::Server), Err(ConfigProblem::NoScope { .. })),
                "{text}"
            );
        }
        for text in ["fe80::1%nosuch0", "[fe80::1%4294967295]:53", "fe80::1%0"] {
            let error = parse(text, Purpose::Listen);
            assert!(
                matches!(error, Err(ConfigProblem::NoSuchScope { .. })),
                "{text}: {error:?}"
            );
        }
        for text in ["2001:db8::1%lo", "[::1%lo]:53", "::%lo"] {
            let error = parse(text, Purpose::Listen);
            assert!(
                matches!(error, Err(ConfigProblem::NeedlessScope { .. })),
                "{text}: {error:?}"
            );
        }
        for text in [
            "192.0.2.1%lo",
            "fe80::1%",
            "fe80::1%lo:53",
            "fe80::1%lo%lo",
            "%lo",
            "[fe80::1%lo",
        ] {
            let error = parse(text, Purpose::Listen);
            assert!(
                matches!(error, Err(ConfigProblem::BadAddress { .. })),
                "{text}: {error:?}"
            );
        }
    }

    #[test]
    fn kinds_of_addresses_that_cannot_serve_are_refused() {
        for text in [
            "224.0.0.251",
            "239.1.2.3:53",
            "::ffff:224.0.0.1",
            "ff02::fb",
            "[ff02::1%lo]:53",
            "255.255.255.255",
            "[::ffff:255.255.255.255]:53",
            "0.1.2.3",
        ] {
            for purpose in [Purpose::Listen, Purpose::Server] {
                let error = parse(text, purpose).expect_err(text);
                assert!(
                    matches!(
                        error,
                        ConfigProblem::NotUnicast { .. } | ConfigProblem::NeedlessScope { .. }
                    ),
                    "{text}: {error}"
                );
            }
        }
        for text in ["0.0.0.0", "[::]:53", "::ffff:0.0.0.0"] {
            assert!(parse(text, Purpose::Listen).is_ok(), "{text}");
            let error = parse(text, Purpose::Server);
            assert!(
                matches!(error, Err(ConfigProblem::UnspecifiedServer { .. })),
                "{text}: {error:?}"
            );
        }
    }

    #[test]
    fn doubtful_addresses_are_refused() {
        for text in [
            "localhost",
            "",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.256",
            "eth0",
            ":53",
            "192.0.2.0/24",
        ] {
            assert!(
                matches!(parse(text, Purpose::Listen), Err(ConfigProblem::BadAddress { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            parse("::1:5300", Purpose::Listen),
            Err(ConfigProblem::AmbiguousAddress { .. })
        ));
        assert!(matches!(
            parse("192.0.2.1:0", Purpose::Listen),
            Err(ConfigProblem::PortZero { .. })
        ));
    }

    #[test]
    fn prefixes_are_whole_networks() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse_prefix("allow", text).expect(text).to_string(), expected);
        }
        let refused = parse_prefix("allow", "10.0.0.1/8");
        assert!(matches!(refused, Err(ConfigProblem::PrefixHostBits { network, .. }) if network == "10.0.0.0/8"));
        for text in ["10.0.0.0/33", "10.0.0.0/", "x", "10.0.0.0/8/8"] {
            assert!(
                matches!(parse_prefix("allow", text), Err(ConfigProblem::BadPrefix { .. })),
                "{text}"
            );
        }
    }
}
