//! RFC 7873 and RFC 9018, DNS cookies.

use super::*;

const CLIENT_COOKIE: [u8; 8] = [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];

/// In the environment of RFC 9018, appendix A.1.
fn world() -> World {
    let secret = 0xe5e9_73e5_a6b2_a43f_48e7_dc84_9e37_bfcf_u128;
    World::zone("@ 60 SOA ns host 1 1 1 1 1\n www 60 A 192.0.2.1").with(Environment {
        cookies: CookieSource {
            secret: secret.to_be_bytes(),
            seconds: 1_559_731_985,
            client: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 100)),
        },
        ..UDP
    })
}

fn option(data: &[u8]) -> Vec<u8> {
    [&[0, 10, 0, data.len() as u8][..], data].concat()
}

fn asked(qname: &str, options: &[u8]) -> Vec<u8> {
    with_opt(query(qname, RecordType::A), 1232, 0, options)
}

/// The option that every answer in this environment has.
fn expected() -> Vec<u8> {
    let server = 0x0100_0000_5cf7_9f11_1f81_30c3_eee2_9480_u128.to_be_bytes();
    option(&[&CLIENT_COOKIE[..], &server].concat())
}

#[test]
fn rfc9018_appendix_a_1_a_client_learns_its_server_cookie() {
    let reply = world().send(&asked("www.example.", &option(&CLIENT_COOKIE)));
    assert_eq!((reply.rcode, reply.answer.len()), (ResponseCode::NoError, 1));
    assert!(
        reply.bytes.ends_with(&[&[0, 28][..], &expected()].concat()),
        "{reply:?}"
    );
}

#[test]
fn rfc9018_appendix_a_4_ipv6() {
    let secret = 0x4455_36bc_d251_3298_075a_5d37_9663_c962_u128;
    let source = CookieSource {
        secret: secret.to_be_bytes(),
        seconds: 1_559_741_961,
        client: "2001:db8:220:1:59de:d0f4:8769:82b8".parse().expect("an address"),
    };
    let client = 0x2268_1ab9_7d52_c298_u64.to_be_bytes();
    let server = 0x0100_0000_5cf7_c609_a6bb_79d1_6625_507a_u128.to_be_bytes();
    assert_eq!(source.cookie(client)[..], [&client[..], &server].concat());
}

#[test]
fn a_client_that_may_not_ask_is_refused_without_a_question_too() {
    let refused = Environment {
        admission: Admission::Refused,
        ..UDP
    };
    let mut bytes = vec![0; 12];
    bytes[11] = 1;
    bytes.extend_from_slice(&with_opt(vec![0; 12], 4096, 0, &option(&CLIENT_COOKIE))[12..]);
    assert_eq!(world().send(&bytes).rcode, ResponseCode::NoError);
    assert_eq!(world().with(refused).send(&bytes).rcode, ResponseCode::Refused);
}

#[test]
fn rfc7873_5_2_3_to_5_any_server_cookie_gets_the_same_reply() {
    let alone = world().send(&asked("www.example.", &option(&CLIENT_COOKIE))).bytes;
    for bytes in 16..=40 {
        let mut data = CLIENT_COOKIE.to_vec();
        data.resize(bytes, 0xAA);
        let reply = world().send(&asked("www.example.", &option(&data)));
        assert_eq!(reply.bytes, alone, "{bytes}");
    }
}

#[test]
fn rfc7873_5_2_2_other_lengths_are_formerr() {
    for bytes in (0..8).chain(9..16).chain(41..60) {
        let reply = world().send(&asked("www.example.", &option(&vec![1; bytes])));
        assert_eq!(
            (reply.rcode, reply.message.edns.is_some()),
            (ResponseCode::FormErr, true),
            "{bytes}"
        );
        assert!(reply.bytes.ends_with(&[0, 0]), "an OPT without options");
    }
}

#[test]
fn rfc7873_5_2_only_the_first_counts() {
    let more = [option(&CLIENT_COOKIE), option(&[9; 8]), option(&[1])].concat();
    let reply = world().send(&asked("www.example.", &more));
    assert!(reply.bytes.ends_with(&[&[0, 28][..], &expected()].concat()));
}

#[test]
fn errors_carry_it_before_their_reason() {
    let reply = world().send(&asked("foreign.", &option(&CLIENT_COOKIE)));
    assert_eq!(reply.rcode, ResponseCode::Refused);
    let options = [expected(), vec![0, 15, 0, 2, 0, 20]].concat();
    assert!(reply.bytes.ends_with(&options));
}

#[test]
fn rfc7873_5_4_a_query_without_a_question_learns_the_cookie() {
    let header = vec![0x12, 0x34, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let reply = world().send(&with_opt(header.clone(), 1232, 0, &option(&CLIENT_COOKIE)));
    assert_eq!((reply.rcode, reply.message.queries.len()), (ResponseCode::NoError, 0));
    assert_eq!(reply.bytes[..12], [0x12, 0x34, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(reply.bytes.ends_with(&expected()));
    // Without a cookie there is nothing to be learned (RFC 9619).
    let empty = with_opt(header, 1232, 0, &[]);
    assert_eq!(world().send(&empty).rcode, ResponseCode::FormErr);
}

#[test]
fn no_cookie_no_option() {
    let reply = world().send(&asked("www.example.", &[]));
    assert!(reply.bytes.ends_with(&[0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn it_counts_against_the_size() {
    // 12 + 18 + 29 × 16 + 11 octets, and 28 with a cookie.
    let records: String = (0..29).map(|n| format!("many 60 A 192.0.2.{n}\n")).collect();
    let world = World {
        snapshot: rfc5001::records_as_one(&records),
        environment: world().environment,
    };
    let asked = |options: &[u8]| with_opt(query("many.example.", RecordType::A), 512, 0, options);
    assert!(!world.send(&asked(&[])).tc);
    let reply = world.send(&asked(&option(&CLIENT_COOKIE)));
    assert!(reply.tc && reply.bytes.ends_with(&expected()));
}
