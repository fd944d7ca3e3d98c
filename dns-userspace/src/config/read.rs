//! From the tree of the document to a [`Config`]: every key, its default, and the checks across keys.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use humantime_serde::re::humantime;
use ipnet::IpNet;

use super::address::{Located, Purpose, check_overlaps, host, parse_address, wildcard};
use super::choice::{LogFormat, LogLevel, XdpMode};
use super::document::{self, Node, Position};
use super::limits::{read_access, read_prefixes, read_rate_limit};
use super::problem::{ConfigError, Findings, Problem};
use super::records::{MAX_TTL, RecordRules, read_records, read_zones};
use super::section::{Section, Text};
use super::token::{check_token_file, open_to_all};
use super::views::read_views;
use super::{Backend, Chaos, Config, Http, Loaded, Overrides, Tcp, TtlBounds, Upstream, Xdp};
use crate::cookies::Secrets;
use crate::files;
use crate::host::HostAddresses;
use crate::memory::{self, Size};
use crate::work::Sought;

const ROOT_KEYS: &[&str] = &[
    "dns_port",
    "http_port",
    "log_level",
    "log_format",
    "listen",
    "xdp",
    "storage",
    "http",
    "ttl_bounds",
    "edns",
    "chaos",
    "tcp",
    "views",
    "acl",
    "rate_limit",
    "metrics",
    "zones",
    "records",
    "backend",
    "limits",
];
const BACKEND_KEYS: &[&str] = &[
    "default_ttl",
    "resolve_cname_chain",
    "max_cname_depth",
    "return_soa_on_nxdomain",
    "upstream",
];
const UPSTREAM_KEYS: &[&str] = &["enabled", "servers", "timeout", "allow"];

const DNS_PORT: u16 = 53;
const HTTP_PORT: u16 = 8080;
const TTL_BOUNDS: TtlBounds = TtlBounds { min: 60, max: 86_400 };
const DEFAULT_TTL: u32 = 300;
const UDP_PAYLOAD: u16 = 1232;
/// Every answer to a client that asks has room for so much beside the longest question.
const MAX_NSID_BYTES: usize = 128;
/// One character-string (RFC 1035 §3.3).
const MAX_CHAOS_BYTES: usize = 255;
const TCP_KEYS: &[&str] = &["idle_timeout", "max_connections", "max_connections_per_client"];
const TCP_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
const TCP_IDLE_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
pub(super) const TCP_CONNECTIONS: u32 = 16_384;
/// A connection is a file, and more files than this no system gives to a process by default (`fs.nr_open`).
const MOST_TCP_CONNECTIONS: u32 = 1 << 20;
const MAX_CNAME_DEPTH: u8 = 10;
const STORAGE_PATH: &str = "/var/lib/hotdns";
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(5);
const UPSTREAM_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
/// Loopback, private (RFC 1918, RFC 4193) and link-local (RFC 3927, RFC 4291 §2.5.6).
const UPSTREAM_CLIENTS: &[&str] = &[
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// The most octets of a configuration file, `records` and all.
const MOST_OCTETS: u64 = 64 << 20;
/// The most keys and values of one; fewer where there is little memory.
const MOST_NODES: u64 = 4_000_000;
/// What a key or a value takes at most while the file is read, in octets.
const NODE_OCTETS: u64 = 256;
/// `limits.memory` from 1 MiB to 1 PiB.
const MEMORY_LIMITS: RangeInclusive<Size> = Size(1 << 20)..=Size(1 << 50);

/// Reads a configuration file.
pub(super) fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, Vec<ConfigError>> {
    let fail = |at, problem| {
        vec![ConfigError {
            file: path.into(),
            at,
            problem,
        }]
    };
    let text = files::read_text(path, MOST_OCTETS).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => fail(None, Problem::NotUtf8),
        io::ErrorKind::FileTooLarge => {
            let most = Size(MOST_OCTETS);
            fail(None, Problem::FileTooLarge { most })
        }
        _ => fail(None, Problem::Unreadable { error }),
    })?;
    let document = document::parse(&text, most_nodes()).map_err(|(at, problem)| fail(Some(at), problem))?;
    let mut findings = Findings::new(path);
    let base = path.parent().unwrap_or(Path::new(""));
    let config = read(&document, base, overrides, &mut findings);
    let warnings = findings.into_result()?;
    Ok(Loaded { config, warnings })
}

