//! RFC 8914, extended DNS errors.

use super::*;

fn world() -> World {
    World::zone("@ 60 SOA ns host 1 1 1 1 1\n www 60 A 192.0.2.1")
}

/// The INFO-CODE and the EXTRA-TEXT of a reply that ends in an extended error and nothing else in its OPT.
fn error_of(reply: &Reply) -> Option<(u16, String)> {
    let at = reply
        .bytes
        .windows(3)
        .rposition(|window| window == [0, 0, 41])
        .expect("an OPT")
        + 9;
    let rdata = &reply.bytes[at + 2..];
    assert_eq!(
        usize::from(u16::from_be_bytes([reply.bytes[at], reply.bytes[at + 1]])),
        rdata.len()
    );
    if rdata.is_empty() {
        return None;
    }
    assert_eq!(rdata[..2], [0, 15]);
    assert_eq!(usize::from(u16::from_be_bytes([rdata[2], rdata[3]])), rdata.len() - 4);
    let text = String::from_utf8(rdata[6..].to_vec()).expect("UTF-8");
    Some((u16::from_be_bytes([rdata[4], rdata[5]]), text))
}

fn asked(qname: &str, qtype: u16, qclass: u16) -> Vec<u8> {
    with_opt(
        raw_query(name(qname).as_wire(), RecordType(qtype), qclass),
        1232,
        0,
        &[],
    )
}

#[test]
fn rfc8914_4_21_what_is_not_ours_is_refused_as_such() {
    for query in [
        asked("foreign.", 1, 1),
        asked("www.example.", 1, 4),
        asked("version.bind.", 16, 3),
    ] {
        let reply = world().send(&query);
        assert_eq!(
            (reply.rcode, error_of(&reply)),
            (ResponseCode::Refused, Some((20, String::new())))
        );
    }
}

#[test]
fn rfc8914_4_22_transfers_are_not_supported() {
    let reply = world().send(&asked("example.", 252, 1));
    assert_eq!(
        (reply.rcode, error_of(&reply)),
        (ResponseCode::Refused, Some((21, String::new())))
    );
}

#[test]
fn answers_and_other_errors_carry_none() {
    for query in [
        asked("www.example.", 1, 1),
        asked("nx.example.", 1, 1),
        asked("www.example.", 16, 1),
        asked("www.example.", 0, 1),
        asked("www.example.", 253, 1),
    ] {
        assert_eq!(error_of(&world().send(&query)), None);
    }
}

#[test]
fn rfc8914_4_25_a_failed_zone_says_so_and_not_where_its_file_is() {
    let plan = Store::new().plan(vec![Change::PutZone {
        source: SourceId::zone_files(),
        apex: name("bad."),
        content: Err("/etc/zones/bad.zone:1:1: secret".into()),
    }]);
    let world = World {
        snapshot: plan.snapshot,
        environment: UDP,
    };
    let mut long = name("bad.");
    while let Some(longer) = long.child(b"a") {
        long = longer;
    }
    for qname in [name("bad."), name("www.bad."), long] {
        let reply = world.send(&with_opt(raw_query(qname.as_wire(), RecordType::A, 1), 512, 0, &[]));
        assert_eq!((reply.rcode, reply.tc), (ResponseCode::ServFail, false));
        assert_eq!(error_of(&reply), Some((24, "the zone's data are not valid".to_owned())));
    }
}
