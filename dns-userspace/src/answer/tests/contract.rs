//! The contract's own rules: overlays, upstreams, failed zones, depth.

use super::*;
use crate::model::access::{Access, AccessList};

const ZONE: &str = "
    @    3600 SOA ns host 7 3600 600 86400 300
    www  60   A 192.0.2.1
    ext  60   CNAME far.away.
    over 60   CNAME o.
    c1   60   CNAME c2
    c2   60   CNAME c3
    c3   60   CNAME www
    e1   60   CNAME e2
    e2   60   CNAME far.away.
";
const OVERLAYS: &str = "
    o.        60 TXT x
    o.        60 MX 1 m.o.
    m.o.      60 A 192.0.2.2
    *.w.      60 A 192.0.2.3
    a.b.w.    60 A 192.0.2.4
    z.o.      60 CNAME www.example.
";

fn world() -> World {
    World::new(
        &[("example.", ZONE), ("zone.w.", "@ 60 SOA ns host 1 1 1 1 1")],
        OVERLAYS,
    )
}

#[test]
fn an_overlay_owns_its_name_alone() {
    let world = world();
    world
        .ask("o.", RecordType::TXT)
        .has(ResponseCode::NoError, true, &["o. 60 IN TXT x"], &[], &[]);
    world
        .ask("o.", RecordType::A)
        .has(ResponseCode::NoError, true, &[], &[], &[]);
    for foreign in ["x.o.", "x.m.o.", "b.w.", "w."] {
        world
            .ask(foreign, RecordType::A)
            .has(ResponseCode::Refused, false, &[], &[], &[]);
    }
}

#[test]
fn a_wildcard_overlay_covers_what_is_below_its_parent() {
    let world = world();
    for qname in ["x.w.", "x.y.w.", "*.w."] {
        let expected = format!("{qname} 60 IN A 192.0.2.3");
        world
            .ask(qname, RecordType::A)
            .has(ResponseCode::NoError, true, &[&expected], &[], &[]);
        world
            .ask(qname, RecordType::TXT)
            .has(ResponseCode::NoError, true, &[], &[], &[]);
    }
    // RFC 4592 §3.3.1: what exists stops it; a zone below has its own rules.
    world
        .ask("x.b.w.", RecordType::A)
        .has(ResponseCode::Refused, false, &[], &[], &[]);
    assert_eq!(world.ask("x.zone.w.", RecordType::A).rcode, ResponseCode::NXDomain);
}

#[test]
fn additional_addresses_are_from_zones_alone() {
    let world = world();
    world
        .ask("o.", RecordType::MX)
        .has(ResponseCode::NoError, true, &["o. 60 IN MX 1 m.o."], &[], &[]);
}

#[test]
fn chains_lead_in_and_out_of_overlays() {
    let world = world();
    let chain = ["z.o. 60 IN CNAME www.example.", "www.example. 60 IN A 192.0.2.1"];
    world
        .ask("z.o.", RecordType::A)
        .has(ResponseCode::NoError, true, &chain, &[], &[]);
    let chain = ["over.example. 60 IN CNAME o.", "o. 60 IN TXT x"];
    world
        .ask("over.example.", RecordType::TXT)
        .has(ResponseCode::NoError, true, &chain, &[], &[]);
    world
        .ask("over.example.", RecordType::A)
        .has(ResponseCode::NoError, true, &chain[..1], &[], &[]);
}

#[test]
fn foreign_names_are_forwarded_with_rd_and_permission_alone() {
    let world = world();
    let foreign = query("far.away.", RecordType::A);
    assert_eq!(world.send(&with_rd(foreign.clone())).rcode, ResponseCode::Refused);
    let world = world.with(RECURSIVE);
    let reply = world.send(&foreign);
    assert_eq!((reply.rcode, reply.ra), (ResponseCode::Refused, true));
    assert!(matches!(world.outcome(&with_rd(foreign)), (Outcome::Forward, out) if out.is_empty()));
    let ours = world.send(&with_rd(query("nothing.example.", RecordType::A)));
    assert_eq!((ours.rcode, ours.ra), (ResponseCode::NXDomain, true));
}

#[test]
fn a_chain_that_leaves_is_completed_upstream_with_rd_and_permission_alone() {
    let alias = ["ext.example. 60 IN CNAME far.away."];
    let asked = query("ext.example.", RecordType::A);
    world()
        .send(&with_rd(asked.clone()))
        .has(ResponseCode::NoError, true, &alias, &[], &[]);
    let world = world().with(RECURSIVE);
    world.send(&asked).has(ResponseCode::NoError, true, &alias, &[], &[]);
    let asked = with_rd(asked);
    match world.outcome(&asked) {
        (Outcome::CompleteUpstream(chain), out) if out.is_empty() => {
            assert_eq!((chain.target, chain.qtype), (name("far.away."), RecordType::A));
        }
        (outcome, _) => panic!("{outcome:?}"),
    }
}

