//! Where a proxy and DNS disagree: names that the proxy routes and DNS lacks, names that lead to the proxy and that it
//! does not route, and wildcards that mean different things. Pure, but for [`report`] and [`takers`], which ask.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use super::WorldError;
use super::peer::{Credential, Peer};
use super::traefik::{self, Routers};
use crate::config::{PeerSettings, ProxySource};
use crate::model::name::Name;
use crate::model::record::{RecordType, RrSet, Wildcard};
use crate::model::shown::percent_encoded;
use crate::model::snapshot::{Node, Snapshot};
use crate::traefik_rule::{Names, Rule};

/// For a reply.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A router of a proxy, and the hosts it takes.
#[derive(Debug, Clone)]
pub struct RoutedRule {
    /// The router, as its proxy calls it.
    pub router: String,
    /// Its rule.
    pub rule: Rule,
    /// The names of the rule.
    pub names: Names,
}

/// A name with addresses, or with an alias, that DNS serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServedName {
    /// What it stands for, where it is a wildcard.
    pub wildcard: Wildcard,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// One thing on which proxy and DNS disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disagreement {
    /// The proxy routes it, and DNS does not have it.
    NotServed {
        /// The name.
        name: Name,
        /// The router.
        router: String,
    },
    /// It leads to the proxy, and no router takes it.
    NotRouted {
        /// The name.
        name: Name,
    },
    /// Both have the wildcard, for other depths.
    Wildcard {
        /// The wildcard.
        name: Name,
        /// The router.
        router: String,
        /// What it stands for in DNS.
        in_dns: Wildcard,
    },
    /// A rule takes hosts that no name can say.
    Underivable {
        /// The router.
        router: String,
        /// The part of the rule, and why.
        reason: String,
    },
}

impl fmt::Display for Disagreement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotServed { name, router } => {
                write!(formatter, "{name} is routed by {router}, and DNS has no address for it")
            }
            Self::NotRouted { name } => write!(formatter, "{name} leads to the proxy, and no router takes it"),
            Self::Wildcard { name, router, in_dns } => {
                let (proxy, dns) = match in_dns {
                    Wildcard::Rfc4592 => ("one label", "one label or more"),
                    Wildcard::OneLabel => ("one label or more", "one label"),
                };
                write!(
                    formatter,
                    "{name} of {router} takes {proxy} in place of `*`, and DNS {dns}"
                )
            }
            Self::Underivable { router, reason } => write!(formatter, "{router}: {reason}"),
        }
    }
}

impl Disagreement {
    /// The words for each kind, as the API and the metrics have them.
    pub const KINDS: [&str; 4] = ["not_served", "not_routed", "wildcard", "underivable"];

    /// One of [`Self::KINDS`].
    pub fn kind(&self) -> &'static str {
        let at = match self {
            Self::NotServed { .. } => 0,
            Self::NotRouted { .. } => 1,
            Self::Wildcard { .. } => 2,
            Self::Underivable { .. } => 3,
        };
        Self::KINDS[at]
    }

    /// The name it is about; a rule that no name can say has none.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::NotServed { name, .. } | Self::NotRouted { name } | Self::Wildcard { name, .. } => Some(name),
            Self::Underivable { .. } => None,
        }
    }

    /// The router it is about; a name that no router takes has none.
    pub fn router(&self) -> Option<&str> {
        match self {
            Self::NotServed { router, .. } | Self::Wildcard { router, .. } | Self::Underivable { router, .. } => {
                Some(router)
            }
            Self::NotRouted { .. } => None,
        }
    }
}

/// What DNS serves, as a comparison looks at it.
pub trait ServedNames {
    /// What is served at a name itself, where it has an address or an alias.
    fn get(&self, name: &Name) -> Option<ServedName>;

    /// The names with one of these addresses.
    fn leading_to(&self, targets: &[IpAddr]) -> Vec<Name>;
}

impl ServedNames for BTreeMap<Name, ServedName> {
    fn get(&self, name: &Name) -> Option<ServedName> {
        BTreeMap::get(self, name).cloned()
    }

    fn leading_to(&self, targets: &[IpAddr]) -> Vec<Name> {
        let leads = |known: &ServedName| targets.iter().any(|target| known.addresses.contains(target));
        self.iter()
            .filter(|(_, known)| leads(known))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// What the default view serves: that of clients who are in no view.
impl ServedNames for Snapshot {
    fn get(&self, name: &Name) -> Option<ServedName> {
        let leads = |rtype| {
            matches!(
                rtype,
                RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::ALIAS
            )
        };
        let node = self.node(&name.key())?;
        let mut leading = node.rrsets.iter().filter(|rrset| leads(rrset.rtype)).peekable();
        let wildcard = leading.peek()?.handling.wildcard();
        Some(ServedName {
            wildcard,
            addresses: leading.flat_map(|rrset| addresses_of(rrset)).collect(),
        })
    }

    fn leading_to(&self, targets: &[IpAddr]) -> Vec<Name> {
        let leads = |node: &Node| {
            let mut addresses = node.rrsets.iter().flat_map(|rrset| addresses_of(rrset));
            addresses.any(|address| targets.contains(&address))
        };
        let found = self.all_nodes().filter(|(_, node)| leads(node));
        found.map(|(key, node)| node.owner(key)).collect()
    }
}

/// The addresses of an RRset; none where its type has none.
fn addresses_of(rrset: &RrSet) -> impl Iterator<Item = IpAddr> + '_ {
    let is_address = rrset.rtype.is_address();
    rrset
        .rdatas
        .iter()
        .filter(move |_| is_address)
        .filter_map(|rdata| match rdata.len() {
            4 => <[u8; 4]>::try_from(rdata).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from),
        })
}

