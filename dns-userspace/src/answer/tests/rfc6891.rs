//! RFC 6891, EDNS.

use super::*;

fn world() -> World {
    World::zone("@ 60 SOA ns host 1 1 1 1 1\n www 60 A 192.0.2.1")
}

fn asked() -> Vec<u8> {
    query("www.example.", RecordType::A)
}

const FORMERR: ResponseCode = ResponseCode::FormErr;

#[test]
fn rfc6891_6_1_1_no_opt_without_one_in_the_query() {
    assert!(world().send(&asked()).message.edns.is_none());
}

#[test]
fn rfc6891_7_an_opt_gets_an_opt_with_our_payload_and_no_options() {
    let reply = world().send(&with_opt(asked(), 4096, 0, &[0, 12, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(reply.answer.len(), 1);
    assert!(reply.bytes.ends_with(&[0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn rfc6891_6_1_4_do_is_copied_and_z_is_zero() {
    let reply = world().send(&with_opt(asked(), 4096, 0xFFFF, &[]));
    assert!(reply.bytes.ends_with(&[0, 0, 41, 0x04, 0xD0, 0, 0, 0x80, 0, 0, 0]));
}

#[test]
fn rfc6891_6_1_1_second_opt_is_formerr() {
    let reply = world().send(&with_opt(with_opt(asked(), 4096, 0, &[]), 4096, 0, &[]));
    assert_eq!((reply.rcode, reply.message.edns.is_some()), (FORMERR, true));
    assert_eq!(reply.message.queries.len(), 1);
}

#[test]
fn rfc6891_6_1_2_opt_not_at_the_root_is_formerr() {
    let mut bytes = asked();
    bytes[11] = 1;
    bytes.extend_from_slice(b"\x01x\0\0\x29\x10\0\0\0\0\0\0\0");
    let reply = world().send(&bytes);
    assert_eq!((reply.rcode, reply.message.edns.is_some()), (FORMERR, true));
}

#[test]
fn rfc6891_6_1_3_unknown_version_is_badvers() {
    let reply = world().send(&with_opt(asked(), 4096, 0x0001_8000, &[1, 2, 3]));
    assert_eq!((u16::from(reply.rcode), reply.aa, reply.answer.len()), (16, false, 0));
    let edns = reply.message.edns.expect("an OPT");
    assert_eq!(
        (edns.version(), edns.rcode_high(), edns.flags().dnssec_ok),
        (0, 1, true)
    );
    assert_eq!(reply.message.queries.len(), 1);
}

#[test]
fn rfc6891_6_1_3_unknown_version_goes_before_the_opcode() {
    let mut bytes = with_opt(asked(), 4096, 0x0001_0000, &[]);
    bytes[2] |= 15 << 3;
    let reply = world().send(&bytes);
    assert_eq!((u16::from(reply.rcode), reply.message.queries.len()), (16, 0));
}

#[test]
fn rfc6891_6_1_1_an_opt_behind_what_is_in_excess_gets_an_opt() {
    // Two questions; a record in the answer section, and in the authority section.
    let record = b"\0\0\x01\0\x01\0\0\0\0\0\0";
    for (count, excess) in [(5, &asked()[12..]), (7, record), (9, record)] {
        let mut bytes = asked();
        bytes[count] += 1;
        bytes.extend_from_slice(excess);
        let reply = world().send(&with_opt(bytes, 4096, 0, &[]));
        assert_eq!((reply.rcode, reply.message.edns.is_some()), (FORMERR, true), "{count}");
        assert_eq!(reply.message.queries.len(), usize::from(count != 5));
    }
}

#[test]
fn rfc6891_7_malformed_options_are_formerr_with_opt() {
    for options in [&[0, 10, 0][..], &[0, 10, 0, 9, 1], &[0, 3, 0, 0, 0]] {
        let reply = world().send(&with_opt(asked(), 4096, 0, options));
        assert_eq!(
            (reply.rcode, reply.message.edns.is_some()),
            (FORMERR, true),
            "{options:?}"
        );
    }
}

#[test]
fn an_opt_before_another_record_is_read() {
    let mut bytes = with_opt(asked(), 4096, 0, &[]);
    bytes[11] = 2;
    bytes.extend_from_slice(b"\xC0\x0C\0\x01\0\x01\0\0\0\0\0\x04abcd");
    let reply = world().send(&bytes);
    assert_eq!((reply.answer.len(), reply.message.edns.is_some()), (1, true));
}
