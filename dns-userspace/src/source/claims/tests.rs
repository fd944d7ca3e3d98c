use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::*;
use crate::model::record::Wildcard;

fn source() -> SourceId {
    SourceId::watched("objects", "test", 0)
}

fn claim(owner: &str, rtype: RecordType, ttl: u32, value: &str) -> Claim {
    Claim {
        view: None,
        owner: owner.parse().expect("a name"),
        rtype,
        ttl,
        rdatas: vec![rdata::parse_value(rtype, value).expect("a value")],
        handling: Handling::default(),
    }
}

fn object(key: &str, since: u64, claims: Vec<Claim>) -> Claimant {
    Claimant {
        key: key.into(),
        since,
        claims,
    }
}

/// Owner, type, TTL, values and origin of all that is wanted.
fn shown(claims: &Claims) -> Vec<String> {
    let all = claims.all().into_iter();
    all.map(|(_, owner, rrset)| {
        let values = rrset.rdatas.iter().map(|value| rdata::format_value(rrset.rtype, value));
        let values: Vec<String> = values.collect();
        let object = rrset.origin.object().unwrap_or_default();
        format!("{owner} {} {} {} ({object})", rrset.ttl, rrset.rtype, values.join(" "))
    })
    .collect()
}

#[test]
fn weights_stay_with_their_values() {
    let weighted = |value: &str, weight: u16| Claim {
        handling: Handling::new(Order::Weighted(Box::from([weight])), Wildcard::OneLabel),
        ..claim("*.x.", RecordType::A, 60, value)
    };
    let mut claims = Claims::new(source());
    claims.apply(object("b", 2, vec![claim("*.x.", RecordType::A, 60, "192.0.2.2")]));
    claims.apply(object("a", 1, vec![weighted("192.0.2.1", 7), weighted("192.0.2.3", 9)]));
    let (_, _, rrset) = &claims.all()[0];
    assert_eq!(rrset.handling.order().weights(), [7, 9, 1]);
}

#[test]
fn values_of_several_objects_are_joined_with_the_smallest_ttl() {
    let mut claims = Claims::new(source());
    claims.apply(object("new", 9, vec![claim("www.x.", RecordType::A, 60, "192.0.2.9")]));
    let edits = claims.apply(object("old", 1, vec![claim("WWW.x.", RecordType::A, 300, "192.0.2.1")]));
    assert_eq!(edits.len(), 1);
    assert_eq!(shown(&claims), ["WWW.x. 60 A 192.0.2.1 192.0.2.9 (old and 1 more)"]);
    let edits = claims.apply(object(
        "same",
        5,
        vec![claim("www.x.", RecordType::A, 300, "192.0.2.1")],
    ));
    assert_eq!(edits.len(), 1, "who asks for it differs");
    assert_eq!(shown(&claims), ["WWW.x. 60 A 192.0.2.1 192.0.2.9 (old and 2 more)"]);
    claims.delete("new");
    claims.delete("same");
    assert_eq!(shown(&claims), ["WWW.x. 300 A 192.0.2.1 (old)"]);
    let edits = claims.delete("old");
    assert!(
        matches!(
            &edits[..],
            [Edit::Unset {
                rtype: RecordType::A,
                ..
            }]
        ),
        "{edits:?}"
    );
    assert!(claims.delete("old").is_empty() && claims.all().is_empty());
}

#[test]
fn of_what_cannot_be_together_the_oldest_is_taken_and_the_others_are_told() {
    let mut claims = Claims::new(source());
    claims.apply(object("b", 5, vec![claim("www.x.", RecordType::CNAME, 60, "b.x.")]));
    claims.apply(object("a", 5, vec![claim("www.x.", RecordType::CNAME, 60, "a.x.")]));
    claims.apply(object("c", 7, vec![claim("www.x.", RecordType::A, 60, "192.0.2.1")]));
    assert_eq!(
        shown(&claims),
        ["www.x. 60 CNAME a.x. (a)"],
        "equally old: the first key"
    );
    let told: Vec<_> = claims.left_out("b").map(|left| (left.rtype, &*left.winner)).collect();
    assert_eq!(told, [(RecordType::CNAME, "a")]);
    let told: Vec<_> = claims
        .left_out("c")
        .map(|left| (left.winner_type, &*left.winner))
        .collect();
    assert_eq!(told, [(RecordType::CNAME, "a")]);
    claims.delete("a");
    claims.delete("b");
    assert_eq!(shown(&claims), ["www.x. 60 A 192.0.2.1 (c)"]);
    assert_eq!(claims.left_out("c").count(), 0);
}

#[test]
fn an_object_that_says_the_same_changes_nothing() {
    let mut claims = Claims::new(source());
    let one = object("a", 1, vec![claim("www.x.", RecordType::A, 60, "192.0.2.1")]);
    assert_eq!(claims.apply(one.clone()).len(), 1);
    assert!(claims.apply(one.clone()).is_empty());
    assert!(claims.reset([one]).is_empty());
}

