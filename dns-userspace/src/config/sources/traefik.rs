//! `sources.traefik`: the routers of a Traefik, from its API.

use super::super::problem::{ConfigProblem, Findings};
use super::super::section::CheckedMapping;
use super::peer::PeerSettings;
use super::proxy::ProxySource;
use super::{Surroundings, proxy};

pub(super) const KEYS: &[&str] = &[
    "name",
    "address",
    "path",
    "basic_file",
    "ca",
    "targets",
    "metrics",
    "zones",
    "ttl",
    "poll",
    "rule_syntax",
];
pub(super) const REMEDY: &str = "change the router in Traefik";

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<ProxySource> {
    let mut traefik = proxy::read(section, around, "traefik", "http://127.0.0.1:8080", findings)?;
    traefik.metrics = metrics(section, &traefik, findings);
    Some(traefik)
}

/// `metrics`: a URL for each target.
fn metrics(section: &CheckedMapping<'_>, traefik: &ProxySource, findings: &mut Findings) -> Vec<PeerSettings> {
    let texts = section
        .texts("metrics", "metrics: [\"http://192.0.2.1:8080/metrics\"]", findings)
        .unwrap_or_default();
    let errors_before = findings.error_count();
    let mut metrics = Vec::with_capacity(texts.len());
    for text in &texts {
        match PeerSettings::new(text.text) {
            Ok(peer) => metrics.push(PeerSettings {
                ca: traefik.peer.ca.clone(),
                ..peer
            }),
            Err(reason) => {
                let (key, text_given) = (section.path("metrics"), text.text.to_owned());
                let problem = ConfigProblem::BadUrl {
                    key,
                    text: text_given,
                    reason,
                };
                findings.error(text.at, problem);
            }
        }
    }
    let (count, targets) = (texts.len(), traefik.targets.len());
    if let Some(at) = section.position("metrics")
        && count != targets
        && findings.error_count() == errors_before
    {
        findings.error(
            at,
            ConfigProblem::MetricsForTargets {
                metrics: count,
                targets,
            },
        );
    }
    metrics
}
