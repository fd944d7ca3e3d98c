//! RFC 1035 §4: headers, compression, sizes; RFC 2181 §9, RFC 4343.

use super::*;

const ZONE: &str = "
    @    3600 SOA ns.Example. host 7 3600 600 86400 300
    mx   60   MX 1 Mail.mx
    mx   60   MX 2 mail.mx
    mx   60   MX 3 Mail.Other.
    mx   60   MX 4 x.Mail.Other.
    mx   60   MX 5 x.mail.Other.
    mx   60   MX 6 .
    srv  60   SRV 0 0 1 srv.example.
";

#[test]
fn rfc1035_4_1_1_header_bits() {
    let world = World::zone(ZONE);
    let mut asked = with_rd(query("mx.example.", RecordType::MX));
    // AA, TC, RA, Z, AD and CD of the query mean nothing.
    asked[2] |= 0x06;
    asked[3] = 0xF5;
    let reply = world.send(&asked);
    assert_eq!(reply.bytes[..4], [0x12, 0x34, 0x85, 0x00]);
    let reply = world.with(RECURSIVE).send(&asked);
    assert_eq!(reply.bytes[..4], [0x12, 0x34, 0x85, 0x80]);
}

#[test]
fn rfc1035_4_1_2_the_question_is_echoed_byte_for_byte() {
    let asked = query("mX.eXAMPLE.", RecordType::MX);
    let reply = World::zone(ZONE).send(&asked);
    assert_eq!(reply.bytes[12..asked.len()], asked[12..]);
}

#[test]
fn rfc1035_4_1_4_names_are_compressed_onto_the_question_first() {
    let reply = World::zone(ZONE).ask("MX.example.", RecordType::MX);
    let mut at = 12 + 12 + 4;
    let mut rdatas = Vec::new();
    for _ in 0..6 {
        assert_eq!(reply.bytes[at..at + 2], [0xC0, 12], "the owner is the question");
        let length = usize::from(u16::from_be_bytes([reply.bytes[at + 10], reply.bytes[at + 11]]));
        rdatas.push((at + 14, reply.bytes[at + 14..at + 12 + length].to_vec()));
        at += 12 + length;
    }
    let pointer = |offset: usize| (0xC000u16 | offset as u16).to_be_bytes();
    // (a) before (b), whatever the case; names behind the question only if they are octet for octet the same.
    assert_eq!(rdatas[0].1, [&b"\x04Mail"[..], &pointer(12)].concat());
    assert_eq!(rdatas[1].1, [&b"\x04mail"[..], &pointer(12)].concat());
    assert_eq!(rdatas[2].1, b"\x04Mail\x05Other\0");
    assert_eq!(rdatas[3].1, [&b"\x01x"[..], &pointer(rdatas[2].0)].concat());
    assert_eq!(rdatas[4].1, [&b"\x01x\x04mail"[..], &pointer(rdatas[2].0 + 5)].concat());
    assert_eq!(rdatas[5].1, [0], "the root is never compressed");
    assert_eq!(reply.answer[0], "MX.example. 60 IN MX 1 Mail.MX.example.");
}

#[test]
fn rfc3597_4_srv_targets_are_not_compressed() {
    let reply = World::zone(ZONE).ask("srv.example.", RecordType::SRV);
    assert!(reply.bytes.ends_with(b"\0\x13\0\0\0\0\0\x01\x03srv\x07example\0"));
}

