//! Questions to a configuration: what is there, what is beside, above and below, and messages that are hardly any.

use std::collections::BTreeSet;

use dns_userspace::model::name::{Name, NameKey};
use dns_userspace::model::record::RecordType;
use dns_userspace::model::snapshot::Snapshot;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::frames::{Edns, Query};
use crate::zones::names_in;

/// The types that are asked.
pub const TYPES: [RecordType; 23] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::TXT,
    RecordType::CNAME,
    RecordType::NS,
    RecordType::SOA,
    RecordType::MX,
    RecordType::SRV,
    RecordType::DS,
    RecordType::KEY,
    RecordType::HTTPS,
    RecordType::DNAME,
    RecordType::PTR,
    RecordType::CAA,
    RecordType::NAPTR,
    RecordType::SSHFP,
    RecordType::NSEC,
    RecordType(65280),
    RecordType(65281),
    RecordType(65300),
    RecordType::ALIAS,
    RecordType::ANY,
    RecordType(4711),
];

/// Every name that a snapshot's answers may depend on, and names around them.
#[derive(Clone, Default)]
pub struct Names {
    all: BTreeSet<NameKey>,
}

impl Names {
    /// Adds what a snapshot holds: owners, targets, their ancestors, wildcards of them, and names that are not there.
    pub fn add(&mut self, snapshot: &Snapshot) {
        let zones = snapshot.zones.values().flat_map(|zone| &zone.nodes);
        for (key, node) in zones.chain(&snapshot.overlays) {
            self.add_around(&node.owner(key));
            for rrset in &node.rrsets {
                for target in names_in(rrset) {
                    self.add_around(&target);
                }
            }
        }
        for zone in snapshot.zones.values() {
            self.add_around(&zone.apex);
        }
        for view in &snapshot.views.list {
            self.add(&view.tree);
        }
    }

    /// Adds one name.
    pub fn add_one(&mut self, name: &Name) {
        self.all.insert(name.key());
    }

    fn add_around(&mut self, name: &Name) {
        let mut at = Some(name.clone());
        let mut new = true;
        while let Some(name) = at.filter(|_| new) {
            new = self.all.insert(name.key());
            for label in [&b"*"[..], b"nx", b"a", b"\0"] {
                if let Some(child) = name.child(label).filter(|_| new) {
                    self.all.insert(child.key());
                }
            }
            at = name.parent();
        }
        let deeper = [&b"no"[..], b"b", b"x"]
            .iter()
            .try_fold(name.clone(), |name, label| name.child(label));
        self.all.extend(deeper.map(|name| name.key()));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Each of them, in canonical order, in lower case.
    pub fn iter(&self) -> impl Iterator<Item = Name> {
        self.all.iter().map(NameKey::to_name)
    }

    /// One of them.
    pub fn any(&self, rng: &mut StdRng) -> Name {
        let at = rng.random_range(0..self.all.len().max(1));
        self.all.iter().nth(at).map_or_else(Name::root, NameKey::to_name)
    }
}

/// A well-formed query: a name in random case (draft-vixie-dnsext-dns0x20), any flags of a query, any EDNS.
pub fn well_formed(rng: &mut StdRng, name: &Name, qtype: RecordType) -> Query {
    let case: [u64; 4] = rng.random();
    let mut wire = name.as_wire().to_vec();
    for (at, octet) in wire.iter_mut().enumerate().skip(1) {
        if octet.is_ascii_alphabetic() && case[at / 64] >> (at % 64) & 1 != 0 {
            *octet ^= 0x20;
        }
    }
    // RD, AD and CD.
    let flags = rng.random::<u16>() & 0x0130;
    let edns = rng.random_bool(0.6).then(|| Edns {
        udp_payload: *[0, 511, 512, 513, 1000, 1231, 1232, 1233, 1452, 4096, 4096, 4096, 65535]
            .choose(rng)
            .expect("not empty"),
        version: 0,
        dnssec_ok: rng.random(),
        options: options(rng),
    });
    Query {
        id: rng.random(),
        flags,
        name: wire,
        qtype: qtype.0,
        qclass: 1,
        edns,
    }
}

fn options(rng: &mut StdRng) -> Vec<u8> {
    let mut options = Vec::new();
    if rng.random_bool(0.3) {
        for _ in 0..rng.random_range(1..4) {
            // COOKIE, NSID, client subnet, padding, one that nobody knows.
            let (code, length) = *[
                (10u16, 8usize),
                (10, 24),
                (10, 40),
                (3, 0),
                (8, 7),
                (12, 40),
                (65001, 5),
            ]
            .choose(rng)
            .expect("not empty");
            options.extend(code.to_be_bytes());
            options.extend((length as u16).to_be_bytes());
            options.extend((0..length).map(|_| rng.random::<u8>()));
        }
    }
    options
}

/// The same message with something wrong.
pub fn mutated(rng: &mut StdRng, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..*[1, 1, 1, 2, 4].choose(rng).expect("not empty") {
        let at = rng.random_range(0..message.len().max(1));
        match rng.random_range(0..9) {
            0..3 if !message.is_empty() => message[at] ^= 1 << rng.random_range(0..8),
            3 if !message.is_empty() => message[at] = *[0, 1, 41, 63, 64, 0xC0, 0xFF].choose(rng).expect("not empty"),
            4 => message.truncate(at),
            5 => {
                let more = rng.random_range(1..30);
                message.extend((0..more).map(|_| rng.random::<u8>()));
            }
            6 if message.len() >= 12 => {
                // Counts, the most telling of all octets.
                let count = rng.random_range(4..12);
                message[count] = rng.random_range(0..3);
            }
            7 if message.len() >= 12 => message[2] = rng.random(),
            8 => {
                let end = rng.random_range(at..=message.len());
                message.drain(at..end);
            }
            _ => {}
        }
    }
    message
}