/// As many nodes as a quarter of the memory has room for, within bounds.
fn most_nodes() -> usize {
    let Size(octets) = memory::available();
    (octets / 4 / NODE_OCTETS).clamp(MOST_NODES / 40, MOST_NODES) as usize
}

/// What an empty file gives.
pub(super) fn defaults() -> Config {
    let empty = document::parse("", 0).expect("an empty document parses");
    read(
        &empty,
        Path::new(""),
        &Overrides::default(),
        &mut Findings::new(Path::new("")),
    )
}

fn read(document: &Node, base: &Path, overrides: &Overrides, findings: &mut Findings) -> Config {
    let root = Section::root(document, ROOT_KEYS, findings);
    let dns_port = root
        .number("dns_port", 1..=u16::MAX, "", "dns_port: 53", findings)
        .unwrap_or(DNS_PORT);
    let http_port = root
        .number("http_port", 1..=u16::MAX, "", "http_port: 8080", findings)
        .unwrap_or(HTTP_PORT);
    let given = read_listen(&root, dns_port, overrides, findings);
    let listen = given.clone().unwrap_or_else(|| all_addresses(&root, dns_port));
    let (http, http_addresses) = read_http(&root, http_port, base, overrides, findings);
    check_ports(&listen, &http_addresses, findings);
    let ttl_bounds = read_ttl_bounds(&root, findings);
    let backend = read_backend(&root, ttl_bounds, &listen, findings);
    let views = root.list("views", "views: [{name: office, clients: [10.0.0.0/8]}]", findings);
    let views = views.map(|items| read_views(items, findings)).unwrap_or_default();
    let rules = RecordRules {
        default_ttl: backend.default_ttl,
        bounds: ttl_bounds,
        views: &views,
    };
    let edns = root.section("edns", &["udp_payload", "nsid", "cookie_secret_file"], findings);
    let zones = root.list(
        "zones",
        "zones: [{name: example.com., file: example.com.zone}]",
        findings,
    );
    let records = root.list(
        "records",
        "records: [{name: a.example., type: A, value: [192.0.2.1]}]",
        findings,
    );
    let (storage_path, storage_required) = read_storage(&root, base, findings);
    Config {
        file: std::sync::Arc::clone(&findings.file),
        dns_port,
        http_port,
        log_level: root.choice("log_level", findings).unwrap_or(LogLevel::Info),
        log_format: root.choice("log_format", findings).unwrap_or(LogFormat::Text),
        listen: given.unwrap_or_default().iter().map(|(address, _)| *address).collect(),
        xdp: read_xdp(&root, overrides, findings),
        storage_path,
        storage_required,
        http,
        ttl_bounds,
        udp_payload: edns
            .number("udp_payload", 512..=4096u16, "octets", "udp_payload: 1232", findings)
            .unwrap_or(UDP_PAYLOAD),
        nsid: read_short_text(&edns, "nsid", "nsid: ns1.example.com", MAX_NSID_BYTES, findings),
        cookie_secret_file: read_cookie_secrets(&edns, base, findings),
        chaos: read_chaos(&root, findings),
        tcp: read_tcp(&root, findings),
        access: read_access(&root, findings),
        rate_limit: read_rate_limit(&root, findings),
        metrics_per_zone: root
            .section("metrics", &["per_zone"], findings)
            .boolean("per_zone", "per_zone: true", findings)
            .unwrap_or(false),
        memory_limit: read_memory_limit(&root, findings),
        zones: zones.map(|items| read_zones(items, base, findings)).unwrap_or_default(),
        records: records
            .map(|items| read_records(items, &rules, findings))
            .unwrap_or_default(),
        views,
        backend,
    }
}

