//! How names are made of a registry's services: the same keys for Consul and Nomad.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::problem::{ConfigProblem, Findings};
use super::super::section::CheckedMapping;
use super::{Surroundings, peer};
use crate::model::name::Name;
use crate::model::record::Order;

/// How names are made of services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Services have names below this.
    pub suffix: Name,
    /// Whether services without a tag that asks for it have names.
    pub exposed_by_default: bool,
    /// The TTL of all records, in seconds.
    pub ttl: u32,
    /// Where names of rules lead: the proxy's addresses. None: to the instances themselves.
    pub targets: Vec<IpAddr>,
    /// Names of rules have to be in one of these zones; none: in any.
    pub zones: Vec<Name>,
    /// The order of the addresses, where their weights are equal.
    pub order: Order,
    /// With `order: nearest`, what is near: the first address is one of the nearest.
    pub near: Option<Near>,
    /// The registry's own names are made below this, as Consul's DNS server has them below `consul.`.
    pub domain: Option<Name>,
    /// Whether the meta of instances becomes TXT records at the service's name.
    pub has_meta_txt: bool,
    /// Whether rules without a syntax of their own are of Traefik 2.
    pub is_v2: bool,
}

/// Where we are, so that it is known which instances are near. Where nothing is said, the registry's agent is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Near {
    /// The node, as the registry calls it: by its name in Consul, by its ID in Nomad.
    pub node: Option<Arc<str>>,
    /// The datacenter.
    pub datacenter: Option<Arc<str>>,
}

/// Services come and go: a TTL of their names that clients keep no longer than this.
pub(super) const TTL: u32 = 30;
const ORDERS: &[&str] = &["rotate", "random", "hash", NEAREST, "fixed"];
const NEAREST: &str = "nearest";
const SYNTAXES: &[&str] = &["v3", "v2"];

impl Naming {
    /// Names below `suffix`, everything else by default.
    pub fn below(suffix: Name) -> Self {
        Self {
            suffix,
            exposed_by_default: false,
            ttl: TTL,
            targets: Vec::new(),
            zones: Vec::new(),
            order: Order::Rotate,
            near: None,
            domain: None,
            has_meta_txt: false,
            is_v2: false,
        }
    }
}

/// `localhost.`
pub(super) fn localhost() -> Name {
    Name::root().child(b"localhost").unwrap_or_else(Name::root)
}

pub(super) fn read(section: &CheckedMapping<'_>, around: &Surroundings<'_>, findings: &mut Findings) -> Naming {
    let mut name = |key: &'static str, example: &'static str| {
        let text = section.text(key, example, findings)?;
        text.to_name(&section.path(key), findings)
    };
    let suffix = name("suffix", "suffix: dev.example.com.");
    let domain = name("domain", "domain: consul.");
    let suffix = suffix.or_else(|| {
        around
            .environment
            .get("DOMAIN_SUFFIX")
            .and_then(|text| Name::parse_given(text).ok())
    });
    let boolean = |key, example, findings: &mut Findings| section.boolean(key, example, findings).unwrap_or(false);
    let exposed_by_default = boolean("exposed_by_default", "exposed_by_default: true", findings);
    let has_meta_txt = boolean("meta_txt", "meta_txt: true", findings);
    let ttl = section.number("ttl", 0..=super::MAX_TTL, "seconds", "ttl: 30", findings);
    let word = section.word("order", ORDERS, findings);
    let order = word.and_then(|word| Order::from_word(word, Box::default()));
    let near = near(section, word == Some(NEAREST), findings);
    let syntax = section.word("rule_syntax", SYNTAXES, findings);
    Naming {
        suffix: suffix.unwrap_or_else(localhost),
        exposed_by_default,
        ttl: ttl.unwrap_or(TTL),
        targets: peer::addresses(section, "targets", findings),
        zones: peer::zones(section, findings),
        order: order.unwrap_or(Order::Rotate),
        near,
        domain,
        has_meta_txt,
        is_v2: syntax == Some("v2"),
    }
}

/// `near`, which `order: nearest` alone needs.
fn near(section: &CheckedMapping<'_>, is_nearest: bool, findings: &mut Findings) -> Option<Near> {
    if !is_nearest {
        if let Some(at) = section.position("near") {
            findings.error(at, ConfigProblem::NearWithoutOrder);
        }
        return None;
    }
    let near = section.section("near", &["node", "datacenter"], findings);
    let word = |key, example, findings: &mut Findings| near.short_text(key, example, 128, findings).map(Arc::from);
    Some(Near {
        node: word("node", "node: vm1", findings),
        datacenter: word("datacenter", "datacenter: dc1", findings),
    })
}

/// `rule_syntax` alone.
pub(super) fn is_v2(section: &CheckedMapping<'_>, findings: &mut Findings) -> bool {
    section.word("rule_syntax", SYNTAXES, findings) == Some("v2")
}
