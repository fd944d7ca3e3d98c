//! `sources`: worlds outside of this server that are watched, and whose objects become records.
//!
//! ```text
//! sources:
//!   hosts:                       a kind: one file in `sources/`, one line of the table below
//!     - name: lan                an instance: its name, and the keys of its kind
//!       path: /etc/hosts
//! ```
//!
//! The order of the kinds and of their instances in the file is their precedence: where two sources bring RRsets that
//! exclude each other, those of the source that stands first are served.

mod caddy;
mod checks;
mod consul;
mod consul_kv;
mod environment;
mod export;
mod git;
mod hosts;
mod kubernetes;
mod naming;
mod nomad;
mod peer;
mod proxy;
mod traefik;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

pub use self::checks::{CheckAsk, CheckSettings};
pub use self::consul::{CheckedBy, ConsulSource, Register};
pub use self::consul_kv::ConsulKvSource;
pub use self::export::{ExportSource, TextSettings};
pub use self::git::{GitSource, Signers};
pub use self::hosts::HostsSource;
pub use self::kubernetes::{ConfigMapPlace, KubernetesSource, PodNames, ViewAddresses, WatchedKind};
pub use self::naming::{Naming, Near};
pub use self::nomad::NomadSource;
pub use self::peer::{PeerSettings, Secret, is_within};
pub use self::proxy::ProxySource;
use super::EnvironmentVariables;
use super::backend::BackendConfig;
use super::document::{FilePosition, YamlKind};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use super::storage::StorageConfig;
use crate::model::source::{SourceId, SourceInfo, precedence};

/// One watched source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredSource {
    /// Its kind, its name and its precedence.
    pub id: SourceId,
    /// What its kind needs to know.
    pub settings: SourceSettings,
}

/// What the instances of a kind are read with.
struct Kind {
    /// The key under `sources`.
    name: &'static str,
    /// The keys of an instance, `name` among them.
    keys: &'static [&'static str],
    /// How a person changes a record of it, as the end of "to change it, …".
    remedy: &'static str,
    read: fn(&CheckedMapping<'_>, &Surroundings<'_>, &mut Findings) -> Option<SourceSettings>,
}

/// What stands around an instance.
struct Surroundings<'a> {
    /// The folder of relative paths.
    base: &'a Path,
    /// `storage.path`.
    state: &'a Path,
    /// `backend.default_ttl`.
    default_ttl: u32,
    environment: &'a EnvironmentVariables,
}

macro_rules! kinds {
    ($($file:ident: $variant:ident($settings:ty),)*) => {
        /// What each kind of source needs to know.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum SourceSettings {
            $(#[doc = concat!("`sources.", stringify!($file), "`.")] $variant($settings),)*
        }

        /// The keys under `sources`.
        const NAMES: &[&str] = &[$(stringify!($file)),*];

        /// All kinds.
        const KINDS: &[Kind] = &[$(Kind {
            name: stringify!($file),
            keys: $file::KEYS,
            remedy: $file::REMEDY,
            read: |section, around, findings| $file::read(section, around, findings).map(SourceSettings::$variant),
        }),*];
    };
}

kinds! {
    hosts: Hosts(HostsSource),
    kubernetes: Kubernetes(Box<KubernetesSource>),
    consul: Consul(ConsulSource),
    consul_kv: ConsulKv(ConsulKvSource),
    nomad: Nomad(NomadSource),
    traefik: Traefik(ProxySource),
    caddy: Caddy(ProxySource),
    git: Git(Box<GitSource>),
    export: Export(ExportSource),
}

const EXAMPLE: &str = "hosts: [{name: lan, path: /etc/hosts}]";
/// The longest name of a source, in octets.
const MAX_NAME_BYTES: usize = 64;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: NAMES,
    applies: Applies::Live(&[("sources", |old, new| old.sources != new.sources)]),
};

pub(super) fn read(
    input: &Input<'_>,
    backend: &BackendConfig,
    storage: &StorageConfig,
    findings: &mut Findings,
) -> Vec<ConfiguredSource> {
    let section = input.root.section("sources", KEY.keys, findings);
    let around = Surroundings {
        base: input.base,
        state: &storage.path,
        default_ttl: backend.default_ttl,
        environment: &input.overrides.environment,
    };
    if input.root.position("sources").is_none() {
        return environment::sources(&around, findings);
    }
    let mut sources = Vec::new();
    for kind in section
        .keys()
        .filter_map(|key| KINDS.iter().find(|kind| kind.name == key))
    {
        let items = section.list(kind.name, EXAMPLE, findings).unwrap_or_default();
        let mut first: HashMap<&str, FilePosition> = HashMap::new();
        for item in items {
            let title = format!("a source of `sources.{}`", kind.name);
            let instance = CheckedMapping::item(item, &title, kind.keys, findings);
            if !matches!(item.kind, YamlKind::Mapping(_)) {
                continue;
            }
            let name = instance.required_text("name", "name: lan", findings);
            let settings = (kind.read)(&instance, &around, findings);
            let Some(Text { at, text }) = name else { continue };
            let problem = match first.get(text) {
                Some(first) => ConfigProblem::DuplicateSource {
                    name: text.to_owned(),
                    first: *first,
                },
                None if !is_a_name(text) => ConfigProblem::BadSourceName { name: text.to_owned() },
                None => {
                    first.insert(text, at);
                    let place = u32::try_from(sources.len()).unwrap_or(u32::MAX - precedence::WATCHED);
                    let id = SourceId::new(SourceInfo {
                        kind: kind.name.into(),
                        name: Some(text.into()),
                        precedence: precedence::WATCHED + place,
                        is_editable: false,
                        remedy: kind.remedy.into(),
                    });
                    sources.extend(settings.map(|settings| ConfiguredSource { id, settings }));
                    continue;
                }
            };
            findings.error(at, problem);
        }
    }
    sources
}

/// A name stands in URLs and labels as it is.
fn is_a_name(text: &str) -> bool {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_plain) && !text.starts_with('.')
}

impl Surroundings<'_> {
    /// A path that has to be given, relative to the configuration file.
    fn path(
        &self,
        section: &CheckedMapping<'_>,
        key: &'static str,
        example: &'static str,
        findings: &mut Findings,
    ) -> Option<Arc<Path>> {
        match section.required_text(key, example, findings)? {
            Text { at, text: "" } => {
                let remedy = "write the path of a file";
                let key = section.path(key);
                findings.error(at, ConfigProblem::Empty { key, remedy });
                None
            }
            Text { text, .. } => Some(self.base.join(text).into()),
        }
    }

    /// What a variable of the environment says, which is not shown.
    fn secret(&self, variable: &str) -> Option<Secret> {
        self.environment.get(variable).map(|secret| Secret(secret.into()))
    }

    /// `ttl`, in seconds; the default is `backend.default_ttl`.
    fn ttl(&self, section: &CheckedMapping<'_>, findings: &mut Findings) -> u32 {
        let ttl = section.number("ttl", 0..=MAX_TTL, "seconds", "ttl: 300", findings);
        ttl.unwrap_or(self.default_ttl)
    }
}

/// RFC 2181 §8.
const MAX_TTL: u32 = 0x7FFF_FFFF;
