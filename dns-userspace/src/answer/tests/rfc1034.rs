//! RFC 1034 §4.3.2, "Algorithm", and RFC 6604 for the RCODE behind a chain.

use super::*;

const ZONE: &str = "
    @          3600 SOA ns1 host 7 3600 600 86400 300
    @          3600 NS ns1
    @          3600 NS ns.other.
    @          3600 MX 10 mail
    ns1        3600 A 192.0.2.1
    mail       300  A 192.0.2.2
    mail       300  AAAA 2001:db8::2
    mail       300  AAAA 2001:db8::3
    www        60   CNAME mail
    ext        60   CNAME www.elsewhere.
    gone       60   CNAME nothing
    tocut      60   CNAME host.cut
    loop1      60   CNAME loop2
    loop2      60   CNAME loop1
    self       60   CNAME self
    a.ent      60   TXT x
    cut        3600 NS ns.cut
    cut        3600 NS ns.other.
    cut        3600 DS x
    cut        60   TXT occluded
    ns.cut     3600 A 192.0.2.9
    x.cut      60   A 192.0.2.99
    _s._tcp    60   SRV 0 0 53 mail
    svc        60   HTTPS 1 mail
";
const SOA: &str = "example. 300 IN SOA ns1.example. host.example. 7 3600 600 86400 300";
const CUT: [&str; 2] = [
    "cut.example. 3600 IN NS ns.cut.example.",
    "cut.example. 3600 IN NS ns.other.",
];
const GLUE: [&str; 1] = ["ns.cut.example. 3600 IN A 192.0.2.9"];

#[test]
fn rfc1034_4_3_2_step_2_no_zone_is_refused() {
    let world = World::zone(ZONE);
    for qname in [".", "com.", "xexample.", "example.org."] {
        world
            .ask(qname, RecordType::A)
            .has(ResponseCode::Refused, false, &[], &[], &[]);
    }
}

#[test]
fn rfc1034_4_3_2_step_3a_exact_match() {
    let world = World::zone(ZONE);
    let expected = [
        "mail.example. 300 IN AAAA 2001:db8::2",
        "mail.example. 300 IN AAAA 2001:db8::3",
    ];
    world
        .ask("mail.example.", RecordType::AAAA)
        .has(ResponseCode::NoError, true, &expected, &[], &[]);
    let reply = world.ask("MAIL.eXample.", RecordType::A);
    reply.has(
        ResponseCode::NoError,
        true,
        &["MAIL.eXample. 300 IN A 192.0.2.2"],
        &[],
        &[],
    );
}

#[test]
fn rfc1034_4_3_2_step_3a_apex_data_is_not_a_referral() {
    let reply = World::zone(ZONE).ask("example.", RecordType::NS);
    let expected = ["example. 3600 IN NS ns1.example.", "example. 3600 IN NS ns.other."];
    reply.has(
        ResponseCode::NoError,
        true,
        &expected,
        &[],
        &["ns1.example. 3600 IN A 192.0.2.1"],
    );
}

#[test]
fn rfc1034_4_3_2_step_3a_cname_is_followed() {
    let world = World::zone(ZONE);
    let alias = "www.example. 60 IN CNAME mail.example.";
    let reply = world.ask("www.example.", RecordType::A);
    reply.has(
        ResponseCode::NoError,
        true,
        &[alias, "mail.example. 300 IN A 192.0.2.2"],
        &[],
        &[],
    );
    world
        .ask("www.example.", RecordType::CNAME)
        .has(ResponseCode::NoError, true, &[alias], &[], &[]);
    world
        .ask("www.example.", RecordType::TXT)
        .has(ResponseCode::NoError, true, &[alias], &[SOA], &[]);
}

#[test]
fn rfc1034_4_3_2_step_3a_cname_into_another_of_our_zones() {
    let other = "@ 60 SOA ns host 9 1 1 1 30 \n www 60 A 192.0.2.77";
    let world = World::new(
        &[("example.", ZONE), ("elsewhere.", other)],
        "over. 60 CNAME ext.example.",
    );
    let chain = [
        "ext.example. 60 IN CNAME www.elsewhere.",
        "www.elsewhere. 60 IN A 192.0.2.77",
    ];
    world
        .ask("ext.example.", RecordType::A)
        .has(ResponseCode::NoError, true, &chain, &[], &[]);
    let reply = world.ask("over.", RecordType::A);
    assert_eq!(reply.answer, ["over. 60 IN CNAME ext.example.", chain[0], chain[1]]);
    let soa = "elsewhere. 30 IN SOA ns.elsewhere. host.elsewhere. 9 1 1 1 30";
    world
        .ask("ext.example.", RecordType::TXT)
        .has(ResponseCode::NoError, true, &chain[..1], &[soa], &[]);
}

