//! Servers that sources ask over HTTP: where they are, and what is shown to them.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::http::Uri;

use super::super::problem::{ConfigProblem, Findings};
use super::super::section::{CheckedMapping, Text};
use super::Surroundings;
use crate::model::name::Name;

/// A server that is asked over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSettings {
    /// Its URL, with or without a path in front of all paths, and without a final `/`.
    pub url: Arc<str>,
    /// A file with its token, or with `USER:PASSWORD`; read again for each request.
    pub secret_file: Option<Arc<Path>>,
    /// The token where no file has one.
    pub secret: Option<Secret>,
    /// Certificates (PEM) of the authorities that sign the server's; the system's without.
    pub ca: Option<Arc<Path>>,
}

/// A token. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Arc<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

impl PeerSettings {
    /// A server at `url`, where it is one.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn new(url: &str) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "it cannot be read")?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err("it does not begin with http:// or https://"),
        }
        if uri.query().is_some() || uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err("it has a query or a user in it");
        }
        Ok(Self {
            url: url.trim_end_matches('/').into(),
            secret_file: None,
            secret: None,
            ca: None,
        })
    }
}

/// Reads `address` and `ca`, and the file of a token under `secret_key`.
pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    default_url: &'static str,
    secret_key: &'static str,
    findings: &mut Findings,
) -> Option<PeerSettings> {
    let given = section.text("address", "address: \"http://127.0.0.1:8500\"", findings);
    let text = given.map_or(default_url, |given| given.text);
    let mut peer = match PeerSettings::new(text) {
        Ok(peer) => peer,
        Err(reason) => {
            let key = section.path("address");
            let at = given.map_or(section.at, |given| given.at);
            let text = text.to_owned();
            findings.error(at, ConfigProblem::BadUrl { key, text, reason });
            return None;
        }
    };
    let file = |text: Option<Text<'_>>| text.map(|text| around.base.join(text.text).into());
    peer.secret_file = file(section.text(secret_key, "token_file: /etc/hotdns/token", findings));
    peer.ca = file(section.text("ca", "ca: /etc/ssl/registry.pem", findings));
    Some(peer)
}

/// `zones`: names outside of these are not taken from rules; none given, all are.
pub(super) fn zones(section: &CheckedMapping<'_>, findings: &mut Findings) -> Vec<Name> {
    let texts = section
        .texts("zones", "zones: [example.com.]", findings)
        .unwrap_or_default();
    let names = texts
        .into_iter()
        .filter_map(|text| text.to_name(&section.path("zones"), findings));
    names.collect()
}

/// Whether a name is in one of these zones; each is, where there are none.
pub fn is_within(name: &Name, zones: &[Name]) -> bool {
    zones.is_empty() || zones.iter().any(|zone| name.is_at_or_below(zone))
}

/// A list of addresses.
pub(super) fn addresses(section: &CheckedMapping<'_>, key: &'static str, findings: &mut Findings) -> Vec<IpAddr> {
    let texts = section.texts(key, "targets: [192.0.2.1]", findings).unwrap_or_default();
    let mut addresses = Vec::with_capacity(texts.len());
    for text in texts {
        addresses.extend(address(text, section.path(key), findings));
    }
    addresses
}

/// One address.
pub(super) fn address(Text { at, text }: Text<'_>, key: String, findings: &mut Findings) -> Option<IpAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        let text = text.to_owned();
        findings.error(at, ConfigProblem::BadTarget { key, text });
    }
    address
}
