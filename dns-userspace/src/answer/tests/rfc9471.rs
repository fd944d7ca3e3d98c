//! RFC 9471, glue in referrals.

use super::*;
use crate::message::Question;

const ZONE: &str = "
    @         3600 SOA ns host 7 3600 600 86400 300
    ns        60   A 192.0.2.53
    a         60   NS ns.far.
    a         60   NS ns
    a         60   NS ns1.a
    a         60   NS ns.b
    ns1.a     60   AAAA 2001:db8::1
    ns1.a     60   A 192.0.2.1
    b         60   NS ns.b
    ns.b      60   A 192.0.2.2
    only      60   NS ns
";

#[test]
fn rfc9471_2_1_in_domain_and_sibling_glue_come_first() {
    let world = World::zone(ZONE);
    let reply = world.ask("x.a.example.", RecordType::A);
    assert_eq!(
        reply.additional,
        [
            "ns1.a.example. 60 IN A 192.0.2.1",
            "ns1.a.example. 60 IN AAAA 2001:db8::1",
            "ns.b.example. 60 IN A 192.0.2.2",
            "ns.example. 60 IN A 192.0.2.53",
        ]
    );
    assert_eq!(world.resolve("x.a.example.", RecordType::A).0.required_additional, 3);
    assert_eq!(world.resolve("x.only.example.", RecordType::A).0.required_additional, 0);
}

#[test]
fn rfc9471_3_1_missing_glue_is_truncation_and_missing_addresses_are_not() {
    let world = World::zone(ZONE);
    let (resolution, _) = world.resolve("a.example.", RecordType::A);
    let wire = name("a.example.");
    let question = Question {
        name: wire.as_wire(),
        qtype: RecordType::A,
        qclass: 1,
    };
    let framing = |limit| Framing {
        id: 0,
        opcode: 0,
        recursion_desired: false,
        recursion_available: false,
        edns: None,
        draw: None,
        limit,
    };
    let mut out = Vec::new();
    encode(&resolution, &question, &framing(65535), &(), &mut out, None);
    let full = out.len();
    let encoded = encode(&resolution, &question, &framing(full), &(), &mut out, None);
    assert_eq!((encoded.truncated, encoded.counts), (false, [1, 0, 4, 4]));
    let encoded = encode(&resolution, &question, &framing(full - 1), &(), &mut out, None);
    assert_eq!(
        (encoded.truncated, encoded.counts, out[2] & 2),
        (false, [1, 0, 4, 3], 0)
    );
    let required = out.len();
    let encoded = encode(&resolution, &question, &framing(required - 1), &(), &mut out, None);
    assert_eq!((encoded.truncated, encoded.counts, out[2] & 2), (true, [1, 0, 4, 2], 2));
    let reply = Reply::read(out);
    assert!(reply.tc);
    assert_eq!(reply.additional.len(), 2);
}
