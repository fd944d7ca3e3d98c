//! Names that are never sent upstream unless a route says so, and what they get instead.
//!
//! | names | answer | source |
//! |---|---|---|
//! | `localhost.` and below | A 127.0.0.1, AAAA ::1, else NODATA | RFC 6761 §6.3 |
//! | `invalid.`, `test.`, `onion.`, `local.`, `internal.`, `home.arpa.`, `service.arpa.` | NXDOMAIN | see [`EMPTY`] |
//! | reverse zones of addresses that are not global | NXDOMAIN | RFC 6303 §4, RFC 7793 |
//! | `resolver.arpa.` | NODATA for it and `_dns.resolver.arpa.`, else NXDOMAIN | RFC 9462 §6.4 |
//! | `ipv4only.arpa.` | A 192.0.0.170 and 192.0.0.171, else NODATA | RFC 8880 §7.2 |
//!
//! The apex of an empty zone has an SOA and an NS record, as RFC 6303 §3 has it: so a negative answer can be kept.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::message::{Message, Record};
use crate::model::name::Name;
use crate::model::record::RecordType;

/// What a special name gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// A zone with nothing in it.
    Empty,
    /// The addresses of loopback.
    Localhost,
    /// RFC 9462.
    ResolverArpa,
    /// RFC 8880.
    Ipv4Only,
}

/// Zones with nothing in them, but for the reverse zones.
const EMPTY: &[&str] = &[
    "invalid.",      // RFC 6761 §6.4
    "test.",         // RFC 6761 §6.2
    "onion.",        // RFC 7686 §2
    "local.",        // RFC 6762 §22.1
    "internal.",     // reserved for private use by ICANN, 2024
    "home.arpa.",    // RFC 8375 §4
    "service.arpa.", // RFC 9665
];

/// Reverse zones of RFC 6303 §4, without 16.172 to 31.172 and 64.100 to 127.100.
const REVERSE: &[&str] = &[
    "0.in-addr.arpa.",
    "10.in-addr.arpa.",
    "127.in-addr.arpa.",
    "254.169.in-addr.arpa.",
    "168.192.in-addr.arpa.",
    "2.0.192.in-addr.arpa.",
    "100.51.198.in-addr.arpa.",
    "113.0.203.in-addr.arpa.",
    "255.255.255.255.in-addr.arpa.",
    "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
    "d.f.ip6.arpa.",
    "8.e.f.ip6.arpa.",
    "9.e.f.ip6.arpa.",
    "a.e.f.ip6.arpa.",
    "b.e.f.ip6.arpa.",
    "8.b.d.0.1.0.0.2.ip6.arpa.",
];

/// RFC 6303 §3.
const TTL: u32 = 10_800;
const CLASS_IN: u16 = 1;
const NXDOMAIN: u16 = 3;
/// QR and AA.
const FLAGS: u16 = 0x8400;

/// All special zones.
pub(super) fn zones() -> Vec<(Name, Special)> {
    let name = |text: &str| Name::parse(text).expect("the names of the tables are names");
    let mut zones = vec![
        (name("localhost."), Special::Localhost),
        (name("resolver.arpa."), Special::ResolverArpa),
        (name("ipv4only.arpa."), Special::Ipv4Only),
    ];
    zones.extend(EMPTY.iter().chain(REVERSE).map(|text| (name(text), Special::Empty)));
    // RFC 1918, and RFC 7793 (shared address space).
    let private = (16..32).map(|octet| format!("{octet}.172.in-addr.arpa."));
    let shared = (64..128).map(|octet| format!("{octet}.100.in-addr.arpa."));
    zones.extend(private.chain(shared).map(|text| (name(&text), Special::Empty)));
    zones
}

