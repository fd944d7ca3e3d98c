//! RDATA at random, in presentation format.

use dns_userspace::model::name::Name;
use dns_userspace::model::record::RecordType;
use rand::Rng;

use super::Generator;

/// The types of a name with many of them.
pub(super) const MANY: [RecordType; 21] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::MX,
    RecordType::TXT,
    RecordType::SRV,
    RecordType::CAA,
    RecordType::HTTPS,
    RecordType::SVCB,
    RecordType::PTR,
    RecordType::NAPTR,
    RecordType::SSHFP,
    RecordType::TLSA,
    RecordType::HINFO,
    RecordType::RP,
    RecordType::AFSDB,
    RecordType::LOC,
    RecordType::URI,
    RecordType::CERT,
    RecordType::OPENPGPKEY,
    RecordType(65280),
    RecordType(65300),
];

/// The name that a value of this type leads to.
pub(super) fn target(rtype: RecordType, value: &str) -> Option<Name> {
    let at = match rtype {
        RecordType::NS | RecordType::CNAME | RecordType::DNAME | RecordType::PTR | RecordType::SOA => 0,
        RecordType::MX | RecordType::HTTPS | RecordType::SVCB | RecordType::AFSDB => 1,
        RecordType::SRV => 3,
        _ => return None,
    };
    value.split(' ').nth(at)?.parse().ok()
}

impl Generator {
    /// The values of an RRset, as many as it may have.
    pub(super) fn values(&mut self, rtype: RecordType) -> Vec<String> {
        let most = match rtype {
            RecordType::A => 6,
            RecordType::CNAME | RecordType::DNAME => 1,
            RecordType::TXT if self.rng.random_bool(0.1) => 30,
            _ => 4,
        };
        let mut values = Vec::new();
        for _ in 0..self.rng.random_range(1..=most) {
            let value = self.value(rtype);
            // No two that differ in case alone.
            if !values.iter().any(|known: &String| known.eq_ignore_ascii_case(&value)) {
                values.push(value);
            }
        }
        values
    }

    fn value(&mut self, rtype: RecordType) -> String {
        let number = self.rng.random_range(0..4u8);
        match rtype {
            RecordType::A => format!("192.0.2.{}", self.rng.random::<u8>()),
            RecordType::AAAA => format!("2001:db8::{:x}", self.rng.random::<u16>()),
            RecordType::NS | RecordType::CNAME | RecordType::DNAME | RecordType::PTR => self.any_name().to_string(),
            RecordType::MX | RecordType::AFSDB => format!("{number} {}", self.any_name()),
            RecordType::SRV => format!("{number} 5 80 {}", self.any_name()),
            RecordType::HTTPS | RecordType::SVCB if number == 0 => format!("0 {}", self.any_name()),
            RecordType::HTTPS | RecordType::SVCB => format!("{number} {} alpn=h2 port=443", self.any_name()),
            RecordType::RP => format!("{} {}", self.any_name(), self.any_name()),
            RecordType::CAA => format!("0 issue \"ca{number}.example.net\""),
            RecordType::NAPTR => format!("{number} 2 \"u\" \"E2U+sip\" \"!^.*$!sip:a@b!\" {}", self.any_name()),
            RecordType::DS => format!("{number} 8 2 {}", self.hex(32)),
            RecordType::SSHFP => format!("1 2 {}", self.hex(32)),
            RecordType::TLSA => format!("3 1 1 {}", self.hex(32)),
            RecordType::HINFO => format!("\"CPU {number}\" \"OS\""),
            RecordType::LOC => format!("5{number} 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"),
            RecordType::URI => format!("{number} 1 \"https://www.example.com/{number}\""),
            RecordType::CERT => format!("1 {number} 8 AAECAw=="),
            RecordType::OPENPGPKEY => format!("mQENBFVHm5sBCAD{number}"),
            RecordType::TXT => self.text(),
            _ => {
                let length = self.pick(&[1, 7, 60, 300]);
                format!("\\# {length} {}", self.hex(length))
            }
        }
    }

    /// Strings of a total length around where answers meet the limits.
    fn text(&mut self) -> String {
        let around = self.pick(&[0, 3, 20, 60, 100, 200, 400, 440, 480, 900, 1100, 1180, 2000]);
        let mut rest = around + self.rng.random_range(0..40);
        let mut strings = Vec::new();
        loop {
            let now = rest.min(255);
            let letters: String = (0..now)
                .map(|_| char::from(self.rng.random_range(b'a'..=b'z')))
                .collect();
            strings.push(format!("\"{letters}\""));
            rest -= now;
            if rest == 0 {
                return strings.join(" ");
            }
        }
    }

    fn hex(&mut self, octets: usize) -> String {
        (0..octets)
            .map(|_| format!("{:02x}", self.rng.random::<u8>()))
            .collect()
    }
}
