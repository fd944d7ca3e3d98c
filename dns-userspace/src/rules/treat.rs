//! What is done to upstream's answers before they are kept and given: other TTLs, and addresses that are left out.
//!
//! The cache keeps an answer as it is here, so these rules know no single client: they are for all, or for views, each
//! of which has its own entries in the cache.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::suffixes;
use crate::message::{Message, Record};
use crate::model::name::Name;
use crate::model::record::RecordType;

/// Other TTLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TtlRule {
    /// Of answers to questions for this name and all below it.
    pub suffix: Name,
    /// What they become.
    pub ttl: NewTtl,
}

/// What a TTL becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewTtl {
    /// This one.
    Fixed(u32),
    /// It is brought within these.
    Within(u32, u32),
}

/// Addresses that no upstream server may answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// These.
    pub addresses: Vec<IpNet>,
    /// Names, with all below them, whose answers may have them.
    pub except: Vec<Name>,
}

/// Addresses of hosts that no public name has a reason to name: a page that gets one reaches into the network of
/// whoever looks at it (DNS rebinding). Private (RFC 1918, RFC 4193), loopback, link-local, shared (RFC 6598), "this
/// network".
pub const PRIVATE: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::/128",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

const SVCB: u16 = 64;
const HTTPS: u16 = 65;
/// Keys of parameters with addresses (RFC 9460 §7.3).
const IPV4HINT: u16 = 4;
const IPV6HINT: u16 = 6;

fn is_in(name: &[u8], zone: &Name) -> bool {
    suffixes(name).any(|suffix| zone.as_wire().eq_ignore_ascii_case(suffix))
}

impl TtlRule {
    /// Changes the TTLs of an answer to a question for `name`, in wire form. Whether it is concerned.
    pub(super) fn apply(&self, name: &[u8], answer: &mut Arc<Message>) -> bool {
        if !is_in(name, &self.suffix) {
            return false;
        }
        let message = Arc::make_mut(answer);
        let records = message
            .answer
            .iter_mut()
            .chain(&mut message.authority)
            .chain(&mut message.additional);
        for record in records {
            record.ttl = match self.ttl {
                NewTtl::Fixed(ttl) => ttl,
                // RFC 2181 §8: with the uppermost bit it is zero.
                NewTtl::Within(least, most) if record.ttl > i32::MAX as u32 => 0.clamp(least, most),
                NewTtl::Within(least, most) => record.ttl.clamp(least, most),
            };
        }
        true
    }
}

impl Filter {
    /// Leaves addresses out of an answer to a question for `name`, in wire form. Whether there were some.
    pub(super) fn apply(&self, name: &[u8], answer: &mut Arc<Message>) -> bool {
        if self.except.iter().any(|zone| is_in(name, zone)) {
            return false;
        }
        let is_denied = |record: &Record| addresses_of(record).into_iter().any(|address| self.has(address));
        if !answer.answer.iter().chain(&answer.additional).any(is_denied) {
            return false;
        }
        let message = Arc::make_mut(answer);
        for section in [&mut message.answer, &mut message.additional] {
            section.retain(|record| !is_denied(record));
        }
        true
    }

    fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|prefix| prefix.contains(&address))
    }
}

/// The addresses that a client may go to because of this record.
fn addresses_of(record: &Record) -> Vec<IpAddr> {
    let rdata = &record.rdata[..];
    match (RecordType(record.rtype), rdata.len()) {
        (RecordType::A, 4) => vec![v4(rdata)],
        (RecordType::AAAA, 16) => vec![v6(rdata)],
        (RecordType(SVCB | HTTPS), _) => hints(rdata).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn v4(octets: &[u8]) -> IpAddr {
    <[u8; 4]>::try_from(octets)
        .map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from)
        .into()
}

/// An address of IPv4 in the clothes of IPv6 is one of IPv4: mapped (RFC 4291 §2.5.5.2), translated (RFC 6052 §2.1).
fn v6(octets: &[u8]) -> IpAddr {
    let address = <[u8; 16]>::try_from(octets).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from);
    let is_translated = address.segments()[..6] == [0x64, 0xFF9B, 0, 0, 0, 0];
    match address.to_ipv4_mapped() {
        Some(mapped) => mapped.into(),
        None if is_translated => v4(&octets[12..]),
        None => address.into(),
    }
}

/// RFC 9460 §2.2: a priority, a name, and parameters as key, length, value.
fn hints(rdata: &[u8]) -> Option<Vec<IpAddr>> {
    let behind = rdata.get(2..)?;
    let mut rest = behind.get(crate::model::name::wire_name_length(behind)?..)?;
    let mut found = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk::<4>() {
        let (key, length) = (
            u16::from_be_bytes([head[0], head[1]]),
            u16::from_be_bytes([head[2], head[3]]),
        );
        let (value, behind) = behind.split_at_checked(length.into())?;
        match key {
            IPV4HINT => found.extend(value.chunks_exact(4).map(v4)),
            IPV6HINT => found.extend(value.chunks_exact(16).map(v6)),
            _ => {}
        }
        rest = behind;
    }
    Some(found)
}
