//! RDATA at random, in wire form.

use dns_userspace::model::name::Name;
use dns_userspace::model::rdata::embedded_names;
use dns_userspace::model::record::{RecordType, RrSet};
use rand::Rng;
use rand::seq::IndexedRandom;

use super::Generator;

/// The types of a name with many of them.
pub(super) const MANY: [RecordType; 14] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::MX,
    RecordType::TXT,
    RecordType::SRV,
    RecordType::CAA,
    RecordType::HTTPS,
    RecordType::PTR,
    RecordType::DS,
    RecordType::KEY,
    RecordType::NAPTR,
    RecordType::SSHFP,
    RecordType(65280),
    RecordType(65300),
];

/// The names in an RRset's RDATA.
pub fn names_in(rrset: &RrSet) -> impl Iterator<Item = Name> + '_ {
    rrset.rdatas.iter().flat_map(|rdata| {
        embedded_names(rrset.rtype, rdata)
            .filter_map(|found| Name::from_wire(&rdata[found.offset..found.offset + found.length]).ok())
            .collect::<Vec<_>>()
    })
}

impl Generator {
    pub(super) fn soa(&mut self) -> RrSet {
        let (mname, rname) = (self.any_name(), self.any_name());
        let mut rdata = [mname.as_wire(), rname.as_wire()].concat();
        let minimum = *[0u32, 60, 300, 86400].choose(&mut self.rng).expect("not empty");
        for number in [self.rng.random(), 3600, 600, 86400, minimum] {
            rdata.extend(number.to_be_bytes());
        }
        self.rrset_of(RecordType::SOA, vec![rdata.into()])
    }

    pub(super) fn ns(&mut self) -> RrSet {
        self.rrset(RecordType::NS)
    }

    /// An RRset of a type, with as many RRs as it may have.
    pub(super) fn rrset(&mut self, rtype: RecordType) -> RrSet {
        let most = match rtype {
            RecordType::A => 6,
            RecordType::AAAA => 3,
            RecordType::CNAME | RecordType::DNAME | RecordType::ALIAS => 1,
            RecordType::TXT if self.rng.random_bool(0.1) => 30,
            _ => 4,
        };
        let mut rdatas: Vec<Box<[u8]>> = Vec::new();
        for _ in 0..self.rng.random_range(1..=most) {
            let rdata = self.rdata(rtype).into_boxed_slice();
            if !rdatas.contains(&rdata) {
                rdatas.push(rdata);
            }
        }
        self.rrset_of(rtype, rdatas)
    }

    fn rdata(&mut self, rtype: RecordType) -> Vec<u8> {
        let number = self.rng.random_range(0..4u16).to_be_bytes();
        let target = |generator: &mut Self| generator.any_name().as_wire().to_vec();
        match rtype {
            RecordType::A => self.octets(4),
            RecordType::AAAA => self.octets(16),
            RecordType::NS | RecordType::CNAME | RecordType::DNAME | RecordType::PTR | RecordType::ALIAS => {
                target(self)
            }
            RecordType::MX => [number.to_vec(), target(self)].concat(),
            RecordType::SRV => [number.to_vec(), vec![0, 5, 0, 80], target(self)].concat(),
            RecordType::HTTPS => [number.to_vec(), target(self)].concat(),
            RecordType::CAA => b"\0\x05issueca.example.net".to_vec(),
            RecordType::NAPTR => [&[0, 1, 0, 2, 1, b'u', 1, b'e', 1, b'r'][..], &target(self)].concat(),
            RecordType::DS => [&[1, 2, 8, 2][..], &self.octets(32)].concat(),
            RecordType::SSHFP => [&[1, 2][..], &self.octets(32)].concat(),
            RecordType::KEY => [&[1, 0, 3, 8][..], &self.octets(20)].concat(),
            RecordType::TXT => self.text(),
            _ => {
                let length = *[1, 7, 60, 300].choose(&mut self.rng).expect("not empty");
                self.octets(length)
            }
        }
    }

    /// Strings of a total length around what the size classes, the limits and their edges are.
    fn text(&mut self) -> Vec<u8> {
        let around = *[0, 3, 20, 60, 100, 200, 440, 480, 900, 960, 1180, 2000, 4040, 5000]
            .choose(&mut self.rng)
            .expect("not empty");
        let mut rest = around + self.rng.random_range(0..40);
        let mut rdata = Vec::new();
        loop {
            let now = rest.min(255);
            rdata.push(now as u8);
            rdata.extend(self.octets(now));
            rest -= now;
            if rest == 0 {
                return rdata;
            }
        }
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.rng.random()).collect()
    }
}
