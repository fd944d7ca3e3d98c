//! RFC 6672, DNAME.

use super::*;

const ZONE: &str = "
    @        3600 SOA ns host 7 3600 600 86400 300
    d        60   DNAME target
    d        60   TXT beside
    x.d      60   A 192.0.2.66
    www.target 60 A 192.0.2.1
    out      60   DNAME elsewhere.
    loop     60   DNAME loop.loop
    long     60   DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
    toalias  60   CNAME www.d
";
const SOA: &str = "example. 300 IN SOA ns.example. host.example. 7 3600 600 86400 300";
const DNAME: &str = "d.example. 60 IN DNAME target.example.";

/// The decoder shows DNAME, which it does not know, as octets: look at owner and type alone.
#[track_caller]
fn begins(line: &str, expected: &str) {
    let end = expected.find("DNAME").expect("a DNAME") - 1;
    assert_eq!(line[..end], expected[..end]);
}

#[test]
fn rfc6672_3_2_step_3c_names_below_are_redirected() {
    let world = World::zone(ZONE);
    let reply = world.ask("www.D.example.", RecordType::A);
    assert_eq!(
        (reply.rcode, reply.aa, reply.answer.len()),
        (ResponseCode::NoError, true, 3)
    );
    begins(&reply.answer[0], &DNAME.replace("d.", "D."));
    assert_eq!(reply.answer[1], "www.D.example. 60 IN CNAME www.target.example.");
    assert_eq!(reply.answer[2], "www.target.example. 60 IN A 192.0.2.1");
}

#[test]
fn rfc6672_2_4_data_below_are_occluded_and_data_beside_are_not() {
    let world = World::zone(ZONE);
    let reply = world.ask("x.d.example.", RecordType::A);
    assert_eq!(reply.rcode, ResponseCode::NXDomain);
    assert_eq!(reply.answer[1], "x.d.example. 60 IN CNAME x.target.example.");
    assert_eq!(reply.authority, [SOA]);
    assert_eq!(
        world.ask("d.example.", RecordType::TXT).answer,
        ["d.example. 60 IN TXT beside"]
    );
    world
        .ask("d.example.", RecordType::A)
        .has(ResponseCode::NoError, true, &[], &[SOA], &[]);
    assert_eq!(world.ask("d.example.", RecordType::DNAME).answer.len(), 1);
}

#[test]
fn rfc6672_3_2_the_synthesised_cname_answers_a_question_for_cname() {
    let reply = World::zone(ZONE).ask("www.d.example.", RecordType::CNAME);
    assert_eq!((reply.answer.len(), reply.authority.len()), (2, 0));
}

#[test]
fn rfc6672_2_2_overflow_is_yxdomain_with_the_dname() {
    let world = World::zone(ZONE);
    let qname = format!("{}.long.example.", "y".repeat(60));
    let reply = world.ask(&qname, RecordType::A);
    assert_eq!(
        (reply.rcode, reply.aa, reply.answer.len()),
        (ResponseCode::YXDomain, true, 1)
    );
    assert_eq!(reply.authority.len(), 0);
    assert_eq!(
        world.ask("y.long.example.", RecordType::A).rcode,
        ResponseCode::NXDomain
    );
}

#[test]
fn rfc6672_2_3_a_dname_that_loops_ends() {
    let reply = World::zone(ZONE).ask("a.loop.example.", RecordType::A);
    assert_eq!(reply.rcode, ResponseCode::NoError);
    let dnames = reply
        .message
        .answers
        .iter()
        .filter(|record| u16::from(record.record_type()) == 39)
        .count();
    assert_eq!((dnames, reply.answer.len()), (1, 11), "the DNAME once, ten aliases");
}

#[test]
fn a_chain_from_an_alias_through_a_dname_and_out() {
    let world = World::zone(ZONE);
    let reply = world.ask("toalias.example.", RecordType::A);
    assert_eq!(reply.answer.len(), 4);
    begins(&reply.answer[1], DNAME);
    let reply = world.ask("a.out.example.", RecordType::A);
    assert_eq!((reply.rcode, reply.answer.len()), (ResponseCode::NoError, 2));
    assert_eq!(reply.answer[1], "a.out.example. 60 IN CNAME a.elsewhere.");
}
