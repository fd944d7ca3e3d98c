//! Frames as they come, changed in one thing each, and what becomes of them.

use dns_common::address::{self, OwnKey, OwnValue, TAGGED};
use dns_common::checksum;
use dns_common::reason::PassReason as Reason;

use super::{Frame, parse, unread_client};
use crate::Verdict;
use crate::maps::{IS_LIMITED, OWN};
use crate::packet::{Packet, Received};

const INTERFACE: u32 = 7;
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OUR_IPV4: [u8; 4] = [192, 0, 2, 1];
const THEIR_IPV4: [u8; 4] = [198, 51, 100, 9];
const OUR_IPV6: [u8; 16] = [0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const THEIR_IPV6: [u8; 16] = [0x20, 1, 0xD, 0xB8, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9];
/// Octets of the DNS message, which nobody here looks at.
const MESSAGE_BYTES: usize = 29;

struct Octets(Vec<u8>);

impl Received for Octets {
    fn packet(&self) -> Packet {
        Packet::of(&self.0)
    }

    fn interface(&self) -> u32 {
        INTERFACE
    }
}

/// Makes an address and port 53 ours, behind these VLAN IDs; and "some port" of it.
fn own(address: [u8; 16], [outer, inner]: [Option<u16>; 2]) {
    let tag = |id: Option<u16>| id.map_or(0, |id| id | TAGGED);
    for port in [53, 0] {
        let key = OwnKey {
            address,
            interface: INTERFACE,
            outer_vlan: tag(outer),
            inner_vlan: tag(inner),
            port,
            unused: [0; 3],
        };
        let value = OwnValue {
            mac: OUR_MAC,
            mtu: 1500,
        };
        OWN.with_borrow_mut(|own| own.insert(key.words(), value));
    }
}

fn room() -> OwnKey {
    bytemuck::Zeroable::zeroed()
}

fn verdict(frame: &[u8]) -> Result<Frame, Verdict> {
    own(address::mapped(OUR_IPV4), [None; 2]);
    own(OUR_IPV6, [None; 2]);
    parse(&Octets(frame.to_vec()), &mut room())
}

fn client(frame: &[u8]) -> Option<[u8; 16]> {
    own(address::mapped(OUR_IPV4), [None; 2]);
    own(OUR_IPV6, [None; 2]);
    unread_client(&Octets(frame.to_vec()), &mut room()).map(bytemuck::cast)
}

fn ethernet(tags: &[[u8; 4]], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let tags = tags.concat();
    let parts = [&OUR_MAC[..], &THEIR_MAC, &tags, &ethertype.to_be_bytes(), packet];
    parts.concat()
}

/// A tag: the EtherType that stands in front of it, and its ID.
fn tag(ethertype: u16, id: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (ethertype.to_be_bytes(), id.to_be_bytes());
    [a, b, c, d]
}

fn udp() -> Vec<u8> {
    let bytes = (8 + MESSAGE_BYTES) as u8;
    let mut udp = vec![0x30, 0x39, 0, 53, 0, bytes, 0x12, 0x34];
    udp.resize(usize::from(bytes), 0);
    udp
}

/// An IPv4 header with these options, and a datagram behind it.
fn ipv4_with(options: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let header = 20 + options.len();
    let total = (header + 8 + MESSAGE_BYTES) as u8;
    let mut packet = vec![0x40 | (header / 4) as u8, 0, 0, total, 0, 1, 0, 0, 64, 17, 0, 0];
    packet.extend(THEIR_IPV4);
    packet.extend(OUR_IPV4);
    packet.extend(options);
    packet.extend(udp());
    change(&mut packet);
    let words = packet[..header]
        .chunks(2)
        .map(|word| u64::from(u16::from_le_bytes([word[0], word[1]])));
    let sum = !checksum::fold(words.sum());
    packet[10..12].copy_from_slice(&sum.to_le_bytes());
    packet
}

fn ipv4(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    ethernet(&[], 0x0800, &ipv4_with(&[], change))
}

/// An IPv6 header, whose next header is `first`; these extension headers, and a datagram behind them.
fn ipv6_with(first: u8, extensions: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let payload = (extensions.len() + 8 + MESSAGE_BYTES) as u8;
    let mut packet = vec![0x60, 0, 0, 0, 0, payload, first, 64];
    packet.extend(THEIR_IPV6);
    packet.extend(OUR_IPV6);
    packet.extend(extensions);
    packet.extend(udp());
    change(&mut packet);
    ethernet(&[], 0x86DD, &packet)
}

fn ipv6(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    ipv6_with(17, &[], change)
}

fn frame(ip: usize, is_ipv6: bool) -> Result<Frame, Verdict> {
    Ok(Frame {
        ip,
        udp: ip + if is_ipv6 { 40 } else { 20 },
        is_ipv6,
        payload: MESSAGE_BYTES,
        mtu: 1500,
    })
}

fn pass(reason: Reason) -> Result<Frame, Verdict> {
    Err(Verdict::Pass(reason))
}

const NOT_OURS: Result<Frame, Verdict> = Err(Verdict::NotOurs);

#[test]
fn datagrams_to_us_have_their_offsets() {
    assert_eq!(verdict(&ipv4(|_| {})), frame(14, false));
    assert_eq!(verdict(&ipv6(|_| {})), frame(14, true));
    // Padding behind a short packet (IEEE 802.3 §4.2.3.3).
    let mut padded = ipv4(|_| {});
    padded.resize(padded.len() + 9, 0);
    assert_eq!(verdict(&padded), frame(14, false));
}

#[test]
fn offsets_keep_their_values_on_the_way_through_memory() {
    for frame in [frame(14, false), frame(18, true), frame(22, true)] {
        let frame = frame.expect("a frame");
        let expected = Frame { ..frame };
        assert_eq!(frame.forgotten(&mut 0), expected);
    }
}

#[test]
fn frames_behind_tags_are_ours_where_the_address_is() {
    // The tags of a frame, the IDs under which the address is ours, and where the IP header then is.
    type Row<'a> = (&'a [[u8; 4]], [Option<u16>; 2], usize);
    const VLAN: u16 = 0x8100;
    const PROVIDER: u16 = 0x88A8;
    let rows: &[Row<'_>] = &[
        (&[tag(VLAN, 5)], [Some(5), None], 18),
        (&[tag(PROVIDER, 5)], [Some(5), None], 18),
        (&[tag(VLAN, 0xFFF)], [Some(0xFFF), None], 18),
        (&[tag(PROVIDER, 5), tag(VLAN, 6)], [Some(5), Some(6)], 22),
        (&[tag(VLAN, 5), tag(VLAN, 6)], [Some(5), Some(6)], 22),
        // Priority and drop eligibility are no part of the ID; a tag with ID 0 counts as none.
        (&[tag(VLAN, 0xF005)], [Some(5), None], 18),
        (&[tag(VLAN, 0xE000)], [None, None], 18),
        (&[tag(VLAN, 0), tag(VLAN, 6)], [Some(6), None], 22),
        (&[tag(VLAN, 5), tag(VLAN, 0)], [Some(5), None], 22),
        (&[tag(VLAN, 0), tag(VLAN, 0)], [None, None], 22),
    ];
    for &(tags, ids, ip) in rows {
        let frame_of = |ethertype, packet: &[u8]| Octets(ethernet(tags, ethertype, packet));
        let received = frame_of(0x0800, &ipv4_with(&[], |_| {}));
        OWN.with_borrow_mut(|own| own.clear());
        own(address::mapped(OUR_IPV4), [Some(99), Some(98)]);
        assert_eq!(parse(&received, &mut room()), NOT_OURS, "{tags:?}");
        own(address::mapped(OUR_IPV4), ids);
        assert_eq!(parse(&received, &mut room()), frame(ip, false), "{tags:?}");
        // What is not IP behind the tags, and what ends within them.
        assert_eq!(parse(&frame_of(0x0806, &[0; 60]), &mut room()), NOT_OURS);
        let cut = Octets(received.0[..ip - 1].to_vec());
        assert_eq!(parse(&cut, &mut room()), NOT_OURS);
    }
    // A third tag is no IP header.
    let three = ethernet(
        &[tag(VLAN, 5), tag(VLAN, 6), tag(VLAN, 7)],
        0x0800,
        &ipv4_with(&[], |_| {}),
    );
    assert_eq!(verdict(&three), NOT_OURS);
    // A provider's tag stands outside.
    let inside = ethernet(&[tag(VLAN, 5), tag(PROVIDER, 6)], 0x0800, &ipv4_with(&[], |_| {}));
    assert_eq!(verdict(&inside), NOT_OURS);
}

