//! RFC 8482, minimal answers to ANY.

use super::*;

const ZONE: &str = "
    @      3600 SOA ns host 7 3600 600 86400 300
    www    60   A 192.0.2.1
    www    60   TXT x
    alias  60   CNAME www
    a.ent  60   A 192.0.2.1
    cut    60   NS ns.other.
    *.wild 60   A 192.0.2.1
";

#[test]
fn rfc8482_4_2_hinfo_over_udp() {
    let world = World::zone(ZONE);
    for qname in ["www.example.", "example.", "x.wild.example."] {
        let reply = world.ask(qname, RecordType::ANY);
        reply.has(
            ResponseCode::NoError,
            true,
            &[&format!("{qname} 3789 IN HINFO RFC8482 ")],
            &[],
            &[],
        );
    }
}

#[test]
fn rfc8482_4_2_a_cname_is_given() {
    let reply = World::zone(ZONE).ask("alias.example.", RecordType::ANY);
    reply.has(
        ResponseCode::NoError,
        true,
        &["alias.example. 60 IN CNAME www.example."],
        &[],
        &[],
    );
}

#[test]
fn rfc8482_4_1_all_rrsets_over_tcp() {
    let reply = World::zone(ZONE).with(TCP).ask("www.example.", RecordType::ANY);
    let expected = ["www.example. 60 IN A 192.0.2.1", "www.example. 60 IN TXT x"];
    reply.has(ResponseCode::NoError, true, &expected, &[], &[]);
}

#[test]
fn any_does_not_change_what_exists() {
    let world = World::zone(ZONE);
    for environment in [UDP, TCP] {
        let world = World {
            snapshot: world.snapshot.clone(),
            environment,
        };
        let reply = world.ask("nothing.example.", RecordType::ANY);
        assert_eq!((reply.rcode, reply.authority.len()), (ResponseCode::NXDomain, 1));
        let reply = world.ask("ent.example.", RecordType::ANY);
        assert_eq!(
            (reply.rcode, reply.answer.len(), reply.authority.len()),
            (ResponseCode::NoError, 0, 1)
        );
        let reply = world.ask("cut.example.", RecordType::ANY);
        reply.has(
            ResponseCode::NoError,
            false,
            &[],
            &["cut.example. 60 IN NS ns.other."],
            &[],
        );
    }
}