/// All disagreements. `targets` are the proxy's addresses; without any, names that no router takes are not looked for.
pub fn disagreements(routed: &[RoutedRule], served: &dyn ServedNames, targets: &[IpAddr]) -> Vec<Disagreement> {
    let mut found = Vec::new();
    for RoutedRule { router, names, .. } in routed {
        let router = || router.clone();
        for name in names.exact.iter().filter(|name| !is_covered(served, name)) {
            found.push(Disagreement::NotServed {
                name: name.clone(),
                router: router(),
            });
        }
        let one_label = names.one_label.iter().map(|name| (name, Wildcard::OneLabel));
        for (name, kind) in one_label.chain(names.any_depth.iter().map(|name| (name, Wildcard::Rfc4592))) {
            match served.get(name) {
                Some(known) if known.wildcard == kind => {}
                Some(known) => found.push(Disagreement::Wildcard {
                    name: name.clone(),
                    router: router(),
                    in_dns: known.wildcard,
                }),
                None if is_covered(served, name) => {}
                None => found.push(Disagreement::NotServed {
                    name: name.clone(),
                    router: router(),
                }),
            }
        }
        let unknown = names.underivable.iter().map(|unknown| Disagreement::Underivable {
            router: router(),
            reason: format!("no name can be derived from `{}`: {}", unknown.what, unknown.reason),
        });
        found.extend(unknown);
    }
    for name in served.leading_to(targets) {
        let host = match name.is_wildcard() {
            true => name.parent().and_then(|base| base.child(b"hotdns-probe")),
            false => Some(name.clone()),
        };
        let is_routed = |host: Name| routed.iter().any(|routed| routed.rule.takes(&host));
        if !host.is_some_and(is_routed) {
            found.push(Disagreement::NotRouted { name });
        }
    }
    found
}

/// Whether DNS answers a name: by itself, or by the wildcard above it.
fn is_covered(served: &dyn ServedNames, name: &Name) -> bool {
    if served.get(name).is_some() {
        return true;
    }
    let mut depth = 0;
    let mut parent = name.parent();
    while let Some(base) = parent {
        depth += 1;
        let wildcard = base.child(b"*").and_then(|wildcard| served.get(&wildcard));
        if let Some(known) = wildcard {
            return known.wildcard == Wildcard::Rfc4592 || depth == 1;
        }
        // A name that is there is the closest encloser: wildcards above it do not count (RFC 4592 §2.2.1).
        if served.get(&base).is_some() {
            return false;
        }
        parent = base.parent();
    }
    false
}

/// Compares the routers of a Traefik with what is served.
pub(super) fn compare(routers: Routers, traefik: &ProxySource, served: &Snapshot) -> Vec<Disagreement> {
    let (routed, mut found) = traefik::routed(routers, traefik.is_v2);
    found.extend(disagreements(&routed, served, &traefik.targets));
    found
}

/// A page of `/api/v1/records`.
#[derive(Debug, Deserialize)]
struct Page {
    records: Vec<Listed>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    value: Vec<String>,
    #[serde(default)]
    wildcard: Option<String>,
}

/// Asks a Traefik and a running hotdns, and compares them.
pub async fn report(
    traefik: PeerSettings,
    is_v2: bool,
    hotdns: PeerSettings,
    targets: &[IpAddr],
) -> Result<Vec<Disagreement>, WorldError> {
    let traefik = Peer::new("Traefik", traefik, Credential::Basic)?;
    let (routed, mut found) = traefik::routed(traefik::routers(&traefik).await?, is_v2);
    let hotdns = Peer::new("hotdns", hotdns, Credential::Bearer)?;
    let mut served: BTreeMap<Name, ServedName> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let answer = hotdns
            .get(&format!("/api/v1/records?limit=1000{cursor}"), TIMEOUT)
            .await?;
        let page: Page = answer.json()?;
        let leads = |listed: &Listed| matches!(listed.rtype.as_str(), "A" | "AAAA" | "CNAME" | "ALIAS");
        for listed in page.records.into_iter().filter(leads) {
            let Ok(name) = listed.name.parse::<Name>() else {
                continue;
            };
            let known = served.entry(name).or_default();
            known
                .addresses
                .extend(listed.value.iter().filter_map(|value| value.parse::<IpAddr>().ok()));
            known.wildcard = listed
                .wildcard
                .as_deref()
                .and_then(Wildcard::from_word)
                .unwrap_or(known.wildcard);
        }
        match page.next {
            Some(next) => cursor = format!("&cursor={}", percent_encoded(&next)),
            None => break,
        }
    }
    found.extend(disagreements(&routed, &served, targets));
    Ok(found)
}

/// Asks a Traefik which of its routers take some request to a host: their names and rules.
pub async fn takers(traefik: PeerSettings, is_v2: bool, host: &Name) -> Result<Vec<(String, String)>, WorldError> {
    let traefik = Peer::new("Traefik", traefik, Credential::Basic)?;
    Ok(traefik::takers(traefik::routers(&traefik).await?, is_v2, host))
}

#[cfg(test)]
mod tests;
