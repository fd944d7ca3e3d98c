//! `zone_template`: what a zone has that is made by its name alone.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::ttl_bounds::{MAX_TTL, TtlBounds};
use crate::model::name::Name;

/// `zone_template`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneTemplate {
    /// The name servers, the primary first; none: `ns1` in the zone itself.
    pub nameservers: Vec<Name>,
    /// The addresses of name servers that are in the zone.
    pub addresses: Vec<IpAddr>,
    /// The mailbox of the person in charge, as a name; none: `hostmaster` in the zone itself.
    pub mailbox: Option<Name>,
    /// The TTL of these records.
    pub ttl: u32,
    /// Times of the SOA record, in seconds.
    pub refresh: u32,
    /// Before a secondary tries again.
    pub retry: u32,
    /// After which a secondary gives up.
    pub expire: u32,
    /// For which it is known that there is no such name.
    pub minimum: u32,
}

const SECONDS: RangeInclusive<u32> = 0..=MAX_TTL;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[
        "nameservers",
        "addresses",
        "mailbox",
        "ttl",
        "refresh",
        "retry",
        "expire",
        "minimum",
    ],
    applies: Applies::Live(&[("zone_template", |old, new| old.zone_template != new.zone_template)]),
};

pub(super) fn read(input: &Input<'_>, bounds: &TtlBounds, findings: &mut Findings) -> ZoneTemplate {
    let section = input.root.section("zone_template", KEY.keys, findings);
    let example = "nameservers: [ns1.example.net.]";
    let given = section.texts("nameservers", example, findings).unwrap_or_default();
    let mut nameservers = Vec::with_capacity(given.len());
    for text in given {
        nameservers.extend(text.to_name("zone_template.nameservers", findings));
    }
    let given = section
        .texts("addresses", "addresses: [192.0.2.53]", findings)
        .unwrap_or_default();
    let mut addresses = Vec::with_capacity(given.len());
    for given in given {
        match given.text.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => findings.error(
                given.at,
                ConfigProblem::NoAddress {
                    key: section.path("addresses"),
                    text: given.text.to_owned(),
                },
            ),
        }
    }
    let mailbox = section.text("mailbox", "mailbox: hostmaster.example.net.", findings);
    let mailbox = mailbox.and_then(|text| text.to_name("zone_template.mailbox", findings));
    let ttls = bounds.min..=bounds.max;
    let ttl = section.number("ttl", ttls.clone(), "seconds (`ttl_bounds`)", "ttl: 3600", findings);
    let mut seconds = |key, example, default: u32| {
        section
            .number(key, SECONDS, "seconds", example, findings)
            .unwrap_or(default)
    };
    ZoneTemplate {
        nameservers,
        addresses,
        mailbox,
        ttl: ttl.unwrap_or(3600.clamp(*ttls.start(), *ttls.end())),
        refresh: seconds("refresh", "refresh: 7200", 7200),
        retry: seconds("retry", "retry: 3600", 3600),
        expire: seconds("expire", "expire: 1209600", 1_209_600),
        minimum: seconds("minimum", "minimum: 300", 300),
    }
}

impl Default for ZoneTemplate {
    fn default() -> Self {
        Self {
            nameservers: Vec::new(),
            addresses: Vec::new(),
            mailbox: None,
            ttl: 3600,
            refresh: 7200,
            retry: 3600,
            expire: 1_209_600,
            minimum: 300,
        }
    }
}
