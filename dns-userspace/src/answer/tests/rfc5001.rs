//! RFC 5001, NSID.

use super::*;

const NSID: &[u8] = &[0, 3, 0, 0];

fn world() -> World {
    World::zone("@ 60 SOA ns host 1 1 1 1 1\n www 60 A 192.0.2.1")
}

fn named() -> Identity {
    Identity {
        nsid: Some("ns1.example.com".into()),
        ..Identity::default()
    }
}

fn asked(options: &[u8]) -> Vec<u8> {
    with_opt(query("www.example.", RecordType::A), 1232, 0, options)
}

fn reply(query: &[u8], environment: Environment<'_>, identity: &Identity) -> Vec<u8> {
    let mut out = Vec::new();
    let environment = Environment {
        identity: Some(identity),
        ..environment
    };
    respond(query, &world().snapshot, &(), &environment, &mut out);
    out
}

#[test]
fn rfc5001_2_1_who_asks_is_told_over_udp_and_tcp() {
    let option = b"\0\x13\0\x03\0\x0Fns1.example.com";
    for environment in [UDP, TCP] {
        assert!(reply(&asked(NSID), environment, &named()).ends_with(option));
        // What is in the question's option means nothing.
        assert!(reply(&asked(b"\0\x0C\0\x08padding!\0\x03\0\x01x"), environment, &named()).ends_with(option));
    }
}

#[test]
fn rfc5001_2_2_who_does_not_ask_is_not_told() {
    let plain = world().send(&asked(&[])).bytes;
    assert_eq!(reply(&asked(&[]), UDP, &named()), plain);
    assert_eq!(reply(&asked(NSID), UDP, &Identity::default()), plain);
    let no_opt = query("www.example.", RecordType::A);
    assert_eq!(reply(&no_opt, UDP, &named()), world().send(&no_opt).bytes);
}

#[test]
fn errors_carry_it_too() {
    let foreign = with_opt(query("foreign.", RecordType::A), 1232, 0, NSID);
    let refused = Reply::read(reply(&foreign, UDP, &named()));
    assert_eq!(refused.rcode, ResponseCode::Refused);
    assert!(refused.bytes.windows(4).any(|window| window == b"\0\x03\0\x0F"));
}

#[test]
fn it_counts_against_the_size() {
    let records: String = (0..40).map(|n| format!("many 60 A 192.0.2.{n}\n")).collect();
    let rrset = records_as_one(&records);
    let asked = with_opt(query("many.example.", RecordType::A), 512, 0, NSID);
    let mut out = Vec::new();
    let identity = named();
    let environment = Environment {
        identity: Some(&identity),
        ..UDP
    };
    respond(&asked, &rrset, &(), &environment, &mut out);
    assert!(Reply::read(out.clone()).tc && out.len() <= 512);
}

/// A zone with one RRset.
pub(super) fn records_as_one(text: &str) -> Arc<Snapshot> {
    let apex = name("example.");
    let mut all = records(text, &apex, Origin::config());
    let rdatas = all.iter().flat_map(|(_, rrset)| rrset.rdatas.iter()).collect();
    all.truncate(1);
    all[0].1.rdatas = rdatas;
    Store::new().plan(vec![Change::config_records(all)]).snapshot
}
