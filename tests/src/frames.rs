//! Frames and DNS messages, built and taken apart byte by byte, with nothing of the server's own code.
//!
//! ```text
//!   UdpFrame { MACs, VLAN tags, addresses, ports, payload } ── build ──► bytes ── parse ──► UdpFrame, sums checked
//!   Query { id, name, type, EDNS }                          ── build ──► payload
//! ```

mod checksum;
mod query;

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

pub use checksum::{internet_checksum, pseudo_header};
pub use query::{Edns, Query, wire_name};

/// The UDP checksum that a frame is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpChecksum {
    /// The right one.
    Right,
    /// None (RFC 768: zero), which IPv6 forbids.
    Zero,
    /// These bits, whatever is right.
    Fixed(u16),
}

/// A UDP datagram in an Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpFrame {
    /// Where it comes from.
    pub source_mac: [u8; 6],
    /// Where it goes.
    pub destination_mac: [u8; 6],
    /// The VLAN tags' TCI fields, outermost first. With two, the outer one has ethertype 0x88A8.
    pub vlans: Vec<u16>,
    /// Address and port it comes from.
    pub source: SocketAddr,
    /// Address and port it goes to; of the same family.
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Its checksum.
    pub checksum: UdpChecksum,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Why bytes are not a UDP datagram with right lengths and sums.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The frame ends within a header, or before a length says.
    #[error("the frame ends at {length} bytes, within its {within}")]
    Short {
        /// Bytes there are.
        length: usize,
        /// What should be there.
        within: &'static str,
    },
    /// Neither IPv4 nor IPv6.
    #[error("ethertype {0:#06x}")]
    Ethertype(u16),
    /// Options, fragments, extension headers, or not UDP.
    #[error("not a plain UDP datagram: {0}")]
    NotPlainUdp(&'static str),
    /// A length field disagrees with another.
    #[error("{field} says {says}, not {expected}")]
    Length {
        /// The field.
        field: &'static str,
        /// What it says.
        says: usize,
        /// What it should say.
        expected: usize,
    },
    /// A wrong checksum.
    #[error("wrong {0} checksum")]
    Checksum(&'static str),
}

impl UdpFrame {
    /// A frame between these addresses, with right checksum, TTL 64 and no tag.
    pub fn new(macs: ([u8; 6], [u8; 6]), source: SocketAddr, destination: SocketAddr, payload: Vec<u8>) -> Self {
        let (source_mac, destination_mac) = macs;
        Self {
            source_mac,
            destination_mac,
            vlans: Vec::new(),
            source,
            destination,
            ttl: 64,
            traffic_class: 0,
            checksum: UdpChecksum::Right,
            payload,
        }
    }

    /// The bytes of all headers before the payload.
    pub fn header_length(&self) -> usize {
        14 + 4 * self.vlans.len() + if self.source.is_ipv4() { 20 } else { 40 } + 8
    }

    /// The frame's bytes, without padding.
    ///
    /// # Panics
    ///
    /// Where the two addresses differ in family, or the payload does not fit an IP packet.
    pub fn build(&self) -> Vec<u8> {
        let mut frame = [self.destination_mac, self.source_mac].concat();
        for (position, tci) in self.vlans.iter().enumerate() {
            let is_outer_of_two = position + 1 < self.vlans.len();
            frame.extend(if is_outer_of_two { [0x88, 0xA8] } else { [0x81, 0x00] });
            frame.extend(tci.to_be_bytes());
        }
        let udp_length = u16::try_from(8 + self.payload.len()).expect("a payload fits a UDP datagram");
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([0x08, 0x00]);
                let total = udp_length
                    .checked_add(20)
                    .expect("a payload fits an IPv4 packet")
                    .to_be_bytes();
                let mut header = vec![
                    0x45,
                    self.traffic_class,
                    total[0],
                    total[1],
                    0,
                    0,
                    0x40,
                    0,
                    self.ttl,
                    17,
                    0,
                    0,
                ];
                header.extend(source.octets());
                header.extend(destination.octets());
                let sum = internet_checksum(&[&header]);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                frame.extend(header);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend([0x86, 0xDD]);
                frame.extend((0x6000_0000 | u32::from(self.traffic_class) << 20).to_be_bytes());
                frame.extend(udp_length.to_be_bytes());
                frame.extend([17, self.ttl]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            _ => panic!("{} and {} are of different families", self.source, self.destination),
        }
        let mut udp = [self.source.port(), self.destination.port(), udp_length, 0]
            .map(u16::to_be_bytes)
            .concat();
        udp.extend(&self.payload);
        let sum = match self.checksum {
            UdpChecksum::Right => udp_checksum(self.source.ip(), self.destination.ip(), &udp),
            UdpChecksum::Zero => 0,
            UdpChecksum::Fixed(sum) => sum,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        frame.extend(udp);
        frame
    }

    /// Takes a frame apart. Padding after the IP packet is allowed; every length and checksum has to be right (a UDP
    /// checksum of zero is fine in IPv4).
    pub fn parse(frame: &[u8]) -> Result<Self, FrameError> {
        let short = |within| FrameError::Short {
            length: frame.len(),
            within,
        };
        let ethernet: &[u8; 14] = frame.first_chunk().ok_or(short("Ethernet header"))?;
        let mac = |from: usize| std::array::from_fn(|byte| ethernet[from + byte]);
        let mut ethertype = u16::from_be_bytes([ethernet[12], ethernet[13]]);
        let mut ip = &frame[14..];
        let mut vlans = Vec::new();
        while matches!(ethertype, 0x8100 | 0x88A8) {
            let tag: &[u8; 4] = ip.first_chunk().ok_or(short("VLAN tag"))?;
            vlans.push(u16::from_be_bytes([tag[0], tag[1]]));
            ethertype = u16::from_be_bytes([tag[2], tag[3]]);
            ip = &ip[4..];
        }
        let packet = match ethertype {
            0x0800 => Packet::ipv4(ip, short("IPv4 packet"))?,
            0x86DD => Packet::ipv6(ip, short("IPv6 packet"))?,
            other => return Err(FrameError::Ethertype(other)),
        };
        let udp = packet.payload;
        let header: &[u8; 8] = udp.first_chunk().ok_or(short("UDP header"))?;
        let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        if usize::from(field(4)) != udp.len() {
            return Err(FrameError::Length {
                field: "UDP length",
                says: field(4).into(),
                expected: udp.len(),
            });
        }
        let checksum = match field(6) {
            0 if packet.source.is_ipv4() => UdpChecksum::Zero,
            0 => return Err(FrameError::Checksum("UDP (zero over IPv6)")),
            _ if internet_checksum(&[&pseudo_header(packet.source, packet.destination, udp.len()), udp]) != 0 => {
                return Err(FrameError::Checksum("UDP"));
            }
            _ => UdpChecksum::Right,
        };
        Ok(Self {
            destination_mac: mac(0),
            source_mac: mac(6),
            vlans,
            source: SocketAddr::new(packet.source, field(0)),
            destination: SocketAddr::new(packet.destination, field(2)),
            ttl: packet.ttl,
            traffic_class: packet.traffic_class,
            checksum,
            payload: udp[8..].to_vec(),
        })
    }
}

struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    traffic_class: u8,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    fn ipv4(bytes: &'a [u8], short: FrameError) -> Result<Self, FrameError> {
        let header: &[u8; 20] = bytes.first_chunk().ok_or(short.clone())?;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] != 0x45 {
            return Err(FrameError::NotPlainUdp("another version, or options"));
        }
        if header[9] != 17 || u16::from_be_bytes([header[6], header[7]]) & 0x3FFF != 0 {
            return Err(FrameError::NotPlainUdp("another protocol, or a fragment"));
        }
        if internet_checksum(&[header]) != 0 {
            return Err(FrameError::Checksum("IPv4 header"));
        }
        let payload = bytes.get(20..total).ok_or(short)?;
        let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&header[at..at + 4]).expect("four bytes"));
        let (source, destination) = (address(12), address(16));
        Ok(Self {
            source,
            destination,
            ttl: header[8],
            traffic_class: header[1],
            payload,
        })
    }

    fn ipv6(bytes: &'a [u8], short: FrameError) -> Result<Self, FrameError> {
        let header: &[u8; 40] = bytes.first_chunk().ok_or(short.clone())?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 || header[6] != 17 {
            return Err(FrameError::NotPlainUdp("another version or next header"));
        }
        let payload = bytes.get(40..40 + length).ok_or(short)?;
        let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&header[at..at + 16]).expect("sixteen bytes"));
        let traffic_class = header[0] << 4 | header[1] >> 4;
        Ok(Self {
            source: address(8),
            destination: address(24),
            ttl: header[7],
            traffic_class,
            payload,
        })
    }
}

