//! Ports that somebody else holds, and who.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dns_userspace::config::Config;

use super::{Finding, State};

/// A socket that is bound (proc_pid_net(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    address: SocketAddr,
    inode: u64,
}

/// Tables of sockets, with the protocol, and in TCP the state of one that listens.
const TABLES: [(&str, &str, Option<&str>); 4] = [
    ("/proc/net/udp", "UDP", None),
    ("/proc/net/udp6", "UDP", None),
    ("/proc/net/tcp", "TCP", Some("0A")),
    ("/proc/net/tcp6", "TCP", Some("0A")),
];

pub(super) fn findings(config: Option<&Config>) -> Vec<Finding> {
    let everywhere = vec![
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 53)),
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 53)),
    ];
    let dns = config.map_or(everywhere, |config| config.listen.clone());
    let http = config.map_or(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))], |config| {
        config.http.listen.clone()
    });
    let mut findings: Vec<Finding> = dns
        .iter()
        .map(|address| finding("DNS", *address, &["UDP", "TCP"]))
        .collect();
    findings.extend(http.iter().map(|address| finding("HTTP", *address, &["TCP"])));
    findings
}

fn finding(of: &str, wanted: SocketAddr, protocols: &[&str]) -> Finding {
    let check = format!("{of} on {wanted}");
    let mut holders: Vec<(String, SocketAddr)> = Vec::new();
    for (file, protocol, state) in TABLES {
        if protocols.contains(&protocol) {
            let text = fs::read_to_string(file).unwrap_or_default();
            let taken = bound(&text, state)
                .into_iter()
                .filter(|bound| is_in_the_way(bound.address, wanted));
            holders.extend(taken.map(|bound| (owner(bound.inode), bound.address)));
        }
    }
    holders.sort();
    holders.dedup();
    if holders.is_empty() {
        return Finding::ok(check, "free");
    }
    if holders.iter().all(|(name, _)| name == "hotdns") {
        return Finding::ok(check, "held by hotdns, which is running");
    }
    let shown: Vec<String> = holders
        .iter()
        .map(|(name, address)| format!("{name} holds {address}"))
        .collect();
    Finding::new(State::Fail, check, shown.join(", "), fix(&holders, wanted))
}

fn fix(holders: &[(String, SocketAddr)], wanted: SocketAddr) -> String {
    let is_wide = wanted.ip().is_unspecified();
    let name = holders.first().map_or("", |(name, _)| name.as_str());
    match name {
        "systemd-resolve" => "serve on this host's own addresses alone, as in `listen: [\"192.0.2.1\"]`; \
                              or switch its stub off:\n\
                              mkdir -p /etc/systemd/resolved.conf.d\n\
                              printf '[Resolve]\\nDNSStubListener=no\\n' > \
                              /etc/systemd/resolved.conf.d/hotdns.conf\nsystemctl restart systemd-resolved"
            .to_owned(),
        "dnsmasq" | "named" | "unbound" | "coredns" | "pdns_server" | "knotd" | "nsd" if is_wide => format!(
            "stop it (systemctl disable --now {name}), or give `listen` addresses that it does not hold; \
             `hotdns convert` \
             reads its configuration"
        ),
        _ if is_wide => "stop it, or give `listen` addresses that it does not hold".to_owned(),
        _ => "stop it, or choose another address or port".to_owned(),
    }
}

/// Whether one address takes the place of another: the same, or one of them is all addresses.
fn is_in_the_way(bound: SocketAddr, wanted: SocketAddr) -> bool {
    let same_family = bound.is_ipv4() == wanted.is_ipv4();
    let is_wide = bound.ip().is_unspecified() || wanted.ip().is_unspecified();
    bound.port() == wanted.port() && same_family && (is_wide || bound.ip() == wanted.ip())
}

/// Sockets of one table.
fn bound(text: &str, state: Option<&str>) -> Vec<Bound> {
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if state.is_some_and(|state| fields.get(3) != Some(&state)) {
            return None;
        }
        Some(Bound {
            address: address(fields.get(1)?)?,
            inode: fields.get(9)?.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(socket).collect()
}

/// `0100007F:0035`: words of the address in the host's order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = (0..address.len() / 8)
        .map(|at| {
            Some(
                u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16)
                    .ok()?
                    .to_ne_bytes(),
            )
        })
        .collect();
    let octets = words?.concat();
    let ip = match octets.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The program that has a socket open.
fn owner(inode: u64) -> String {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        for descriptor in descriptors {
            let is_it = fs::read_link(descriptor.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str());
            if is_it {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return name.trim().to_owned();
            }
        }
    }
    "another process (run this as root to see which)".to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_port_that_is_held_is_found_with_its_holder() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let own = socket.local_addr().expect("an address");
        let found = finding("DNS", own, &["UDP"]);
        assert_eq!(found.state, State::Fail);
        assert!(found.found.contains(&format!("holds {own}")), "{}", found.found);
        let wide = finding("DNS", SocketAddr::from((Ipv4Addr::UNSPECIFIED, own.port())), &["UDP"]);
        assert_eq!(wide.state, State::Fail);
        drop(socket);
        assert_eq!(finding("DNS", own, &["UDP"]).state, State::Ok);
    }

    #[test]
    fn tables_of_the_kernel_are_read() {
        assert_eq!(
            address("3500007F:0035"),
            Some("127.0.0.53:53".parse().expect("an address"))
        );
        let v6 = address("00000000000000000000000001000000:1F90");
        assert_eq!(v6, Some("[::1]:8080".parse().expect("an address")));
        let fix = fix(
            &[(
                "systemd-resolve".to_owned(),
                "127.0.0.53:53".parse().expect("an address"),
            )],
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 53)),
        );
        assert!(fix.contains("DNSStubListener=no"), "{fix}");
    }
}
