//! Classes CHAOS (RFC 4892) and ANY (RFC 1035 §6.2).

use super::*;

const CHAOS: u16 = 3;

fn world() -> World {
    World::zone("@ 60 SOA ns host 1 1 1 1 1\n www 60 A 192.0.2.1\n alias 60 CNAME far.away.")
}

fn talkative() -> Identity {
    Identity {
        nsid: None,
        version: Some("hotdns 1".into()),
        hostname: Some("a.example".into()),
        id: Some("ns1".into()),
    }
}

fn ask(qname: &str, qtype: RecordType, identity: &Identity) -> Reply {
    let mut out = Vec::new();
    let environment = Environment {
        identity: Some(identity),
        ..RECURSIVE
    };
    let query = with_rd(raw_query(name(qname).as_wire(), qtype, CHAOS));
    let outcome = respond(&query, &world().snapshot, &(), &environment, &mut out);
    assert!(matches!(outcome, Outcome::Reply));
    Reply::read(out)
}

#[test]
fn rfc4892_3_each_name_says_what_is_configured() {
    for (qname, text) in [
        ("version.bind.", "hotdns 1"),
        ("VERSION.server.", "hotdns 1"),
        ("hostname.bind.", "a.example"),
        ("id.server.", "ns1"),
    ] {
        let expected = format!("{qname} 0 CH TXT {text}");
        for qtype in [RecordType::TXT, RecordType::ANY] {
            ask(qname, qtype, &talkative()).has(ResponseCode::NoError, true, &[&expected], &[], &[]);
        }
    }
}

#[test]
fn what_is_not_configured_is_refused() {
    let only_version = Identity {
        version: Some("1".into()),
        ..Identity::default()
    };
    for qname in ["id.server.", "hostname.bind.", "authors.bind.", "www.example.", "."] {
        ask(qname, RecordType::TXT, &only_version).has(ResponseCode::Refused, false, &[], &[], &[]);
    }
    ask("version.bind.", RecordType::A, &only_version).has(ResponseCode::Refused, false, &[], &[], &[]);
    let query = raw_query(name("version.bind.").as_wire(), RecordType::TXT, CHAOS);
    assert_eq!(world().send(&query).rcode, ResponseCode::Refused);
}

#[test]
fn rfc1035_6_2_class_any_is_answered_without_authority() {
    let world = world().with(RECURSIVE);
    let any = |qname: &str| with_rd(raw_query(name(qname).as_wire(), RecordType::A, 255));
    let soa = "example. 1 IN SOA ns.example. host.example. 1 1 1 1 1";
    world.send(&any("www.example.")).has(
        ResponseCode::NoError,
        false,
        &["www.example. 60 IN A 192.0.2.1"],
        &[],
        &[],
    );
    world
        .send(&any("nx.example."))
        .has(ResponseCode::NXDomain, false, &[], &[soa], &[]);
    // Nobody else is asked for it.
    world
        .send(&any("far.away."))
        .has(ResponseCode::Refused, false, &[], &[], &[]);
    let chain = ["alias.example. 60 IN CNAME far.away."];
    world
        .send(&any("alias.example."))
        .has(ResponseCode::NoError, false, &chain, &[], &[]);
}
