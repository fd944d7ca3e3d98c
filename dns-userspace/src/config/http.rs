//! `http`: where the HTTP API is served, and its bearer token.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use self::auth::AuthConfig;
use super::address_list::{AddressAt, read_addresses, replace_addresses, wildcard};
use super::keys::{Applies, Input, TopLevelKey};
use super::listen::ListenAddresses;
use super::problem::{ConfigProblem, Findings};
use super::secret_file::open_to_all;
use super::section::CheckedMapping;
use crate::host::files;
use crate::principal::TokensFile;
use crate::tls::Certificates;

pub mod auth;

/// `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where HTTP is served.
    pub listen: Vec<SocketAddr>,
    /// `http.token_file`: readable, and with a token in it, when the configuration was read.
    pub token_file: Option<PathBuf>,
    /// `http.tokens_file`: without errors, if it is there, when the configuration was read.
    pub tokens_file: Option<PathBuf>,
    /// What else clients may show to say who they are.
    pub auth: AuthConfig,
    /// Whether HTTP is served in TLS, and with what.
    pub tls: Option<TlsConfig>,
    /// The socket for users of this machine.
    pub socket: SocketConfig,
    /// How many requests a second one token or user may send, and how many at once.
    pub rate_limit: Option<(u32, u32)>,
}

/// `http.tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsConfig {
    /// `{}`: with a certificate that is made at the start.
    SelfSigned,
    /// With these files, good when the configuration was read.
    Files {
        /// The chain of certificates.
        cert: PathBuf,
        /// The key of the first of them.
        key: PathBuf,
    },
}

/// `http.socket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketConfig {
    /// At [`DEFAULT_SOCKET`], where that can be had.
    Default,
    /// Here.
    At(PathBuf),
    /// `off`.
    Off,
}

/// Where the command line looks for the server of this machine.
pub const DEFAULT_SOCKET: &str = "/run/hotdns/api.sock";

/// What can stand in an `Authorization` header and still be one line of it.
const MOST_TOKEN_BYTES: usize = 4096;
/// Fewer characters can be guessed over the network.
const GOOD_TOKEN_BYTES: usize = 16;
/// Requests a second, and at once, that can be limits.
const MOST_REQUESTS: u32 = 1_000_000_000;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[
        "listen",
        "token_file",
        "tokens_file",
        "rate_limit",
        "tls",
        "socket",
        "auth",
    ],
    // The content of the token file is read anew at each reload, that of the others once it changes.
    applies: Applies::Mixed {
        live: &[
            ("http.token_file", |old, new| old.http.token_file != new.http.token_file),
            ("http.tokens_file", |old, new| {
                old.http.tokens_file != new.http.tokens_file
            }),
            ("http.auth", |old, new| old.http.auth != new.http.auth),
            ("http.rate_limit", |old, new| old.http.rate_limit != new.http.rate_limit),
        ],
        at_restart: &[
            // Where only the default port moved, `http_port` says it all.
            ("http.listen", |old, new| {
                old.http.listen != new.http.listen && old.http_port == new.http_port
            }),
            ("http.tls", |old, new| old.http.tls != new.http.tls),
            ("http.socket", |old, new| old.http.socket != new.http.socket),
        ],
    },
};

pub(super) fn read(input: &Input<'_>, &http_port: &u16, dns: &ListenAddresses, findings: &mut Findings) -> HttpConfig {
    let root = &input.root;
    let section = root.section("http", KEY.keys, findings);
    let listen = read_addresses(&section, "listen", "listen: [\"127.0.0.1:8080\"]", http_port, findings);
    let flags: Vec<String> = input.overrides.http.iter().cloned().collect();
    let listen = replace_addresses(listen, "--http", &flags, http_port, findings).unwrap_or_else(|| {
        let at = root.position("http_port").or(Some(root.at));
        vec![(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), http_port), at)]
    });
    let token_file = section.text("token_file", "token_file: token", findings).map(|file| {
        let path = input.base.join(file.text);
        match check_token_file(&path) {
            Ok(None) => {}
            Ok(Some(oddity)) => findings.warning(file.at, oddity),
            Err(problem) => findings.error(file.at, problem),
        }
        path
    });
    check_ports(&dns.addresses(), &listen, findings);
    let tokens_file = section
        .text("tokens_file", "tokens_file: tokens.yaml", findings)
        .map(|file| {
            let path = input.base.join(file.text);
            match TokensFile::load(&path) {
                Ok(_) => open_to_all(&path)
                    .into_iter()
                    .for_each(|oddity| findings.warning(file.at, oddity)),
                Err(error) => findings.error(file.at, ConfigProblem::BadTokensFile { error }),
            }
            path
        });
    HttpConfig {
        tokens_file,
        rate_limit: read_rate_limit(&section, findings),
        auth: auth::read(&section, input, findings),
        tls: read_tls(&section, input, findings),
        socket: match section.text("socket", "socket: /run/hotdns/api.sock", findings) {
            None => SocketConfig::Default,
            Some(path) if path.text == "off" => SocketConfig::Off,
            Some(path) => SocketConfig::At(input.base.join(path.text)),
        },
        listen: listen.into_iter().map(|(address, _)| address).collect(),
        token_file,
    }
}

