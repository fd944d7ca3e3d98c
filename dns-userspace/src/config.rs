//! The configuration file.
//!
//! ```text
//! file ─ document ─► located tree ─ read ─► Config (complete, frozen)     ─ desired ─► Desired: with zone files
//!                                     └──► every ConfigError, with its line and column
//! ```
//!
//! Every key has a default and a unit; a [`Config`] that exists is valid. The file is one unit: any error in it, and
//! nothing of it is used. What the zone files hold is not part of it: a bad zone file is that zone's failure alone.
//! `docs/configuration.md` describes the keys for users.

mod address;
mod choice;
mod desired;
mod document;
mod limits;
mod problem;
mod read;
mod records;
mod restart;
mod section;
mod token;
mod views;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use self::choice::{LogFormat, LogLevel, UnknownWord, XdpMode};
pub use self::desired::{Clash, Desired, DesiredZone, Known, ZoneError};
pub use self::document::Position;
pub use self::problem::{ConfigError, ConfigWarning, Problem};
pub use self::records::{ConfiguredRecord, ConfiguredZone};

use crate::access::AccessList;
use crate::memory::Size;
use crate::name::Name;
use crate::record::RrSet;
use crate::store::ConfiguredView;
use crate::views::{ViewClients, ViewName};
use crate::work::Sought;

/// The whole configuration, defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file, as it was named to us.
    pub file: Arc<Path>,
    /// The port of `listen` addresses that name none.
    pub dns_port: u16,
    /// The port of `http.listen` addresses that name none.
    pub http_port: u16,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where DNS is served, over UDP and TCP; empty, the default, is all addresses at `dns_port`.
    pub listen: Vec<SocketAddr>,
    /// The XDP program.
    pub xdp: Xdp,
    /// The folder of what the server itself keeps.
    pub storage_path: PathBuf,
    /// `storage.required`: whether nothing is served until its records are read.
    pub storage_required: bool,
    /// The HTTP API.
    pub http: Http,
    /// Bounds of TTLs in `records` and the API.
    pub ttl_bounds: TtlBounds,
    /// The largest UDP answer to a client that takes it, in octets: 512 to 4096.
    pub udp_payload: u16,
    /// `edns.nsid`: what this server calls itself, where a client asks (RFC 5001).
    pub nsid: Option<Box<str>>,
    /// `edns.cookie_secret_file`: one or two secrets of DNS cookies, readable when the configuration was read.
    pub cookie_secret_file: Option<PathBuf>,
    /// What is said in class CHAOS.
    pub chaos: Chaos,
    /// Connections of clients.
    pub tcp: Tcp,
    /// `acl`: who may ask.
    pub access: Option<Arc<AccessList>>,
    /// How much may be asked.
    pub rate_limit: RateLimit,
    /// `metrics.per_zone`: whether answers are counted for each zone.
    pub metrics_per_zone: bool,
    /// How questions are answered.
    pub backend: Backend,
    /// `limits.memory`: what all zones may take.
    pub memory_limit: Size,
    /// The views, in the order of the file.
    pub views: Vec<ViewClients>,
    /// The zones, in the order of the file.
    pub zones: Vec<ConfiguredZone>,
    /// The RRsets of `records`, in the order of the file.
    pub records: Vec<ConfiguredRecord>,
}

/// `xdp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xdp {
    /// Interfaces by name; none by default.
    pub interfaces: Vec<String>,
    /// How the program is attached to them.
    pub mode: XdpMode,
}

/// `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where HTTP is served.
    pub listen: Vec<SocketAddr>,
    /// `http.token_file`: readable, and with a token in it, when the configuration was read.
    pub token_file: Option<PathBuf>,
}

/// `ttl_bounds`, both included, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlBounds {
    /// The smallest TTL.
    pub min: u32,
    /// The largest TTL.
    pub max: u32,
}

/// `chaos`: TXT records of class CHAOS, at most 255 octets each; those that are not given are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chaos {
    /// `version.bind` and `version.server`.
    pub version: Option<Box<str>>,
    /// `hostname.bind`.
    pub hostname: Option<Box<str>>,
    /// `id.server` (RFC 4892).
    pub id: Option<Box<str>>,
}