/// The addresses that are given, in the file or by the command line.
fn read_listen(
    root: &Section<'_>,
    dns_port: u16,
    overrides: &Overrides,
    findings: &mut Findings,
) -> Option<Vec<Located>> {
    let listen = read_addresses(root, "listen", "listen: [\"192.0.2.1\"]", dns_port, findings);
    replace_addresses(listen, "--listen", &overrides.listen, dns_port, findings)
}

/// What no `listen` stands for.
fn all_addresses(root: &Section<'_>, dns_port: u16) -> Vec<Located> {
    let at = root.position("dns_port").or(Some(root.at));
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
        .map(|address| (SocketAddr::new(address, dns_port), at))
        .to_vec()
}

fn read_http(
    root: &Section<'_>,
    http_port: u16,
    base: &Path,
    overrides: &Overrides,
    findings: &mut Findings,
) -> (Http, Vec<Located>) {
    let section = root.section("http", &["listen", "token_file"], findings);
    let listen = read_addresses(&section, "listen", "listen: [\"127.0.0.1:8080\"]", http_port, findings);
    let overriding: Vec<String> = overrides.http.iter().cloned().collect();
    let listen = replace_addresses(listen, "--http", &overriding, http_port, findings).unwrap_or_else(|| {
        let at = root.position("http_port").or(Some(root.at));
        vec![(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), http_port), at)]
    });
    let token_file = section.text("token_file", "token_file: token", findings).map(|file| {
        let path = base.join(file.text);
        match check_token_file(&path) {
            Ok(None) => {}
            Ok(Some(oddity)) => findings.warning(file.at, oddity),
            Err(problem) => findings.error(file.at, problem),
        }
        path
    });
    let addresses = listen.iter().map(|(address, _)| *address).collect();
    (
        Http {
            listen: addresses,
            token_file,
        },
        listen,
    )
}

/// The addresses under `key`; `None` where it is not given.
fn read_addresses(
    section: &Section<'_>,
    key: &'static str,
    example: &'static str,
    port: u16,
    findings: &mut Findings,
) -> Option<Vec<Located>> {
    let texts = section.texts(key, example, findings)?;
    let path = section.path(key);
    if texts.is_empty()
        && let Some(at) = section.position(key)
        && section
            .list(key, example, findings)
            .is_some_and(|items| items.is_empty())
    {
        findings.error(
            at,
            Problem::Empty {
                key: path,
                remedy: "write an address, or leave the key out for the default",
            },
        );
        return None;
    }
    let host = host();
    let mut addresses = Vec::with_capacity(texts.len());
    for Text { at, text } in texts {
        match parse_address(&path, text, port, Purpose::Listen, &host) {
            Ok(address) => addresses.push((address, Some(at))),
            Err(problem) => findings.error(at, problem),
        }
    }
    check_overlaps(&path, &addresses, findings);
    Some(addresses)
}

/// The command line's addresses where it has any, else the file's.
fn replace_addresses(
    listen: Option<Vec<Located>>,
    flag: &str,
    texts: &[String],
    port: u16,
    findings: &mut Findings,
) -> Option<Vec<Located>> {
    if texts.is_empty() {
        return listen;
    }
    let host = host();
    let mut addresses: Vec<Located> = Vec::with_capacity(texts.len());
    for text in texts {
        match parse_address(flag, text, port, Purpose::Listen, &host) {
            Ok(address) => addresses.push((address, None)),
            Err(problem) => findings.command_line_error(problem),
        }
    }
    check_overlaps(flag, &addresses, findings);
    Some(addresses)
}