#[test]
fn ipv4_options_pass_unread_where_the_address_is_ours() {
    for octets in [4, 40] {
        let packet = ipv4_with(&vec![1; octets], |_| {});
        assert_eq!(verdict(&ethernet(&[], 0x0800, &packet)), pass(Reason::Ipv4Options));
        assert_eq!(
            client(&ethernet(&[], 0x0800, &packet)),
            Some(address::mapped(THEIR_IPV4))
        );
    }
    let to_others = ipv4_with(&[1; 4], |packet| packet[19] = 77);
    assert_eq!(verdict(&ethernet(&[], 0x0800, &to_others)), NOT_OURS);
    // A header of fewer than five words is as odd; one of another version is no IPv4.
    assert_eq!(verdict(&ipv4(|packet| packet[0] = 0x44)), pass(Reason::Ipv4Options));
    assert_eq!(verdict(&ipv4(|packet| packet[0] = 0x65)), NOT_OURS);
}

#[test]
fn fragments_pass_unread_and_the_first_has_a_client() {
    // Flags and offset (RFC 791 §3.1), and whether the ports are in this fragment.
    for (fragment, expected, has_ports) in [
        (0x0000u16, frame(14, false), true),
        (0x4000, frame(14, false), true), // don't fragment
        (0x8000, frame(14, false), true), // reserved
        (0x2000, pass(Reason::Fragment), true),
        (0x0001, pass(Reason::Fragment), false),
        (0x1FFF, pass(Reason::Fragment), false),
        (0x3FFF, pass(Reason::Fragment), false),
    ] {
        let octets = ipv4(|packet| packet[6..8].copy_from_slice(&fragment.to_be_bytes()));
        assert_eq!(verdict(&octets), expected, "{fragment:04x}");
        let expected = has_ports.then_some(address::mapped(THEIR_IPV4));
        assert_eq!(client(&octets), expected, "{fragment:04x}");
    }
}

