//! Who holds an address: `/proc/net` names the socket's inode, `/proc/PID/fd` the process. For error messages alone, so
//! what cannot be read is left out.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Protocols;

/// ` by NAME (process 1) on ADDRESS`, ` (ADDRESS)` where the process is hidden from us, or nothing.
pub(super) fn describe(wanted: SocketAddr, protocol: Protocols) -> String {
    let (v4, v6) = match protocol {
        Protocols::Udp => ("/proc/net/udp", "/proc/net/udp6"),
        Protocols::Tcp => ("/proc/net/tcp", "/proc/net/tcp6"),
    };
    // A socket that is not IPV6_V6ONLY holds the IPv4 port, too.
    let tables = if wanted.is_ipv4() { [v4, v6] } else { [v6, v4] };
    for table in tables {
        let text = fs::read_to_string(table).unwrap_or_default();
        if let Some((held, inode)) = text.lines().skip(1).find_map(|line| conflict(line, wanted, protocol)) {
            return match process_of(inode) {
                Some((process, name)) => format!(" by {name} (process {process}) on {held}"),
                None => format!(" ({held})"),
            };
        }
    }
    String::new()
}

/// The address and inode of a line of `/proc/net/{udp,tcp}{,6}` that stands in the way of `wanted`.
fn conflict(line: &str, wanted: SocketAddr, protocol: Protocols) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let held = parse_address(fields.nth(1)?)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    let listens = protocol == Protocols::Udp || state == LISTEN;
    let overlaps = held.ip() == wanted.ip() || held.ip().is_unspecified() || wanted.ip().is_unspecified();
    (listens && overlaps && held.port() == wanted.port()).then_some((held, inode))
}

/// `0100007F:0035`: 32-bit words in the host's byte order, the port in hexadecimal.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut octets = Vec::with_capacity(16);
    for start in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(start..start + 8)?, 16).ok()?;
        octets.extend_from_slice(&word.to_ne_bytes());
    }
    let ip: IpAddr = match <[u8; 4]>::try_from(&octets[..]) {
        Ok(v4) => Ipv4Addr::from(v4).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(&octets[..]).ok()?).into(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn process_of(inode: u64) -> Option<(u32, String)> {
    let link = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(number) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = |path: std::path::PathBuf| fs::read_link(path).is_ok_and(|target| target.as_os_str() == &link[..]);
        if descriptors.flatten().any(|descriptor| holds(descriptor.path())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((number, name.trim().to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_families_of_proc_net() {
        if cfg!(target_endian = "little") {
            assert_eq!(parse_address("0100007F:0035"), Some("127.0.0.1:53".parse().unwrap()));
            assert_eq!(
                parse_address("00000000000000000000000001000000:14B4"),
                Some("[::1]:5300".parse().unwrap())
            );
        }
        assert_eq!(parse_address("0100:0035"), None);
    }
}
