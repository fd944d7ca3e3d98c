//! From a frame to offsets: Ethernet, up to two VLAN tags, IPv4 or IPv6, UDP, and whether it is for us.

use aya_ebpf::programs::XdpContext;
use dns_common::address::{OwnKey, OwnValue, TAGGED, mapped};
use dns_common::reason::PassReason;

use crate::Verdict;
use crate::maps::{own, settings};
use crate::packet::Packet;

const ETHERNET_BYTES: usize = 14;
const VLAN_BYTES: usize = 4;
pub const IPV4_BYTES: usize = 20;
pub const IPV6_BYTES: usize = 40;
pub const UDP_BYTES: usize = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86DD;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_PROVIDER_VLAN: u16 = 0x88A8;

const PROTOCOL_UDP: u8 = 17;
const NEXT_HEADER_FRAGMENT: u8 = 44;

/// A frame that carries a UDP datagram to one of our addresses and ports, with what an answer needs to know.
pub struct Frame {
    /// Where the IP header starts.
    pub ip: usize,
    /// Whether it is IPv6.
    pub is_ipv6: bool,
    /// Octets of the UDP payload.
    pub payload: usize,
    /// The largest IP packet that may leave.
    pub mtu: usize,
}

impl Frame {
    /// Where the UDP header starts.
    #[inline(always)]
    pub fn udp(&self) -> usize {
        self.ip + if self.is_ipv6 { IPV6_BYTES } else { IPV4_BYTES }
    }

    /// Where the DNS message starts.
    #[inline(always)]
    pub fn message(&self) -> usize {
        self.udp() + UDP_BYTES
    }
}

type Parsed<T> = Result<T, Verdict>;

#[inline(always)]
fn read<const N: usize>(packet: &Packet, at: usize) -> Parsed<[u8; N]> {
    // Too short to say whose it is: the kernel's business.
    packet.read(at).ok_or(Verdict::NotOurs)
}

#[inline(always)]
fn pass<T>(reason: PassReason) -> Parsed<T> {
    Err(Verdict::Pass(reason))
}

/// Reads the headers.
#[inline(always)]
pub fn parse(ctx: &XdpContext) -> Parsed<Frame> {
    let packet = Packet::new(ctx);
    let ethernet: [u8; ETHERNET_BYTES] = read(&packet, 0)?;
    let mut ethertype = u16::from_be_bytes([ethernet[12], ethernet[13]]);
    let mut ip = ETHERNET_BYTES;
    let mut key = OwnKey {
        address: [0; 16],
        interface: 0,
        outer_vlan: 0,
        inner_vlan: 0,
        port: 0,
        unused: 0,
    };
    if matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_PROVIDER_VLAN) {
        let tag: [u8; VLAN_BYTES] = read(&packet, ip)?;
        key.outer_vlan = vlan(tag);
        ethertype = u16::from_be_bytes([tag[2], tag[3]]);
        ip += VLAN_BYTES;
        if ethertype == ETHERTYPE_VLAN {
            let tag: [u8; VLAN_BYTES] = read(&packet, ip)?;
            key.inner_vlan = vlan(tag);
            ethertype = u16::from_be_bytes([tag[2], tag[3]]);
            ip += VLAN_BYTES;
        }
    }
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(ctx, &packet, &ethernet, ip, key),
        ETHERTYPE_IPV6 => ipv6(ctx, &packet, &ethernet, ip, key),
        _ => Err(Verdict::NotOurs),
    }
}

#[inline(always)]
fn vlan(tag: [u8; VLAN_BYTES]) -> u16 {
    (u16::from_be_bytes([tag[0], tag[1]]) & 0x0FFF) | TAGGED
}

#[inline(always)]
fn ipv4(ctx: &XdpContext, packet: &Packet, ethernet: &[u8; 14], ip: usize, mut key: OwnKey) -> Parsed<Frame> {
    let header: [u8; IPV4_BYTES] = read(packet, ip)?;
    if header[9] != PROTOCOL_UDP || header[0] >> 4 != 4 {
        return Err(Verdict::NotOurs);
    }
    key.address = mapped([header[16], header[17], header[18], header[19]]);
    if header[0] != 0x45 {
        return if some_port_is_ours(ctx, key) {
            pass(PassReason::Ipv4Options)
        } else {
            Err(Verdict::NotOurs)
        };
    }
    // RFC 791 §3.1: more fragments, or an offset.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3FFF != 0 {
        return if some_port_is_ours(ctx, key) {
            pass(PassReason::Fragment)
        } else {
            Err(Verdict::NotOurs)
        };
    }
    let (udp, own) = udp(ctx, packet, ip + IPV4_BYTES, &mut key)?;
    let udp_bytes = u16::from_be_bytes([udp[4], udp[5]]) as usize;
    let total_bytes = u16::from_be_bytes([header[2], header[3]]) as usize;
    if udp_bytes < UDP_BYTES || total_bytes != IPV4_BYTES + udp_bytes || ip + total_bytes > packet.length() {
        return pass(PassReason::Length);
    }
    if !ipv4_checksum_is_right(&header) {
        return pass(PassReason::Ipv4Checksum);
    }
    check_mac(ethernet, &own)?;
    let source = [header[12], header[13], header[14], header[15]];
    // RFC 1122 §3.2.1.3: sources that no packet may have; loopback stays on the loopback interface.
    if source[0] == 0 || source[0] >= 224 || (source[0] == 127) != (header[16] == 127) {
        return pass(PassReason::Source);
    }
    check_source(ctx, mapped(source), &udp, key)?;
    Ok(Frame {
        ip,
        is_ipv6: false,
        payload: udp_bytes - UDP_BYTES,
        mtu: own.mtu as usize,
    })
}

