//! `storage.etcd`: the etcd that several nodes share.

use super::super::keys::Input;
use super::super::problem::{ConfigProblem, Findings};
use super::super::secret_file::open_to_all;
use super::super::section::{CheckedMapping, Text};
use super::super::sources::PeerSettings;
use crate::journal::EtcdSettings;

const DEFAULT_PREFIX: &str = "/hotdns";
const EXAMPLE: &str = "endpoints: [\"http://127.0.0.1:2379\"]";
/// The longest name of a node, in octets.
const MAX_NAME_BYTES: usize = 64;

pub(super) fn read(storage: &CheckedMapping<'_>, input: &Input<'_>, findings: &mut Findings) -> Option<EtcdSettings> {
    if !storage.has_value("etcd") {
        return None;
    }
    let known = &["endpoints", "prefix", "username", "password_file", "tls", "node"];
    let section = storage.section("etcd", known, findings);
    let endpoints = section.texts("endpoints", EXAMPLE, findings).unwrap_or_default();
    if endpoints.is_empty() {
        let problem = ConfigProblem::MissingKey {
            key: "endpoints",
            section: "`storage.etcd`".to_owned(),
            example: EXAMPLE,
        };
        findings.error(section.at, problem);
    }
    let endpoints = endpoints.into_iter().filter_map(|Text { at, text }| {
        let read = PeerSettings::new(text).map(|peer| Box::from(&*peer.url));
        let problem = |reason| ConfigProblem::BadUrl {
            key: section.path("endpoints"),
            text: text.to_owned(),
            reason,
        };
        read.map_err(|reason| findings.error(at, problem(reason))).ok()
    });
    let endpoints: Vec<Box<str>> = endpoints.collect();
    let prefix = section.text("prefix", "prefix: /hotdns", findings);
    let path = |text: Text<'_>| input.base.join(text.text);
    let password = section.text("password_file", "password_file: /etc/hotdns/etcd-password", findings);
    if let Some(file) = password
        && let Some(oddity) = open_to_all(&path(file))
    {
        findings.warning(file.at, oddity);
    }
    let user = match (section.text("username", "username: hotdns", findings), password) {
        (Some(name), Some(file)) => Some((name.text.into(), path(file))),
        (None, None) => None,
        (name, _) => {
            let (key, example) = match name {
                Some(_) => ("password_file", "password_file: /etc/hotdns/etcd-password"),
                None => ("username", "username: hotdns"),
            };
            let section_name = "`storage.etcd`".to_owned();
            let problem = ConfigProblem::MissingKey {
                key,
                section: section_name,
                example,
            };
            findings.error(section.at, problem);
            None
        }
    };
    let tls = section.section("tls", &["ca", "cert", "key"], findings);
    let ca = tls.text("ca", "ca: /etc/hotdns/etcd-ca.pem", findings).map(path);
    let cert = tls.text("cert", "cert: /etc/hotdns/etcd.pem", findings).map(path);
    let key = tls.text("key", "key: /etc/hotdns/etcd.key", findings).map(path);
    if cert.is_some() != key.is_some() {
        let (key, example) = match cert {
            Some(_) => ("key", "key: /etc/hotdns/etcd.key"),
            None => ("cert", "cert: /etc/hotdns/etcd.pem"),
        };
        let section = "`storage.etcd.tls`".to_owned();
        findings.error(tls.at, ConfigProblem::MissingKey { key, section, example });
    }
    let node = section.short_text("node", "node: ns1", MAX_NAME_BYTES, findings);
    Some(EtcdSettings {
        endpoints,
        prefix: prefix.map_or(DEFAULT_PREFIX, |prefix| prefix.text).into(),
        user,
        ca,
        identity: cert.zip(key),
        node,
    })
}