#[test]
fn ipv6_extension_headers_pass_unread() {
    let rows = [
        (0, Reason::Ipv6Extension),
        (43, Reason::Ipv6Extension),
        (44, Reason::Fragment),
        (51, Reason::Ipv6Extension),
        (60, Reason::Ipv6Extension),
        (135, Reason::Ipv6Extension),
        (139, Reason::Ipv6Extension),
        (140, Reason::Ipv6Extension),
    ];
    for next in (0..=255u8).filter(|next| *next != 17) {
        let octets = ipv6_with(next, &[17, 0, 0, 0, 0, 0, 0, 0], |_| {});
        let expected = match rows.iter().find(|(header, _)| *header == next) {
            Some((_, reason)) => pass(*reason),
            None => NOT_OURS,
        };
        assert_eq!(verdict(&octets), expected, "{next}");
    }
}

#[test]
fn clients_are_found_behind_extension_headers() {
    let header = |next: u8, groups: u8| {
        let mut octets = vec![next, groups, 0, 0];
        octets.resize(8 * (usize::from(groups) + 1), 0);
        octets
    };
    let fragment = |next: u8, offset: u16| {
        let [a, b] = offset.to_be_bytes();
        vec![next, 255, a, b, 0, 0, 0, 1]
    };
    let found = Some(THEIR_IPV6);
    type Row = (u8, Vec<u8>, Option<[u8; 16]>);
    let rows: &[Row] = &[
        (17, vec![], found),
        (0, header(17, 0), found),
        (43, header(17, 1), found),
        (60, header(17, 3), found),
        (0, [header(43, 0), header(60, 2), header(17, 0)].concat(), found),
        // The first fragment, with more to come; and another one, without ports.
        (44, fragment(17, 1), found),
        (44, fragment(17, 8), None),
        (0, [header(44, 0), fragment(17, 1)].concat(), found),
        // More headers than are followed: charged, whatever is behind.
        (
            0,
            [header(0, 0), header(0, 0), header(0, 0), header(0, 0), header(6, 0)].concat(),
            found,
        ),
        // Another protocol, and authentication.
        (0, header(6, 0), None),
        (51, header(17, 0), None),
    ];
    for (first, extensions, expected) in rows {
        let octets = ipv6_with(*first, extensions, |_| {});
        assert_eq!(client(&octets), *expected, "{first}, {extensions:?}");
    }
    // Cut within an extension header; and within the UDP header, whose port is not known then: charged.
    let octets = ipv6_with(0, &header(17, 0), |_| {});
    assert_eq!(client(&octets[..14 + 40 + 3]), None);
    assert_eq!(client(&octets[..14 + 40 + 8 + 7]), found);
    let other_port = ipv6_with(0, &header(17, 0), |packet| packet[40 + 8 + 3] = 54);
    assert_eq!(client(&other_port), None);
}

#[test]
fn lengths_that_differ_by_one_pass() {
    let (udp4, udp6) = (20, 40);
    for by in [1u8, 255] {
        let changes: [(Vec<u8>, &str); 4] = [
            (
                ipv4(|packet| packet[3] = packet[3].wrapping_add(by)),
                "total length of IPv4",
            ),
            (
                ipv4(|packet| packet[udp4 + 5] = packet[udp4 + 5].wrapping_add(by)),
                "length of UDP over IPv4",
            ),
            (
                ipv6(|packet| packet[5] = packet[5].wrapping_add(by)),
                "payload length of IPv6",
            ),
            (
                ipv6(|packet| packet[udp6 + 5] = packet[udp6 + 5].wrapping_add(by)),
                "length of UDP over IPv6",
            ),
        ];
        for (octets, what) in changes {
            assert_eq!(verdict(&octets), pass(Reason::Length), "{what}, {by}");
        }
    }
    // Both agree, and the frame has one octet less.
    for whole in [ipv4(|_| {}), ipv6(|_| {})] {
        assert_eq!(verdict(&whole[..whole.len() - 1]), pass(Reason::Length));
    }
    // Less than a UDP header.
    let short = ipv4(|packet| {
        packet[3] = 20 + 7;
        packet[udp4 + 5] = 7;
    });
    assert_eq!(verdict(&short), pass(Reason::Length));
    // An empty message is for the core to judge.
    let empty = ipv4(|packet| {
        packet[3] = 20 + 8;
        packet[udp4 + 5] = 8;
    });
    assert_eq!(verdict(&empty).map(|frame| frame.payload), Ok(0));
}

