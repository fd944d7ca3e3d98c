//! What can be wrong with a configuration: one closed list, each with what to do about it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;

use super::document::FilePosition;
use crate::cookies::SecretsError;
use crate::host::memory::Size;
use crate::model::name::{Name, NameError};
use crate::model::rdata::RdataError;
use crate::model::record::{Clash, RecordType, UnknownType};
use crate::model::shown::shorten;

/// A problem and where it is; shown as `file:line:column: what: what to do`.
#[derive(Debug)]
pub struct ConfigError {
    /// The file as it was named to us, or `command line`.
    pub file: Arc<Path>,
    /// Where in the file; none for the command line and for a file that cannot be read.
    pub at: Option<FilePosition>,
    /// What is wrong.
    pub problem: ConfigProblem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(at) = self.at {
            write!(f, "{}:{}:", at.line, at.column)?;
        }
        write!(f, " {}", in_one_line(&self.problem.to_string()))
    }
}

impl std::error::Error for ConfigError {}

/// A message without line ends and, where somebody wrote a very long text, without most of it: what to do stands at
/// the end.
fn in_one_line(message: &str) -> String {
    if message.len() <= 2 * HALF_A_MESSAGE {
        return shorten(message.as_bytes(), message.len());
    }
    let head = &message[..message.floor_char_boundary(HALF_A_MESSAGE)];
    let tail = &message[message.ceil_char_boundary(message.len() - HALF_A_MESSAGE)..];
    let part = |text: &str| shorten(text.as_bytes(), HALF_A_MESSAGE);
    format!("{}…{}", part(head), part(tail))
}

/// Octets from the beginning of a message that are shown of a long one, and from its end.
const HALF_A_MESSAGE: usize = 1000;
/// Errors that are listed, and warnings; more of them are counted.
const MOST_LISTED: usize = 100;