#[test]
fn a_chain_longer_than_max_cname_depth_ends_at_its_last_alias_and_stays_here() {
    let depth = |depth| {
        world().with(Environment {
            max_cname_depth: depth,
            ..RECURSIVE
        })
    };
    let chain = [
        "c1.example. 60 IN CNAME c2.example.",
        "c2.example. 60 IN CNAME c3.example.",
        "c3.example. 60 IN CNAME www.example.",
        "www.example. 60 IN A 192.0.2.1",
    ];
    let asked = with_rd(query("c1.example.", RecordType::A));
    depth(3).send(&asked).has(ResponseCode::NoError, true, &chain, &[], &[]);
    depth(2)
        .send(&asked)
        .has(ResponseCode::NoError, true, &chain[..2], &[], &[]);
    let asked = with_rd(query("e1.example.", RecordType::A));
    let expected = ["e1.example. 60 IN CNAME e2.example."];
    depth(1)
        .send(&asked)
        .has(ResponseCode::NoError, true, &expected, &[], &[]);
    assert!(matches!(depth(2).outcome(&asked).0, Outcome::CompleteUpstream(_)));
}

#[test]
fn without_resolve_cname_chain_the_first_alias_is_the_answer() {
    let world = world().with(Environment {
        resolve_cname_chain: false,
        ..RECURSIVE
    });
    let reply = world.send(&with_rd(query("c1.example.", RecordType::A)));
    reply.has(
        ResponseCode::NoError,
        true,
        &["c1.example. 60 IN CNAME c2.example."],
        &[],
        &[],
    );
    assert_eq!(
        world.send(&with_rd(query("ext.example.", RecordType::A))).answer.len(),
        1
    );
}

#[test]
fn what_a_zone_drops_is_dropped_whatever_is_asked() {
    let deny = [COOKIES.client.into()];
    let world = |denied| {
        let zone = Change::PutZone {
            source: SourceId::zone_files(),
            apex: name("example."),
            content: Ok(records(ZONE, &name("example."), Origin::config())),
        };
        let list = Arc::new(AccessList::new(&[], &deny, denied));
        World {
            snapshot: Store::new()
                .plan(vec![zone, Change::Access(vec![(name("example."), list)])])
                .snapshot,
            environment: UDP,
        }
    };
    let mut cut_off = query("www.example.", RecordType::A);
    cut_off.push(0);
    let queries = [
        query("www.example.", RecordType::A),
        query("example.", RecordType::AXFR),
        query("www.example.", RecordType(253)),
        query("www.example.", RecordType(130)),
        raw_query(name("example.").as_wire(), RecordType::A, 4),
        with_opt(query("www.example.", RecordType::A), 1232, 0x0001_0000, &[]),
        cut_off,
    ];
    for query in queries {
        let (outcome, out) = world(Access::Dropped).outcome(&query);
        assert!(matches!(outcome, Outcome::Denied) && out.is_empty(), "{query:02x?}");
        let (outcome, _) = world(Access::Refused).outcome(&query);
        assert!(matches!(outcome, Outcome::Reply), "{query:02x?}");
        // The server's list comes first.
        let refused = Environment {
            admission: Admission::Refused,
            ..UDP
        };
        let (outcome, _) = world(Access::Dropped).with(refused).outcome(&query);
        assert!(matches!(outcome, Outcome::Reply), "{query:02x?}");
    }
    let other = query("elsewhere.", RecordType::AXFR);
    assert!(matches!(world(Access::Dropped).outcome(&other).0, Outcome::Reply));
}

#[test]
fn rfc8914_a_failed_zone_is_servfail_and_others_are_untouched() {
    let reason: Arc<str> = format!("bad.zone:3:1: {}", "é".repeat(300)).into();
    let mut store = Store::new();
    let failing = Change::PutZone {
        source: SourceId::zone_files(),
        apex: name("bad."),
        content: Err(reason),
    };
    let source = Origin::config();
    let records = records(
        "www.bad. 60 A 192.0.2.1\n ok. 60 A 192.0.2.1\n to. 60 CNAME www.bad.",
        &name("."),
        source,
    );
    let plan = store.plan(vec![failing, Change::config_records(records)]);
    store.commit(&plan);
    let world = World {
        snapshot: plan.snapshot,
        environment: UDP,
    };
    for qname in ["www.bad.", "bad.", "x.y.bad.", "to."] {
        world
            .ask(qname, RecordType::A)
            .has(ResponseCode::ServFail, false, &[], &[], &[]);
        let reply = world.send(&with_opt(query(qname, RecordType::A), 1232, 0, &[]));
        assert_eq!(reply.rcode, ResponseCode::ServFail);
        let ede = b"\0\x0F\0\x1F\0\x18the zone's data are not valid";
        assert!(
            reply.bytes.windows(ede.len()).any(|window| window == ede),
            "{:02x?}",
            reply.bytes
        );
    }
    assert_eq!(world.ask("ok.", RecordType::A).answer.len(), 1);
}
