//! Addresses, ports and prefixes in the configuration.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::document::Position;
use super::problem::{Findings, Problem};

/// An address of the configuration; no position where it came from the command line.
pub(super) type Located = (SocketAddr, Option<Position>);

/// An IP address, optionally with a port; an IPv6 address with a port is in brackets (RFC 3986 §3.2.2).
pub(super) fn parse_address(key: &str, text: &str, default_port: u16) -> Result<SocketAddr, Problem> {
    let owned = || (key.to_owned(), text.to_owned());
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        if let Some((head, port)) = text.rsplit_once(':')
            && head.parse::<Ipv6Addr>().is_ok()
            && port.bytes().all(|digit| digit.is_ascii_digit())
        {
            let (key, text) = owned();
            return Err(Problem::AmbiguousAddress {
                key,
                text,
                address: head.to_owned(),
                port: port.to_owned(),
            });
        }
        return Ok(SocketAddr::new(IpAddr::V6(address), default_port));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, default_port));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(Ok(address)) = bracketed.map(str::parse::<Ipv6Addr>) {
        return Ok(SocketAddr::new(IpAddr::V6(address), default_port));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            let (key, text) = owned();
            Err(Problem::PortZero { key, text })
        }
        Ok(address) => Ok(address),
        Err(_) => {
            let (key, text) = owned();
            Err(Problem::BadAddress {
                key,
                text,
                port: default_port,
            })
        }
    }
}

/// An address prefix; an address alone is the prefix of just that one.
pub(super) fn parse_prefix(key: &str, text: &str) -> Result<IpNet, Problem> {
    let prefix = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match prefix {
        Ok(prefix) if prefix.addr() == prefix.network() => Ok(prefix),
        Ok(prefix) => Err(Problem::PrefixHostBits {
            key: key.to_owned(),
            text: text.to_owned(),
            network: prefix.trunc().to_string(),
        }),
        Err(_) => Err(Problem::BadPrefix {
            key: key.to_owned(),
            text: text.to_owned(),
        }),
    }
}

/// Reports addresses that are there twice, or beside the wildcard address that covers them.
pub(super) fn check_overlaps(key: &str, addresses: &[Located], findings: &mut Findings) {
    let all: HashSet<SocketAddr> = addresses.iter().map(|(address, _)| *address).collect();
    let mut seen = HashSet::with_capacity(addresses.len());
    for &(address, at) in addresses {
        let key = key.to_owned();
        let wide = wildcard(address);
        if !seen.insert(address) {
            let address = address.to_string();
            findings.error_at(at, Problem::DuplicateAddress { key, address });
        } else if wide != address && all.contains(&wide) {
            let by = wide;
            findings.error_at(at, Problem::CoveredAddress { key, address, by });
        }
    }
}

/// The wildcard address of the same family, on the same port.
pub(super) fn wildcard(address: SocketAddr) -> SocketAddr {
    let any = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(any, address.port())
}

/// Whether a socket bound to `wide` takes what is sent to `narrow`.
pub(super) fn covers(wide: SocketAddr, narrow: SocketAddr) -> bool {
    wide == narrow || (wide.ip().is_unspecified() && wide.is_ipv4() == narrow.is_ipv4() && wide.port() == narrow.port())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            let address = parse_address("listen", text, 53).expect(text);
            assert_eq!(address.to_string(), expected, "{text}");
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
                matches!(parse_address("listen", text, 53), Err(Problem::BadAddress { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            parse_address("listen", "::1:5300", 53),
            Err(Problem::AmbiguousAddress { .. })
        ));
        assert!(matches!(
            parse_address("listen", "192.0.2.1:0", 53),
            Err(Problem::PortZero { .. })
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
        assert!(
            matches!(parse_prefix("allow", "10.0.0.1/8"), Err(Problem::PrefixHostBits { network, .. }) if network == "10.0.0.0/8")
        );
        for text in ["10.0.0.0/33", "10.0.0.0/", "x", "10.0.0.0/8/8"] {
            assert!(
                matches!(parse_prefix("allow", text), Err(Problem::BadPrefix { .. })),
                "{text}"
            );
        }
    }
}