/// What is wrong with a configuration; shown as "what: what to do".
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message documents it and its fields")]
pub enum ConfigProblem {
    #[error("the file cannot be read ({error}): check the path and its permissions")]
    Unreadable { error: io::Error },
    #[error("the file is not UTF-8: save it as UTF-8")]
    NotUtf8,
    #[error("the file is larger than {most}: move records into zone files")]
    FileTooLarge { most: Size },
    #[error("there is no configuration: give `--config FILE`, or set DNS_ZONE and DNS_IP_ADDRESS in the environment")]
    NoConfiguration,
    #[error("not valid YAML ({message}): mind indentation, colons and quotes")]
    Syntax { message: String },
    #[error("a second YAML document: keep the configuration in one document, remove this `---`")]
    SeveralDocuments,
    #[error("the tag `{tag}`: tags have no meaning here, remove it")]
    Tag { tag: String },
    #[error("an alias inside the value that it stands for: write the value out")]
    AliasWithinItself,
    #[error("lists and mappings within each other, more than {most} deep (aliases followed): no key takes so many")]
    TooDeep { most: usize },
    #[error("more than {most} values: move records into zone files")]
    TooManyNodes { most: usize },
    #[error(
        "aliases repeat more than {most} of values: write a list once, as one record, or move records into zone files"
    )]
    AliasesRepeatTooMuch { most: Size },
    #[error("and {more} more errors: correct these first")]
    More { more: usize },

    #[error("unknown key `{key}` in {section}: {}", remedy(.nearest, .known))]
    UnknownKey {
        key: String,
        section: String,
        nearest: Option<&'static str>,
        known: &'static [&'static str],
    },
    #[error("a key that is {found}: keys are text, one of {}", list(.known))]
    KeyNotText {
        found: &'static str,
        known: &'static [&'static str],
    },
    #[error("`{key}` is given a second time (first at {first}): keep one of the two")]
    DuplicateKey { key: String, first: FilePosition },
    #[error("`{key}` is {found}, not {expected}: write it as `{example}`")]
    WrongType {
        key: String,
        found: &'static str,
        expected: &'static str,
        example: &'static str,
    },
    #[error("`{key}` is missing in {section}: add `{example}`")]
    MissingKey {
        key: &'static str,
        section: String,
        example: &'static str,
    },
    #[error("`{key}`: `{text}` is not an IPv4 or IPv6 address: write one such as 192.0.2.53")]
    NoAddress { key: String, text: String },
    #[error("`{key}` is {value}: write a number from {min} to {max}{}", in_units(.unit))]
    OutOfRange {
        key: String,
        value: String,
        min: u64,
        max: u64,
        unit: &'static str,
    },
    #[error("`{key}` is `{value}`: write one of {}", list(.choices))]
    NotAChoice {
        key: String,
        value: String,
        choices: &'static [&'static str],
    },
    #[error(
        "`{key}` is `{text}`, which is no collector: write gelf+udp://HOST:PORT or gelf+tcp://HOST:PORT, an IPv6 \
         address in brackets"
    )]
    BadCollector { key: String, text: String },
    #[error("`{key}` is `{text}`: write unix: and the path of a socket, tcp://HOST:PORT, or off")]
    BadDnstapTarget { key: String, text: String },
    #[error("`{key}` is empty: {remedy}")]
    Empty { key: String, remedy: &'static str },
    #[error("`{key}` has {bytes} octets: shorten it to {most}")]
    TooLong { key: String, bytes: usize, most: usize },

    #[error(
        "`{key}`: `{text}` is not an address: write an IP address, optionally with a port, such as 192.0.2.1, \
         192.0.2.1:{port}, 2001:db8::1 or [2001:db8::1]:{port}"
    )]
    BadAddress { key: String, text: String, port: u16 },
    #[error(
        "`{key}`: `{text}` may be an IPv6 address or one with a port: put the address in brackets, [{text}] or \
         [{address}]:{port}"
    )]
    AmbiguousAddress {
        key: String,
        text: String,
        address: String,
        port: String,
    },
    #[error("`{key}`: `{text}` has port 0: write a port from 1 to 65535")]
    PortZero { key: String, text: String },
    #[error("`{key}`: {text} is a {kind} address, which is no server's: write an address of one host")]
    NotUnicast {
        key: String,
        text: String,
        kind: &'static str,
    },
    #[error(
        "`{key}`: {text} stands for all addresses of this host, and is no other server's: write the server's own \
         address"
    )]
    UnspecifiedServer { key: String, text: String },
    #[error(
        "`{key}`: {text} is a link-local address, which means nothing without its interface: write it as \
         [{address}%eth0]:{port}, with the interface's name"
    )]
    NoScope {
        key: String,
        text: String,
        address: IpAddr,
        port: u16,
    },
    #[error(
        "`{key}`: {text}: this host has no interface `{interface}`: write a name that `ip link` shows, or add the \
         interface first"
    )]
    NoSuchScope {
        key: String,
        text: String,
        interface: String,
    },
    #[error(
        "`{key}`: {text}: only link-local addresses (fe80::/10) are those of an interface: remove `%` and what follows"
    )]
    NeedlessScope { key: String, text: String },
    #[error("the source `{name}` is there already (first at {first}): give one of the two another name")]
    DuplicateSource { name: String, first: FilePosition },
    #[error("`{name}` is no name of a source: write 1 to 64 letters, digits, `-`, `_` and `.`, without a dot in front")]
    BadSourceName { name: String },
    #[error("`{key}` is `{text}`, which is no URL of a server: {reason}; write http://127.0.0.1:8500 or https://NAME")]
    BadUrl {
        key: String,
        text: String,
        reason: &'static str,
    },
    #[error("`{key}` is `{text}`: write an IP address, such as 192.0.2.1")]
    BadTarget { key: String, text: String },
    #[error("{name} is `{text}`: {reason}")]
    BadVariable {
        name: &'static str,
        text: String,
        reason: String,
    },
    #[error("`{key}`: {address} is there already: remove one of the two")]
    DuplicateAddress { key: String, address: String },
    #[error("`{key}`: {address} is covered by {by}: remove one of the two")]
    CoveredAddress {
        key: String,
        address: SocketAddr,
        by: SocketAddr,
    },
    #[error(
        "HTTP and DNS over TCP both want {http} (DNS listens on {dns}): give `http.listen` or `http_port` another port"
    )]
    HttpOnDnsPort { http: SocketAddr, dns: SocketAddr },
    #[error("`{key}`: `{text}` is not an address prefix: write one such as 10.0.0.0/8 or 2001:db8::/32")]
    BadPrefix { key: String, text: String },
    #[error("`{key}`: `{text}` has bits set beyond its length: write {network} for the whole network")]
    PrefixHostBits { key: String, text: String, network: String },
    #[error(
        "`{key}`: `{text}` is not an interface name: write 1 to 15 characters without `/` and spaces, as `ip link` \
         shows it"
    )]
    BadInterface { key: String, text: String },
    #[error("`{key}`: interface `{text}` is given a second time: remove one of the two")]
    DuplicateInterface { key: String, text: String },
    #[error("`{key}` is `{text}`: write a duration with a unit from {min} to {max}, such as 5s or 500ms")]
    BadDuration {
        key: String,
        text: String,
        min: String,
        max: String,
    },
    #[error("`ttl_bounds.min` is {min}, more than `ttl_bounds.max`, {max}: raise one or lower the other")]
    BoundsReversed { min: u32, max: u32 },
    #[error(
        "`backend.upstream` is enabled and has no servers: add `servers: [\"192.0.2.53:53\"]` or write `enabled: false`"
    )]
    NoUpstream,
    #[error(
        "`backend.upstream.servers`: {server} is this server itself ({listen} in `listen`): queries would go round \
         in a circle, write another server"
    )]
    UpstreamIsSelf { server: SocketAddr, listen: SocketAddr },
    #[error("`{key}`: {server} is this server itself ({listen} in `listen`): write another server")]
    SetServerIsSelf {
        key: &'static str,
        server: SocketAddr,
        listen: SocketAddr,
    },
    #[error(
        "`{key}`: `{text}` is no upstream server: write an address such as 10.0.0.2 or 10.0.0.2:53, a name, or \
         tls://192.0.2.9#dns.example, https://dns.example/dns-query or quic://dns.example (behind `#` is the name in \
         the server's certificate, where it is another one)"
    )]
    BadUpstreamServer { key: String, text: String },
    #[error(
        "the upstream server `{name}` is given by name, and nobody is there who knows its addresses: add resolvers, as \
         in `forward: {{bootstrap: [\"192.0.2.53\"]}}`, or write its address, as in tls://192.0.2.9#dns.example"
    )]
    NoBootstrap { name: String },
    #[error("`{name}` cannot be the name of an upstream set: write another one, such as `corp`")]
    ReservedUpstream { name: String },
    #[error("the upstream set `{name}` is given a second time (first at {first}): remove one of the two")]
    DuplicateUpstream { name: String, first: FilePosition },
    #[error("there is no upstream set `{name}`: write `never`, `default`{}", or_one_of(.known))]
    UnknownUpstream { name: String, known: Vec<String> },
    #[error("the route of {zone} is given a second time (first at {first}): remove one of the two")]
    DuplicateRoute { zone: Name, first: FilePosition },
    #[error("the rule `{name}` is given a second time (first at {first}): give one of the two another name")]
    DuplicateRule { name: String, first: FilePosition },
    #[error(
        "a rule does one thing: write exactly one of `template`, `block`, `rewrite`, `rpz`, `ttl` and `filter` in it"
    )]
    NotOneAction,
    #[error("write exactly one of `file` and `url`: where the response policy zone is")]
    NotOneSource,
    #[error("`{text}` is no URL of a list: write one such as https://lists.example/ads.txt, without user and password")]
    BadListUrl { text: String },
    #[error(
        "a rule for upstream's answers is for no single clients, since the cache keeps what it makes: write `views`, \
         each of which has its own answers"
    )]
    ClientsOfAnswers,
    #[error("write exactly one of `name`, `suffix` and `match`: the names that are replaced")]
    NotOneScope,
    #[error("a `template` for all names there are: add `zone: traefik.` or `match: '^([^.]+)\\.traefik\\.$'`")]
    TemplateForAll,
    #[error("`sinkhole` is for `answer: sinkhole` alone: write that, or remove the addresses")]
    SinkholeWithoutAnswer,
    #[error("`{key}`: {error}")]
    BadRule { key: &'static str, error: String },
    #[error("`cache.min_ttl` is {min}, more than `cache.max_ttl`, {max}: raise one or lower the other")]
    CacheBoundsReversed { min: u32, max: u32 },
    #[error(
        "`http.token_file`: {path} cannot be read ({error}): create it, for example with `openssl rand -hex 32`, \
         readable for the server's user alone"
    )]
    TokenUnreadable { path: String, error: io::Error },
    #[error(
        "`http.token_file`: {path} holds no token: put one line of letters, digits and -._~+/= in it, for example \
         from `openssl rand -hex 32`"
    )]
    BadToken { path: String },

    #[error("`http.auth.basic_file`: {error}")]
    BadPasswordFile { error: String },
    #[error("`http.auth.jwt.jwks`: {error}")]
    BadKeys { error: String },
    #[error("`http.auth.header.name` is `{text}`: {remedy}")]
    BadHeaderName { text: String, remedy: &'static str },
    #[error("`http.tls`: {error}")]
    BadCertificate { error: String },
    #[error("`kubernetes`: there is no cluster `{name}` in `sources.kubernetes`: add it there, or correct `source`")]
    NoCluster { name: String },
    #[error("`kubernetes.webhook`: {error}")]
    BadWebhookCertificate { error: String },
    #[error("`http.tokens_file`: {error}")]
    BadTokensFile { error: String },
    #[error("`{key}`: {path}: {reason}")]
    BadPrefixFile { key: String, path: String, reason: String },
    #[error("`edns.cookie_secret_file`: {path} {error}")]
    BadCookieSecrets { path: String, error: SecretsError },

    #[error("`{key}`: {error}: write a domain name such as www.example.com.")]
    BadName { key: String, error: NameError },
    #[error("`{key}`: the folder {folder} cannot be read: {error}")]
    FolderUnreadable { key: String, folder: String, error: String },
    #[error("zone {apex} is given a second time (first at {first}): remove one of the two")]
    DuplicateZone { apex: Name, first: FilePosition },
    #[error("the view `{name}` is given a second time (first at {first}): remove one of the two")]
    DuplicateView { name: String, first: FilePosition },
    #[error("`{key}`: {prefix} is a prefix of the view `{view}` already: remove one of the two")]
    DuplicatePrefix { key: String, prefix: IpNet, view: String },
    #[error("there is no view `{name}`: define it under `views`{}", known_views(.known))]
    UnknownView { name: String, known: Vec<String> },
    #[error("`{key}` is `{text}`: write a size with a unit from {min} to {max}, such as 512MiB or 2GiB")]
    BadSize {
        key: String,
        text: String,
        min: Size,
        max: Size,
    },
    #[error("{owner} SOA is in a view: a zone has one SOA record, with one serial, for all clients, remove `view`")]
    SoaInView { owner: Name },
    #[error("{error}")]
    BadType { error: UnknownType },
    #[error("{rtype} is no type of data in a zone (RFC 6895 §3.1): remove the record")]
    NotDataType { rtype: RecordType },
    #[error("the TTL {ttl} is outside `ttl_bounds`: write {min} to {max} seconds, or change the bounds")]
    TtlOutOfBounds { ttl: u32, min: u32, max: u32 },
    #[error("`{text}` is no {rtype} value: {error}")]
    BadValue {
        rtype: RecordType,
        text: String,
        error: RdataError,
    },
    #[error("{owner} has {values} values of type {rtype}: keep one ({rfc})")]
    SeveralOfSingleton {
        owner: Name,
        rtype: RecordType,
        values: usize,
        rfc: &'static str,
    },
    #[error("the {rtype} records of {owner} take {bytes} octets, more than fit a DNS message of 65535: remove values")]
    RrsetTooLarge {
        owner: Name,
        rtype: RecordType,
        bytes: usize,
    },
    #[error("{owner} CNAME is in a view and at the apex of a zone: {clash}, remove it")]
    AliasAtApex { owner: Name, clash: Clash },
    #[error("{owner} {rtype} is given a second time (first at {first}): put all its values under one `value`")]
    DuplicateRrset {
        owner: Name,
        rtype: RecordType,
        first: FilePosition,
    },
    #[error("{owner} has {rtype} and {other} (at {other_at}): {clash}, remove one of the two")]
    Clash {
        owner: Name,
        rtype: RecordType,
        other: RecordType,
        other_at: FilePosition,
        clash: Clash,
    },
    #[error("`weights` is for `order: weighted` alone: write `order: weighted`, or remove the weights")]
    WeightsWithoutOrder,
    #[error("`near` is for `order: nearest` alone: write `order: nearest`, or remove `near`")]
    NearWithoutOrder,
    #[error("`path` and `address` exclude each other: a proxy is read from its files, or asked over its API")]
    PathAndAddress,
    #[error("`{key}` is `{text}`: write a URL, as in \"http://127.0.0.1:8080/ready\", or HOST:PORT")]
    BadRegisterCheck { key: String, text: String },
    #[error("{metrics} metrics for {targets} targets: give each target the URL of its metrics, in the same order")]
    MetricsForTargets { metrics: usize, targets: usize },
    #[error("{weights} weights for {values} values: give each value one weight, in the same order")]
    WeightsForValues { weights: usize, values: usize },
    #[error("`wildcard` at {owner}, which is no wildcard: remove it, or write a name that begins with `*.`")]
    NoWildcard { owner: Name },
    #[error("{owner} has another `wildcard` in the record at {first}: write the same in all records of this name")]
    WildcardsDiffer { owner: Name, first: FilePosition },
    #[error("the zone file {zone_file} of {apex} cannot be read ({error}): check `file` and the file's permissions")]
    ZoneFileUnreadable {
        apex: Name,
        zone_file: Arc<str>,
        error: String,
    },
    #[error("{owner} {rtype} is also in the zone file {zone_file}: keep one of the two")]
    AlsoInZoneFile {
        owner: Name,
        rtype: RecordType,
        zone_file: Arc<str>,
    },
    #[error(
        "{owner} {rtype} cannot stand beside {zone_type} of the zone file {zone_file}: {clash}, remove one of the two"
    )]
    ClashWithZoneFile {
        owner: Name,
        rtype: RecordType,
        zone_type: RecordType,
        zone_file: Arc<str>,
        clash: Clash,
    },
}

