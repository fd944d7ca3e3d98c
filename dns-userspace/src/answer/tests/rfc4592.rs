//! RFC 4592, wildcards; the zone is that of §2.2.1 with some more.

use super::*;
use crate::message::Question;

const ZONE: &str = "
    @                   3600 SOA ns.example.com. host 7 3600 600 86400 300
    @                   3600 NS ns.example.com.
    *                   3600 TXT wild
    *                   3600 MX 10 host1
    sub.*               3600 TXT below
    host1               3600 A 192.0.2.1
    _ssh._tcp.host1     3600 SRV 0 0 22 host1
    _ssh._tcp.host2     3600 SRV 0 0 22 host2
    subdel              3600 NS ns.example.com.
    *.alias             60   CNAME host1
    *.dead              60   CNAME nothing.dead2
    only.*.under        60   A 192.0.2.4
    *.del               60   NS ns.example.com.
    dead2               60   A 192.0.2.4
";
const SOA: &str = "example. 300 IN SOA ns.example.com. host.example. 7 3600 600 86400 300";

#[test]
fn rfc4592_2_2_1_names_are_synthesised() {
    let world = World::zone(ZONE);
    let reply = world.ask("host3.example.", RecordType::MX);
    let additional = ["host1.example. 3600 IN A 192.0.2.1"];
    reply.has(
        ResponseCode::NoError,
        true,
        &["host3.example. 3600 IN MX 10 host1.example."],
        &[],
        &additional,
    );
    world
        .ask("host3.example.", RecordType::A)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    let reply = world.ask("foo.bar.example.", RecordType::TXT);
    assert_eq!(reply.answer, ["foo.bar.example. 3600 IN TXT wild"]);
}

#[test]
fn rfc4592_2_2_1_existing_names_are_not() {
    let world = World::zone(ZONE);
    world
        .ask("host1.example.", RecordType::MX)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    world
        .ask("sub.*.example.", RecordType::MX)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    world
        .ask("_telnet._tcp.host1.example.", RecordType::SRV)
        .has(ResponseCode::NXDomain, true, &[], &[SOA], &[]);
    let referral = ["subdel.example. 3600 IN NS ns.example.com."];
    world
        .ask("host.subdel.example.", RecordType::A)
        .has(ResponseCode::NoError, false, &[], &referral, &[]);
    world
        .ask("ghost.*.example.", RecordType::MX)
        .has(ResponseCode::NXDomain, true, &[], &[SOA], &[]);
}

#[test]
fn rfc4592_2_2_2_empty_non_terminals_stop_the_wildcard() {
    let world = World::zone(ZONE);
    world
        .ask("_tcp.host2.example.", RecordType::TXT)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    world
        .ask("host2.example.", RecordType::TXT)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
}

#[test]
fn rfc4592_2_1_the_wildcard_itself_can_be_asked() {
    let reply = World::zone(ZONE).ask("*.example.", RecordType::TXT);
    reply.has(ResponseCode::NoError, true, &["*.example. 3600 IN TXT wild"], &[], &[]);
}

#[test]
fn rfc4592_3_3_1_an_empty_wildcard_is_no_data() {
    let reply = World::zone(ZONE).ask("x.under.example.", RecordType::A);
    reply.has(ResponseCode::NoError, true, &[], &[SOA], &[]);
}

#[test]
fn rfc4592_4_4_wildcard_cname_is_followed() {
    let world = World::zone(ZONE);
    let chain = [
        "x.y.alias.example. 60 IN CNAME host1.example.",
        "host1.example. 3600 IN A 192.0.2.1",
    ];
    world
        .ask("x.y.alias.example.", RecordType::A)
        .has(ResponseCode::NoError, true, &chain, &[], &[]);
    let chain = ["x.dead.example. 60 IN CNAME nothing.dead2.example."];
    world
        .ask("x.dead.example.", RecordType::A)
        .has(ResponseCode::NXDomain, true, &chain, &[SOA], &[]);
}

#[test]
fn rfc4592_4_2_wildcard_ns_is_data_for_what_it_covers_and_a_cut_at_itself() {
    let world = World::zone(ZONE);
    let ns = ["x.del.example. 60 IN NS ns.example.com."];
    world
        .ask("x.del.example.", RecordType::NS)
        .has(ResponseCode::NoError, true, &ns, &[], &[]);
    world
        .ask("x.del.example.", RecordType::A)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    let ns = ["*.del.example. 60 IN NS ns.example.com."];
    world
        .ask("*.del.example.", RecordType::A)
        .has(ResponseCode::NoError, false, &[], &ns, &[]);
}

#[test]
fn wildcard_and_negative_text_is_the_same_for_other_questions() {
    let world = World::zone(ZONE);
    // Of a wildcard's answer only the encloser's labels are pointed to; of a negative one all that the SOA has.
    for (one, other, labels) in [
        ("a.alias.example.", "some.long.name.ALIAS.example.", Some(2)),
        ("host1.x.example.", "ns.example.com.example.", None),
        ("a.host1.example.", "host.host1.example.", None),
    ] {
        let bodies = [one, other].map(|qname| {
            let (resolution, _) = world.resolve(qname, RecordType::MX);
            assert!(labels.is_none_or(|labels| resolution.suffix_labels == labels));
            let (body, shift) = shifted_body(&resolution, &name(qname));
            assert!(shift > 0);
            body
        });
        assert_eq!(bodies[0], bodies[1], "{one} {other}");
    }
}

/// The octets behind the question, pointers made relative to its end, and where it ends.
fn shifted_body(resolution: &Resolution, qname: &Name) -> (Vec<u8>, usize) {
    let question = Question {
        name: qname.as_wire(),
        qtype: RecordType::MX,
        qclass: 1,
    };
    let framing = Framing {
        id: 0,
        opcode: 0,
        recursion_desired: false,
        recursion_available: false,
        edns: None,
        draw: None,
        limit: 65535,
    };
    let (mut out, mut marks) = (Vec::new(), Marks::default());
    encode(resolution, &question, &framing, &(), &mut out, Some(&mut marks));
    let end = 12 + qname.as_wire().len() + 4;
    for pointer in &marks.pointers {
        let at = usize::from(pointer.offset);
        assert_eq!(out[at..at + 2], (0xC000 | pointer.target).to_be_bytes());
        out[at..at + 2].copy_from_slice(&pointer.target.wrapping_sub(end as u16).to_be_bytes());
    }
    assert_eq!(
        marks.required_length,
        out.len() - additional_bytes(resolution, &out, marks.required_length)
    );
    (out[end..].to_vec(), end)
}

fn additional_bytes(resolution: &Resolution, out: &[u8], required: usize) -> usize {
    if resolution.additional.len() > resolution.required_additional {
        out.len() - required
    } else {
        0
    }
}
