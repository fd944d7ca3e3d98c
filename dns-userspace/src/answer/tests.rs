//! Tests of the reference answerer, one module per RFC, one test per clause, on replies read by an independent
//! decoder. The records are written in a small subset of the presentation format.

mod alias;
mod chaos;
mod contract;
mod fuzz;
mod one_label;
mod order;
mod rfc1034;
mod rfc1035;
mod rfc2308;
mod rfc4592;
mod rfc5001;
mod rfc6672;
mod rfc6891;
mod rfc7873;
mod rfc8482;
mod rfc8906;
mod rfc8914;
mod rfc9471;
mod views;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Record;

use super::*;
use crate::model::record::{Handling, Order, Rdata, Wildcard};
use crate::model::snapshot::Snapshot;
use crate::model::source::{Origin, SourceId};
use crate::store::{Change, Store};

const UDP: Environment<'_> = Environment {
    cookies: COOKIES,
    ..Environment::DEFAULT
};
const COOKIES: CookieSource = CookieSource {
    secret: [7; 16],
    seconds: 1_700_000_000,
    client: IpAddr::V4(Ipv4Addr::LOCALHOST),
};
const TCP: Environment<'_> = Environment {
    limit: Limit::STREAM,
    is_proven: true,
    ..UDP
};
const RECURSIVE: Environment<'_> = Environment {
    recursion_available: true,
    ..UDP
};

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

/// What is served: zones by apex, and overlays.
struct World {
    snapshot: Arc<Snapshot>,
    environment: Environment<'static>,
}

/// A reply as text, one line per RR: "owner ttl IN TYPE rdata".
#[derive(Debug)]
struct Reply {
    bytes: Vec<u8>,
    rcode: ResponseCode,
    aa: bool,
    tc: bool,
    ra: bool,
    answer: Vec<String>,
    authority: Vec<String>,
    additional: Vec<String>,
    message: Message,
}

impl World {
    fn new(zones: &[(&str, &str)], overlays: &str) -> Self {
        let mut changes = vec![Change::config_records(records(overlays, &name("."), Origin::config()))];
        for (apex, text) in zones {
            let apex = name(apex);
            let content = Ok(records(text, &apex, Origin::zone_file("test")));
            changes.push(Change::PutZone {
                source: SourceId::zone_files(),
                apex,
                content,
            });
        }
        Self {
            snapshot: Store::new().plan(changes).snapshot,
            environment: UDP,
        }
    }

    fn zone(text: &str) -> Self {
        Self::new(&[("example.", text)], "")
    }

    fn with(self, environment: Environment<'static>) -> Self {
        Self { environment, ..self }
    }

    fn outcome(&self, query: &[u8]) -> (Outcome, Vec<u8>) {
        let mut out = vec![0xAA; 3];
        let outcome = respond(query, &self.snapshot, &(), &self.environment, &mut out);
        (outcome, out)
    }

    fn send(&self, query: &[u8]) -> Reply {
        let (outcome, bytes) = self.outcome(query);
        assert!(matches!(outcome, Outcome::Reply), "{outcome:?}");
        Reply::read(bytes)
    }

    fn ask(&self, qname: &str, qtype: RecordType) -> Reply {
        self.send(&query(qname, qtype))
    }

    fn resolve(&self, qname: &str, qtype: RecordType) -> (Resolution, Vec<Consulted>) {
        let mut consulted = Vec::new();
        let options = self.environment.resolve_options();
        let resolution = resolve(&self.snapshot, &name(qname), qtype, &options, &mut |name| {
            consulted.push(name)
        });
        (resolution, consulted)
    }
}

impl Reply {
    fn read(bytes: Vec<u8>) -> Self {
        let message = Message::from_vec(&bytes).expect("a decodable reply");
        let lines = |records: &[Record]| records.iter().map(Record::to_string).collect();
        Self {
            rcode: message.metadata.response_code,
            aa: message.metadata.authoritative,
            tc: message.metadata.truncation,
            ra: message.metadata.recursion_available,
            answer: lines(&message.answers),
            authority: lines(&message.authorities),
            additional: lines(&message.additionals),
            bytes,
            message,
        }
    }

