//! From a frame to offsets: Ethernet, up to two VLAN tags, IPv4 or IPv6, UDP, and whether it is for us.

use dns_common::address::{OWN_WORDS, OwnKey, OwnValue, TAGGED};
use dns_common::checksum;
use dns_common::reason::PassReason;

use crate::Verdict;
use crate::maps::{forget, limits, own, settings};
use crate::packet::{Ethernet, Extension, Header, Ipv4, Ipv6, Packet, Received, Udp, Vlan};

pub const IPV4_BYTES: usize = size_of::<Ipv4>();
pub const IPV6_BYTES: usize = size_of::<Ipv6>();
pub const UDP_BYTES: usize = size_of::<Udp>();

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86DD;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_PROVIDER_VLAN: u16 = 0x88A8;

const PROTOCOL_UDP: u8 = 17;
const NEXT_HEADER_FRAGMENT: u8 = 44;
const NEXT_HEADER_HOP_BY_HOP: u8 = 0;
const NEXT_HEADER_ROUTING: u8 = 43;
const NEXT_HEADER_DESTINATION: u8 = 60;

/// How many extension headers are followed, to charge a rate limit.
const MOST_EXTENSIONS: usize = 4;

/// The low half of an IPv4-mapped address before the address, in memory order (RFC 4291 §2.5.5.2).
const MAPPED: u64 = 0xFFFF_0000;

/// A frame that carries a UDP datagram to one of our addresses and ports, with what an answer needs to know.
#[cfg_attr(not(target_arch = "bpf"), derive(Debug, PartialEq))]
pub struct Frame {
    /// Where the IP header starts.
    pub ip: usize,
    /// Where the UDP header starts.
    pub udp: usize,
    /// Whether it is IPv6.
    pub is_ipv6: bool,
    /// Octets of the UDP payload.
    pub payload: usize,
    /// The largest IP packet that may leave.
    pub mtu: usize,
}

impl Frame {
    /// Where the DNS message starts.
    #[inline(always)]
    pub fn message(&self) -> usize {
        self.udp + UDP_BYTES
    }

    /// The same, of which the verifier only knows that offsets are small. Otherwise it would check all that follows for
    /// each way that leads here: two versions of IP, and up to two tags.
    #[inline(always)]
    pub fn forgotten(self, room: &mut u64) -> Frame {
        let packed = self.ip as u64
            | (self.is_ipv6 as u64) << 8
            | (self.udp as u64) << 16
            | (self.payload as u64 & 0xFFFF) << 32
            | (self.mtu as u64) << 48;
        let packed = forget(room, packed);
        Frame {
            ip: packed as usize & 0x1F,
            is_ipv6: packed & 0x100 != 0,
            udp: (packed >> 16) as usize & 0x3F,
            payload: (packed >> 32) as usize & 0xFFFF,
            mtu: (packed >> 48) as usize,
        }
    }
}

/// An IPv4 address as the two words of its IPv4-mapped form, in memory order.
#[inline(always)]
pub fn mapped(address: u32) -> [u64; 2] {
    [0, MAPPED | (address as u64) << 32]
}

type Parsed<T> = Result<T, Verdict>;

#[inline(always)]
fn header<T: Header>(packet: &Packet, at: usize) -> Parsed<&T> {
    // Too short to say whose it is: the kernel's business.
    packet.header(at).ok_or(Verdict::NotOurs)
}

#[inline(always)]
fn pass<T>(reason: PassReason) -> Parsed<T> {
    Err(Verdict::Pass(reason))
}

/// The same for what the kernel may give to a socket all the same, which takes it for charged.
#[inline(always)]
fn pass_charged<T>(reason: PassReason) -> Parsed<T> {
    Err(if limits().is_enabled() {
        Verdict::Unread(reason)
    } else {
        Verdict::Pass(reason)
    })
}

/// What the keys of a frame's own addresses share.
struct Link<'a> {
    /// Index of the interface.
    interface: u32,
    /// Outer and inner VLAN tag, in the halves of a word as they lie in the key.
    vlans: u32,
    /// Room for a key that the map is asked for.
    room: &'a mut OwnKey,
}

