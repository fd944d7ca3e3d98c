//! `targets`: where names of watched sources go besides our own zones.
//!
//! ```text
//! targets:
//!   technitium: [{name: home, url: "https://dns.home:5380", token_file: token, zones: [home]}]
//!   hosts_file: [{name: dev, path: /etc/hosts}]
//! ```

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::document::{FilePosition, YamlKind};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use crate::model::name::Name;

/// `targets`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetsConfig {
    /// Technitium DNS servers.
    pub technitium: Vec<TechnitiumConfig>,
    /// Hosts files.
    pub hosts_file: Vec<HostsFileConfig>,
}

/// A Technitium DNS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TechnitiumConfig {
    /// Its name, which is in the comment of each record that we add.
    pub name: Box<str>,
    /// The root of its API, without a slash at the end.
    pub url: Box<str>,
    /// Where its token is.
    pub token: TokenPlace,
    /// The zones that are written; of several that hold a name the longest.
    pub zones: Vec<Name>,
    /// Requests in a second at most.
    pub max_rate: u16,
    /// How often the zones are read again.
    pub resync: Duration,
}

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// In a file, which is read anew for each resync.
    File(Arc<Path>),
    /// In a variable of the environment.
    Variable(Box<str>),
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

const TECHNITIUM_KEYS: &[&str] = &["name", "url", "token_file", "token_env", "zones", "max_rate", "resync"];
const HOSTS_KEYS: &[&str] = &["name", "path", "zones"];
const EXAMPLE: &str = "technitium: [{name: home, url: \"https://dns.home:5380\", token_file: token, zones: [home]}]";
const RESYNC: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// The longest text, in octets.
const MOST: usize = 1024;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["technitium", "hosts_file"],
    applies: Applies::Live(&[("targets", |old, new| old.targets != new.targets)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> TargetsConfig {
    let section = input.root.section("targets", KEY.keys, findings);
    let mut names = HashMap::new();
    let technitium = section.list("technitium", EXAMPLE, findings).unwrap_or_default();
    let technitium = technitium.iter().filter_map(|item| {
        let title = "a target of `targets.technitium`";
        let instance = CheckedMapping::item(item, title, TECHNITIUM_KEYS, findings);
        let is_mapping = matches!(item.kind, YamlKind::Mapping(_));
        is_mapping.then(|| read_technitium(&instance, input.base, &mut names, findings))?
    });
    let technitium = technitium.collect();
    let hosts_file = section.list("hosts_file", EXAMPLE, findings).unwrap_or_default();
    let hosts_file = hosts_file.iter().filter_map(|item| {
        let instance = CheckedMapping::item(item, "a target of `targets.hosts_file`", HOSTS_KEYS, findings);
        let is_mapping = matches!(item.kind, YamlKind::Mapping(_));
        is_mapping.then(|| read_hosts_file(&instance, input.base, &mut names, findings))?
    });
    TargetsConfig {
        technitium,
        hosts_file: hosts_file.collect(),
    }
}

fn read_technitium<'a>(
    section: &CheckedMapping<'a>,
    base: &Path,
    names: &mut HashMap<&'a str, FilePosition>,
    findings: &mut Findings,
) -> Option<TechnitiumConfig> {
    let name = read_name(section, names, findings);
    let url = section.required_text("url", "url: \"https://dns.home:5380\"", findings);
    let zones = read_zones(section, findings);
    if zones.is_empty() && section.position("zones").is_none() {
        let (key, section_name) = ("zones", "a target of `targets.technitium`".to_owned());
        let example = "zones: [home]";
        let problem = ConfigProblem::MissingKey {
            key,
            section: section_name,
            example,
        };
        findings.error(section.at, problem);
    }
    let variable = section.short_text("token_env", "token_env: DNS_API_TOKEN", MOST, findings);
    let token = match variable {
        Some(variable) => Some(TokenPlace::Variable(variable)),
        None => {
            let file = section.required_text("token_file", "token_file: token", findings);
            file.map(|file| TokenPlace::File(base.join(file.text).into()))
        }
    };
    let max_rate = section.number("max_rate", 1..=1000, "requests a second", "max_rate: 10", findings);
    let resync = section.duration("resync", "resync: 5m", &RESYNC, findings);
    Some(TechnitiumConfig {
        name: name?,
        url: url?.text.trim_end_matches('/').into(),
        token: token?,
        zones,
        max_rate: max_rate.unwrap_or(10),
        resync: resync.unwrap_or(Duration::from_secs(300)),
    })
}

fn read_hosts_file<'a>(
    section: &CheckedMapping<'a>,
    base: &Path,
    names: &mut HashMap<&'a str, FilePosition>,
    findings: &mut Findings,
) -> Option<HostsFileConfig> {
    let name = read_name(section, names, findings);
    let path = section.required_text("path", "path: /etc/hosts", findings);
    let zones = read_zones(section, findings);
    Some(HostsFileConfig {
        name: name?,
        path: base.join(path?.text).into(),
        zones,
    })
}

fn read_zones(section: &CheckedMapping<'_>, findings: &mut Findings) -> Vec<Name> {
    let zones = section.texts("zones", "zones: [home]", findings).unwrap_or_default();
    zones
        .into_iter()
        .filter_map(|zone| zone.to_name("zones", findings))
        .collect()
}

/// A name, which no other target has.
fn read_name<'a>(
    section: &CheckedMapping<'a>,
    names: &mut HashMap<&'a str, FilePosition>,
    findings: &mut Findings,
) -> Option<Box<str>> {
    let Text { at, text } = section.required_text("name", "name: home", findings)?;
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    let problem = match names.get(text) {
        Some(first) => ConfigProblem::DuplicateSource {
            name: text.to_owned(),
            first: *first,
        },
        None if text.is_empty() || text.len() > 64 || !text.bytes().all(is_plain) => {
            ConfigProblem::BadSourceName { name: text.to_owned() }
        }
        None => {
            names.insert(text, at);
            return Some(text.into());
        }
    };
    findings.error(at, problem);
    None
}
