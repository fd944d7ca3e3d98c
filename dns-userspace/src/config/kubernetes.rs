//! `kubernetes`: what this server does in a cluster besides reading it.
//!
//! ```text
//! kubernetes:
//!   leader_election: {enabled: true, namespace: infrastructure, lease: hotdns, duration: 15s}
//!   certificates: {watch: true, wildcards: [talos00], issuer: letsencrypt-prod, default_certificate: true}
//!   webhook: {listen: ["0.0.0.0:9443"], cert: tls.crt, key: tls.key}
//! ```

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::address_list::read_addresses;
use super::choice::choices;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::secret_file::open_to_all;
use super::section::CheckedMapping;
use super::sources::{ConfiguredSource, SourceSettings};
use crate::model::name::Name;
use crate::tls::Certificates;

choices! {
    /// What `GET /readyz` asks for.
    Readyz {
        /// What `/ready` asks for: that this server answers.
        Server = "server",
        /// Also that the Kubernetes API and the DNS APIs of targets are there.
        Peers = "peers",
    }
}

/// `kubernetes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// Which of `sources.kubernetes` is the cluster; none: the first.
    pub source: Option<Box<str>>,
    /// What `/readyz` asks for.
    pub readyz: Readyz,
    /// Which of several replicas writes.
    pub leader_election: LeaderElection,
    /// Certificates of cert-manager.
    pub certificates: CertificatesConfig,
    /// Where objects are looked at before the cluster takes them.
    pub webhook: Option<WebhookConfig>,
}

/// `kubernetes.leader_election`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderElection {
    /// Whether one of several replicas is elected.
    pub enabled: bool,
    /// The namespace of the Lease; none: that of the pod.
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub lease: Box<str>,
    /// How long it lasts where it is not renewed.
    pub duration: Duration,
}

/// `kubernetes.certificates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatesConfig {
    /// Whether Certificates are watched, for the metrics.
    pub watch: bool,
    /// Zones that get a Certificate `wildcard-<zone>`.
    pub wildcards: Vec<Name>,
    /// The namespace of these, and of Traefik's TLSStore.
    pub namespace: Box<str>,
    /// Who issues them.
    pub issuer: Box<str>,
    /// The kind of the issuer.
    pub issuer_kind: Box<str>,
    /// Whether Traefik's default certificate is set to the first of them.
    pub default_certificate: bool,
}

/// `kubernetes.webhook`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Addresses.
    pub listen: Vec<SocketAddr>,
    /// The certificate (PEM).
    pub cert: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
}

const DURATIONS: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(3600);
const DURATION: Duration = Duration::from_secs(15);
const WEBHOOK_PORT: u16 = 9443;
/// The longest name, in octets.
const MOST: usize = 253;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["source", "readyz", "leader_election", "certificates", "webhook"],
    applies: Applies::AtRestart(&[("kubernetes", |old, new| old.kubernetes != new.kubernetes)]),
};

impl KubernetesConfig {
    /// The cluster that it is about, where there is one.
    pub fn cluster<'a>(&self, sources: &'a [ConfiguredSource]) -> Option<&'a ConfiguredSource> {
        let is_cluster = |source: &&ConfiguredSource| matches!(source.settings, SourceSettings::Kubernetes(_));
        let mut clusters = sources.iter().filter(is_cluster);
        match &self.source {
            Some(name) => clusters.find(|source| source.id.info().name.as_deref() == Some(name)),
            None => clusters.next(),
        }
    }

    /// Whether it has anything to do with a cluster.
    fn needs_cluster(&self) -> bool {
        self.leader_election.enabled
            || self.certificates.watch
            || !self.certificates.wildcards.is_empty()
            || self.webhook.is_some()
    }
}