impl Link<'_> {
    /// What is known of an address and port, if they are ours. Port 0 stands for "some port".
    #[inline(always)]
    fn own(&mut self, [first, second]: [u64; 2], port: u16) -> Option<OwnValue> {
        let link = self.interface as u64 | (self.vlans as u64) << 32;
        let key: [u64; OWN_WORDS] = [first, second, link, port as u64];
        own(&key, self.room)
    }
}

/// Reads the headers.
#[inline(always)]
pub fn parse(received: &impl Received, room: &mut OwnKey) -> Parsed<Frame> {
    let packet = received.packet();
    let (ethernet, mut link, ethertype, at) = link(received, &packet, room)?;
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(&packet, ethernet, at, &mut link),
        ETHERTYPE_IPV6 => ipv6(&packet, ethernet, at, &mut link),
        _ => Err(Verdict::NotOurs),
    }
}

/// Ethernet header and tags; then the type of what is behind, and where that starts.
#[inline(always)]
fn link<'a, 'p>(
    received: &impl Received,
    packet: &'p Packet,
    room: &'a mut OwnKey,
) -> Parsed<(&'p Ethernet, Link<'a>, u16, usize)> {
    let ethernet: &Ethernet = header(packet, 0)?;
    let mut ethertype = u16::from_be(ethernet.ethertype);
    let mut at = size_of::<Ethernet>();
    let mut vlans = 0;
    if matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_PROVIDER_VLAN) {
        let vlan: &Vlan = header(packet, at)?;
        vlans = tag(vlan);
        ethertype = u16::from_be(vlan.ethertype);
        at += size_of::<Vlan>();
        if ethertype == ETHERTYPE_VLAN {
            let vlan: &Vlan = header(packet, at)?;
            // Into the upper half, unless the outer one counts as none.
            vlans |= tag(vlan) << ((vlans & TAGGED as u32) >> 11);
            ethertype = u16::from_be(vlan.ethertype);
            at += size_of::<Vlan>();
        }
    }
    let interface = received.interface();
    Ok((ethernet, Link { interface, vlans, room }, ethertype, at))
}

/// A tag as it stands in a key. One with VLAN ID 0 says no more than a priority (IEEE 802.1Q §6.9.1): the frame is
/// where it would be without, as for the kernel. Without a branch, of which the verifier would follow both ways.
#[inline(always)]
fn tag(vlan: &Vlan) -> u32 {
    let id = (u16::from_be(vlan.tag) & 0x0FFF) as u32;
    // The carry out of twelve bits, there for all but 0.
    id | ((id + 0x0FFF) & 0x1000) << 3
}

const _: () = assert!(TAGGED == 0x1000 << 3 && TAGGED >> 11 == 16);

#[inline(always)]
fn ipv4(packet: &Packet, ethernet: &Ethernet, at: usize, link: &mut Link<'_>) -> Parsed<Frame> {
    let ip: &Ipv4 = header(packet, at)?;
    if ip.protocol != PROTOCOL_UDP || ip.version_ihl >> 4 != 4 {
        return Err(Verdict::NotOurs);
    }
    let destination = mapped(ip.destination);
    if ip.version_ihl != 0x45 {
        return unreadable(link, destination, PassReason::Ipv4Options);
    }
    // RFC 791 §3.1: more fragments, or an offset.
    if u16::from_be(ip.fragment) & 0x3FFF != 0 {
        return unreadable(link, destination, PassReason::Fragment);
    }
    let (udp, own) = udp(packet, at + IPV4_BYTES, link, destination)?;
    let udp_bytes = u16::from_be(udp.bytes) as usize;
    let total_bytes = u16::from_be(ip.total_bytes) as usize;
    if udp_bytes < UDP_BYTES || total_bytes != IPV4_BYTES + udp_bytes || at + total_bytes > packet.length() {
        return pass_charged(PassReason::Length);
    }
    // RFC 791 §3.1: the sum over a whole header, its checksum included, is all ones.
    if checksum::fold(ipv4_sum(ip)) != 0xFFFF {
        return pass(PassReason::Ipv4Checksum);
    }
    check_mac(ethernet, &own)?;
    let source = u32::from_be(ip.source) >> 24;
    // RFC 1122 §3.2.1.3: sources that no packet may have; loopback stays on the loopback interface.
    if source == 0 || source >= 224 || (source == 127) != (u32::from_be(ip.destination) >> 24 == 127) {
        return pass_charged(PassReason::Source);
    }
    check_source(mapped(ip.source), udp, link)?;
    if ip.source == ip.destination && !is_loopback(&own) {
        return pass(PassReason::Source);
    }
    Ok(Frame {
        ip: at,
        udp: at + IPV4_BYTES,
        is_ipv6: false,
        payload: udp_bytes - UDP_BYTES,
        mtu: own.mtu as usize,
    })
}