/// Something odd that is served all the same; shown as `file:line:column: what`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The file as it was named to us.
    pub file: Arc<Path>,
    /// Where in the file.
    pub at: FilePosition,
    /// What is odd.
    pub message: String,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file.display(),
            self.at.line,
            self.at.column,
            self.message
        )
    }
}

/// Collects what is wrong while reading goes on, so that one run names as much as possible.
pub(super) struct Findings {
    pub(super) file: Arc<Path>,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigWarning>,
    more_errors: usize,
    more_warnings: usize,
}

impl Findings {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.into(),
            errors: Vec::new(),
            warnings: Vec::new(),
            more_errors: 0,
            more_warnings: 0,
        }
    }

    /// The warnings, or the errors in the order of the file.
    pub(super) fn into_result(self) -> Result<Vec<ConfigWarning>, Vec<ConfigError>> {
        let Self {
            file,
            mut errors,
            mut warnings,
            more_errors,
            more_warnings,
        } = self;
        if errors.is_empty() {
            if let Some(last) = warnings.last().filter(|_| more_warnings != 0) {
                let message = format!("and {more_warnings} more warnings");
                let at = last.at;
                warnings.push(ConfigWarning { file, at, message });
            }
            return Ok(warnings);
        }
        errors.sort_by_key(|error| error.at);
        errors.extend(ConfigError::more(&file, more_errors));
        Err(errors)
    }

    /// How many errors were found, those included that are not listed.
    pub(super) fn error_count(&self) -> usize {
        self.errors.len() + self.more_errors
    }

    pub(super) fn error(&mut self, at: FilePosition, problem: ConfigProblem) {
        self.push(ConfigError {
            file: Arc::clone(&self.file),
            at: Some(at),
            problem,
        });
    }

    /// A problem that a command line flag brought.
    pub(super) fn command_line_error(&mut self, problem: ConfigProblem) {
        self.push(ConfigError {
            file: Path::new("command line").into(),
            at: None,
            problem,
        });
    }

    /// A problem that a variable of the environment brought.
    pub(super) fn environment_error(&mut self, problem: ConfigProblem) {
        self.push(ConfigError {
            file: Path::new("environment").into(),
            at: None,
            problem,
        });
    }

    /// A problem at a place of the file or, with none, of the command line.
    pub(super) fn error_at(&mut self, at: Option<FilePosition>, problem: ConfigProblem) {
        match at {
            Some(at) => self.error(at, problem),
            None => self.command_line_error(problem),
        }
    }

    fn push(&mut self, error: ConfigError) {
        if self.errors.len() < MOST_LISTED {
            self.errors.push(error);
        } else {
            self.more_errors += 1;
        }
    }

    pub(super) fn warning(&mut self, at: FilePosition, message: String) {
        if self.warnings.len() < MOST_LISTED {
            self.warnings.push(ConfigWarning {
                file: Arc::clone(&self.file),
                at,
                message: in_one_line(&message),
            });
        } else {
            self.more_warnings += 1;
        }
    }
}

impl ConfigError {
    /// Stands for errors that are not listed; `None` where there are none.
    fn more(file: &Arc<Path>, more: usize) -> Option<Self> {
        (more != 0).then(|| Self {
            file: Arc::clone(file),
            at: None,
            problem: ConfigProblem::More { more },
        })
    }

    /// The first of a long list, and how many more there are.
    pub(super) fn listed(mut errors: Vec<Self>) -> Vec<Self> {
        let more = errors.len().saturating_sub(MOST_LISTED);
        errors.truncate(MOST_LISTED);
        if let Some(last) = errors.last() {
            errors.extend(Self::more(&Arc::clone(&last.file), more));
        }
        errors
    }
}

fn remedy(nearest: &Option<&'static str>, known: &[&'static str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("remove it; known are {}", list(known)),
    }
}

fn known_views(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(", or write one of `{}`", known.join("`, `")),
    }
}

fn or_one_of(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(" or one of `{}`", known.join("`, `")),
    }
}

fn list(words: &[&'static str]) -> String {
    words.join(", ")
}

fn in_units(unit: &'static str) -> String {
    if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    }
}
