//! The table of the top-level keys, one file for each.
//!
//! ```text
//! key          type       keys above it that its values are checked against
//! backend:     Backend    (ttl_bounds, listen)
//!   └ backend.rs: the type, the defaults, `read`, and `KEY`, which says how a change of it takes effect
//! ```
//!
//! A new key is a new file and a line of this table. [`Config`], the message about an unknown key,
//! [`Config::restart_needed`] and the test of `docs/configuration.md` come from the table.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::acl::Acl;
use super::backend::BackendConfig;
use super::cache::CacheConfig;
use super::chaos::ChaosConfig;
use super::collector::GelfTarget;
use super::dnstap::DnstapConfig;
use super::document::YamlNode;
use super::dry_run::DryRun;
use super::edns::EdnsConfig;
use super::files::FilesConfig;
use super::forward::ForwardConfig;
use super::http::HttpConfig;
use super::kubernetes::KubernetesConfig;
use super::limits::LimitsConfig;
use super::log_fields::LogFields;
use super::log_format::LogFormat;
use super::log_level::LogFilter;
use super::metrics::MetricsConfig;
use super::problem::Findings;
use super::query_log::QueryLogConfig;
use super::rate_limit::RateLimitConfig;
use super::records::ConfiguredRecord;
use super::section::CheckedMapping;
use super::sources::ConfiguredSource;
use super::storage::StorageConfig;
use super::targets::TargetsConfig;
use super::tcp::TcpConfig;
use super::tracing::TracingConfig;
use super::ttl_bounds::TtlBounds;
use super::xdp::XdpConfig;
use super::zone_folder::ZoneFolder;
use super::zone_template::ZoneTemplate;
use super::zones::ConfiguredZone;
use super::{Overrides, acl, backend, cache, changes, chaos, dns_port, edns, files, forward, history, http, http_port};
use super::{dnstap, log_fields, log_gelf};
use super::{dry_run, kubernetes};
use super::{limits, listen, log_format, log_level, metrics, query_log, rate_limit, records, rules, sources, storage};
use super::{targets, tcp, tracing, ttl_bounds, views, xdp, zone_folder, zone_template, zones};
use crate::journal::HistoryLimits;
use crate::model::views::ViewClients;
use crate::rules::Rule;
use crate::store::Guard;

/// What a key is read from.
pub(super) struct Input<'a> {
    /// The top level of the document.
    pub(super) root: CheckedMapping<'a>,
    /// The folder of relative paths.
    pub(super) base: &'a Path,
    /// What the command line puts in the place of the file's values.
    pub(super) overrides: &'a Overrides,
}

/// What the file of a key says of it, besides its type and how it is read.
pub(super) struct TopLevelKey {
    /// The keys within it; none where it is no mapping.
    pub(super) keys: &'static [&'static str],
    /// When a change of it takes effect.
    pub(super) applies: Applies,
}

/// When a change of a key takes effect.
pub(super) enum Applies {
    /// At the reload that reads it, which says what has changed by itself.
    AtReload,
    /// At the reload that reads it. A reload names the parts that differ.
    Live(&'static [ComparedPart]),
    /// Some parts at the reload that reads them, some at the next start.
    Mixed {
        /// At the reload.
        live: &'static [ComparedPart],
        /// At the next start.
        at_restart: &'static [ComparedPart],
    },
    /// At the next start. A reload names the parts that differ.
    AtRestart(&'static [ComparedPart]),
}

/// A part of a key: what messages call it, as in `xdp.mode`, and whether it differs between two configurations.
pub(super) type ComparedPart = (&'static str, fn(&Config, &Config) -> bool);

macro_rules! keys {
    ($($key:ident: $type:ty = ($($above:ident),*),)*) => {
        /// The whole configuration, defaults filled in. A field holds what its key says, or the key's default.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            /// The file, as it was named to us.
            pub file: Arc<Path>,
            $(#[doc = concat!("`", stringify!($key), "`.")] pub $key: $type,)*
        }

        /// The names of all keys, in the order of the table.
        const NAMES: &[&str] = &[$(stringify!($key)),*];

        /// All keys, in the order of the table.
        const KEYS: &[TopLevelKey] = &[$($key::KEY),*];

        /// Reads all keys of a document, in the order of the table.
        pub(super) fn read(document: &YamlNode, base: &Path, overrides: &Overrides, findings: &mut Findings) -> Config {
            let root = CheckedMapping::root(document, NAMES, findings);
            let input = Input { root, base, overrides };
            $(let $key = $key::read(&input, $(&$above,)* findings);)*
            Config {
                file: Arc::clone(&findings.file),
                $($key: $key.into(),)*
            }
        }
    };
}

keys! {
    dns_port: u16 = (),
    http_port: u16 = (),
    log_level: LogFilter = (),
    log_format: LogFormat = (),
    log_fields: LogFields = (),
    log_gelf: Option<GelfTarget> = (),
    tracing: TracingConfig = (),
    listen: Vec<SocketAddr> = (dns_port),
    xdp: XdpConfig = (),
    storage: StorageConfig = (),
    history: HistoryLimits = (),
    changes: Guard = (),
    files: FilesConfig = (),
    http: HttpConfig = (http_port, listen),
    ttl_bounds: TtlBounds = (),
    zone_template: ZoneTemplate = (ttl_bounds),
    edns: EdnsConfig = (),
    chaos: ChaosConfig = (),
    tcp: TcpConfig = (),
    views: Vec<ViewClients> = (),
    acl: Acl = (),
    rate_limit: RateLimitConfig = (),
    metrics: MetricsConfig = (),
    query_log: QueryLogConfig = (),
    dnstap: DnstapConfig = (),
    zone_folder: Option<ZoneFolder> = (),
    zones: Vec<ConfiguredZone> = (zone_folder),
    backend: BackendConfig = (ttl_bounds, listen),
    forward: ForwardConfig = (listen, views, backend),
    cache: CacheConfig = (),
    rules: Vec<Rule> = (storage, views),
    records: Vec<ConfiguredRecord> = (ttl_bounds, backend, views),
    limits: LimitsConfig = (),
    sources: Vec<ConfiguredSource> = (backend, storage),
    targets: TargetsConfig = (),
    kubernetes: KubernetesConfig = (sources),
    dry_run: DryRun = (),
}

impl Config {
    /// Whether names that are not ours are looked at by anything but our own data: upstream servers, routes, rules.
    pub fn resolves(&self) -> bool {
        self.backend.upstream.enabled || !self.forward.routes.is_empty() || !self.rules.is_empty()
    }

    /// The keys that differ between two configurations and take effect only at a restart, in the order of the table.
    /// For example `["xdp.mode"]` where `xdp: {mode: auto}` became `xdp: {mode: native}`.
    pub fn restart_needed(old: &Self, new: &Self) -> Vec<&'static str> {
        differing(old, new, TopLevelKey::at_restart)
    }

    /// The keys that differ between two configurations and take effect at the reload, in the order of the table;
    /// `zones` and `records` are not among them.
    pub fn applied_live(old: &Self, new: &Self) -> Vec<&'static str> {
        differing(old, new, TopLevelKey::live)
    }
}

impl TopLevelKey {
    fn live(&self) -> &'static [ComparedPart] {
        match self.applies {
            Applies::Live(parts) | Applies::Mixed { live: parts, .. } => parts,
            Applies::AtReload | Applies::AtRestart(_) => &[],
        }
    }

