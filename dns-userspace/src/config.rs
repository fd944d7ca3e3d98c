//! The configuration file.
//!
//! ```text
//! file ─ document ─► located tree ─ keys ─► Config (complete, frozen)     ─ with_zones ─► ConfigWithZones
//!                                     └──► every ConfigError, with its line and column
//! ```
//!
//! Each top-level key has a file: `tcp.rs` has the type of `tcp`, its defaults, how it is read, and when a change of it
//! takes effect. `keys.rs` is the table of them.
//!
//! Every key has a default and a unit; a [`Config`] that exists is valid. The file is one unit: any error in it, and
//! nothing of it is used. What the zone files hold is not part of it: a bad zone file is that zone's failure alone.
//! `docs/configuration.md` describes the keys for users.

mod acl;
mod address;
mod address_list;
mod backend;
mod cache;
mod changes;
mod chaos;
mod choice;
mod collector;
mod dns_port;
mod dnstap;
mod document;
mod dry_run;
mod edns;
mod environment;
mod files;
mod forward;
mod history;
mod http;
mod http_port;
mod keys;
mod kubernetes;
mod limits;
mod listen;
mod load;
mod log_fields;
mod log_format;
mod log_gelf;
mod log_level;
mod metrics;
mod problem;
mod rate_limit;
mod query_log;
mod records;
mod rewrite;
mod rules;
mod secret_file;
mod section;
mod shown;
mod sources;
mod storage;
mod targets;
mod tcp;
mod tracing;
mod ttl_bounds;
mod unchanged;
mod views;
mod with_zones;
mod xdp;
mod zone_folder;
mod zone_template;
mod zones;

use std::path::{Path, PathBuf};

pub use self::backend::{BackendConfig, UpstreamConfig};
pub use self::cache::{CacheConfig, HotConfig, StaleConfig};
pub use self::chaos::ChaosConfig;
pub use self::choice::UnknownWord;
pub use self::collector::{GelfTarget, GelfTransport};
pub use self::dnstap::{DnstapConfig, DnstapTarget};
pub use self::document::FilePosition;
pub use self::dry_run::DryRun;
pub use self::edns::EdnsConfig;
pub use self::files::FilesConfig;
pub use self::forward::{
    DEFAULT_SET, FailoverOn, ForwardConfig, Policy, ProbeConfig, ProbeWhen, Route, RouteTarget, ServerPlace,
    UpstreamServer, UpstreamSet, UpstreamTransport,
};
pub use self::http::auth::{AuthConfig, HeaderConfig, JwtConfig};
pub use self::http::{DEFAULT_SOCKET, HttpConfig, SocketConfig, TlsConfig};
pub use self::keys::Config;
pub use self::kubernetes::{CertificatesConfig, KubernetesConfig, LeaderElection, Readyz, WebhookConfig};
pub use self::limits::LimitsConfig;
pub use self::log_fields::LogFields;
pub use self::log_format::LogFormat;
pub use self::log_level::{LogFilter, LogLevel};
pub use self::metrics::MetricsConfig;
pub use self::problem::{ConfigError, ConfigProblem, ConfigWarning};
pub use self::query_log::{QueryLogConfig, Sink};
pub use self::rate_limit::RateLimitConfig;
pub use self::records::ConfiguredRecord;
pub use self::rewrite::{RecordSets, are_same, is_same, records_of, with_records};
pub use self::sources::{
    CheckAsk, CheckSettings, CheckedBy, ConfigMapPlace, ConfiguredSource, ConsulKvSource, ConsulSource, ExportSource,
    GitSource, HostsSource, KubernetesSource, Naming, Near, NomadSource, PeerSettings, PodNames, ProxySource, Register,
    Secret, Signers, SourceSettings, TextSettings, ViewAddresses, WatchedKind, is_within,
};
pub use self::storage::StorageConfig;
pub use self::targets::{
    AdoptConfig, CloudflareConfig, HostsFileConfig, ProviderConfig, Route53Config, SlackConfig, TargetsConfig,
    TechnitiumConfig, TokenPlace,
};
pub use self::tcp::TcpConfig;
pub use self::tracing::TracingConfig;
pub use self::ttl_bounds::TtlBounds;
pub use self::unchanged::ReadZones;
pub use self::with_zones::{ConfigWithZones, Known, RecordClash, ZoneError, ZoneWithContent};
pub use self::xdp::{XdpConfig, XdpMode};
pub use self::zone_folder::ZoneFolder;
pub use self::zone_template::ZoneTemplate;
pub use self::zones::ConfiguredZone;