#[test]
fn a_change_costs_what_its_names_cost() {
    let mut claims = Claims::new(source());
    let of = |number: u32| {
        let address = format!("192.0.{}.{}", number / 256, number % 256);
        object(
            &format!("o{number}"),
            1,
            vec![claim(&format!("n{number}.x."), RecordType::A, 60, &address)],
        )
    };
    claims.reset((0..10_000).map(of));
    let (_, steps) = work::steps(|| claims.apply(of(10_001)));
    assert!(steps < 5, "{steps}");
    let (_, steps) = work::steps(|| claims.delete("o77"));
    assert!(steps < 5, "{steps}");
}

/// An object of few names and types, so that many meet.
fn random_object(random: &mut StdRng, key: &str) -> Claimant {
    let kinds = [
        (RecordType::A, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        (RecordType::TXT, ["\"a\"", "\"b\"", "\"A\""]),
        (RecordType::CNAME, ["t.x.", "T.x.", "u.x."]),
        (RecordType::ALIAS, ["t.x.", "u.x.", "v.x."]),
        (RecordType::MX, ["10 m.x.", "10 M.x.", "20 m.x."]),
    ];
    let count = random.random_range(0..4);
    let mut claims: Vec<Claim> = Vec::new();
    for _ in 0..count {
        let owner = ["a.x.", "A.x.", "b.x.", "c.a.x."].choose(random).expect("some");
        let (rtype, values) = kinds.choose(random).expect("some");
        let value = values.choose(random).expect("some");
        let mut claim = claim(owner, *rtype, random.random_range(1..4) * 60, value);
        claim.view = random.random_bool(0.2).then(|| "office".into());
        claims.push(claim);
    }
    object(key, random.random_range(0..3), claims)
}

#[test]
fn any_order_of_events_gives_what_a_fresh_list_gives() {
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut claims = Claims::new(source());
        // What the writer would have from the edits alone.
        let mut layer: BTreeMap<(Option<ViewName>, NameKey, RecordType), Arc<RrSet>> = BTreeMap::new();
        let mut world: BTreeMap<String, Claimant> = BTreeMap::new();
        for _ in 0..60 {
            let key = format!("o{}", random.random_range(0..6));
            let edits = match random.random_range(0..10) {
                0..6 => {
                    let object = random_object(&mut random, &key);
                    world.insert(key, object.clone());
                    claims.apply(object)
                }
                6..9 => {
                    world.remove(&key);
                    claims.delete(&key)
                }
                _ => {
                    let object = random_object(&mut random, &key);
                    world.insert(key, object);
                    let mut all: Vec<Claimant> = world.values().cloned().collect();
                    all.shuffle(&mut random);
                    claims.reset(all)
                }
            };
            for edit in edits {
                match edit {
                    Edit::Set { view, owner, rrset } => drop(layer.insert((view, owner.key(), rrset.rtype), rrset)),
                    Edit::Unset { view, owner, rtype } => {
                        let gone = layer.remove(&(view, owner.key(), rtype));
                        assert!(gone.is_some(), "seed {seed}: it was there");
                    }
                    other => panic!("{other:?}"),
                }
            }
            let mut fresh = Claims::new(source());
            let mut all: Vec<Claimant> = world.values().cloned().collect();
            all.shuffle(&mut random);
            fresh.reset(all);
            let expected: BTreeMap<_, _> = fresh
                .all()
                .into_iter()
                .map(|(view, owner, rrset)| ((view, owner.key(), rrset.rtype), rrset))
                .collect();
            assert_eq!(layer, expected, "seed {seed}");
            assert_eq!(shown(&claims), shown(&fresh), "seed {seed}");
            assert_eq!(claims.rrsets(), claims.all().len(), "seed {seed}");
            for key in world.keys() {
                let told = |claims: &Claims| claims.left_out(key).cloned().collect::<Vec<_>>();
                assert_eq!(told(&claims), told(&fresh), "seed {seed}: {key}");
            }
        }
    }
}

#[test]
fn weights_and_wildcards_of_several_objects_are_joined() {
    let wild = |wildcard, weight: Option<u16>, value: &str| Claim {
        handling: Handling::new(
            weight.map_or(Order::Fixed, |weight| Order::Weighted([weight].into())),
            wildcard,
        ),
        ..claim("*.x.", RecordType::A, 60, value)
    };
    let mut claims = Claims::new(source());
    claims.apply(object(
        "ingress",
        1,
        vec![wild(Wildcard::OneLabel, Some(3), "192.0.2.1")],
    ));
    let (_, _, rrset) = claims.all().remove(0);
    assert_eq!(rrset.handling.wildcard(), Wildcard::OneLabel);
    claims.apply(object("gateway", 2, vec![wild(Wildcard::Rfc4592, None, "192.0.2.2")]));
    let (_, _, rrset) = claims.all().remove(0);
    let both = Handling::new(Order::Weighted([3, 1].into()), Wildcard::Rfc4592);
    assert_eq!(rrset.handling, both);
    assert_eq!(
        claims
            .apply(object("new", 3, vec![claim("y.x.", RecordType::A, 60, "192.0.2.1")]))
            .len(),
        1
    );
    let (_, _, plain) = claims.all().pop().expect("y.x.");
    assert_eq!(plain.handling, Handling::default());
}