/// The UDP checksum of a datagram whose checksum field is zero; never zero itself (RFC 768).
pub fn udp_checksum(source: IpAddr, destination: IpAddr, udp: &[u8]) -> u16 {
    match internet_checksum(&[&pseudo_header(source, destination, udp.len()), udp]) {
        0 => 0xFFFF,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(source: &str, destination: &str, payload: Vec<u8>) -> UdpFrame {
        UdpFrame::new(
            ([2; 6], [4; 6]),
            source.parse().unwrap(),
            destination.parse().unwrap(),
            payload,
        )
    }

    #[test]
    fn what_is_built_parses_to_the_same() {
        for (source, destination) in [
            ("192.0.2.1:4000", "192.0.2.2:53"),
            ("[2001:db8::1]:4000", "[2001:db8::2]:53"),
        ] {
            for vlans in [vec![], vec![7], vec![0x2007, 9]] {
                for length in [0, 1, 2, 511] {
                    let mut frame = frame(source, destination, (0..length).map(|byte| byte as u8).collect());
                    frame.vlans = vlans.clone();
                    frame.traffic_class = 3;
                    let bytes = frame.build();
                    assert_eq!(bytes.len(), frame.header_length() + length);
                    assert_eq!(UdpFrame::parse(&bytes), Ok(frame.clone()));
                    // Padding is not part of it.
                    assert_eq!(UdpFrame::parse(&[bytes, vec![0; 9]].concat()), Ok(frame));
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        for (source, destination) in [
            ("192.0.2.1:4000", "192.0.2.2:53"),
            ("[2001:db8::1]:4000", "[2001:db8::2]:53"),
        ] {
            let frame = frame(source, destination, vec![1, 2, 3]);
            let bytes = frame.build();
            for at in 14..bytes.len() {
                for bit in 0..8 {
                    let mut changed = bytes.clone();
                    changed[at] ^= 1 << bit;
                    // IPv6 has no sum over its version, traffic class, flow label and hop limit.
                    let uncovered = frame.source.is_ipv6() && matches!(at, 14..=17 | 21);
                    assert!(
                        uncovered || UdpFrame::parse(&changed) != Ok(frame.clone()),
                        "{at} {bit}"
                    );
                    assert!(uncovered || UdpFrame::parse(&changed).is_err(), "{at} {bit}");
                }
            }
        }
    }

    #[test]
    fn a_zero_checksum_is_for_ipv4_only() {
        let mut v4 = frame("192.0.2.1:1", "192.0.2.2:53", vec![1]);
        v4.checksum = UdpChecksum::Zero;
        assert_eq!(UdpFrame::parse(&v4.build()), Ok(v4));
        let mut v6 = frame("[::1]:1", "[::2]:53", vec![1]);
        v6.checksum = UdpChecksum::Zero;
        assert!(UdpFrame::parse(&v6.build()).is_err());
    }
}