#[test]
fn rfc1035_4_1_4_names_are_compressed_onto_names_that_are_not() {
    let world = World::zone(
        "@      60 SOA ns host 7 3600 600 86400 300
         srv    60 SRV 0 0 1 a.target
         srv    60 SRV 0 0 2 b.target
         *.wild 60 SRV 0 0 1 b.target
         tree   60 DNAME deep.target
         a.target 60 A 10.0.0.1
         b.target 60 A 10.0.0.2",
    );
    let pointers = |bytes: &[u8]| -> Vec<u16> {
        let all = bytes.windows(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        all.filter(|&word| word & 0xC000 == 0xC000).collect()
    };
    // Behind header, question (17 and 22 octets), and the 18 octets before each target.
    let reply = world.ask("srv.example.", RecordType::SRV);
    assert_eq!(pointers(&reply.bytes), [12, 12, 47, 83].map(|offset| 0xC000 | offset));
    assert_eq!(
        reply.additional,
        [
            "a.target.example. 60 IN A 10.0.0.1",
            "b.target.example. 60 IN A 10.0.0.2"
        ]
    );
    let reply = world.ask("www.wild.example.", RecordType::SRV);
    assert_eq!(pointers(&reply.bytes), [12, 52].map(|offset| 0xC000 | offset));
    // The DNAME's owner, then the CNAME's target, onto the DNAME's.
    let reply = world.ask("x.tree.example.", RecordType::CNAME);
    assert_eq!(pointers(&reply.bytes), [14, 12, 44].map(|offset| 0xC000 | offset));
    assert_eq!(reply.answer[1], "x.tree.example. 60 IN CNAME x.deep.target.example.");
}

#[test]
fn many_names_are_compressed_as_few_are() {
    let text: String = (0..2000)
        .map(|at| format!("big 60 NS n{at}.far{}.away.\n", at / 2))
        .collect();
    let world = World::new(
        &[("example.", "@ 60 SOA ns host 1 1 1 1 1")],
        &text.replace("big", "big."),
    )
    .with(TCP);
    let reply = world.ask("big.", RecordType::NS);
    assert_eq!((reply.answer.len(), reply.tc), (2000, false));
    assert_eq!(reply.answer[1999], "big. 60 IN NS n1999.far999.away.");
    // 12 octets before the RDATA, two labels, a pointer; every second name shares two labels while offsets reach.
    assert!(reply.bytes.len() < 2000 * 29, "{}", reply.bytes.len());
}

fn big(rrs: usize) -> World {
    let text: String = (0..rrs)
        .map(|at| format!("big 60 A 10.0.{}.{}\n", at / 256, at % 256))
        .collect();
    World::zone(&format!("@ 60 SOA ns host 1 1 1 1 1\n to 60 CNAME big\n {text}"))
}

#[test]
fn rfc1035_4_2_1_512_octets_without_opt() {
    // 12 + 17 of header and question, 16 for each A.
    let fits = big(30).ask("big.example.", RecordType::A);
    assert_eq!((fits.tc, fits.answer.len(), fits.bytes.len()), (false, 30, 509));
    let too_big = big(31).ask("big.example.", RecordType::A);
    assert_eq!((too_big.tc, too_big.answer.len(), too_big.bytes.len()), (true, 0, 29));
    assert_eq!(big(31).with(TCP).ask("big.example.", RecordType::A).answer.len(), 31);
}

#[test]
fn rfc6891_6_2_3_the_limit_is_the_lesser_payload_and_at_least_512() {
    let world = big(75);
    let asked = |payload| with_opt(query("big.example.", RecordType::A), payload, 0, &[]);
    for (payload, fits) in [(0, false), (511, false), (1231, true), (1239, true), (65535, true)] {
        let reply = world.send(&asked(payload));
        // 29 + 75 * 16 + 11 = 1240 is over 1232 in any case.
        assert!(reply.tc && reply.message.edns.is_some(), "{payload}");
        let one_less = big(74).send(&asked(payload));
        assert_eq!((!one_less.tc, one_less.bytes.len() == 1224), (fits, fits), "{payload}");
    }
    assert!(big(30).send(&asked(0)).tc, "509 and 11 of OPT are over 512");
    assert!(!big(29).send(&asked(0)).tc);
}

#[test]
fn rfc2181_9_whole_rrsets_are_left_out() {
    let reply = big(40).ask("to.example.", RecordType::A);
    assert_eq!(reply.answer, ["to.example. 60 IN CNAME big.example."]);
    assert!(reply.tc);
}

#[test]
fn tcp_answers_end_at_65535() {
    let reply = big(4100).with(TCP).ask("big.example.", RecordType::A);
    assert_eq!((reply.tc, reply.answer.len()), (true, 0));
    assert_eq!(
        big(4094).with(TCP).ask("big.example.", RecordType::A).answer.len(),
        4094
    );
}