/// The answer to a question for `name` (wire form), which is in the special zone `apex`.
pub(super) fn answer(special: Special, apex: &Name, name: &[u8], qtype: u16) -> Message {
    let is_apex = name.eq_ignore_ascii_case(apex.as_wire());
    let record = |rtype: RecordType, rdata: Vec<u8>| Record {
        owner: name.to_vec(),
        rtype: rtype.0,
        class: CLASS_IN,
        ttl: TTL,
        rdata,
    };
    let (exists, answer) = match (special, RecordType(qtype)) {
        (Special::Localhost, RecordType::A) => {
            (true, vec![record(RecordType::A, Ipv4Addr::LOCALHOST.octets().to_vec())])
        }
        (Special::Localhost, RecordType::AAAA) => (
            true,
            vec![record(RecordType::AAAA, Ipv6Addr::LOCALHOST.octets().to_vec())],
        ),
        (Special::Localhost, _) => (true, Vec::new()),
        (Special::Ipv4Only, RecordType::A) if is_apex => {
            let addresses = [[192, 0, 0, 170], [192, 0, 0, 171]];
            let records = addresses.map(|address| record(RecordType::A, address.to_vec()));
            (true, records.into())
        }
        (_, RecordType::SOA) if is_apex => (true, vec![record(RecordType::SOA, soa(apex))]),
        (_, RecordType::NS) if is_apex => (true, vec![record(RecordType::NS, apex.as_wire().to_vec())]),
        // RFC 9462 §6.4: whoever looks for another transport is to learn that there is none.
        (Special::ResolverArpa, _) => {
            let dns = apex.child(b"_dns");
            let is_dns = dns.is_some_and(|dns| name.eq_ignore_ascii_case(dns.as_wire()));
            (is_apex || is_dns, Vec::new())
        }
        _ => (is_apex, Vec::new()),
    };
    let mut message = Message::of_answer(answer);
    message.flags = FLAGS | if exists { 0 } else { NXDOMAIN };
    if message.answer.is_empty() {
        message.authority = vec![Record {
            owner: apex.as_wire().to_vec(),
            ..record(RecordType::SOA, soa(apex))
        }];
    }
    message
}

/// `@ nobody.invalid. 1 3600 1200 604800 10800` (RFC 6303 §3).
fn soa(apex: &Name) -> Vec<u8> {
    let mut rdata = apex.as_wire().to_vec();
    rdata.extend_from_slice(b"\x06nobody\x07invalid\0");
    for number in [1, 3600, 1200, 604_800, TTL] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    rdata
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, qtype: RecordType) -> Message {
        let name = Name::parse(name).unwrap();
        let zones = zones();
        let (apex, special) = zones
            .iter()
            .filter(|(apex, _)| name.is_at_or_below(apex))
            .max_by_key(|(apex, _)| apex.label_count())
            .expect("it is special");
        answer(*special, apex, name.as_wire(), qtype.0)
    }

    #[test]
    fn rfc6761_6_3_localhost_is_loopback_and_has_nothing_else() {
        for name in ["localhost.", "a.LOCALHOST."] {
            assert_eq!(ask(name, RecordType::A).answer[0].rdata, [127, 0, 0, 1]);
            assert_eq!(ask(name, RecordType::AAAA).answer[0].rdata[15], 1);
            let other = ask(name, RecordType::MX);
            assert_eq!((other.rcode(), other.answer.len(), other.authority.len()), (0, 0, 1));
        }
    }

    #[test]
    fn rfc6303_3_an_empty_zone_has_an_apex_and_denies_what_is_below() {
        for zone in [
            "internal.",
            "10.in-addr.arpa.",
            "31.172.in-addr.arpa.",
            "127.100.in-addr.arpa.",
            "d.f.ip6.arpa.",
        ] {
            let below = ask(&format!("x.{zone}"), RecordType::PTR);
            assert_eq!((below.rcode(), below.answer.len()), (3, 0), "{zone}");
            assert_eq!(below.authority[0].owner, Name::parse(zone).unwrap().as_wire());
            assert_eq!(ask(zone, RecordType::SOA).answer.len(), 1);
            assert_eq!(ask(zone, RecordType::NS).answer.len(), 1);
            assert_eq!(
                (ask(zone, RecordType::A).rcode(), ask(zone, RecordType::A).answer.len()),
                (0, 0)
            );
        }
    }

    #[test]
    fn rfc9462_and_rfc8880_names_have_their_answers() {
        let svcb = RecordType(64);
        assert_eq!(ask("_dns.resolver.arpa.", svcb).rcode(), 0);
        assert_eq!(ask("x.resolver.arpa.", svcb).rcode(), 3);
        let addresses = ask("ipv4only.arpa.", RecordType::A);
        assert_eq!(addresses.answer.len(), 2);
        assert_eq!(ask("ipv4only.arpa.", RecordType::AAAA).rcode(), 0);
    }
}