/// `tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// How long a connection may have nothing to do.
    pub idle_timeout: Duration,
    /// Connections in all, where the file says so; see [`Tcp::connections`].
    pub max_connections: Option<u32>,
    /// Connections of one client, never more than in all; by default three quarters of those.
    pub max_connections_per_client: Option<u32>,
}

impl Tcp {
    /// Connections in all.
    pub fn connections(&self) -> u32 {
        self.max_connections.unwrap_or(read::TCP_CONNECTIONS)
    }
}

/// `rate_limit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Whether there are limits.
    pub enabled: bool,
    /// Queries a second of one prefix.
    pub rate: u32,
    /// How many at once.
    pub burst: u32,
    /// Bits of the prefix of an IPv4 client.
    pub ipv4_prefix: u8,
    /// Bits of the prefix of an IPv6 client.
    pub ipv6_prefix: u8,
    /// Every so many queries over the limit one is answered truncated; 0 for none.
    pub slip: u8,
    /// Clients without limits.
    pub exempt: Vec<IpNet>,
    /// Rate and burst of all clients together.
    pub global: Option<(u32, u32)>,
}

/// `backend`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The TTL of records that name none, in seconds.
    pub default_ttl: u32,
    /// Whether an answer follows CNAMEs.
    pub resolve_cname_chain: bool,
    /// The most CNAMEs that an answer follows.
    pub max_cname_depth: u8,
    /// Whether NXDOMAIN carries the zone's SOA record.
    pub return_soa_on_nxdomain: bool,
    /// Where questions for names that are not ours go.
    pub upstream: Upstream,
}

/// `backend.upstream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Whether anything is forwarded.
    pub enabled: bool,
    /// Resolvers in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// How long one server may take.
    pub timeout: Duration,
    /// Clients whose questions are forwarded.
    pub allow: Vec<IpNet>,
}

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
}

/// A configuration that can be used, and what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Oddities for the log.
    pub warnings: Vec<ConfigWarning>,
}

/// Where the configuration comes from, at start and at each reload.
#[derive(Debug, Clone)]
pub struct ConfigSource {
    /// The file.
    pub path: PathBuf,
    /// What the command line overrides.
    pub overrides: Overrides,
}

impl ConfigSource {
    /// Reads the file with the overrides of the command line, without the zone files.
    pub fn load(&self) -> Result<Loaded, Vec<ConfigError>> {
        read::load(&self.path, &self.overrides)
    }

    /// Reads the file and every zone file.
    pub fn load_everything(&self) -> Result<Desired, Vec<ConfigError>> {
        self.load().map(Desired::read_zone_files)
    }
}

/// Reads the configuration file at `path`, without the zone files.
pub fn load(path: &Path) -> Result<Loaded, Vec<ConfigError>> {
    read::load(path, &Overrides::default())
}

/// Reads the configuration file at `path` and every zone file.
pub fn load_everything(path: &Path) -> Result<Desired, Vec<ConfigError>> {
    load(path).map(Desired::read_zone_files)
}

impl Config {
    /// The RRsets of `records` that are in no view, as the store takes them.
    pub fn record_sets(&self) -> Vec<(Name, RrSet)> {
        let records = self.records.iter().filter(|record| record.view.is_none());
        records.map(as_stored).collect()
    }

    /// The views with their RRsets of `records`, as the store takes them.
    pub fn view_sets(&self) -> Vec<ConfiguredView> {
        let mut by_view: HashMap<Sought<&ViewName>, Vec<(Name, RrSet)>> = HashMap::new();
        for record in &self.records {
            if let Some(view) = &record.view {
                by_view.entry(Sought(view)).or_default().push(as_stored(record));
            }
        }
        let views = self.views.iter();
        let views = views.map(|view| ConfiguredView {
            view: view.clone(),
            records: by_view.remove(&Sought(&view.name)).unwrap_or_default(),
        });
        views.collect()
    }

    /// The keys that differ between two configurations and take effect only at a restart: all but `views`, `zones` and
    /// `records`.
    pub fn restart_needed(old: &Config, new: &Config) -> Vec<&'static str> {
        restart::changed_keys(old, new)
    }
}

fn as_stored(record: &ConfiguredRecord) -> (Name, RrSet) {
    (record.owner.clone(), record.rrset.clone())
}

impl Default for Config {
    /// What an empty file gives.
    fn default() -> Self {
        read::defaults()
    }
}

#[cfg(test)]
mod tests;
