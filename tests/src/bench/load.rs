//! Loads: which queries go round, and which answers are right.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail, ensure};

use super::layout as words;
use super::zone::{Content, Zone};
use crate::frames::{Edns, Query, UdpChecksum, UdpFrame, internet_checksum, pseudo_header, wire_name};
use crate::net::VethPair;

/// One kind of queries.
#[derive(Clone, Debug)]
pub struct Load {
    /// What `--loads` calls it.
    pub name: &'static str,
    /// What it is, for readers of the table.
    pub title: &'static str,
    /// The zone that it asks.
    pub zone: Zone,
    /// What comes between a name's number and the zone, instead of the zone's own: names that the zone does not have.
    pub elsewhere: Option<String>,
    /// Whether the number is a label of its own beside the apex too, so that no two queries have an ancestor in common
    /// below it.
    pub is_numbered_twice: bool,
    /// Numbers are drawn below this.
    pub numbers: u64,
    /// The type asked for.
    pub qtype: u16,
    /// The OPT record.
    pub edns: Option<Edns>,
    /// Over IPv6.
    pub ipv6: bool,
    /// The VLAN ID of the tag that it comes with; 0 is a priority tag, which needs no VLAN.
    pub vlan: Option<u16>,
    /// The port that is asked.
    pub port: u16,
    /// The RCODE of a right reply.
    pub rcode: u8,
    /// Whether a right reply has records in its answer section.
    pub answers: bool,
    /// What share of the limit is to be reached.
    pub target: Option<Target>,
    /// What is configured, besides the zone.
    pub features: Features,
}

/// What hotdns is configured with besides zones: keys of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// Nothing.
    None,
    /// ACLs and rate limits that nothing asked comes to meet: they are looked up, and that is all.
    Limits,
    /// The same, and views.
    All,
    /// Rate limits that bind, for each address.
    RateLimits,
    /// One answer in 100 is logged, to nowhere.
    LogSampled,
    /// One in 100, to [`LOG_FILE`], in memory.
    LogSampledFile,
    /// Every answer is logged, to nowhere.
    Log,
    /// Every answer, to [`LOG_FILE`], in memory.
    LogFile,
    /// No zone, but an upstream server that has it at [`UPSTREAM`], and a cache.
    Cache,
    /// The zone, and a cache for names that are not ours.
    CacheBeside,
}

/// Where the upstream server of [`Features::Cache`] is, in the server's namespace.
pub const UPSTREAM: (&str, u16) = ("127.0.0.1", 5300);

/// Where queries are logged, in the folder of the configuration.
pub const LOG_FILE: &str = "queries.log";

impl Features {
    /// Whether the folder of the configuration is to be one in memory.
    pub fn needs_memory(self) -> bool {
        matches!(self, Self::LogSampledFile | Self::LogFile)
    }

    /// The keys.
    pub fn keys(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Limits => {
                "acl: {deny: [\"198.51.100.0/24\", \"2001:db8:1::/48\"]}\n\
                 rate_limit: {enabled: true, rate: 1000000000, burst: 1000000}\n"
            }
            Self::All => {
                "views: [{name: office, clients: [\"192.0.2.0/24\", \"2001:db8::/48\"]}]\n\
                 records: [{name: office.bench.test., type: A, ttl: 300, value: [192.0.2.1], view: office}]\n\
                 acl: {deny: [\"198.51.100.0/24\", \"2001:db8:1::/48\"]}\n\
                 rate_limit: {enabled: true, rate: 1000000000, burst: 1000000}\n"
            }
            Self::Cache => {
                "backend: {upstream: {enabled: true, servers: [\"127.0.0.1:5300\"]}}\n\
                 forward: {routes: [{zone: test., to: default}]}\ncache: {max_bytes: 512MiB, xdp: {names: 262144}}\n"
            }
            Self::CacheBeside => {
                "backend: {upstream: {enabled: true, servers: [\"127.0.0.1:5300\"]}}\ncache: {xdp: {names: 262144}}\n"
            }
            Self::LogSampled => "query_log: {to: /dev/null, sample: 100}\n",
            Self::LogSampledFile => "query_log: {to: queries.log, sample: 100}\n",
            Self::Log => "query_log: {to: /dev/null}\n",
            Self::LogFile => "query_log: {to: queries.log}\n",
            Self::RateLimits => "rate_limit: {enabled: true, rate: 100, burst: 50, ipv4_prefix: 32}\n",
        }
    }
}

