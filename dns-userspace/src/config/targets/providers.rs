//! Targets that hold zones: Technitium, Cloudflare, Amazon Route 53.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::problem::ConfigProblem;
use super::super::section::CheckedMapping;
use super::{MOST, TargetReader};
use crate::model::name::Name;

/// What all of them have.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderConfig {
    /// Its name, which is in what marks each record that we add.
    pub name: Box<str>,
    /// The root of its API, without a slash at the end.
    pub url: Box<str>,
    /// The zones that are written; of several that hold a name the longest.
    pub zones: Vec<Name>,
    /// Requests in a second at most.
    pub max_rate: u16,
    /// How often the zones are read again; `None`: by how much changes.
    pub resync: Option<Duration>,
    /// How often the zones are compared with what we wrote.
    pub drift: Duration,
    /// The part of requests that fail because we say so; 0: none.
    pub fault_rate: f64,
    /// Which records of external-dns are taken over; `None`: none.
    pub adopt: Option<AdoptConfig>,
}

/// An external-dns whose records are taken over: its options of these names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptConfig {
    /// `--txt-owner-id`.
    pub owner_id: Box<str>,
    /// `--txt-prefix`.
    pub prefix: Box<str>,
    /// `--txt-suffix`.
    pub suffix: Box<str>,
    /// `--txt-wildcard-replacement`.
    pub wildcard: Box<str>,
}

/// A Technitium DNS server.
#[derive(Debug, Clone, PartialEq)]
pub struct TechnitiumConfig {
    /// What all of them have.
    pub provider: ProviderConfig,
    /// Where its token is.
    pub token: TokenPlace,
}

/// Zones at Cloudflare.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudflareConfig {
    /// What all of them have.
    pub provider: ProviderConfig,
    /// Where its token is.
    pub token: TokenPlace,
}

/// Hosted zones at Amazon Route 53.
#[derive(Debug, Clone, PartialEq)]
pub struct Route53Config {
    /// What all of them have.
    pub provider: ProviderConfig,
    /// A file as the AWS command line has it: `aws_access_key_id`, `aws_secret_access_key`, `aws_session_token`.
    pub credentials: Arc<Path>,
    /// The region that requests are signed for.
    pub region: Box<str>,
}

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// In a file, which is read anew for each request.
    File(Arc<Path>),
    /// In a variable of the environment.
    Variable(Box<str>),
}

macro_rules! with_shared {
    ($($more:literal),*) => {
        &["name", "url", "zones", "max_rate", "resync", "drift_interval", "chaos", "adopt", $($more),*]
    };
}
pub(super) const TECHNITIUM_KEYS: &[&str] = with_shared!("token_file", "token_env");
pub(super) const CLOUDFLARE_KEYS: &[&str] = with_shared!("token_file", "token_env");
pub(super) const ROUTE53_KEYS: &[&str] = with_shared!("credentials_file", "region");

const ADOPT_KEYS: &[&str] = &["txt_owner_id", "txt_prefix", "txt_suffix", "txt_wildcard_replacement"];
const TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const DRIFT: Duration = Duration::from_secs(900);

pub(super) fn technitium<'a>(
    section: &CheckedMapping<'a>,
    reader: &mut TargetReader<'a, '_>,
) -> Option<TechnitiumConfig> {
    let provider = shared(section, reader, None, 10);
    let token = token(section, reader);
    Some(TechnitiumConfig {
        provider: provider?,
        token: token?,
    })
}

pub(super) fn cloudflare<'a>(
    section: &CheckedMapping<'a>,
    reader: &mut TargetReader<'a, '_>,
) -> Option<CloudflareConfig> {
    // 1,200 requests in 5 minutes are allowed.
    let provider = shared(section, reader, Some("https://api.cloudflare.com/client/v4"), 4);
    let token = token(section, reader);
    Some(CloudflareConfig {
        provider: provider?,
        token: token?,
    })
}

pub(super) fn route53<'a>(section: &CheckedMapping<'a>, reader: &mut TargetReader<'a, '_>) -> Option<Route53Config> {
    // Five requests a second are allowed to an account.
    let provider = shared(section, reader, Some("https://route53.amazonaws.com"), 4);
    let file = section.required_text("credentials_file", "credentials_file: credentials", reader.findings);
    let region = section.short_text("region", "region: us-east-1", MOST, reader.findings);
    Some(Route53Config {
        provider: provider?,
        credentials: reader.base.join(file?.text).into(),
        region: region.unwrap_or_else(|| "us-east-1".into()),
    })
}

fn shared<'a>(
    section: &CheckedMapping<'a>,
    reader: &mut TargetReader<'a, '_>,
    default_url: Option<&str>,
    default_rate: u16,
) -> Option<ProviderConfig> {
    let name = reader.name(section);
    let url = match default_url {
        None => section
            .required_text("url", "url: \"https://dns.home:5380\"", reader.findings)
            .map(|url| url.text),
        Some(default) => {
            let url = section.text("url", "url: \"https://dns.example\"", reader.findings);
            Some(url.map_or(default, |url| url.text))
        }
    };
    let url = url.map(|url| url.trim_end_matches('/').into());
    let zones = reader.zones(section);
    if zones.is_empty() && section.position("zones").is_none() {
        let problem = ConfigProblem::MissingKey {
            key: "zones",
            section: "a target of `targets`".to_owned(),
            example: "zones: [home]",
        };
        reader.findings.error(section.at, problem);
    }
    let max_rate = section.number(
        "max_rate",
        1..=1000,
        "requests a second",
        "max_rate: 10",
        reader.findings,
    );
    let resync = match section.text("resync", "resync: 5m", reader.findings) {
        Some(text) if text.text == "adaptive" => None,
        Some(_) => section.duration("resync", "resync: 5m", &TIMES, reader.findings),
        None => None,
    };
    let drift = section.duration("drift_interval", "drift_interval: 15m", &TIMES, reader.findings);
    let fault_rate = section.ratio("chaos", "chaos: 0.1", reader.findings);
    let adopt = adopt(section, reader);
    Some(ProviderConfig {
        name: name?,
        url: url?,
        zones,
        max_rate: max_rate.unwrap_or(default_rate),
        resync,
        drift: drift.unwrap_or(DRIFT),
        fault_rate: fault_rate.unwrap_or(0.0),
        adopt,
    })
}

fn adopt<'a>(section: &CheckedMapping<'a>, reader: &mut TargetReader<'a, '_>) -> Option<AdoptConfig> {
    section.position("adopt")?;
    let adopt = section.section("adopt", ADOPT_KEYS, reader.findings);
    let owner = adopt.required_text("txt_owner_id", "txt_owner_id: default", reader.findings);
    let mut text = |key, example| {
        let text = adopt.short_text(key, example, MOST, reader.findings);
        text.unwrap_or_default()
    };
    Some(AdoptConfig {
        prefix: text("txt_prefix", "txt_prefix: txt."),
        suffix: text("txt_suffix", "txt_suffix: -txt"),
        wildcard: text("txt_wildcard_replacement", "txt_wildcard_replacement: any"),
        owner_id: owner?.text.into(),
    })
}

fn token<'a>(section: &CheckedMapping<'a>, reader: &mut TargetReader<'a, '_>) -> Option<TokenPlace> {
    let variable = section.short_text("token_env", "token_env: DNS_API_TOKEN", MOST, reader.findings);
    if let Some(variable) = variable {
        return Some(TokenPlace::Variable(variable));
    }
    let file = section.required_text("token_file", "token_file: token", reader.findings)?;
    Some(TokenPlace::File(reader.base.join(file.text).into()))
}