/// The sum over an IPv4 header as it is.
#[inline(always)]
pub fn ipv4_sum(ip: &Ipv4) -> u64 {
    let first = u16::from_le_bytes([ip.version_ihl, ip.tos]) as u64 + ip.total_bytes as u64;
    let second = ip.identification as u64 + ip.fragment as u64;
    let third = u16::from_le_bytes([ip.ttl, ip.protocol]) as u64 + ip.checksum as u64;
    first + second + third + ip.source as u64 + ip.destination as u64
}

#[inline(always)]
fn ipv6(packet: &Packet, ethernet: &Ethernet, at: usize, link: &mut Link<'_>) -> Parsed<Frame> {
    let ip: &Ipv6 = header(packet, at)?;
    if ip.version_class >> 4 != 6 {
        return Err(Verdict::NotOurs);
    }
    let destination = ip.destination;
    match ip.next_header {
        PROTOCOL_UDP => {}
        NEXT_HEADER_FRAGMENT => return unreadable(link, destination, PassReason::Fragment),
        // RFC 7045 §4: hop-by-hop, routing, authentication, destination, mobility, HIP, shim6.
        0 | 43 | 51 | 60 | 135 | 139 | 140 => return unreadable(link, destination, PassReason::Ipv6Extension),
        _ => return Err(Verdict::NotOurs),
    }
    let (udp, own) = udp(packet, at + IPV6_BYTES, link, destination)?;
    let udp_bytes = u16::from_be(udp.bytes) as usize;
    let payload_bytes = u16::from_be(ip.payload_bytes) as usize;
    if udp_bytes < UDP_BYTES || payload_bytes != udp_bytes || at + IPV6_BYTES + payload_bytes > packet.length() {
        return pass_charged(PassReason::Length);
    }
    if udp.checksum == 0 {
        return pass(PassReason::ZeroChecksum);
    }
    check_mac(ethernet, &own)?;
    let source = ip.source;
    let (high, low) = (u64::from_be(source[0]), u64::from_be(source[1]));
    // RFC 4291 §2.5.2, §2.5.3, §2.5.5.2, §2.7: unspecified, loopback (unless both ends are), IPv4-mapped, multicast.
    let is_loopback = high == 0 && low == 1 && (source[0] != destination[0] || source[1] != destination[1]);
    if high >> 56 == 0xFF || (high == 0 && (low == 0 || low >> 32 == 0xFFFF)) || is_loopback {
        return pass_charged(PassReason::Source);
    }
    check_source(source, udp, link)?;
    if source[1] == destination[1] && source[0] == destination[0] && !self::is_loopback(&own) {
        return pass(PassReason::Source);
    }
    Ok(Frame {
        ip: at,
        udp: at + IPV6_BYTES,
        is_ipv6: true,
        payload: udp_bytes - UDP_BYTES,
        mtu: own.mtu as usize,
    })
}

/// A packet whose ports are not where we look.
#[inline(always)]
fn unreadable(link: &mut Link<'_>, destination: [u64; 2], reason: PassReason) -> Parsed<Frame> {
    if link.own(destination, 0).is_none() {
        Err(Verdict::NotOurs)
    } else {
        pass_charged(reason)
    }
}