#[test]
fn frames_that_end_within_a_header_are_not_ours() {
    for (whole, headers) in [(ipv4(|_| {}), 14 + 20 + 8), (ipv6(|_| {}), 14 + 40 + 8)] {
        for end in 0..headers {
            assert_eq!(verdict(&whole[..end]), NOT_OURS, "{end}");
        }
    }
}

#[test]
fn other_protocols_ports_and_addresses_are_not_ours() {
    assert_eq!(verdict(&ipv4(|packet| packet[9] = 6)), NOT_OURS);
    assert_eq!(verdict(&ipv4(|packet| packet[23] = 54)), NOT_OURS);
    assert_eq!(verdict(&ipv4(|packet| packet[19] = 2)), NOT_OURS);
    assert_eq!(verdict(&ipv6(|packet| packet[43] = 54)), NOT_OURS);
    assert_eq!(verdict(&ipv6(|packet| packet[39] = 2)), NOT_OURS);
    assert_eq!(verdict(&ipv6(|packet| packet[0] = 0x40)), NOT_OURS);
    // Port 0 is nobody's, though the map has it for "some port".
    assert_eq!(verdict(&ipv4(|packet| packet[23] = 0)), NOT_OURS);
    assert_eq!(verdict(&ipv6(|packet| packet[43] = 0)), NOT_OURS);
}

#[test]
fn sources_and_checksums_that_no_client_has_pass() {
    let from = |source: [u8; 4]| ipv4(move |packet| packet[12..16].copy_from_slice(&source));
    for source in [
        [0, 0, 0, 1],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255, 255, 255, 255],
        OUR_IPV4,
    ] {
        assert_eq!(verdict(&from(source)), pass(Reason::Source), "{source:?}");
    }
    assert_eq!(verdict(&ipv4(|packet| packet[20..22].fill(0))), pass(Reason::Source));
    // From our own port at our own address: another server's answer.
    let circle = ipv4(|packet| {
        packet[12..16].copy_from_slice(&OUR_IPV4);
        packet[20..22].copy_from_slice(&53u16.to_be_bytes());
    });
    assert_eq!(verdict(&circle), pass(Reason::OwnSource));
    let mut wrong = ipv4(|_| {});
    wrong[14 + 10] ^= 1;
    assert_eq!(verdict(&wrong), pass(Reason::Ipv4Checksum));

    let from = |source: [u8; 16]| ipv6(move |packet| packet[8..24].copy_from_slice(&source));
    let loopback = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let multicast = [0xFF, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    for source in [[0; 16], loopback, multicast, address::mapped(THEIR_IPV4), OUR_IPV6] {
        assert_eq!(verdict(&from(source)), pass(Reason::Source), "{source:?}");
    }
    // RFC 8200 §8.1: over IPv6, UDP has a checksum.
    assert_eq!(
        verdict(&ipv6(|packet| packet[46..48].fill(0))),
        pass(Reason::ZeroChecksum)
    );
}

#[test]
fn frames_to_other_stations_and_from_groups_pass() {
    let mut to_other = ipv4(|_| {});
    to_other[5] = 9;
    assert_eq!(verdict(&to_other), pass(Reason::MacAddress));
    let mut from_group = ipv4(|_| {});
    from_group[6] |= 1;
    assert_eq!(verdict(&from_group), pass(Reason::MacAddress));
}

#[test]
fn what_sockets_take_for_charged_is_unread_where_there_are_limits() {
    IS_LIMITED.set(true);
    assert_eq!(verdict(&ipv4(|_| {})), frame(14, false));
    let fragment = ipv4(|packet| packet[6] = 0x20);
    assert_eq!(verdict(&fragment), Err(Verdict::Unread(Reason::Fragment)));
    let short = ipv4(|_| {});
    assert_eq!(verdict(&short[..short.len() - 1]), Err(Verdict::Unread(Reason::Length)));
    // The kernel gives these to no socket.
    let mut wrong = ipv4(|_| {});
    wrong[14 + 10] ^= 1;
    assert_eq!(verdict(&wrong), pass(Reason::Ipv4Checksum));
}