    #[track_caller]
    fn has(&self, rcode: ResponseCode, aa: bool, answer: &[&str], authority: &[&str], additional: &[&str]) {
        assert_eq!((self.rcode, self.aa), (rcode, aa), "{self:#?}");
        assert_eq!(self.answer, answer, "answer");
        assert_eq!(self.authority, authority, "authority");
        assert_eq!(self.additional, additional, "additional");
    }
}

/// A query with RD=0 and no OPT.
fn query(qname: &str, qtype: RecordType) -> Vec<u8> {
    raw_query(name(qname).as_wire(), qtype, 1)
}

fn raw_query(qname: &[u8], qtype: RecordType, qclass: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(qname);
    bytes.extend_from_slice(&qtype.0.to_be_bytes());
    bytes.extend_from_slice(&qclass.to_be_bytes());
    bytes
}

fn with_rd(mut query: Vec<u8>) -> Vec<u8> {
    query[2] |= 1;
    query
}

/// Adds an OPT with this class (payload), TTL field and options.
fn with_opt(mut query: Vec<u8>, payload: u16, ttl: u32, options: &[u8]) -> Vec<u8> {
    query[11] += 1;
    query.extend_from_slice(&[0, 0, 41]);
    query.extend_from_slice(&payload.to_be_bytes());
    query.extend_from_slice(&ttl.to_be_bytes());
    query.extend_from_slice(&(options.len() as u16).to_be_bytes());
    query.extend_from_slice(options);
    query
}

/// Lines "owner ttl type value", with `!rotate` and the like behind them; owners and names relative to `origin`;
/// several RRs of an RRset stand together.
fn records(text: &str, origin: &Name, source: Origin) -> Vec<(Name, RrSet)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (marks, fields): (Vec<&str>, Vec<&str>) =
                line.split_whitespace().partition(|word| word.starts_with('!'));
            let rtype = fields[2].parse().expect("a type");
            let rrset = RrSet {
                rtype,
                ttl: fields[1].parse().expect("a TTL"),
                rdatas: [rdata(rtype, &fields[3..], origin)].into(),
                origin: source.clone(),
                handling: handling(&marks),
            };
            (
                Name::parse_relative(fields[0].as_bytes(), origin).expect("an owner"),
                rrset,
            )
        })
        .collect()
}

/// `!rotate`, `!random`, `!weighted:1,2`, `!one_label`.
fn handling(marks: &[&str]) -> Handling {
    let (mut order, mut wildcard) = (Order::Fixed, Wildcard::Rfc4592);
    for mark in marks {
        let (word, weights) = mark[1..].split_once(':').unwrap_or((&mark[1..], ""));
        let weights = weights.split(',').filter_map(|weight| weight.parse().ok()).collect();
        match Order::from_word(word, weights) {
            Some(given) => order = given,
            None => wildcard = Wildcard::from_word(word).expect("a mark"),
        }
    }
    Handling::new(order, wildcard)
}

fn rdata(rtype: RecordType, fields: &[&str], origin: &Name) -> Rdata {
    let name = |at: usize| {
        Name::parse_relative(fields[at].as_bytes(), origin)
            .expect("a name")
            .as_wire()
            .to_vec()
    };
    let u16 = |at: usize| fields[at].parse::<u16>().expect("a number").to_be_bytes().to_vec();
    let u32 = |at: usize| fields[at].parse::<u32>().expect("a number").to_be_bytes().to_vec();
    let bytes = match rtype {
        RecordType::A => fields[0].parse::<Ipv4Addr>().expect("an address").octets().to_vec(),
        RecordType::AAAA => fields[0].parse::<Ipv6Addr>().expect("an address").octets().to_vec(),
        RecordType::NS | RecordType::CNAME | RecordType::DNAME | RecordType::PTR | RecordType::ALIAS => name(0),
        RecordType::MX => [u16(0), name(1)].concat(),
        RecordType::SRV => [u16(0), u16(1), u16(2), name(3)].concat(),
        RecordType::SVCB | RecordType::HTTPS => [u16(0), name(1)].concat(),
        RecordType::SOA => [name(0), name(1), u32(2), u32(3), u32(4), u32(5), u32(6)].concat(),
        RecordType::TXT => [&[fields[0].len() as u8], fields[0].as_bytes()].concat(),
        _ => fields[0].as_bytes().to_vec(),
    };
    bytes.into()
}