    fn at_restart(&self) -> &'static [ComparedPart] {
        match self.applies {
            Applies::AtRestart(parts) | Applies::Mixed { at_restart: parts, .. } => parts,
            Applies::AtReload | Applies::Live(_) => &[],
        }
    }
}

/// Which of the parts that `of` gives differ.
fn differing(old: &Config, new: &Config, of: fn(&TopLevelKey) -> &'static [ComparedPart]) -> Vec<&'static str> {
    let parts = KEYS.iter().flat_map(of);
    parts
        .filter(|(_, differs)| differs(old, new))
        .map(|(name, _)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table "Keys" of `docs/configuration.md`: the keys in the first cell of each.
    fn documented() -> Vec<&'static str> {
        let page = include_str!("../../../docs/configuration.md");
        let rows = page.split_once("## Keys").expect("the section").1.lines();
        let rows = rows.skip_while(|line| !line.starts_with("| `"));
        let cells = rows
            .take_while(|line| line.starts_with("| `"))
            .map(|line| line[2..].split(" | ").next().expect("a cell"));
        cells
            .flat_map(|cell| cell.split(", ").map(|key| key.trim_matches('`')))
            .collect()
    }

    /// The name of a key with each of the names within it: `xdp.interfaces`, `xdp.mode`.
    fn all() -> impl Iterator<Item = (String, &'static TopLevelKey)> {
        NAMES.iter().zip(KEYS).flat_map(|(name, key)| {
            let within = key.keys.iter().map(move |within| format!("{name}.{within}"));
            let alone = key.keys.is_empty().then(|| (*name).to_owned());
            within.chain(alone).map(move |name| (name, key))
        })
    }

    /// Whether `key` is `of`, or a key within it.
    fn is_within(key: &str, of: &str) -> bool {
        key.strip_prefix(of)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    #[test]
    fn the_documentation_lists_every_key_and_no_other() {
        let documented = documented();
        for (name, _) in all() {
            assert!(documented.iter().any(|row| is_within(row, &name)), "{name}");
        }
        for row in documented {
            assert!(all().any(|(name, _)| is_within(row, &name)), "{row}");
        }
    }

    #[test]
    fn the_documentation_names_the_keys_that_need_a_restart() {
        let page = include_str!("../../../docs/configuration.md");
        let (_, behind) = page.split_once("These need a restart:").expect("the sentence");
        let words = behind.split_whitespace().collect::<Vec<_>>().join(" ");
        let (sentence, _) = words.split_once(". ").expect("its end");
        let named: Vec<&str> = sentence.split(", ").map(|key| key.trim_matches('`')).collect();
        let parts = KEYS.iter().flat_map(TopLevelKey::at_restart).map(|(part, _)| *part);
        let mut parts: Vec<&str> = parts.collect();
        parts.dedup();
        assert_eq!(named, parts);
    }

    #[test]
    fn a_key_is_compared_whole() {
        for (name, key) in all().filter(|(_, key)| !matches!(key.applies, Applies::AtReload)) {
            let is_compared = (key.live().iter())
                .chain(key.at_restart())
                .any(|(part, _)| is_within(&name, part) || is_within(part, &name));
            assert!(is_compared, "{name}");
        }
    }
}