/// `{}`, or `{cert: PATH, key: PATH}`.
fn read_tls(section: &CheckedMapping<'_>, input: &Input<'_>, findings: &mut Findings) -> Option<TlsConfig> {
    if !section.has_value("tls") {
        return None;
    }
    let tls = section.section("tls", &["cert", "key"], findings);
    let mut path = |key, other, example| {
        if tls.has_value(other) {
            tls.required_text(key, example, findings)
        } else {
            tls.text(key, example, findings)
        }
    };
    let (cert, key) = (
        path("cert", "key", "cert: cert.pem"),
        path("key", "cert", "key: key.pem"),
    );
    let (Some(cert), Some(key)) = (cert, key) else {
        return Some(TlsConfig::SelfSigned);
    };
    let (cert, key, at) = (input.base.join(cert.text), input.base.join(key.text), key.at);
    match Certificates::of_files("http.tls", &cert, &key, &[]) {
        Ok(_) => open_to_all(&key)
            .into_iter()
            .for_each(|oddity| findings.warning(at, oddity)),
        Err(error) => findings.error(at, ConfigProblem::BadCertificate { error }),
    }
    Some(TlsConfig::Files { cert, key })
}

/// `{rate: N, burst: N}`.
fn read_rate_limit(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<(u32, u32)> {
    if !section.has_value("rate_limit") {
        return None;
    }
    let limit = section.section("rate_limit", &["rate", "burst"], findings);
    let mut number = |key, example| {
        let number = limit.number(key, 1..=MOST_REQUESTS, "", example, findings);
        if !limit.has_value(key) {
            let section = "`http.rate_limit`".to_owned();
            findings.error(limit.at, ConfigProblem::MissingKey { key, section, example });
        }
        number
    };
    number("rate", "rate: 100").zip(number("burst", "burst: 200"))
}

/// DNS over TCP and HTTP cannot share an address and port.
fn check_ports(listen: &[SocketAddr], http: &[AddressAt], findings: &mut Findings) {
    let dns: HashSet<SocketAddr> = listen.iter().copied().collect();
    // What a wildcard address of HTTP covers, one for each family and port.
    let by_port: HashMap<(bool, u16), SocketAddr> = listen
        .iter()
        .rev()
        .map(|dns| ((dns.is_ipv4(), dns.port()), *dns))
        .collect();
    for &(http, at) in http {
        let covered = || {
            by_port
                .get(&(http.is_ipv4(), http.port()))
                .filter(|_| http.ip().is_unspecified())
        };
        let wide = wildcard(http);
        if let Some(dns) = dns.get(&http).or_else(|| dns.get(&wide)).or_else(covered) {
            findings.error_at(at, ConfigProblem::HttpOnDnsPort { http, dns: *dns });
        }
    }
}

/// Checks a token file: one line of visible ASCII (RFC 6750 §2.1 names fewer characters). Returns what is odd about it.
/// The HTTP API reads and compares the token.
fn check_token_file(path: &Path) -> Result<Option<String>, ConfigProblem> {
    let shown = || path.display().to_string();
    let unreadable = |error: io::Error| ConfigProblem::TokenUnreadable { path: shown(), error };
    let bytes = files::read(path, files::MOST_OF_A_SECRET).map_err(unreadable)?;
    let line = bytes.trim_ascii();
    if line.is_empty() || line.len() > MOST_TOKEN_BYTES || !line.iter().all(u8::is_ascii_graphic) {
        return Err(ConfigProblem::BadToken { path: shown() });
    }
    if let Some(oddity) = open_to_all(path) {
        return Ok(Some(oddity));
    }
    if line.len() < GOOD_TOKEN_BYTES {
        let bytes = line.len();
        return Ok(Some(format!(
            "the token in {} has {bytes} characters: take {GOOD_TOKEN_BYTES} or more",
            shown()
        )));
    }
    Ok(None)
}
