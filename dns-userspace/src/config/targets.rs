//! `targets`: where names of watched sources go besides our own zones.
//!
//! ```text
//! targets:
//!   technitium: [{name: home, url: "https://dns.home:5380", token_file: token, zones: [home]}]
//!   cloudflare: [{name: cf, token_file: token, zones: [example.org]}]
//!   route53: [{name: aws, credentials_file: credentials, zones: [example.org]}]
//!   slack: [{name: ops, url_file: webhook}]
//!   hosts_file: [{name: dev, path: /etc/hosts}]
//! ```

mod providers;
mod slack;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

pub use self::providers::{AdoptConfig, CloudflareConfig, ProviderConfig, Route53Config, TechnitiumConfig, TokenPlace};
pub use self::slack::SlackConfig;
use super::document::{FilePosition, YamlKind};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use crate::model::name::Name;

/// `targets`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetsConfig {
    /// Technitium DNS servers.
    pub technitium: Vec<TechnitiumConfig>,
    /// Accounts at Cloudflare.
    pub cloudflare: Vec<CloudflareConfig>,
    /// Accounts at Amazon Route 53.
    pub route53: Vec<Route53Config>,
    /// Webhooks that are told of changes.
    pub slack: Vec<SlackConfig>,
    /// Hosts files.
    pub hosts_file: Vec<HostsFileConfig>,
}

/// A hosts file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsFileConfig {
    /// Its name.
    pub name: Box<str>,
    /// The file.
    pub path: Arc<Path>,
    /// Only names at or below one of these; none: all.
    pub zones: Vec<Name>,
}

const EXAMPLE: &str = "technitium: [{name: home, url: \"https://dns.home:5380\", token_file: token, zones: [home]}]";
/// The longest text, in octets.
const MOST: usize = 1024;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["technitium", "cloudflare", "route53", "slack", "hosts_file"],
    applies: Applies::Live(&[("targets", |old, new| old.targets != new.targets)]),
};

/// What the items of all lists share.
struct TargetReader<'a, 'b> {
    base: &'b Path,
    /// The names of targets, and where each is.
    names: HashMap<&'a str, FilePosition>,
    findings: &'b mut Findings,
}

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> TargetsConfig {
    let section = input.root.section("targets", KEY.keys, findings);
    let mut reader = TargetReader {
        base: input.base,
        names: HashMap::new(),
        findings,
    };
    TargetsConfig {
        technitium: reader.all(
            &section,
            "technitium",
            providers::TECHNITIUM_KEYS,
            providers::technitium,
        ),
        cloudflare: reader.all(
            &section,
            "cloudflare",
            providers::CLOUDFLARE_KEYS,
            providers::cloudflare,
        ),
        route53: reader.all(&section, "route53", providers::ROUTE53_KEYS, providers::route53),
        slack: reader.all(&section, "slack", slack::KEYS, slack::read),
        hosts_file: reader.all(&section, "hosts_file", &["name", "path", "zones"], hosts_file),
    }
}

impl<'a> TargetReader<'a, '_> {
    /// The items of one list.
    fn all<T>(
        &mut self,
        section: &CheckedMapping<'a>,
        key: &'static str,
        keys: &'static [&'static str],
        read: impl Fn(&CheckedMapping<'a>, &mut Self) -> Option<T>,
    ) -> Vec<T> {
        let items = section.list(key, EXAMPLE, self.findings).unwrap_or_default();
        let mut targets = Vec::new();
        for item in items {
            let instance = CheckedMapping::item(item, "a target of `targets`", keys, self.findings);
            if matches!(item.kind, YamlKind::Mapping(_)) {
                targets.extend(read(&instance, self));
            }
        }
        targets
    }

    fn zones(&mut self, section: &CheckedMapping<'_>) -> Vec<Name> {
        let zones = section
            .texts("zones", "zones: [home]", self.findings)
            .unwrap_or_default();
        zones
            .into_iter()
            .filter_map(|zone| zone.to_name("zones", self.findings))
            .collect()
    }

    /// A name, which no other target has.
    fn name(&mut self, section: &CheckedMapping<'a>) -> Option<Box<str>> {
        let Text { at, text } = section.required_text("name", "name: home", self.findings)?;
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
        let problem = match self.names.get(text) {
            Some(first) => ConfigProblem::DuplicateSource {
                name: text.to_owned(),
                first: *first,
            },
            None if text.is_empty() || text.len() > 64 || !text.bytes().all(is_plain) => {
                ConfigProblem::BadSourceName { name: text.to_owned() }
            }
            None => {
                self.names.insert(text, at);
                return Some(text.into());
            }
        };
        self.findings.error(at, problem);
        None
    }
}

fn hosts_file<'a>(section: &CheckedMapping<'a>, reader: &mut TargetReader<'a, '_>) -> Option<HostsFileConfig> {
    let name = reader.name(section);
    let path = section.required_text("path", "path: /etc/hosts", reader.findings);
    let zones = reader.zones(section);
    Some(HostsFileConfig {
        name: name?,
        path: reader.base.join(path?.text).into(),
        zones,
    })
}