/// DNS over TCP and HTTP cannot share an address and port.
fn check_ports(listen: &[Located], http: &[Located], findings: &mut Findings) {
    let dns: HashSet<_> = listen.iter().map(|(dns, _)| Sought(*dns)).collect();
    let find = |address| dns.get(&Sought(address)).map(|found| found.0);
    // What a wildcard address of HTTP covers, one for each family and port.
    let by_port: HashMap<_, SocketAddr> = listen
        .iter()
        .rev()
        .map(|(dns, _)| (Sought((dns.is_ipv4(), dns.port())), *dns))
        .collect();
    for &(http, at) in http {
        let covered = || {
            by_port
                .get(&Sought((http.is_ipv4(), http.port())))
                .copied()
                .filter(|_| http.ip().is_unspecified())
        };
        if let Some(dns) = find(http).or_else(|| find(wildcard(http))).or_else(covered) {
            findings.error_at(at, Problem::HttpOnDnsPort { http, dns });
        }
    }
}

fn read_xdp(root: &Section<'_>, overrides: &Overrides, findings: &mut Findings) -> Xdp {
    let section = root.section("xdp", &["interfaces", "mode"], findings);
    let in_file = section
        .texts("interfaces", "interfaces: [eth0]", findings)
        .unwrap_or_default();
    let in_file: Vec<_> = in_file.iter().map(|Text { at, text }| (*text, Some(*at))).collect();
    check_interfaces(&section.path("interfaces"), &in_file, findings);
    let given: Vec<_> = overrides.interfaces.iter().map(|text| (text.as_str(), None)).collect();
    check_interfaces("--interface", &given, findings);
    let used = if given.is_empty() { in_file } else { given };
    let mode = section.choice("mode", findings).unwrap_or(XdpMode::Auto);
    Xdp {
        interfaces: used.into_iter().map(|(text, _)| text.to_owned()).collect(),
        mode: overrides.xdp_mode.unwrap_or(mode),
    }
}

/// Linux's rule, `dev_valid_name`: up to 15 octets, no `/`, no `:`, no white space, not `.` or `..`.
fn check_interfaces(key: &str, names: &[(&str, Option<Position>)], findings: &mut Findings) {
    let mut seen = HashSet::new();
    for &(text, at) in names {
        let (key, owned) = (key.to_owned(), text.to_owned());
        let forbidden = |octet: u8| octet == b'/' || octet == b':' || octet.is_ascii_whitespace();
        if !(1..=15).contains(&text.len()) || matches!(text, "." | "..") || text.bytes().any(forbidden) {
            findings.error_at(at, Problem::BadInterface { key, text: owned });
        } else if !seen.insert(Sought(text)) {
            findings.error_at(at, Problem::DuplicateInterface { key, text: owned });
        }
    }
}

/// The folder, and whether its records are waited for.
fn read_storage(root: &Section<'_>, base: &Path, findings: &mut Findings) -> (PathBuf, bool) {
    let section = root.section("storage", &["path", "required"], findings);
    let required = section.boolean("required", "required: true", findings).unwrap_or(true);
    let path = match section.text("path", "path: /var/lib/hotdns", findings) {
        Some(Text { at, text: "" }) => {
            findings.error(
                at,
                Problem::Empty {
                    key: section.path("path"),
                    remedy: "write the path of a folder",
                },
            );
            STORAGE_PATH.into()
        }
        Some(Text { text, .. }) => base.join(text),
        None => STORAGE_PATH.into(),
    };
    (path, required)
}

fn read_cookie_secrets(edns: &Section<'_>, base: &Path, findings: &mut Findings) -> Option<PathBuf> {
    let file = edns.text("cookie_secret_file", "cookie_secret_file: cookie.secret", findings)?;
    let path = base.join(file.text);
    if let Err(error) = Secrets::read(&path) {
        let path = path.display().to_string();
        findings.error(file.at, Problem::BadCookieSecrets { path, error });
    } else if let Some(oddity) = open_to_all(&path) {
        findings.warning(file.at, oddity);
    }
    Some(path)
}

fn read_chaos(root: &Section<'_>, findings: &mut Findings) -> Chaos {
    let section = root.section("chaos", &["version", "hostname", "id"], findings);
    let mut text = |key, example| read_short_text(&section, key, example, MAX_CHAOS_BYTES, findings);
    Chaos {
        version: text("version", "version: \"1.0\""),
        hostname: text("hostname", "hostname: ns1.example.com"),
        id: text("id", "id: ns1"),
    }
}