/// What the command line puts in the place of the file's values, in the same notation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`, in the place of `listen`; none given, none replaced.
    pub listen: Vec<String>,
    /// `--http`, in the place of `http.listen`.
    pub http: Option<String>,
    /// `--interface`, in the place of `xdp.interfaces`; none given, none replaced.
    pub interfaces: Vec<String>,
    /// `--xdp`, in the place of `xdp.mode`.
    pub xdp_mode: Option<XdpMode>,
    /// `--dry-run`, in the place of `dry_run`.
    pub dry_run: Option<DryRun>,
    /// `--dev-mode`: names go into `/etc/hosts`, and not to Technitium; see `environment`.
    pub dev_mode: bool,
    /// Variables of the environment, which stand for keys that the file leaves out.
    pub environment: EnvironmentVariables,
}

impl Overrides {
    /// The file where the command line names none: `file`, if it is there; no path where the environment is the
    /// configuration.
    pub fn usual_path(&self, file: &Path) -> PathBuf {
        let is_said = environment::CatalystEnvironment::of(self).has_source();
        match !is_said && file.is_file() {
            true => file.to_owned(),
            false => PathBuf::new(),
        }
    }
}

/// Variables of the environment that mean something to hotdns. Some are secret, so none is shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EnvironmentVariables(std::collections::BTreeMap<String, String>);

impl EnvironmentVariables {
    /// The variables that are read.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::DISCOVERY.iter().chain(&environment::NAMES).copied()
    }

    /// Those of HinD.
    const DISCOVERY: &[&str] = &[
        "CONSUL_HTTP_ADDR",
        "CONSUL_HTTP_TOKEN",
        "DOMAIN_SUFFIX",
        "NOMAD_ADDR",
        "NOMAD_TOKEN",
        "TRAEFIK_PROVIDER_PRIMARY",
    ];

    /// These variables.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The value of a variable; an empty one is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl std::fmt::Debug for EnvironmentVariables {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// A configuration that can be used, and what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Oddities for the log.
    pub warnings: Vec<ConfigWarning>,
    /// The file as JSON, secrets masked.
    pub shown: serde_json::Value,
}

/// Where the configuration comes from, at start and at each reload.
#[derive(Debug, Clone)]
pub struct ConfigSource {
    /// The file; empty where the environment stands in its place.
    pub path: PathBuf,
    /// What the command line overrides.
    pub overrides: Overrides,
}

impl ConfigSource {
    /// Reads the file with the overrides of the command line, without the zone files.
    pub fn load(&self) -> Result<Loaded, Vec<ConfigError>> {
        load::load(&self.path, &self.overrides)
    }

    /// Reads the file, and the zone files that are not as they were in `before`.
    pub fn load_changed(&self, before: &ReadZones) -> Result<ConfigWithZones, Vec<ConfigError>> {
        let loaded = self.load()?;
        Ok(ConfigWithZones::read_changed_zone_files(loaded, before))
    }

    /// Reads the file and every zone file.
    pub fn load_everything(&self) -> Result<ConfigWithZones, Vec<ConfigError>> {
        self.load().map(ConfigWithZones::read_zone_files)
    }
}

#[cfg(test)]
mod tests;
