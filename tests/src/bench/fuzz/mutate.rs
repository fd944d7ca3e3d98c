//! Packets: queries as clients send them, then changed in ways that attackers, broken devices and bad luck know.

use std::net::{IpAddr, SocketAddr};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};

use crate::frames::{Edns, Query, UdpChecksum, UdpFrame, internet_checksum};

/// Where packets go, and what they may ask for.
#[derive(Clone, Debug)]
pub struct Surface {
    /// The client's MAC address.
    pub client_mac: [u8; 6],
    /// The interface's own.
    pub server_mac: [u8; 6],
    /// The client's addresses.
    pub clients: Vec<IpAddr>,
    /// The server's addresses; of each family as the client's.
    pub servers: Vec<IpAddr>,
    /// Names that exist, in wire form.
    pub names: Vec<Vec<u8>>,
    /// The zones.
    pub apexes: Vec<Vec<u8>>,
}

/// Makes one packet.
pub struct Mutator<'a> {
    rng: StdRng,
    surface: &'a Surface,
}

const QTYPES: [u16; 20] = [
    1, 1, 1, 1, 28, 28, 16, 16, 2, 5, 6, 12, 15, 33, 41, 43, 65, 255, 0, 65535,
];

impl<'a> Mutator<'a> {
    /// A maker of packets, with its own source of randomness.
    pub fn new(rng: StdRng, surface: &'a Surface) -> Self {
        Self { rng, surface }
    }

    /// A packet: a query, in half of the cases mutated, in some of them nothing like it.
    pub fn packet(&mut self) -> Vec<u8> {
        if self.chance(2) {
            let mut noise = vec![0; self.rng.random_range(14..1514)];
            self.rng.fill_bytes(&mut noise);
            return noise;
        }
        let mut frame = self.frame();
        if self.chance(40) {
            self.mutate_message(&mut frame.payload);
        }
        let mut bytes = frame.build();
        if self.chance(35) {
            for _ in 0..self.rng.random_range(1..4) {
                self.mutate_frame(&mut bytes);
            }
            // With right sums again a change is seen by more than the first check.
            if self.chance(70) {
                fix_ipv4_checksum(&mut bytes);
            }
        }
        // The kernel refuses to run a program on less.
        bytes.resize(bytes.len().max(14), 0);
        bytes
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        *values.choose(&mut self.rng).expect("there is something to choose from")
    }