/// Text of 1 to `most` octets.
fn read_short_text(
    section: &Section<'_>,
    key: &'static str,
    example: &'static str,
    most: usize,
    findings: &mut Findings,
) -> Option<Box<str>> {
    let Text { at, text } = section.text(key, example, findings)?;
    let key = section.path(key);
    let problem = match text.len() {
        0 => Problem::Empty {
            key,
            remedy: "write a text, or leave the key out to say nothing",
        },
        bytes if bytes > most => Problem::TooLong { key, bytes, most },
        _ => return Some(text.into()),
    };
    findings.error(at, problem);
    None
}

fn read_ttl_bounds(root: &Section<'_>, findings: &mut Findings) -> TtlBounds {
    let section = root.section("ttl_bounds", &["min", "max"], findings);
    let min = section.number("min", 0..=MAX_TTL, "seconds", "min: 60", findings);
    let max = section.number("max", 0..=MAX_TTL, "seconds", "max: 86400", findings);
    let bounds = TtlBounds {
        min: min.unwrap_or(TTL_BOUNDS.min),
        max: max.unwrap_or(TTL_BOUNDS.max),
    };
    if bounds.min <= bounds.max {
        return bounds;
    }
    let at = section
        .position("min")
        .or(section.position("max"))
        .unwrap_or(section.at);
    findings.error(
        at,
        Problem::BoundsReversed {
            min: bounds.min,
            max: bounds.max,
        },
    );
    // Nothing is outside these: the records' TTLs are not to blame.
    TtlBounds { min: 0, max: MAX_TTL }
}

fn read_tcp(root: &Section<'_>, findings: &mut Findings) -> Tcp {
    let section = root.section("tcp", TCP_KEYS, findings);
    let max_connections = section.number(
        "max_connections",
        1..=MOST_TCP_CONNECTIONS,
        "connections",
        "max_connections: 16384",
        findings,
    );
    Tcp {
        idle_timeout: read_duration(
            &section,
            "idle_timeout",
            "idle_timeout: 10s",
            &TCP_IDLE_TIMEOUTS,
            findings,
        )
        .unwrap_or(TCP_IDLE_TIMEOUT),
        max_connections,
        max_connections_per_client: section.number(
            "max_connections_per_client",
            1..=max_connections.unwrap_or(TCP_CONNECTIONS),
            "connections (`tcp.max_connections`)",
            "max_connections_per_client: 1000",
            findings,
        ),
    }
}

fn read_backend(root: &Section<'_>, bounds: TtlBounds, listen: &[Located], findings: &mut Findings) -> Backend {
    let section = root.section("backend", BACKEND_KEYS, findings);
    let default_ttl = section.number(
        "default_ttl",
        bounds.min..=bounds.max,
        "seconds (`ttl_bounds`)",
        "default_ttl: 300",
        findings,
    );
    Backend {
        default_ttl: default_ttl.unwrap_or(DEFAULT_TTL.clamp(bounds.min, bounds.max)),
        resolve_cname_chain: section
            .boolean("resolve_cname_chain", "resolve_cname_chain: true", findings)
            .unwrap_or(true),
        max_cname_depth: section
            .number("max_cname_depth", 1..=u8::MAX, "", "max_cname_depth: 10", findings)
            .unwrap_or(MAX_CNAME_DEPTH),
        return_soa_on_nxdomain: section
            .boolean("return_soa_on_nxdomain", "return_soa_on_nxdomain: true", findings)
            .unwrap_or(true),
        upstream: read_upstream(&section, listen, findings),
    }
}