/// A share that is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Less is not good enough.
    pub must: f64,
    /// What is hoped for.
    pub aim: f64,
}

/// What comes back to the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// Answers.
    Replies,
    /// The query with its addresses swapped.
    Bounced,
    /// The query as it was sent.
    Echoed,
}

/// The first source port of queries.
pub(super) const PORT_BASE: u64 = 32768;
/// How many source ports there are, a power of two.
pub(super) const PORT_COUNT: u64 = 1024;
/// The VLAN of loads with a tag.
pub const VLAN: u16 = 7;
/// What the load is called that has a priority tag instead, where there can be no VLAN interfaces.
pub const PRIORITY_TITLE: &str = "A, one VLAN tag (ID 0: no VLANs here)";
/// The server's address in it, and the client's.
pub const VLAN_ADDRESSES: [&str; 2] = ["10.78.0.1", "10.78.0.2"];

const LONG: &str = concat!(
    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg.",
    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg.",
    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg.",
    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeee."
);

/// Labels of one byte in the deepest names, besides the two with the number.
const DEEPEST: usize = 112;

/// The loads of a plain `bench hot`.
pub const TABLE: [&str; 15] = [
    "a", "edns", "a-1m", "a-1k", "nxdomain", "nodata", "wildcard", "referral", "cname", "ipv6", "vlan", "txt", "long",
    "cookie", "all",
];