#[test]
fn rfc6604_3_rcode_is_that_of_the_last_name() {
    let alias = "gone.example. 60 IN CNAME nothing.example.";
    let reply = World::zone(ZONE).ask("gone.example.", RecordType::A);
    reply.has(ResponseCode::NXDomain, true, &[alias], &[SOA], &[]);
}

#[test]
fn rfc1034_3_6_2_loops_end_at_their_last_alias() {
    let world = World::zone(ZONE);
    let expected = [
        "loop1.example. 60 IN CNAME loop2.example.",
        "loop2.example. 60 IN CNAME loop1.example.",
    ];
    world
        .ask("loop1.example.", RecordType::A)
        .has(ResponseCode::NoError, true, &expected, &[], &[]);
    let expected = ["self.example. 60 IN CNAME self.example."];
    world
        .ask("self.example.", RecordType::A)
        .has(ResponseCode::NoError, true, &expected, &[], &[]);
}

#[test]
fn rfc1034_4_3_2_step_3b_referral() {
    let world = World::zone(ZONE);
    for (qname, qtype) in [
        ("cut.example.", RecordType::A),
        ("cut.example.", RecordType::NS),
        ("cut.example.", RecordType::TXT),
        ("x.cut.example.", RecordType::A),
        ("ns.cut.example.", RecordType::A),
        ("a.b.c.cut.example.", RecordType::DS),
    ] {
        world
            .ask(qname, qtype)
            .has(ResponseCode::NoError, false, &[], &CUT, &GLUE);
    }
}

#[test]
fn rfc4035_3_1_4_1_ds_at_a_cut_is_the_parents() {
    let world = World::zone(ZONE);
    let reply = world.ask("cut.example.", RecordType::DS);
    assert_eq!((reply.aa, reply.message.answers.len()), (true, 1));
    let nested = World::new(
        &[("example.", ZONE), ("cut.example.", "@ 60 SOA ns host 9 1 1 1 30")],
        "",
    );
    let reply = nested.ask("cut.example.", RecordType::DS);
    assert_eq!((reply.aa, reply.message.answers.len()), (true, 1));
    nested
        .ask("example.", RecordType::DS)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
}

#[test]
fn rfc1034_4_2_1_the_deepest_zone_answers() {
    let child = "@ 60 SOA ns host 9 1 1 1 30 \n @ 60 NS ns \n x 60 A 192.0.2.5";
    let world = World::new(&[("example.", ZONE), ("cut.example.", child)], "");
    let reply = world.ask("x.cut.example.", RecordType::A);
    reply.has(
        ResponseCode::NoError,
        true,
        &["x.cut.example. 60 IN A 192.0.2.5"],
        &[],
        &[],
    );
    let soa = "cut.example. 30 IN SOA ns.cut.example. host.cut.example. 9 1 1 1 30";
    world
        .ask("ns.cut.example.", RecordType::A)
        .has(ResponseCode::NXDomain, true, &[], &[soa], &[]);
}

#[test]
fn rfc8020_2_a_zone_without_delegation_is_not_denied_by_its_parent() {
    let child = "@ 60 SOA ns host 9 1 1 1 30";
    let world = World::new(&[("example.", ZONE), ("deep.child.example.", child)], "");
    world
        .ask("child.example.", RecordType::A)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    world
        .ask("deep.child.example.", RecordType::DS)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    world
        .ask("other.child.example.", RecordType::A)
        .has(ResponseCode::NXDomain, true, &[], &[SOA], &[]);
}

#[test]
fn rfc1035_4_1_1_aa_stands_for_the_first_owner_of_a_chain_into_a_referral() {
    let reply = World::zone(ZONE).ask("tocut.example.", RecordType::A);
    let alias = "tocut.example. 60 IN CNAME host.cut.example.";
    reply.has(ResponseCode::NoError, true, &[alias], &CUT, &GLUE);
}

#[test]
fn rfc1034_4_3_2_step_6_additional_addresses() {
    let world = World::zone(ZONE);
    let addresses = [
        "mail.example. 300 IN A 192.0.2.2",
        "mail.example. 300 IN AAAA 2001:db8::2",
        "mail.example. 300 IN AAAA 2001:db8::3",
    ];
    for (qname, qtype) in [
        ("example.", RecordType::MX),
        ("_s._tcp.example.", RecordType::SRV),
        ("svc.example.", RecordType::HTTPS),
    ] {
        let reply = world.ask(qname, qtype);
        assert_eq!(
            (reply.message.answers.len(), &reply.additional[..]),
            (1, &addresses.map(String::from)[..])
        );
    }
}

