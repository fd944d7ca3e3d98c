//! `sources.consul`: the catalog of a Consul.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::problem::{ConfigProblem, Findings};
use super::super::section::CheckedMapping;
use super::checks::CheckSettings;
use super::naming::Naming;
use super::peer::PeerSettings;
use super::{Surroundings, checks, naming, peer};

/// An instance of `sources.consul`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulSource {
    /// Its HTTP API.
    pub peer: PeerSettings,
    /// The datacenter; that of the agent without.
    pub datacenter: Option<Arc<str>>,
    /// The namespace (Consul Enterprise).
    pub namespace: Option<Arc<str>>,
    /// How names are made.
    pub naming: Naming,
    /// Our own checks of the instances.
    pub checks: Option<CheckSettings>,
    /// How hotdns itself is a service of this Consul, if it is.
    pub register: Option<Register>,
}

/// hotdns as a service of a Consul.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The service's ID, which tells it from others of the same agent.
    pub id: Arc<str>,
    /// Its name.
    pub service: Arc<str>,
    /// Its address; that of the agent's node without.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
    /// What the agent checks.
    pub check: CheckedBy,
}

/// What an agent checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckedBy {
    /// A URL, for a status of 200 to 299.
    Http(Arc<str>),
    /// `HOST:PORT`, for a connection.
    Tcp(Arc<str>),
}

pub(super) const KEYS: &[&str] = &[
    "name",
    "address",
    "token_file",
    "ca",
    "datacenter",
    "namespace",
    "suffix",
    "exposed_by_default",
    "ttl",
    "targets",
    "zones",
    "order",
    "near",
    "domain",
    "meta_txt",
    "rule_syntax",
    "checks",
    "register",
];
pub(super) const REMEDY: &str = "change the service in Consul";
const REGISTER_KEYS: &[&str] = &["id", "service", "address", "port", "tags", "check"];
const SERVICE: &str = "hotdns";
const DNS_PORT: u16 = 53;
pub(super) const ADDRESS: &str = "http://127.0.0.1:8500";
/// The variable with the token where no file has one.
pub(super) const TOKEN: &str = "CONSUL_HTTP_TOKEN";

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<ConsulSource> {
    let naming = naming::read(section, around, findings);
    let checks = checks::read(section, findings);
    let word = |key, example, findings: &mut Findings| section.short_text(key, example, 128, findings).map(Arc::from);
    let datacenter = word("datacenter", "datacenter: dc1", findings);
    let namespace = word("namespace", "namespace: default", findings);
    let mut peer = peer::read(section, around, ADDRESS, "token_file", findings)?;
    peer.secret = around.secret(TOKEN);
    Some(ConsulSource {
        peer,
        datacenter,
        namespace,
        naming,
        checks,
        register: register(section, findings),
    })
}

/// Reads `register`; nothing where it is absent.
fn register(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<Register> {
    if !section.has_value("register") {
        return None;
    }
    let register = section.section("register", REGISTER_KEYS, findings);
    let word = |key, example, findings: &mut Findings| register.short_text(key, example, 128, findings).map(Arc::from);
    let service: Arc<str> = word("service", "service: hotdns", findings).unwrap_or_else(|| SERVICE.into());
    let id = word("id", "id: hotdns-1", findings).unwrap_or_else(|| Arc::clone(&service));
    let address = register.text("address", "address: 192.0.2.53", findings);
    let address = address.and_then(|text| peer::address(text, register.path("address"), findings));
    let port = register.number("port", 1..=65_535_u16, "port", "port: 53", findings);
    let tags = register.texts("tags", "tags: [primary]", findings).unwrap_or_default();
    let check = register.required_text("check", "check: \"http://127.0.0.1:8080/ready\"", findings)?;
    let is_url = check.text.starts_with("http://") || check.text.starts_with("https://");
    if !is_url && !is_place(check.text) {
        let (key, text) = (register.path("check"), check.text.to_owned());
        findings.error(check.at, ConfigProblem::BadRegisterCheck { key, text });
        return None;
    }
    Some(Register {
        id,
        service,
        address,
        port: port.unwrap_or(DNS_PORT),
        tags: tags.into_iter().map(|tag| tag.text.into()).collect(),
        check: match is_url {
            true => CheckedBy::Http(check.text.into()),
            false => CheckedBy::Tcp(check.text.into()),
        },
    })
}

/// Whether a text is `HOST:PORT`.
fn is_place(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok())
}
