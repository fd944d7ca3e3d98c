//! RFC 8906: no query without a reply; RFC 9619 on QDCOUNT; RFC 6895 on types and classes nobody may ask for.

use super::*;

fn world() -> World {
    World::zone("@ 60 SOA ns host 1 1 1 1 1\n www 60 A 192.0.2.1")
}

fn asked() -> Vec<u8> {
    query("www.example.", RecordType::A)
}

const FORMERR: ResponseCode = ResponseCode::FormErr;

fn counts(reply: &Reply) -> [u8; 8] {
    reply.bytes[4..12].try_into().expect("a header")
}

#[test]
fn rfc8906_3_1_1_known_and_unknown_types_are_answered_alike() {
    for qtype in [1, 16, 99, 1000, 32769, 65280, 65535] {
        let reply = world().ask("example.", RecordType(qtype));
        assert_eq!(
            (reply.rcode, reply.aa, reply.authority.len()),
            (ResponseCode::NoError, true, 1),
            "{qtype}"
        );
    }
}

#[test]
fn rfc8906_3_1_3_unknown_opcodes_are_notimp() {
    for opcode in 1..16u8 {
        let mut bytes = with_rd(asked());
        bytes[2] |= opcode << 3;
        let reply = world().send(&bytes);
        // RD is a flag of QUERY (RFC 1035 §4.1.1): another opcode's bit is not copied.
        assert_eq!(reply.bytes[..4], [0x12, 0x34, 0x80 | opcode << 3, 4]);
        assert_eq!((counts(&reply), reply.bytes.len()), ([0; 8], 12));
        let reply = world().send(&with_opt(bytes.clone(), 4096, 0, &[]));
        assert_eq!((counts(&reply), reply.bytes.len()), ([0, 0, 0, 0, 0, 0, 0, 1], 23));
        // A message of an opcode with another shape, such as DSO (RFC 8490): a header may be all there is.
        assert_eq!(world().send(&bytes[..12]).bytes[2..4], [0x80 | opcode << 3, 4]);
        // BADVERS goes before.
        let reply = world().send(&with_opt(bytes.clone(), 4096, 1 << 16, &[]));
        assert_eq!(reply.bytes[2..4], [0x80 | opcode << 3, 0]);
    }
}

#[test]
fn rd_is_copied_for_queries_whatever_the_answer() {
    let mut refused = asked();
    let end = refused.len();
    refused[end - 1] = 4;
    let mut malformed = asked();
    malformed.push(0);
    for (bytes, rcode) in [
        (asked(), 0),
        (query("nx.example.", RecordType::A), 3),
        (refused, 5),
        (malformed, 1),
    ] {
        assert_eq!(world().send(&bytes).bytes[2] & 1, 0, "{rcode}");
        let reply = world().send(&with_rd(bytes));
        assert_eq!((reply.bytes[2] & 1, reply.bytes[3] & 0x0F), (1, rcode));
    }
}

#[test]
fn rfc8906_3_1_4_flags_of_queries_are_ignored() {
    let mut bytes = asked();
    bytes[2] |= 0x06;
    bytes[3] = 0xFF;
    assert_eq!(world().send(&bytes).answer.len(), 1);
}

#[test]
fn rfc8906_2_responses_and_scraps_get_nothing() {
    let mut response = asked();
    response[2] |= 0x80;
    for silent in [&response[..], &[], &[0], &asked()[..11]] {
        assert!(matches!(world().outcome(silent), (Outcome::Silence, out) if out.is_empty()));
    }
}

#[test]
fn rfc9619_qdcount_is_one() {
    let mut none = asked();
    none.truncate(12);
    none[5] = 0;
    let mut two = asked();
    two[5] = 2;
    two.extend_from_slice(&asked()[12..]);
    let mut many = asked();
    many[4] = 0xFF;
    for bytes in [none, two, many] {
        let reply = world().send(&bytes);
        assert_eq!((reply.rcode, counts(&reply)), (FORMERR, [0; 8]));
    }
}

#[test]
fn malformed_queries_are_formerr_with_the_question_where_it_can_be_read() {
    let cut_short = asked()[..asked().len() - 1].to_vec();
    let pointer = raw_query(b"\xC0\x0C", RecordType::A, 1);
    let partly_pointer = raw_query(b"\x01a\xC0\x0C", RecordType::A, 1);
    let long_label = raw_query(&[&[64u8][..], &[b'a'; 64], &[0]].concat(), RecordType::A, 1);
    let too_long = raw_query(&[[1, b'a'].repeat(127), vec![1, b'a', 0]].concat(), RecordType::A, 1);
    for bytes in [cut_short, pointer, partly_pointer, long_label, too_long] {
        let reply = world().send(&bytes);
        assert_eq!((reply.rcode, counts(&reply)), (FORMERR, [0; 8]), "{bytes:02x?}");
    }
    let trailing = [asked(), vec![0]].concat();
    let mut answers = asked();
    answers[7] = 1;
    let mut authority = asked();
    authority[9] = 1;
    let mut missing = asked();
    missing[11] = 1;
    let forward_pointer = [missing.clone(), b"\xC0\xFF\0\x01\0\x01\0\0\0\0\0\0".to_vec()].concat();
    for bytes in [trailing, answers, authority, missing, forward_pointer] {
        let reply = world().send(&bytes);
        assert_eq!(
            (reply.rcode, counts(&reply)),
            (FORMERR, [0, 1, 0, 0, 0, 0, 0, 0]),
            "{bytes:02x?}"
        );
        assert_eq!(reply.bytes[12..], asked()[12..]);
    }
}

#[test]
fn a_name_of_255_octets_is_answered() {
    let wire = [[1, b'a'].repeat(127), vec![0]].concat();
    assert_eq!(
        world().send(&raw_query(&wire, RecordType::A, 1)).rcode,
        ResponseCode::Refused
    );
    let inside = [[1, b'a'].repeat(123), b"\x07example\0".to_vec()].concat();
    assert_eq!(
        world().send(&raw_query(&inside, RecordType::A, 1)).rcode,
        ResponseCode::NXDomain
    );
}

#[test]
fn other_classes_are_refused() {
    for qclass in [0, 2, 3, 4, 254, 65280] {
        let reply = world().send(&raw_query(name("www.example.").as_wire(), RecordType::A, qclass));
        assert_eq!(
            (reply.rcode, reply.aa, reply.answer.len()),
            (ResponseCode::Refused, false, 0)
        );
        assert_eq!(reply.bytes.len(), asked().len(), "the question is echoed");
    }
}

#[test]
fn rfc6895_3_1_meta_types_are_not_asked_for() {
    for qtype in [0, 41, 128, 200, 248, 249, 250] {
        assert_eq!(world().ask("www.example.", RecordType(qtype)).rcode, FORMERR, "{qtype}");
    }
    for qtype in [253, 254] {
        assert_eq!(
            world().ask("www.example.", RecordType(qtype)).rcode,
            ResponseCode::NotImp,
            "{qtype}"
        );
    }
}

#[test]
fn transfers_are_refused() {
    for environment in [UDP, TCP] {
        let world = world().with(environment);
        assert_eq!(world.ask("example.", RecordType::AXFR).rcode, ResponseCode::Refused);
        // RFC 1995 §3: the client's SOA is in the authority section.
        let mut bytes = query("example.", RecordType::IXFR);
        bytes[9] = 1;
        bytes.extend_from_slice(b"\xC0\x0C\0\x06\0\x01\0\0\0\0\0\x16\0\0");
        bytes.extend_from_slice(&[0; 20]);
        assert_eq!(world.send(&bytes).rcode, ResponseCode::Refused);
    }
}
