//! The order of the RRs of an answer, which is drawn from the environment's random number.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dns_common::order::Prefixes;

use super::*;

const ZONE: &str = "
    @        60 SOA   ns host 1 1 1 1 1
    fixed    60 A     192.0.2.1
    fixed    60 A     192.0.2.2
    fixed    60 A     192.0.2.3
    rotate   60 A     192.0.2.1 !rotate
    rotate   60 A     192.0.2.2 !rotate
    rotate   60 A     192.0.2.3 !rotate
    random   60 TXT   a !random
    random   60 TXT   bb !random
    random   60 TXT   ccc !random
    weighted 60 A     192.0.2.1 !weighted:1,0,9
    weighted 60 A     192.0.2.2 !weighted:1,0,9
    weighted 60 A     192.0.2.3 !weighted:1,0,9
    hash     60 A     192.0.2.1 !hash
    hash     60 A     192.0.2.2 !hash
    hash     60 A     192.0.2.3 !hash
    chain    60 CNAME rotate
    *.w      60 A     192.0.2.1 !rotate
    *.w      60 A     192.0.2.2 !rotate
    alias    60 ALIAS rotate
    mail     60 MX    10 rotate";

/// Last words of the answers to one question, over many random numbers, and how often each came.
fn orders(qname: &str, qtype: RecordType) -> BTreeMap<Vec<String>, usize> {
    let mut world = World::zone(ZONE);
    let mut seen = BTreeMap::new();
    for random in 0..400 {
        world.environment.random = random;
        let reply = world.ask(qname, qtype);
        assert_eq!(reply.rcode, ResponseCode::NoError);
        let last = |line: &String| line.rsplit([' ', '.']).next().expect("a word").to_owned();
        let order = reply.answer.iter().map(last).collect();
        *seen.entry(order).or_default() += 1;
        assert_eq!(
            world.ask(qname, qtype).bytes,
            reply.bytes,
            "equal numbers, equal orders"
        );
    }
    seen
}

#[test]
fn fixed_is_as_given() {
    assert_eq!(orders("fixed.example.", RecordType::A).len(), 1);
}

#[test]
fn rotate_and_random_give_all_their_orders() {
    assert_eq!(orders("rotate.example.", RecordType::A).len(), 3);
    assert_eq!(orders("random.example.", RecordType::TXT).len(), 6);
}

#[test]
fn a_prefix_of_clients_has_one_order() {
    assert_eq!(orders("hash.example.", RecordType::A).len(), 1);
    let mut world = World::zone(ZONE);
    let mut seen: BTreeMap<Vec<u8>, BTreeSet<u8>> = BTreeMap::new();
    for site in 0..40 {
        for host in [1, 200] {
            world.environment.cookies.client = [198, 51, site, host].into();
            let reply = world.ask("hash.example.", RecordType::A);
            seen.entry(reply.bytes).or_default().insert(site);
        }
    }
    assert_eq!(seen.len(), 3, "every rotation");
    assert_eq!(seen.values().map(BTreeSet::len).sum::<usize>(), 40, "one for each site");
}

#[test]
fn prefixes_are_as_long_as_they_are_configured() {
    let mut world = World::zone(ZONE);
    let mut orders_of = |prefixes: Prefixes, clients: &[IpAddr]| {
        world.environment.hash_prefixes = prefixes;
        let replies = clients.iter().map(|client| {
            world.environment.cookies.client = *client;
            world.ask("hash.example.", RecordType::A).bytes
        });
        replies.collect::<BTreeSet<_>>().len()
    };
    let v4: Vec<IpAddr> = (0..40).map(|site| [198, 51, site, 1].into()).collect();
    assert_eq!(orders_of(Prefixes::of(16, 56), &v4), 1);
    assert_eq!(orders_of(Prefixes::of(24, 1), &v4), 3);
    let hosts: Vec<IpAddr> = (0..40).map(|host| [198, 51, 100, host].into()).collect();
    assert_eq!(orders_of(Prefixes::of(24, 1), &hosts), 1);
    assert_eq!(orders_of(Prefixes::of(32, 1), &hosts), 3);
    let v6: Vec<IpAddr> = (0..40u16)
        .map(|subnet| [0x2001, 0xdb8, 7, subnet, 0, 0, 0, 1].into())
        .collect();
    assert_eq!(orders_of(Prefixes::of(24, 48), &v6), 1);
    assert_eq!(orders_of(Prefixes::of(24, 64), &v6), 3);
}

#[test]
fn weights_draw_the_first_alone() {
    let seen = orders("weighted.example.", RecordType::A);
    let order = |order: [&str; 3]| seen.get(order.map(str::to_owned).as_slice()).copied().unwrap_or(0);
    let (first, third) = (order(["1", "2", "3"]), order(["3", "1", "2"]));
    assert_eq!(first + third, 400, "a weight of 0 is never first: {seen:?}");
    assert!((20..60).contains(&first), "{first} of 400 with a weight of 1 in 10");
}

#[test]
fn the_end_of_a_chain_a_wildcard_and_an_alias_are_ordered_too() {
    assert_eq!(orders("chain.example.", RecordType::A).len(), 3);
    assert_eq!(orders("x.w.example.", RecordType::A).len(), 2);
    assert_eq!(orders("alias.example.", RecordType::A).len(), 3);
}

#[test]
fn additional_addresses_are_as_given() {
    let mut world = World::zone(ZONE);
    let mut seen = BTreeSet::new();
    for random in 0..50 {
        world.environment.random = random;
        seen.insert(world.ask("mail.example.", RecordType::MX).bytes);
    }
    assert_eq!(seen.len(), 1);
}