#[test]
fn rfc9460_2_5_2_the_root_stands_for_the_owner_of_a_service() {
    let world = World::zone(
        "@ 60 SOA ns host 9 1 1 1 30
         @ 60 HTTPS 1 .
         @ 60 A 192.0.2.1
         to 60 CNAME svc
         svc 60 SVCB 1 .
         svc 60 A 192.0.2.2
         svc 60 AAAA 2001:db8::2
         none 60 HTTPS 0 .
         none 60 A 192.0.2.3
         *.wild 60 HTTPS 1 .
         *.wild 60 A 192.0.2.4",
    );
    let additional = |qname, qtype| world.ask(qname, qtype).additional;
    assert_eq!(
        additional("example.", RecordType::HTTPS),
        ["example. 60 IN A 192.0.2.1"]
    );
    let of_service = ["svc.example. 60 IN A 192.0.2.2", "svc.example. 60 IN AAAA 2001:db8::2"];
    for qname in ["svc.example.", "to.example."] {
        assert_eq!(additional(qname, RecordType::SVCB), of_service);
    }
    // RFC 9460 §2.5.1: an alias to nowhere. And no addresses come from wildcards.
    for qname in ["none.example.", "a.wild.example.", "*.wild.example."] {
        assert_eq!(additional(qname, RecordType::HTTPS), [""; 0]);
    }
}

#[test]
fn additional_addresses_are_not_from_wildcards_aliases_or_below_cuts_and_not_given_twice() {
    let world = World::zone(
        "@ 60 SOA ns host 9 1 1 1 30
         @ 60 MX 1 any.wild
         @ 60 MX 2 alias
         @ 60 MX 3 x.cut
         @ 60 MX 4 real
         @ 60 MX 5 REAL
         @ 60 MX 6 @
         @ 60 A 192.0.2.8
         *.wild 60 A 192.0.2.1
         alias 60 CNAME real
         real 60 A 192.0.2.2
         cut 60 NS ns
         x.cut 60 A 192.0.2.3",
    );
    let reply = world.ask("example.", RecordType::MX);
    assert_eq!(
        reply.additional,
        ["real.example. 60 IN A 192.0.2.2", "example. 60 IN A 192.0.2.8"]
    );
    let reply = world.with(TCP).ask("example.", RecordType::ANY);
    assert_eq!(reply.additional, ["real.example. 60 IN A 192.0.2.2"]);
}

#[test]
fn rfc3597_types_nobody_knows_are_answered() {
    let world = World::zone("@ 60 SOA ns host 9 1 1 1 30 \n x 60 TYPE65280 abcde");
    let reply = world.ask("x.example.", RecordType(65280));
    assert_eq!(reply.message.answers.len(), 1);
    assert!(reply.bytes.ends_with(b"\0\x05abcde"));
    assert_eq!(world.ask("x.example.", RecordType(65281)).message.authorities.len(), 1);
}

#[test]
fn the_serial_in_force_is_served_in_place_of_the_records() {
    struct Fixed;
    impl Serials for Fixed {
        fn serial(&self, zone_index: u32) -> Option<u32> {
            (zone_index == 0).then_some(0x0102_0304)
        }
    }
    let world = World::zone(ZONE);
    for (qname, qtype) in [("example.", RecordType::SOA), ("nothing.example.", RecordType::A)] {
        let mut out = Vec::new();
        respond(&query(qname, qtype), &world.snapshot, &Fixed, &UDP, &mut out);
        let reply = Reply::read(out);
        let soa = reply.answer.iter().chain(&reply.authority).next().expect("an SOA");
        assert!(soa.contains(" 16909060 3600 "), "{soa}");
    }
}

#[test]
fn consulted_are_the_names_that_decide() {
    let world = World::zone(ZONE);
    let data = |text: &str| Consulted::Data(name(text).key());
    let (_, consulted) = world.resolve("www.example.", RecordType::A);
    for expected in [data("example."), data("www.example."), data("mail.example.")] {
        assert!(consulted.contains(&expected), "{expected:?} {consulted:?}");
    }
    let (_, consulted) = world.resolve("a.b.c.example.", RecordType::A);
    for expected in [data("*.example."), Consulted::Existence(name("c.example.").key())] {
        assert!(consulted.contains(&expected), "{expected:?} {consulted:?}");
    }
    let (_, consulted) = world.resolve("cut.example.", RecordType::A);
    assert!(
        consulted.contains(&data("ns.cut.example.")) && consulted.contains(&data("ns.other.")),
        "{consulted:?}"
    );
    let (_, consulted) = world.resolve("ext.example.", RecordType::A);
    assert!(
        consulted.contains(&data("elsewhere.")),
        "a zone may begin there: {consulted:?}"
    );
}