pub(super) fn read(input: &Input<'_>, sources: &[ConfiguredSource], findings: &mut Findings) -> KubernetesConfig {
    let section = input.root.section("kubernetes", KEY.keys, findings);
    let config = KubernetesConfig {
        source: section.short_text("source", "source: home", MOST, findings),
        readyz: section.choice("readyz", findings).unwrap_or(Readyz::Server),
        leader_election: read_election(&section, findings),
        certificates: read_certificates(&section, findings),
        webhook: read_webhook(&section, input, findings),
    };
    if (config.needs_cluster() || config.source.is_some()) && config.cluster(sources).is_none() {
        let at = section.position("source").unwrap_or(section.at);
        let name = config.source.as_deref().unwrap_or_default().to_owned();
        findings.error(at, ConfigProblem::NoCluster { name });
    }
    config
}

fn read_election(section: &CheckedMapping<'_>, findings: &mut Findings) -> LeaderElection {
    let keys = &["enabled", "namespace", "lease", "duration"];
    let election = section.section("leader_election", keys, findings);
    LeaderElection {
        enabled: election.boolean("enabled", "enabled: true", findings).unwrap_or(false),
        namespace: election.short_text("namespace", "namespace: infrastructure", MOST, findings),
        lease: election
            .short_text("lease", "lease: hotdns", MOST, findings)
            .unwrap_or_else(|| "hotdns".into()),
        duration: election
            .duration("duration", "duration: 15s", &DURATIONS, findings)
            .unwrap_or(DURATION),
    }
}

fn read_certificates(section: &CheckedMapping<'_>, findings: &mut Findings) -> CertificatesConfig {
    let keys = &[
        "watch",
        "wildcards",
        "namespace",
        "issuer",
        "issuer_kind",
        "default_certificate",
    ];
    let part = section.section("certificates", keys, findings);
    let zones = part
        .texts("wildcards", "wildcards: [talos00]", findings)
        .unwrap_or_default();
    let mut text = |key, example, default: &str| -> Box<str> {
        part.short_text(key, example, MOST, findings)
            .unwrap_or_else(|| default.into())
    };
    let namespace = text("namespace", "namespace: traefik", "traefik");
    let issuer = text("issuer", "issuer: letsencrypt-prod", "letsencrypt-prod");
    let issuer_kind = text("issuer_kind", "issuer_kind: ClusterIssuer", "ClusterIssuer");
    CertificatesConfig {
        watch: part.boolean("watch", "watch: true", findings).unwrap_or(false),
        wildcards: zones
            .into_iter()
            .filter_map(|zone| zone.to_name("wildcards", findings))
            .collect(),
        namespace,
        issuer,
        issuer_kind,
        default_certificate: part
            .boolean("default_certificate", "default_certificate: true", findings)
            .unwrap_or(false),
    }
}

fn read_webhook(section: &CheckedMapping<'_>, input: &Input<'_>, findings: &mut Findings) -> Option<WebhookConfig> {
    if !section.has_value("webhook") {
        return None;
    }
    let webhook = section.section("webhook", &["listen", "cert", "key"], findings);
    let listen = read_addresses(&webhook, "listen", "listen: [\"0.0.0.0:9443\"]", WEBHOOK_PORT, findings);
    let cert = webhook.required_text("cert", "cert: tls.crt", findings)?;
    let key = webhook.required_text("key", "key: tls.key", findings)?;
    let at = key.at;
    let (cert, key) = (input.base.join(cert.text), input.base.join(key.text));
    match Certificates::of_files("kubernetes.webhook", &cert, &key, &[]) {
        Ok(_) => open_to_all(&key)
            .into_iter()
            .for_each(|oddity| findings.warning(at, oddity)),
        Err(error) => findings.error(at, ConfigProblem::BadWebhookCertificate { error }),
    }
    let everywhere = || vec![SocketAddr::from(([0, 0, 0, 0], WEBHOOK_PORT))];
    Some(WebhookConfig {
        listen: listen.map_or_else(everywhere, |listen| {
            listen.into_iter().map(|(address, _)| address).collect()
        }),
        cert,
        key,
    })
}