fn read_upstream(backend: &Section<'_>, listen: &[Located], findings: &mut Findings) -> Upstream {
    let section = backend.section("upstream", UPSTREAM_KEYS, findings);
    let enabled = section.boolean("enabled", "enabled: true", findings).unwrap_or(false);
    let key = section.path("servers");
    let mut servers: Vec<Located> = Vec::new();
    let errors_before = findings.error_count();
    let host = host();
    let mut seen = HashSet::new();
    for Text { at, text } in section
        .texts("servers", "servers: [\"192.0.2.53:53\"]", findings)
        .unwrap_or_default()
    {
        match parse_address(&key, text, DNS_PORT, Purpose::Server, &host) {
            Ok(server) if !seen.insert(Sought(server)) => {
                findings.error(
                    at,
                    Problem::DuplicateAddress {
                        key: key.clone(),
                        address: server.to_string(),
                    },
                );
            }
            Ok(server) => {
                servers.push((server, Some(at)));
                // Loopback and what is written here are always ours. The host's other addresses come and go.
                if let Some(own) = ourselves(server, listen, &HostAddresses::default()) {
                    findings.error(at, Problem::UpstreamIsSelf { server, listen: own });
                } else if enabled && ourselves(server, listen, &host).is_some() {
                    let message = format!(
                        "`{key}`: {server} is an address of this host at present, and so this server: it is not asked \
                         as long as that is so"
                    );
                    findings.warning(at, message);
                }
            }
            Err(problem) => findings.error(at, problem),
        }
    }
    // Servers that are there and cannot be read have their own errors.
    if enabled && servers.is_empty() && findings.error_count() == errors_before {
        findings.error(section.position("servers").unwrap_or(section.at), Problem::NoUpstream);
    }
    Upstream {
        enabled,
        servers: servers.into_iter().map(|(server, _)| server).collect(),
        timeout: read_duration(&section, "timeout", "timeout: 5s", &UPSTREAM_TIMEOUTS, findings)
            .unwrap_or(UPSTREAM_TIMEOUT),
        allow: read_clients(&section, findings),
    }
}

/// The address in `listen` by which `server` is this server, if it is.
fn ourselves(server: SocketAddr, listen: &[Located], host: &HostAddresses) -> Option<SocketAddr> {
    let mut own = listen.iter().map(|(own, _)| *own);
    own.find(|own| host.is_ourselves(server, &[*own]))
}

/// `limits.memory`; by default three quarters of what this process may have.
fn read_memory_limit(root: &Section<'_>, findings: &mut Findings) -> Size {
    let section = root.section("limits", &["memory"], findings);
    let by_default = || {
        let Size(octets) = memory::available();
        Size(octets / 4 * 3).clamp(*MEMORY_LIMITS.start(), *MEMORY_LIMITS.end())
    };
    let Some(Text { at, text }) = section.text("memory", "memory: 512MiB", findings) else {
        return by_default();
    };
    let size = Size::parse(text).filter(|size| MEMORY_LIMITS.contains(size));
    size.unwrap_or_else(|| {
        let problem = Problem::BadSize {
            key: section.path("memory"),
            text: text.to_owned(),
            min: *MEMORY_LIMITS.start(),
            max: *MEMORY_LIMITS.end(),
        };
        findings.error(at, problem);
        by_default()
    })
}

/// A duration with its unit, within `range`.
fn read_duration(
    section: &Section<'_>,
    key: &'static str,
    example: &'static str,
    range: &RangeInclusive<Duration>,
    findings: &mut Findings,
) -> Option<Duration> {
    let Text { at, text } = section.text(key, example, findings)?;
    let duration = humantime::parse_duration(text)
        .ok()
        .filter(|duration| range.contains(duration));
    if duration.is_none() {
        findings.error(
            at,
            Problem::BadDuration {
                key: section.path(key),
                text: text.to_owned(),
                min: in_one_unit(*range.start()),
                max: in_one_unit(*range.end()),
            },
        );
    }
    duration
}

/// `100ms`, `3600s`.
fn in_one_unit(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

fn read_clients(section: &Section<'_>, findings: &mut Findings) -> Vec<IpNet> {
    let given = read_prefixes(section, "allow", "allow: [10.0.0.0/8]", findings);
    given.unwrap_or_else(|| UPSTREAM_CLIENTS.iter().filter_map(|text| text.parse().ok()).collect())
}
