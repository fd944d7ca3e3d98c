//! ALIAS: addresses of another name, as the owner's own.

use super::*;

const ZONE: &str = "
    @     3600 SOA ns host 7 3600 600 86400 300
    @     3600 NS ns
    @     600  ALIAS web.cdn.
    www   60   CNAME example.
    mail  60   ALIAS www
    out   60   ALIAS far.away.
    cut   60   NS ns.cut
    ns.cut 60  A 192.0.2.9
    below 60   ALIAS ns.cut
    one   60   ALIAS two
    two   60   ALIAS one
    text  60   ALIAS only.cdn.
    none  60   ALIAS nx.cdn.
    *.w   60   ALIAS any.wild.cdn.
    bad   60   ALIAS x.broken.
    via   60   CNAME out
    dn    60   DNAME cdn.
    dna   60   ALIAS web.dn
";
const CDN: &str = "
    @      3600 SOA ns host 9 3600 600 86400 60
    web    300  CNAME edge
    edge   20   A 192.0.2.1
    edge   20   AAAA 2001:db8::1
    only   60   TXT x
    *.wild 60   A 192.0.2.2
";

fn world() -> World {
    World::new(&[("example.", ZONE), ("cdn.", CDN)], "o. 60 ALIAS www.example.")
}

const SOA: &str = "example. 300 IN SOA ns.example. host.example. 7 3600 600 86400 300";

#[test]
fn addresses_are_the_owners_with_the_least_ttl_on_the_way() {
    let world = world();
    let ok = ResponseCode::NoError;
    let ask = |qname, rtype, expected: &[&str]| world.ask(qname, rtype).has(ok, true, expected, &[], &[]);
    ask("example.", RecordType::A, &["example. 20 IN A 192.0.2.1"]);
    ask("EXAMPLE.", RecordType::AAAA, &["EXAMPLE. 20 IN AAAA 2001:db8::1"]);
    ask("mail.example.", RecordType::A, &["mail.example. 20 IN A 192.0.2.1"]);
    ask("x.y.w.example.", RecordType::A, &["x.y.w.example. 60 IN A 192.0.2.2"]);
    ask("dna.example.", RecordType::A, &["dna.example. 20 IN A 192.0.2.1"]);
    ask("o.", RecordType::A, &["o. 20 IN A 192.0.2.1"]);
    let chain = ["www.example. 60 IN CNAME example.", "example. 20 IN A 192.0.2.1"];
    ask("www.example.", RecordType::A, &chain);
}

#[test]
fn what_stands_beside_it_and_other_types_are_as_ever() {
    let world = world();
    let ok = ResponseCode::NoError;
    world.ask("example.", RecordType::TXT).has(ok, true, &[], &[SOA], &[]);
    world
        .ask("example.", RecordType::NS)
        .has(ok, true, &["example. 3600 IN NS ns.example."], &[], &[]);
    let reply = world.ask("mail.example.", RecordType::ALIAS);
    assert_eq!((reply.rcode, reply.answer.len()), (ok, 1));
}

#[test]
fn without_addresses_it_is_nodata() {
    let world = world();
    for qname in ["text.example.", "none.example.", "x.w.example."] {
        world
            .ask(qname, RecordType::AAAA)
            .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    }
}

#[test]
fn addresses_that_are_not_known_are_servfail_and_say_why() {
    let mut store = Store::new();
    let zone = |apex: &str, content| Change::PutZone {
        source: SourceId::zone_files(),
        apex: name(apex),
        content,
    };
    let content = |text, apex: &str| Ok(records(text, &name(apex), Origin::zone_file("test")));
    let plan = store.plan(vec![
        zone("example.", content(ZONE, "example.")),
        zone("broken.", Err("broken.zone:1:1: what is this".into())),
    ]);
    store.commit(&plan);
    let world = World {
        snapshot: plan.snapshot,
        environment: RECURSIVE,
    };
    for (qname, error) in [
        (
            "out.example.",
            "\0\0the ALIAS leads to a name that is not this server's",
        ),
        (
            "via.example.",
            "\0\0the ALIAS leads to a name that is not this server's",
        ),
        (
            "below.example.",
            "\0\0the ALIAS leads to a name that is not this server's",
        ),
        (
            "one.example.",
            "\0\0the ALIAS leads through a circle or too many aliases",
        ),
        ("bad.example.", "\0\x18the zone's data are not valid"),
    ] {
        let query = with_rd(with_opt(query(qname, RecordType::A), 1232, 0, &[]));
        let reply = world.send(&query);
        assert_eq!(
            (reply.rcode, reply.aa, reply.answer.len()),
            (ResponseCode::ServFail, false, 0)
        );
        assert!(reply.bytes.ends_with(error.as_bytes()), "{qname}: {reply:?}");
        if qname != "via.example." {
            assert_eq!(
                world.ask(qname, RecordType::TXT).rcode,
                ResponseCode::NoError,
                "{qname}"
            );
        }
    }
}

#[test]
fn the_way_is_at_most_max_cname_depth_long() {
    let asked = |max_cname_depth| {
        let world = world().with(Environment {
            max_cname_depth,
            resolve_cname_chain: false,
            ..UDP
        });
        world.ask("example.", RecordType::A).rcode
    };
    // The ALIAS and one CNAME.
    assert_eq!((asked(1), asked(2)), (ResponseCode::ServFail, ResponseCode::NoError));
}

#[test]
fn any_over_tcp_has_its_addresses() {
    let reply = world().with(TCP).ask("mail.example.", RecordType::ANY);
    let addresses = [
        "mail.example. 20 IN A 192.0.2.1",
        "mail.example. 20 IN AAAA 2001:db8::1",
    ];
    assert_eq!(
        (reply.answer.len(), &reply.answer[1..]),
        (3, &addresses.map(str::to_owned)[..])
    );
    assert_eq!(world().with(TCP).ask("out.example.", RecordType::ANY).answer.len(), 1);
}

#[test]
fn every_name_on_the_way_is_consulted() {
    let (resolution, consulted) = world().resolve("example.", RecordType::A);
    assert!(resolution.is_flattened);
    for on_the_way in ["web.cdn.", "edge.cdn.", "cdn."] {
        let data = Consulted::Data(name(on_the_way).key());
        assert!(consulted.contains(&data), "{on_the_way}");
    }
}
