//! Lists of addresses to be bound, from the file or from the command line.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{Purpose, host, parse_address};
use super::document::FilePosition;
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};

/// An address of the configuration; no position where it came from the command line.
pub(super) type AddressAt = (SocketAddr, Option<FilePosition>);

/// The addresses under `key`; `None` where it is not given.
pub(super) fn read_addresses(
    section: &CheckedMapping<'_>,
    key: &'static str,
    example: &'static str,
    port: u16,
    findings: &mut Findings,
) -> Option<Vec<AddressAt>> {
    let texts = section.texts(key, example, findings)?;
    let path = section.path(key);
    if texts.is_empty()
        && let Some(at) = section.position(key)
        && section
            .list(key, example, findings)
            .is_some_and(|items| items.is_empty())
    {
        findings.error(
            at,
            ConfigProblem::Empty {
                key: path,
                remedy: "write an address, or leave the key out for the default",
            },
        );
        return None;
    }
    let host = host();
    let mut addresses = Vec::with_capacity(texts.len());
    for Text { at, text } in texts {
        match parse_address(&path, text, port, Purpose::Listen, &host) {
            Ok(address) => addresses.push((address, Some(at))),
            Err(problem) => findings.error(at, problem),
        }
    }
    check_overlaps(&path, &addresses, findings);
    Some(addresses)
}

/// The command line's addresses where it has any, else the file's.
pub(super) fn replace_addresses(
    in_file: Option<Vec<AddressAt>>,
    flag: &str,
    texts: &[String],
    port: u16,
    findings: &mut Findings,
) -> Option<Vec<AddressAt>> {
    if texts.is_empty() {
        return in_file;
    }
    let host = host();
    let mut addresses: Vec<AddressAt> = Vec::with_capacity(texts.len());
    for text in texts {
        match parse_address(flag, text, port, Purpose::Listen, &host) {
            Ok(address) => addresses.push((address, None)),
            Err(problem) => findings.command_line_error(problem),
        }
    }
    check_overlaps(flag, &addresses, findings);
    Some(addresses)
}

/// Reports addresses that are there twice, or beside the wildcard address that covers them.
fn check_overlaps(key: &str, addresses: &[AddressAt], findings: &mut Findings) {
    let all: HashSet<SocketAddr> = addresses.iter().map(|(address, _)| *address).collect();
    let mut seen = HashSet::with_capacity(addresses.len());
    for &(address, at) in addresses {
        let key = key.to_owned();
        let wide = wildcard(address);
        if !seen.insert(address) {
            let address = address.to_string();
            findings.error_at(at, ConfigProblem::DuplicateAddress { key, address });
        } else if wide != address && all.contains(&wide) {
            let by = wide;
            findings.error_at(at, ConfigProblem::CoveredAddress { key, address, by });
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