    fn frame(&mut self) -> UdpFrame {
        let servers = &self.surface.servers;
        let server = self.pick(servers);
        let client = self
            .surface
            .clients
            .iter()
            .find(|client| client.is_ipv4() == server.is_ipv4());
        let client = *client.expect("the client has an address of each family that the server has");
        let ports = [self.rng.random_range(1024..=65535), 0, 53, self.rng.random()];
        let weights = [0, 0, 0, 0, 0, 0, 0, 1, 2, 3];
        let source = SocketAddr::new(client, ports[self.pick(&weights)]);
        let port = if self.chance(97) { 53 } else { self.rng.random() };
        let payload = self.query().build();
        let macs = (self.surface.client_mac, self.surface.server_mac);
        let mut frame = UdpFrame::new(macs, source, SocketAddr::new(server, port), payload);
        for _ in 0..self.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 2, 3]) {
            frame.vlans.push(self.rng.random());
        }
        frame.ttl = self.rng.random();
        frame.traffic_class = self.pick(&[0, 0, 0, 1, 2, 3, 0xB8, 0xFF]);
        frame.checksum = match self.rng.random_range(0..10) {
            0..7 => UdpChecksum::Right,
            7..9 => UdpChecksum::Zero,
            _ => UdpChecksum::Fixed(self.rng.random()),
        };
        frame
    }

    fn query(&mut self) -> Query {
        let name = self.name();
        let mut query = Query::new(&name, self.pick(&QTYPES));
        query.id = self.rng.random();
        query.flags = match self.rng.random_range(0..20) {
            0..8 => 0x0100,
            8..16 => 0,
            16 => 0x0120,
            17 => 0x0110,
            18 => 0x8180,
            _ => self.rng.random(),
        };
        if self.chance(3) {
            query.qclass = self.pick(&[0, 3, 254, 255, 0x8001]);
        }
        if self.chance(50) {
            query.edns = Some(self.edns());
        }
        query
    }

    fn edns(&mut self) -> Edns {
        let sizes = [0, 511, 512, 513, 1232, 1232, 1232, 4096, 65535];
        let mut edns = Edns {
            udp_payload: self.pick(&sizes),
            version: if self.chance(95) { 0 } else { self.rng.random() },
            dnssec_ok: self.chance(30),
            options: Vec::new(),
        };
        while self.chance(30) {
            // NSID, ECS, cookie, padding, keepalive, and what nobody knows.
            let code: u16 = self.pick(&[3, 8, 10, 10, 11, 12, 65001]);
            let mut data = vec![0; self.pick(&[0, 1, 7, 8, 16, 24, 40, 41])];
            self.rng.fill_bytes(&mut data);
            edns.options.extend(code.to_be_bytes());
            let length = if self.chance(95) {
                data.len() as u16
            } else {
                self.rng.random()
            };
            edns.options.extend(length.to_be_bytes());
            edns.options.extend(data);
        }
        edns
    }

    /// Names that exist, in any case; names beside, above and below them; names of any other kind.
    fn name(&mut self) -> Vec<u8> {
        let apexes = &self.surface.apexes;
        let apex = apexes.choose(&mut self.rng).cloned().unwrap_or_else(|| vec![0]);
        let mut name = match self.rng.random_range(0..10) {
            0..6 => self.surface.names.choose(&mut self.rng).cloned().unwrap_or(apex),
            6 => apex,
            _ => {
                let mut name = Vec::new();
                let labels = if self.chance(90) {
                    self.rng.random_range(1..4)
                } else {
                    self.rng.random_range(1..127)
                };
                let longest = if self.chance(80) { 8 } else { 63 };
                for _ in 0..labels {
                    let label = self.rng.random_range(1..=longest);
                    if name.len() + label + 1 + apex.len() > 255 {
                        break;
                    }
                    name.push(label as u8);
                    let any = self.chance(10);
                    for _ in 0..label {
                        let byte = if any {
                            self.rng.random()
                        } else {
                            self.rng.random_range(b'a'..=b'z')
                        };
                        name.push(byte);
                    }
                }
                name.extend(if self.chance(80) { apex } else { vec![0] });
                name
            }
        };
        if self.chance(50) {
            // Length octets are below the letters.
            for byte in &mut name {
                if byte.is_ascii_alphabetic() && self.rng.random() {
                    *byte ^= 0x20;
                }
            }
        }
        name
    }

    /// Changes the message; IP and UDP will be right around it.
    fn mutate_message(&mut self, message: &mut Vec<u8>) {
        match self.rng.random_range(0..9) {
            0 => message.truncate(self.rng.random_range(0..=message.len())),
            1 => message.extend(vec![self.rng.random::<u8>(); self.rng.random_range(1..600)]),
            // A count, or a flag.
            2 => self.poke(message, 2..12),
            3 => {
                let at = self.rng.random_range(4..12).min(message.len().saturating_sub(1));
                message[at] = self.pick(&[0, 1, 2, 255]);
            }
            // A pointer, or a label of an unknown kind, into the question.
            4 => {
                let at = self.rng.random_range(12..message.len());
                message[at] = self.pick(&[0xC0, 0xC0, 0x40, 0x80, 0xFF, 0x3F]);
            }
            5 => self.poke(message, 12..usize::MAX),
            // A second copy of everything after the header: two questions, or two OPT records.
            6 => {
                let rest = message[12..].to_vec();
                message.extend(rest);
                let count = self.pick(&[5, 11]);
                message[count] = message[count].wrapping_add(1);
            }
            7 => {
                let at = self.rng.random_range(0..message.len());
                message.remove(at);
            }
            _ => {
                let at = self.rng.random_range(0..=message.len());
                message.insert(at, self.rng.random());
            }
        }
    }

    /// Changes the frame's bytes.
    fn mutate_frame(&mut self, frame: &mut Vec<u8>) {
        let Some(ip) = ip_offset(frame) else {
            return self.poke(frame, 0..usize::MAX);
        };
        match self.rng.random_range(0..12) {
            0 => self.poke(frame, 0..usize::MAX),
            // The Ethernet header and tags, the IP header, the UDP header.
            1 => self.poke(frame, 0..ip),
            2 => self.poke(frame, ip..ip + 20),
            3 => self.poke(frame, ip + 20..ip + 48),
            4 => frame.truncate(self.rng.random_range(0..=frame.len())),
            5 => frame.extend(vec![self.rng.random::<u8>(); self.rng.random_range(1..64)]),
            // A length that is off by a little.
            6 => {
                let off: i16 = self.rng.random_range(-30..30);
                let at = ip + self.pick(&[2usize, 4, 24, 44]);
                if let Some(field) = frame.get_mut(at..at + 2) {
                    let length = u16::from_be_bytes([field[0], field[1]]).wrapping_add_signed(off);
                    field.copy_from_slice(&length.to_be_bytes());
                }
            }
            // A fragment.
            7 => {
                if let Some(field) = frame.get_mut(ip + 6..ip + 8) {
                    let fragment: u16 = self.pick(&[0x2000, 0x0001, 0x2001, 0x8000]);
                    field.copy_from_slice(&fragment.to_be_bytes());
                }
            }
            // IPv4 options, with the datagram behind them.
            8 if frame.get(ip) == Some(&0x45) && frame.len() >= ip + 20 => {
                let words = self.rng.random_range(1..=10u8);
                frame[ip] += words;
                let total = u16::from_be_bytes([frame[ip + 2], frame[ip + 3]]).wrapping_add(u16::from(words) * 4);
                frame[ip + 2..ip + 4].copy_from_slice(&total.to_be_bytes());
                frame.splice(ip + 20..ip + 20, vec![1; usize::from(words) * 4]);
            }
            // An IPv6 extension header: hop-by-hop, routing, fragment, destination options.
            9 if frame.get(ip).is_some_and(|byte| byte >> 4 == 6) && frame.len() >= ip + 40 => {
                let next = frame[ip + 6];
                frame[ip + 6] = self.pick(&[0, 43, 44, 60]);
                let length = u16::from_be_bytes([frame[ip + 4], frame[ip + 5]]).wrapping_add(8);
                frame[ip + 4..ip + 6].copy_from_slice(&length.to_be_bytes());
                frame.splice(ip + 40..ip + 40, [next, 0, 1, 4, 0, 0, 0, 0]);
            }
            // Addresses that nobody answers: multicast, broadcast, unspecified, loopback.
            10 => {
                let addresses = [
                    [224, 0, 0, 1],
                    [255; 4],
                    [0; 4],
                    [127, 0, 0, 1],
                    [10, 77, 0, 1],
                    [10, 77, 0, 255],
                ];
                let at = ip + self.pick(&[12usize, 16]);
                if let Some(field) = frame.get_mut(at..at + 4) {
                    field.copy_from_slice(&self.pick(&addresses));
                }
            }
            // A destination MAC address that is not ours.
            _ => {
                if let Some(field) = frame.get_mut(..6) {
                    field.fill(if self.rng.random() { 0xFF } else { 0x02 });
                }
            }
        }
    }

    /// Flips a bit, or sets a byte to a value at an edge, somewhere in a range.
    fn poke(&mut self, bytes: &mut [u8], range: std::ops::Range<usize>) {
        let end = range.end.min(bytes.len());
        if range.start >= end {
            return;
        }
        let at = self.rng.random_range(range.start..end);
        if self.rng.random() {
            bytes[at] ^= 1 << self.rng.random_range(0..8);
        } else {
            bytes[at] = self.pick(&[0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF]);
        }
    }
}