#[inline(always)]
fn ipv6(ctx: &XdpContext, packet: &Packet, ethernet: &[u8; 14], ip: usize, mut key: OwnKey) -> Parsed<Frame> {
    let header: [u8; IPV6_BYTES] = read(packet, ip)?;
    if header[0] >> 4 != 6 {
        return Err(Verdict::NotOurs);
    }
    key.address.copy_from_slice(&header[24..40]);
    match header[6] {
        PROTOCOL_UDP => {}
        NEXT_HEADER_FRAGMENT => {
            return if some_port_is_ours(ctx, key) {
                pass(PassReason::Fragment)
            } else {
                Err(Verdict::NotOurs)
            };
        }
        // RFC 7045 §4: hop-by-hop, routing, authentication, destination, mobility, HIP, shim6.
        0 | 43 | 51 | 60 | 135 | 139 | 140 => {
            return if some_port_is_ours(ctx, key) {
                pass(PassReason::Ipv6Extension)
            } else {
                Err(Verdict::NotOurs)
            };
        }
        _ => return Err(Verdict::NotOurs),
    }
    let (udp, own) = udp(ctx, packet, ip + IPV6_BYTES, &mut key)?;
    let udp_bytes = u16::from_be_bytes([udp[4], udp[5]]) as usize;
    let payload_bytes = u16::from_be_bytes([header[4], header[5]]) as usize;
    if udp_bytes < UDP_BYTES || payload_bytes != udp_bytes || ip + IPV6_BYTES + payload_bytes > packet.length() {
        return pass(PassReason::Length);
    }
    if udp[6] == 0 && udp[7] == 0 {
        return pass(PassReason::ZeroChecksum);
    }
    check_mac(ethernet, &own)?;
    let mut source = [0; 16];
    source.copy_from_slice(&header[8..24]);
    // RFC 4291 §2.5.2, §2.5.3, §2.7: unspecified and loopback (unless both ends are), multicast; and mapped IPv4.
    let high = u64::from_be_bytes([
        source[0], source[1], source[2], source[3], source[4], source[5], source[6], source[7],
    ]);
    let low = u64::from_be_bytes([
        source[8], source[9], source[10], source[11], source[12], source[13], source[14], source[15],
    ]);
    let is_loopback = high == 0 && low == 1;
    if source[0] == 0xFF || (high == 0 && (low == 0 || low >> 32 == 0xFFFF)) || (is_loopback && key.address != source) {
        return pass(PassReason::Source);
    }
    check_source(ctx, source, &udp, key)?;
    Ok(Frame {
        ip,
        is_ipv6: true,
        payload: udp_bytes - UDP_BYTES,
        mtu: own.mtu as usize,
    })
}

/// The UDP header, if it is to one of our ports at the key's address; the port goes into the key.
#[inline(always)]
fn udp(ctx: &XdpContext, packet: &Packet, at: usize, key: &mut OwnKey) -> Parsed<([u8; UDP_BYTES], OwnValue)> {
    let udp: [u8; UDP_BYTES] = read(packet, at)?;
    let port = u16::from_be_bytes([udp[2], udp[3]]);
    if !settings().may_be_port(port) {
        return Err(Verdict::NotOurs);
    }
    key.port = port;
    key.interface = ctx.ingress_ifindex() as u32;
    match own(key) {
        Some(value) => Ok((udp, value)),
        None => Err(Verdict::NotOurs),
    }
}

#[inline(always)]
fn some_port_is_ours(ctx: &XdpContext, mut key: OwnKey) -> bool {
    key.port = 0;
    key.interface = ctx.ingress_ifindex() as u32;
    own(&key).is_some()
}

#[inline(always)]
fn check_mac(ethernet: &[u8; 14], own: &OwnValue) -> Parsed<()> {
    let mac = &own.mac;
    let same = ethernet[0] == mac[0]
        && ethernet[1] == mac[1]
        && ethernet[2] == mac[2]
        && ethernet[3] == mac[3]
        && ethernet[4] == mac[4]
        && ethernet[5] == mac[5];
    if same { Ok(()) } else { pass(PassReason::MacAddress) }
}

/// A client has a source port, and is not one of our own sockets: answers of two servers must not go in circles.
#[inline(always)]
fn check_source(_ctx: &XdpContext, source: [u8; 16], udp: &[u8; UDP_BYTES], mut key: OwnKey) -> Parsed<()> {
    let port = u16::from_be_bytes([udp[0], udp[1]]);
    if port == 0 {
        return pass(PassReason::Source);
    }
    if settings().may_be_port(port) {
        key.address = source;
        key.port = port;
        if own(&key).is_some() {
            return pass(PassReason::OwnSource);
        }
    }
    Ok(())
}

/// RFC 791 §3.1: the sum over a whole header, its checksum included, is all ones.
#[inline(always)]
fn ipv4_checksum_is_right(header: &[u8; IPV4_BYTES]) -> bool {
    let mut sum = 0u64;
    for pair in 0..IPV4_BYTES / 2 {
        sum += u16::from_le_bytes([header[2 * pair], header[2 * pair + 1]]) as u64;
    }
    dns_common::checksum::fold(sum) == 0xFFFF
}
