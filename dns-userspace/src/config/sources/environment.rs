//! Sources that variables of the environment ask for, where the file has no `sources`.
//!
//! ```text
//! DOMAIN_SUFFIX=dev.example.com TRAEFIK_PROVIDER_PRIMARY=consul   consul first, then nomad, at their default addresses
//! ```
//!
//! One of `DOMAIN_SUFFIX`, `TRAEFIK_PROVIDER_PRIMARY`, `CONSUL_HTTP_ADDR` and `NOMAD_ADDR` is enough; a token alone is
//! not: it may be there for other programs.

use super::super::problem::{ConfigProblem, Findings};
use super::consul::{self, ConsulSource};
use super::naming::{Naming, localhost};
use super::nomad::{self, NomadSource};
use super::peer::{PeerSettings, Secret};
use super::{ConfiguredSource, SourceSettings, Surroundings};
use crate::model::name::Name;
use crate::model::source::{SourceId, SourceInfo, precedence};

const SUFFIX: &str = "DOMAIN_SUFFIX";
const PRIMARY: &str = "TRAEFIK_PROVIDER_PRIMARY";
const CONSUL: &str = "CONSUL_HTTP_ADDR";
const NOMAD: &str = "NOMAD_ADDR";
/// The name of both.
const NAME: &str = "env";

pub(super) fn sources(around: &Surroundings<'_>, findings: &mut Findings) -> Vec<ConfiguredSource> {
    let get = |name| around.environment.get(name);
    if [SUFFIX, PRIMARY, CONSUL, NOMAD]
        .into_iter()
        .all(|name| get(name).is_none())
    {
        return Vec::new();
    }
    let mut wrong = |name: &'static str, text: &str, reason: String| {
        let text = text.to_owned();
        findings.environment_error(ConfigProblem::BadVariable { name, text, reason });
    };
    let suffix = match get(SUFFIX).map(|text| (text, Name::parse_given(text))) {
        None => localhost(),
        Some((_, Ok(suffix))) => suffix,
        Some((text, Err(error))) => {
            wrong(SUFFIX, text, error.to_string());
            return Vec::new();
        }
    };
    let is_consul_first = match get(PRIMARY) {
        None | Some("nomad") => false,
        Some("consul") => true,
        Some(other) => {
            wrong(PRIMARY, other, "write nomad or consul".to_owned());
            false
        }
    };
    let mut peer = |variable: &'static str, default: &'static str, token: &'static str| {
        let url = get(variable).map_or_else(|| default.to_owned(), with_scheme);
        match PeerSettings::new(&url) {
            Ok(peer) => Some(PeerSettings {
                secret: get(token).map(|token| Secret(token.into())),
                ..peer
            }),
            Err(reason) => {
                wrong(variable, &url, reason.to_owned());
                None
            }
        }
    };
    let naming = Naming::below(suffix);
    let consul = peer(CONSUL, consul::ADDRESS, consul::TOKEN).map(|peer| {
        let settings = SourceSettings::Consul(ConsulSource {
            peer,
            datacenter: None,
            namespace: None,
            naming: naming.clone(),
            checks: None,
            register: None,
        });
        ("consul", consul::REMEDY, settings)
    });
    let nomad = peer(NOMAD, nomad::ADDRESS, nomad::TOKEN).map(|peer| {
        let settings = SourceSettings::Nomad(NomadSource {
            peer,
            namespace: nomad::NAMESPACE.into(),
            naming,
            checks: None,
            has_allocation_checks: true,
        });
        ("nomad", nomad::REMEDY, settings)
    });
    let both = if is_consul_first {
        [consul, nomad]
    } else {
        [nomad, consul]
    };
    let sources = both.into_iter().flatten().zip(precedence::WATCHED..);
    let sources = sources.map(|((kind, remedy, settings), precedence)| ConfiguredSource {
        id: SourceId::new(SourceInfo {
            kind: kind.into(),
            name: Some(NAME.into()),
            precedence,
            is_editable: false,
            remedy: remedy.into(),
        }),
        settings,
    });
    sources.collect()
}

/// Consul's own programs take an address without a scheme as well.
fn with_scheme(address: &str) -> String {
    match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    }
}
