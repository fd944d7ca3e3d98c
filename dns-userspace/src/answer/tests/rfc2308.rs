//! RFC 2308, negative answers, and RFC 8020.

use super::*;

const ZONE: &str = "
    @      3600 SOA ns host 7 3600 600 86400 30
    www    60   A 192.0.2.1
    a.b.c  60   A 192.0.2.1
";
const SOA: &str = "example. 30 IN SOA ns.example. host.example. 7 3600 600 86400 30";

#[test]
fn rfc2308_2_1_name_error_carries_the_soa() {
    let world = World::zone(ZONE);
    world
        .ask("nothing.example.", RecordType::A)
        .has(ResponseCode::NXDomain, true, &[], &[SOA], &[]);
    world
        .ask("x.www.example.", RecordType::A)
        .has(ResponseCode::NXDomain, true, &[], &[SOA], &[]);
}

#[test]
fn rfc2308_2_2_no_data_carries_the_soa() {
    let world = World::zone(ZONE);
    world
        .ask("www.example.", RecordType::AAAA)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    world
        .ask("example.", RecordType::A)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
}

#[test]
fn rfc2308_5_ttl_is_the_lesser_of_the_soas_and_minimum() {
    let world = World::zone("@ 20 SOA ns host 7 3600 600 86400 30");
    let soa = "example. 20 IN SOA ns.example. host.example. 7 3600 600 86400 30";
    world
        .ask("x.example.", RecordType::A)
        .has(ResponseCode::NXDomain, true, &[], &[soa], &[]);
    assert_eq!(
        World::zone(ZONE).ask("example.", RecordType::SOA).answer,
        [SOA.replace(" 30 IN", " 3600 IN")]
    );
}

#[test]
fn rfc8020_2_empty_non_terminals_exist() {
    let world = World::zone(ZONE);
    for qname in ["c.example.", "b.c.example."] {
        world
            .ask(qname, RecordType::A)
            .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    }
    world
        .ask("x.c.example.", RecordType::A)
        .has(ResponseCode::NXDomain, true, &[], &[SOA], &[]);
}

#[test]
fn return_soa_on_nxdomain_leaves_no_data_alone() {
    let world = World::zone(ZONE).with(Environment {
        return_soa_on_nxdomain: false,
        ..UDP
    });
    world
        .ask("nothing.example.", RecordType::A)
        .has(ResponseCode::NXDomain, true, &[], &[], &[]);
    world
        .ask("www.example.", RecordType::TXT)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
}

#[test]
fn a_zone_whose_soa_is_left_out_denies_without_one() {
    let world = World::zone("www 60 A 192.0.2.1");
    world
        .ask("nothing.example.", RecordType::A)
        .has(ResponseCode::NXDomain, true, &[], &[], &[]);
    world
        .ask("example.", RecordType::A)
        .has(ResponseCode::NoError, true, &[], &[], &[]);
}