/// Who sent a packet that passes unread, if it is a datagram to one of our ports, or the first part of one: to be
/// charged, so that fragments, extension headers and odd lengths are no way around rate limits.
///
/// All is read once more. Keeping it would take stack, from which the deepest chain of calls has nothing to spare.
#[inline(always)]
pub fn unread_client(received: &impl Received, room: &mut OwnKey) -> Option<[u64; 2]> {
    let packet = received.packet();
    let (_, mut link, ethertype, at) = link(received, &packet, room).ok()?;
    if ethertype == ETHERTYPE_IPV4 {
        let ip: &Ipv4 = packet.header(at)?;
        // RFC 791 §3.1: ports are in the first fragment alone.
        if u16::from_be(ip.fragment) & 0x1FFF != 0 {
            return None;
        }
        let udp: &Udp = packet.header(at + 4 * (ip.version_ihl & 0x0F) as usize)?;
        link.own(mapped(ip.destination), u16::from_be(udp.destination))?;
        Some(mapped(ip.source))
    } else {
        let ip: &Ipv6 = packet.header(at)?;
        if let Some(udp) = behind_extensions(&packet, ip.next_header, at + IPV6_BYTES)? {
            link.own(ip.destination, u16::from_be(udp.destination))?;
        }
        Some(ip.source)
    }
}

/// The UDP header, behind extension headers or without any (RFC 8200 §4). `Some(None)` where it cannot be seen: there
/// are more headers than are followed, or the packet ends before it, and no client sends either. RFC 7112 has all
/// headers in a first fragment. Authentication headers and those of mobility lead to no socket of ours.
#[inline(always)]
fn behind_extensions(packet: &Packet, first: u8, at: usize) -> Option<Option<&Udp>> {
    let (mut next, mut at) = (first, at);
    if next == PROTOCOL_UDP {
        return Some(packet.header(at & 0x3FFF));
    }
    for _ in 0..MOST_EXTENSIONS {
        let extension: &Extension = packet.header(at & 0x3FFF)?;
        at += match next {
            NEXT_HEADER_HOP_BY_HOP | NEXT_HEADER_ROUTING | NEXT_HEADER_DESTINATION => {
                8 * (extension.length as usize + 1)
            }
            NEXT_HEADER_FRAGMENT if u16::from_be(extension.fragment) & 0xFFF8 == 0 => 8,
            _ => return None,
        };
        next = extension.next_header;
        if next == PROTOCOL_UDP {
            return Some(packet.header(at & 0x3FFF));
        }
    }
    Some(None)
}

/// The UDP header, if it is to one of our ports at the address.
#[inline(always)]
fn udp<'a>(packet: &'a Packet, at: usize, link: &mut Link<'_>, destination: [u64; 2]) -> Parsed<(&'a Udp, OwnValue)> {
    let udp: &Udp = header(packet, at)?;
    let port = u16::from_be(udp.destination);
    // The map has port 0 for "some port", and no socket has it.
    if port == 0 || !settings().may_be_port(port) {
        return Err(Verdict::NotOurs);
    }
    match link.own(destination, port) {
        Some(value) => Ok((udp, value)),
        None => Err(Verdict::NotOurs),
    }
}

/// Whether it is the loopback interface's, which alone has no MAC address. There our own addresses are clients;
/// elsewhere the kernel drops what comes from one (a martian source).
#[inline(always)]
fn is_loopback(own: &OwnValue) -> bool {
    own.mac == [0; 6]
}

/// A frame to the interface, and from one station: an answer to a group address would go to all of them.
#[inline(always)]
fn check_mac(ethernet: &Ethernet, own: &OwnValue) -> Parsed<()> {
    let [m0, m1, m2, m3, m4, m5] = own.mac;
    let first = u32::from_ne_bytes([m0, m1, m2, m3]);
    let last = u16::from_ne_bytes([m4, m5]);
    // IEEE 802 §8.2: the group bit is the lowest of the first octet.
    let group = u32::from_ne_bytes([1, 0, 0, 0]);
    let differs = ethernet.destination.first ^ first | (ethernet.destination.last ^ last) as u32;
    if differs | ethernet.source.first & group == 0 {
        Ok(())
    } else {
        pass_charged(PassReason::MacAddress)
    }
}

/// A client has a source port, and is not one of our own sockets: answers of two servers must not go in circles.
#[inline(always)]
fn check_source(source: [u64; 2], udp: &Udp, link: &mut Link<'_>) -> Parsed<()> {
    let port = u16::from_be(udp.source);
    if port == 0 || (settings().may_be_port(port) && link.own(source, port).is_some()) {
        return pass_charged(if port == 0 {
            PassReason::Source
        } else {
            PassReason::OwnSource
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
