//! Zones of one kind of records.

use std::fmt;
use std::fmt::Write as _;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What the records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    /// An A record at each of many names.
    Hosts,
    /// A PTR record at each of many addresses, one after the other, in one `in-addr.arpa` zone.
    Ptr,
    /// A PTR record at each of many random host parts in one `ip6.arpa` zone.
    Ip6,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hosts => "hosts",
            Self::Ptr => "ptr",
            Self::Ip6 => "ip6",
        })
    }
}

impl Shape {
    /// A line of every zone file, and another one that may stand there.
    pub(super) const ONE_LINE: (&str, &str) = ("changed TXT before\n", "changed TXT after\n");

    pub(super) fn apex(self) -> &'static str {
        match self {
            Self::Hosts => "load.example.",
            Self::Ptr => "10.in-addr.arpa.",
            Self::Ip6 => "8.b.d.0.1.0.0.2.ip6.arpa.",
        }
    }

    /// The zone file.
    pub(super) fn zone(self, records: u32) -> String {
        let mut text = format!(
            "$ORIGIN {}\n$TTL 300\n@ SOA ns.load.example. hostmaster.load.example. 1 3600 600 86400 60\n\
             @ NS ns.load.example.\n{}",
            self.apex(),
            Self::ONE_LINE.0
        );
        let mut rng = StdRng::seed_from_u64(1);
        for number in 0..records {
            let [_, a, b, c] = number.to_be_bytes();
            // Writing to a string cannot fail.
            let _ = match self {
                Self::Hosts => writeln!(text, "host-{number:07} A 10.{a}.{b}.{c}"),
                Self::Ptr => writeln!(text, "{c}.{b}.{a} PTR host-{number:07}.load.example."),
                Self::Ip6 => {
                    let host: u64 = rng.random();
                    (0..16)
                        .try_for_each(|digit| write!(text, "{:x}.", host >> (4 * digit) & 0xF))
                        .and_then(|()| writeln!(text, "0.0.0.0.0.0.0.0 PTR host-{number:07}.load.example."))
                }
            };
        }
        text
    }
}
