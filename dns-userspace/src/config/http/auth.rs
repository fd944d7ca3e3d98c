//! `http.auth`: users with passwords, JSON web tokens, and a header of a proxy.

use std::path::PathBuf;

use ipnet::IpNet;

use super::super::keys::Input;
use super::super::problem::{ConfigProblem, Findings};
use super::super::secret_file::open_to_all;
use super::super::section::CheckedMapping;
use crate::principal::{KeySource, PasswordFile, Verification};

/// `http.auth`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// Users with passwords, without errors when the configuration was read.
    pub basic_file: Option<PathBuf>,
    /// JSON web tokens.
    pub jwt: Option<JwtConfig>,
    /// A header of a proxy.
    pub header: Option<HeaderConfig>,
}

/// `http.auth.jwt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtConfig {
    /// Whose tokens are taken.
    pub issuer: String,
    /// For whom they are.
    pub audience: String,
    /// What they are verified with.
    pub jwks: KeySource,
}

/// `http.auth.header`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderConfig {
    /// The field, in lower case.
    pub name: Box<str>,
    /// The proxies; at least one.
    pub from: Vec<IpNet>,
}

/// Fields that say something else.
const TAKEN: [&str; 5] = ["authorization", "cookie", "host", "content-type", "content-length"];

pub(super) fn read(http: &CheckedMapping<'_>, input: &Input<'_>, findings: &mut Findings) -> AuthConfig {
    let section = http.section("auth", &["basic_file", "jwt", "header"], findings);
    let basic_file = section.text("basic_file", "basic_file: users", findings).map(|file| {
        let path = input.base.join(file.text);
        match PasswordFile::load(&path) {
            Ok(_) => open_to_all(&path)
                .into_iter()
                .for_each(|oddity| findings.warning(file.at, oddity)),
            Err(error) => findings.error(file.at, ConfigProblem::BadPasswordFile { error }),
        }
        path
    });
    AuthConfig {
        basic_file,
        jwt: read_jwt(&section, input, findings),
        header: read_header(&section, findings),
    }
}

fn read_jwt(section: &CheckedMapping<'_>, input: &Input<'_>, findings: &mut Findings) -> Option<JwtConfig> {
    if !section.has_value("jwt") {
        return None;
    }
    let jwt = section.section("jwt", &["issuer", "audience", "jwks"], findings);
    let issuer = jwt.required_text("issuer", "issuer: https://id.example.com/", findings);
    let audience = jwt.required_text("audience", "audience: hotdns", findings);
    let jwks = jwt.required_text("jwks", "jwks: https://id.example.com/jwks.json", findings)?;
    let source = match jwks.text.contains("://") {
        true => KeySource::Url(jwks.text.to_owned()),
        false => KeySource::File(input.base.join(jwks.text)),
    };
    match &source {
        KeySource::Url(url) if url.starts_with("http://") => {
            let oddity =
                "`http.auth.jwt.jwks` is fetched without TLS: whoever is on the way can give keys of their own";
            findings.warning(jwks.at, oddity.to_owned());
        }
        KeySource::Url(url) if !url.starts_with("https://") => {
            let error = format!("`{url}` is no URL that can be fetched: write one with https://, or a path");
            findings.error(jwks.at, ConfigProblem::BadKeys { error });
        }
        _ => {}
    }
    let (issuer, audience) = (issuer?.text.to_owned(), audience?.text.to_owned());
    if let Err(error) = Verification::new(&issuer, &audience, &source) {
        findings.error(jwks.at, ConfigProblem::BadKeys { error });
    }
    Some(JwtConfig {
        issuer,
        audience,
        jwks: source,
    })
}

fn read_header(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<HeaderConfig> {
    if !section.has_value("header") {
        return None;
    }
    let header = section.section("header", &["name", "from"], findings);
    let example = "from: [192.0.2.1]";
    let from = header.prefixes("from", example, findings);
    if from.as_ref().is_none_or(Vec::is_empty) {
        let key = "from";
        let section = "`http.auth.header`".to_owned();
        findings.error(header.at, ConfigProblem::MissingKey { key, section, example });
    }
    let name = header.required_text("name", "name: X-Forwarded-User", findings)?;
    let lower = name.text.to_ascii_lowercase();
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let remedy = if lower.is_empty() || !lower.bytes().all(is_token) {
        Some("write the name of a header field, such as X-Forwarded-User")
    } else {
        let is_taken = TAKEN.contains(&lower.as_str());
        is_taken.then_some("this field says something else: take another, such as X-Forwarded-User")
    };
    if let Some(remedy) = remedy {
        let text = name.text.to_owned();
        findings.error(name.at, ConfigProblem::BadHeaderName { text, remedy });
    }
    Some(HeaderConfig {
        name: lower.into(),
        from: from?,
    })
}