/// Every load over zones of this many names.
pub fn all(names: u64) -> Vec<Load> {
    let zone = |origin: &str, content| Zone {
        origin: origin.to_owned(),
        middle: String::new(),
        content,
        names,
    };
    let target = |must, aim| Some(Target { must, aim });
    let a = Load {
        name: "a",
        title: "A",
        zone: zone("bench.test.", Content::Addresses),
        elsewhere: None,
        is_numbered_twice: false,
        numbers: names,
        qtype: 1,
        edns: None,
        ipv6: false,
        vlan: None,
        port: 53,
        rcode: 0,
        answers: true,
        target: target(0.38, 0.45),
        features: Features::None,
    };
    let edns = Edns {
        udp_payload: 1232,
        ..Edns::default()
    };
    let cookie = Edns {
        options: vec![0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        ..edns.clone()
    };
    let random = 1 << 32;
    // A label that no name of the zone has.
    let absent = |labels: String| Load {
        elsewhere: Some(labels),
        numbers: random,
        rcode: 3,
        answers: false,
        ..a.clone()
    };
    let deep = |labels: usize| Load {
        is_numbered_twice: true,
        target: None,
        ..absent(format!("x.{}", "a.".repeat(labels)))
    };
    vec![
        Load {
            name: "edns",
            title: "A, EDNS",
            edns: Some(edns.clone()),
            target: target(0.35, 0.42),
            ..a.clone()
        },
        Load {
            name: "cookie",
            title: "A, EDNS with a cookie",
            edns: Some(cookie.clone()),
            target: target(0.26, 0.33),
            ..a.clone()
        },
        Load {
            name: "ipv6",
            title: "A, over IPv6",
            ipv6: true,
            target: target(0.34, 0.42),
            ..a.clone()
        },
        Load {
            name: "vlan",
            title: "A, one VLAN tag",
            vlan: Some(VLAN),
            target: target(0.34, 0.42),
            ..a.clone()
        },
        Load {
            name: "nodata",
            title: "NODATA",
            qtype: 28,
            answers: false,
            ..a.clone()
        },
        Load {
            name: "nxdomain",
            title: "NXDOMAIN, random names",
            target: target(0.33, 0.40),
            ..absent("x.".to_owned())
        },
        Load {
            name: "deep",
            title: "NXDOMAIN, random, 26 labels below",
            ..deep(24)
        },
        Load {
            name: "deepest",
            title: "NXDOMAIN, random, 114 labels below",
            ..deep(DEEPEST)
        },
        Load {
            name: "deepest-cookie",
            title: "the same with a cookie",
            edns: Some(cookie),
            ..deep(DEEPEST)
        },
        Load {
            name: "wildcard",
            title: "wildcard, random names",
            zone: zone("wild.test.", Content::Wildcard),
            elsewhere: Some(".any.".to_owned()),
            numbers: random,
            target: target(0.28, 0.36),
            ..a.clone()
        },
        Load {
            name: "txt",
            title: "TXT of 200 bytes",
            zone: zone("text.test.", Content::Texts),
            qtype: 16,
            target: target(0.25, 0.32),
            ..a.clone()
        },
        Load {
            name: "large",
            title: "TXT of 1,000 bytes, EDNS",
            zone: zone("large.test.", Content::LargeTexts),
            qtype: 16,
            edns: Some(edns),
            target: None,
            ..a.clone()
        },
        Load {
            name: "aaaa",
            title: "AAAA",
            zone: zone("six.test.", Content::Ipv6Addresses),
            qtype: 28,
            target: None,
            ..a.clone()
        },
        Load {
            name: "cname",
            title: "CNAME chain of two, and its A",
            zone: zone("alias.test.", Content::Aliases(2)),
            target: target(0.28, 0.36),
            ..a.clone()
        },
        Load {
            name: "alias",
            title: "one CNAME, and its A",
            zone: zone("one.test.", Content::Aliases(1)),
            target: None,
            ..a.clone()
        },
        Load {
            name: "referral",
            title: "referral with glue",
            zone: zone("cut.test.", Content::Delegations),
            answers: false,
            target: target(0.28, 0.36),
            ..a.clone()
        },
        Load {
            name: "long",
            title: "A, names of 255 bytes",
            zone: Zone {
                middle: LONG.to_owned(),
                ..zone("l.test.", Content::Addresses)
            },
            target: target(0.18, 0.24),
            ..a.clone()
        },
        Load {
            name: "limits",
            title: "A; ACL, rate limit, counters",
            target: None,
            features: Features::Limits,
            ..a.clone()
        },
        Load {
            name: "log-1",
            title: "A, 1 % in the query log",
            target: None,
            features: Features::LogSampled,
            ..a.clone()
        },
        Load {
            name: "log",
            title: "A, all in the query log",
            target: None,
            features: Features::Log,
            ..a.clone()
        },
        Load {
            name: "all",
            title: "A; views, ACL, rate limit, counters",
            target: target(0.26, 0.33),
            features: Features::All,
            ..a.clone()
        },
        a,
    ]
}

/// The load `a` over zones of other sizes than all others.
fn sizes() -> Vec<Load> {
    let of = |names, name, title, must, aim| Load {
        name,
        title,
        target: Some(Target { must, aim }),
        ..all(names).pop().expect("`a` is the last of them")
    };
    vec![
        of(1_000, "a-1k", "A, 1,000 names", 0.48, 0.57),
        of(1_000_000, "a-1m", "A, 1,000,000 names", 0.32, 0.38),
    ]
}

/// The loads of these names; an error names those there are.
pub fn named<S: AsRef<str>>(names: u64, wanted: &[S]) -> Result<Vec<Load>> {
    let all = [all(names), sizes()].concat();
    let known = || all.iter().map(|load| load.name).collect::<Vec<_>>().join(", ");
    wanted
        .iter()
        .map(|name| match all.iter().find(|load| load.name == name.as_ref()) {
            Some(load) => Ok(load.clone()),
            None => bail!("there is no load {}: there are {}", name.as_ref(), known()),
        })
        .collect()
}

impl Load {
    /// The query for a number.
    pub fn query(&self, number: u64) -> Query {
        let origin = &self.zone.origin;
        let name = match &self.elsewhere {
            Some(middle) if self.is_numbered_twice => format!("{number:08x}{middle}{number:08x}.{origin}"),
            Some(middle) => format!("{number:08x}{middle}{origin}"),
            None => self.zone.name(number),
        };
        Query {
            // Who forwards wants to be asked to.
            flags: if self.features == Features::Cache { 0x0100 } else { 0 },
            edns: self.edns.clone(),
            ..Query::new(&wire_name(&name), self.qtype)
        }
    }

    /// Whether it needs a VLAN interface.
    pub fn is_in_vlan(&self) -> bool {
        self.vlan.is_some_and(|id| id != 0)
    }

    /// What the generator needs to make these queries, from the first to the second end of a pair.
    pub(super) fn configuration(&self, pair: &VethPair, returns: Returns) -> Result<[u64; words::CONFIG_WORDS]> {
        let address = |end: usize| -> IpAddr {
            let client = [&pair.first, &pair.second][end];
            match (self.is_in_vlan(), self.ipv6) {
                (true, _) => VLAN_ADDRESSES[1 - end].parse().expect("a constant address"),
                (false, true) => client.ipv6().expect("pairs of circuits have IPv6").into(),
                (false, false) => client.ipv4().expect("pairs of circuits have IPv4").into(),
            }
        };
        let mut query = self.query(0);
        query.id = 0;
        let mut frame = UdpFrame::new(
            (pair.first.mac, pair.second.mac),
            SocketAddr::new(address(0), 0),
            SocketAddr::new(address(1), self.port),
            query.build(),
        );
        frame.vlans.extend(self.vlan);
        frame.checksum = UdpChecksum::Zero;
        let dns_at = frame.header_length();
        let digits_at = dns_at + 13;
        let mut bytes = frame.build();
        let length = bytes.len();
        ensure!(
            (80..=words::TEMPLATE_BYTES).contains(&length) || (!self.ipv6 && length >= 72),
            "{length} bytes"
        );
        bytes[digits_at..digits_at + 8].fill(0);
        let udp = &bytes[dns_at - 8..];
        // The generator adds ID, port and digits in the order of the bytes in memory.
        let covered = [pseudo_header(address(0), address(1), udp.len()).as_slice(), udp].concat();
        let base = (!internet_checksum(&[&covered])).swap_bytes();
        let tail_length = query.build().len() - (12 + query.name.len() + 4);
        let tail_words = tail_length.div_ceil(8);
        ensure!(tail_words <= words::TAIL_MAX, "an OPT record of {tail_length} bytes");

        let mut configuration = [0; words::CONFIG_WORDS];
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        configuration[words::FLAGS] = flag(returns == Returns::Replies, words::FLAG_REPLIES)
            | flag(returns == Returns::Echoed, words::FLAG_ECHOES)
            | flag(self.ipv6, words::FLAG_IPV6)
            // The datagram begins 8 bytes before the message, so both have the same parity.
            | flag((digits_at - dns_at) % 2 == 1, words::FLAG_DIGITS_ODD);
        configuration[words::FRAME_LEN] = length as u64;
        configuration[words::NAMES] = self.numbers;
        configuration[words::DIGITS_AT] = digits_at as u64;
        configuration[words::UDP_AT] = dns_at as u64 - 8;
        configuration[words::TAIL_WORDS] = tail_words as u64;
        configuration[words::ETHERTYPE] = u64::from(u16::from_ne_bytes([bytes[12], bytes[13]]));
        configuration[words::SERVER_PORT] = u64::from(self.port.to_be());
        if self.is_numbered_twice {
            // Before them is the length of their label, behind them the zone.
            let zone_length = wire_name(&self.zone.origin).len();
            configuration[words::SECOND_DIGITS_AT] = (dns_at + 12 + query.name.len() - zone_length - 8) as u64;
            ensure!(!self.ipv6, "the sum of a datagram has the number once");
        }
        configuration[words::PORT_BASE] = PORT_BASE;
        configuration[words::PORT_COUNT] = PORT_COUNT;
        configuration[words::CHECKSUM_BASE] = u64::from(base);
        write_words(&mut configuration[words::TAIL..], &bytes[length - 8 * tail_words..]);
        write_words(&mut configuration[words::TEMPLATE..], &bytes);
        Ok(configuration)
    }
}

/// Puts bytes into words, as they lie in memory; the rest of the last word is zero.
fn write_words(to: &mut [u64], bytes: &[u8]) {
    for (word, chunk) in to.iter_mut().zip(bytes.chunks(8)) {
        let mut padded = [0; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_ne_bytes(padded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_digits_where_the_generator_writes_them() {
        for load in all(10) {
            let message = load.query(0xABCD).build();
            assert_eq!(&message[13..21], b"0000abcd", "{}", load.name);
        }
    }

    #[test]
    fn the_long_names_have_255_bytes() {
        let long = named(1, &["long"]).unwrap().remove(0);
        assert_eq!(long.query(0).name.len(), 255);
        let deepest = named(1, &["deepest"]).unwrap().remove(0);
        assert_eq!(deepest.query(0).name.len(), 255);
    }

    #[test]
    fn the_table_is_of_loads_that_there_are() {
        let loads = named(10, &TABLE).unwrap();
        assert!(loads.iter().all(|load| load.target.is_some()));
    }

    #[test]
    fn digits_are_those_of_the_zone_file() {
        for number in [0, 9, 10, 0xABCD_EF01, 0x1234_5678, u32::MAX] {
            assert_eq!(
                words::hex_digits(number).to_le_bytes(),
                *format!("{number:08x}").as_bytes()
            );
        }
    }
}