fn ip_offset(frame: &[u8]) -> Option<usize> {
    let mut at = 12;
    while let [0x81, 0x00] | [0x88, 0xA8] = frame.get(at..at + 2)? {
        at += 4;
    }
    Some(at + 2)
}

fn fix_ipv4_checksum(frame: &mut [u8]) {
    let Some(ip) = ip_offset(frame) else { return };
    let length = frame.get(ip).map_or(0, |byte| usize::from(byte & 15) * 4);
    if let Some(header) = frame.get_mut(ip..ip + length)
        && header.len() >= 20
        && header[0] >> 4 == 4
    {
        header[10..12].fill(0);
        let sum = internet_checksum(&[header]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::packet;
    use super::*;
    use crate::frames::wire_name;

    fn surface() -> Surface {
        Surface {
            client_mac: [2; 6],
            server_mac: [4; 6],
            clients: vec!["10.77.0.2".parse().unwrap(), "fd77::2".parse().unwrap()],
            servers: vec!["10.77.0.1".parse().unwrap(), "fd77::1".parse().unwrap()],
            names: vec![wire_name("www.example.com.")],
            apexes: vec![wire_name("example.com.")],
        }
    }

    #[test]
    fn cases_follow_from_seed_and_number() {
        let surface = surface();
        let cases = |seed| {
            (0..2000)
                .map(|number| packet(seed, number, &surface))
                .collect::<Vec<_>>()
        };
        assert_eq!(cases(1), cases(1));
        assert_ne!(cases(1), cases(2));
        assert!(cases(1).iter().collect::<BTreeSet<_>>().len() > 1990);
    }

    #[test]
    fn many_cases_are_queries_and_many_are_not() {
        let surface = surface();
        let parsed = (0..4000)
            .filter(|number| UdpFrame::parse(&packet(3, *number, &surface)).is_ok())
            .count();
        assert!((1000..3500).contains(&parsed), "{parsed}");
    }
}
