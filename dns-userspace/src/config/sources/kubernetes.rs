//! `sources.kubernetes`: a cluster whose objects are published. `docs/kubernetes.md` describes the keys.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::super::choice::choices;
use super::super::document::YamlKind;
use super::super::problem::{ConfigProblem, Findings};
use super::super::section::{CheckedMapping, Text};
use super::Surroundings;
use crate::model::name::Name;
use crate::model::views::ViewName;

choices! {
    /// A kind of objects that can be watched.
    WatchedKind {
        /// Ingress v1.
        Ingress = "ingress",
        /// Traefik's IngressRoute.
        IngressRoute = "ingressroute",
        /// Traefik's IngressRouteTCP.
        IngressRouteTcp = "ingressroutetcp",
        /// Gateway API.
        HttpRoute = "httproute",
        /// Gateway API.
        GrpcRoute = "grpcroute",
        /// Gateway API.
        TlsRoute = "tlsroute",
        /// Services with an annotation.
        Service = "service",
        /// external-dns's DNSEndpoint.
        DnsEndpoint = "dnsendpoint",
        /// hotdns's own Zone.
        Zone = "zone",
        /// hotdns's own RecordSet.
        RecordSet = "recordset",
        /// Gateway API: the listeners' own names.
        Gateway = "gateway",
        /// Nodes, for Services of type NodePort.
        Node = "node",
        /// One ConfigMap with `records`.
        ConfigMap = "configmap",
    }
}

choices! {
    /// Which pods have names inside the cluster.
    PodNames {
        /// None.
        Disabled = "disabled",
        /// Whatever address is asked for.
        Insecure = "insecure",
        /// Those that there are: they are followed.
        Verified = "verified",
    }
}

/// An instance of `sources.kubernetes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSource {
    /// The kubeconfig; without one, `KUBECONFIG`, then the service account of the pod.
    pub kubeconfig: Option<Arc<Path>>,
    /// The context of the kubeconfig; without one, its current context.
    pub context: Option<String>,
    /// Namespaces that are watched; none: all.
    pub namespaces: Vec<String>,
    /// Only objects with these labels, as `kubectl get -l` takes it.
    pub selector: Option<String>,
    /// The kinds; `None`: all but the ConfigMap, as far as they may be listed.
    pub watch: Option<Vec<WatchedKind>>,
    /// The ConfigMap with records.
    pub config_map: ConfigMapPlace,
    /// Only names at or below one of these; none: all names.
    pub zones: Vec<Name>,
    /// Where names of objects lead whose status has no addresses.
    pub targets: Vec<String>,
    /// The TTL where an object says none, in seconds.
    pub ttl: u32,
    /// The view of all records; `None` is the default view.
    pub view: Option<ViewName>,
    /// Classes of Ingresses that are published; none: all.
    pub ingress_classes: Vec<String>,
    /// The view of an Ingress by its class.
    pub class_views: Vec<(String, ViewName)>,
    /// To which addresses names may lead, by view; in views that are none of these: to all.
    pub addresses: Vec<ViewAddresses>,
    /// How long the addresses of an object stay whose status lists none any more.
    pub hold: Duration,
    /// Whether Traefik's rules are of version 2 where a route does not say.
    pub is_traefik_v2: bool,
    /// The domain of cluster DNS, such as `cluster.local.`; `None`: names inside the cluster are not served.
    pub cluster_domain: Option<Name>,
    /// Which pods have names inside the cluster.
    pub pods: PodNames,
    /// Whether search paths of pods are gone through for them: then pods are followed.
    pub autopath: bool,
    /// Whether the records of the ConfigMap and those of the API are the same: changes by the API are written back.
    pub persist: bool,
    /// Whether Events and the status of RecordSets are written.
    pub report: bool,
}

/// To which addresses the names of objects may lead in a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewAddresses {
    /// The view; `None` is the default view.
    pub view: Option<ViewName>,
    /// These may be led to, and no others.
    pub prefixes: Vec<IpNet>,
}

/// Where a ConfigMap with records is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapPlace {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The key of its `data` that holds the configuration.
    pub key: String,
}

pub(super) const KEYS: &[&str] = &[
    "name",
    "kubeconfig",
    "context",
    "namespaces",
    "selector",
    "watch",
    "config_map",
    "zones",
    "targets",
    "ttl",
    "view",
    "ingress_classes",
    "class_views",
    "addresses",
    "hold",
    "traefik_syntax",
    "cluster_domain",
    "pods",
    "autopath",
    "persist",
    "report",
];
pub(super) const REMEDY: &str = "change the object in the cluster";

const WATCH_EXAMPLE: &str = "watch: [ingress, service]";
const HOLD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);
/// The longest word or text of a key, in octets.
const MOST: usize = 1024;

impl Default for KubernetesSource {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            namespaces: Vec::new(),
            selector: None,
            watch: None,
            config_map: ConfigMapPlace::default(),
            zones: Vec::new(),
            targets: Vec::new(),
            ttl: 300,
            view: None,
            ingress_classes: Vec::new(),
            class_views: Vec::new(),
            addresses: Vec::new(),
            hold: Duration::from_secs(300),
            is_traefik_v2: false,
            cluster_domain: None,
            pods: PodNames::Disabled,
            autopath: false,
            persist: false,
            report: false,
        }
    }
}

impl Default for ConfigMapPlace {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            name: "jw238dns-config".to_owned(),
            key: "config.yaml".to_owned(),
        }
    }
}

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<Box<KubernetesSource>> {
    let default = KubernetesSource::default();
    let kubeconfig = section.short_text("kubeconfig", "kubeconfig: /etc/hotdns/kubeconfig", MOST, findings);
    let zones = section
        .texts("zones", "zones: [example.org]", findings)
        .unwrap_or_default();
    let zones = zones
        .into_iter()
        .filter_map(|zone| zone.to_name("zones", findings))
        .collect();
    let syntax = section.word("traefik_syntax", &["v3", "v2"], findings);
    let domain = section.text("cluster_domain", "cluster_domain: cluster.local", findings);
    Some(Box::new(KubernetesSource {
        cluster_domain: domain.and_then(|domain| domain.to_name("cluster_domain", findings)),
        kubeconfig: kubeconfig.map(|path| around.base.join(&*path).into()),
        context: short(section, "context", "context: prod", findings),
        namespaces: words(section, "namespaces", "namespaces: [web]", findings),
        selector: short(section, "selector", "selector: dns=public", findings),
        watch: read_watch(section, findings),
        config_map: read_config_map(section, findings),
        zones,
        targets: read_targets(section, findings),
        ttl: around.ttl(section, findings),
        view: short(section, "view", "view: office", findings).map(Into::into),
        ingress_classes: words(section, "ingress_classes", "ingress_classes: [public]", findings),
        class_views: read_class_views(section, findings),
        addresses: read_addresses(section, findings),
        hold: section
            .duration("hold", "hold: 5m", &HOLD, findings)
            .unwrap_or(default.hold),
        is_traefik_v2: syntax == Some("v2"),
        pods: section.choice("pods", findings).unwrap_or(default.pods),
        autopath: section
            .boolean("autopath", "autopath: true", findings)
            .unwrap_or(default.autopath),
        persist: section
            .boolean("persist", "persist: true", findings)
            .unwrap_or(default.persist),
        report: section
            .boolean("report", "report: true", findings)
            .unwrap_or(default.report),
    }))
}

fn short(
    section: &CheckedMapping<'_>,
    key: &'static str,
    example: &'static str,
    findings: &mut Findings,
) -> Option<String> {
    section.short_text(key, example, MOST, findings).map(Into::into)
}

fn words(
    section: &CheckedMapping<'_>,
    key: &'static str,
    example: &'static str,
    findings: &mut Findings,
) -> Vec<String> {
    let texts = section.texts(key, example, findings).unwrap_or_default();
    texts.into_iter().map(|text| text.text.to_owned()).collect()
}

fn read_watch(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<Vec<WatchedKind>> {
    use super::super::choice::ClosedList;
    let texts = section.texts("watch", WATCH_EXAMPLE, findings)?;
    let mut kinds: Vec<WatchedKind> = Vec::with_capacity(texts.len());
    for Text { at, text } in texts {
        match WatchedKind::from_word(text) {
            Some(kind) if kinds.contains(&kind) => {}
            Some(kind) => kinds.push(kind),
            None => findings.error(
                at,
                ConfigProblem::NotAChoice {
                    key: section.path("watch"),
                    value: text.to_owned(),
                    choices: WatchedKind::WORDS,
                },
            ),
        }
    }
    Some(kinds)
}

fn read_config_map(section: &CheckedMapping<'_>, findings: &mut Findings) -> ConfigMapPlace {
    let default = ConfigMapPlace::default();
    let place = section.section("config_map", &["namespace", "name", "key"], findings);
    ConfigMapPlace {
        namespace: short(&place, "namespace", "namespace: default", findings).unwrap_or(default.namespace),
        name: short(&place, "name", "name: jw238dns-config", findings).unwrap_or(default.name),
        key: short(&place, "key", "key: config.yaml", findings).unwrap_or(default.key),
    }
}

fn read_targets(section: &CheckedMapping<'_>, findings: &mut Findings) -> Vec<String> {
    let texts = section
        .texts("targets", "targets: [192.0.2.1]", findings)
        .unwrap_or_default();
    let mut targets = Vec::with_capacity(texts.len());
    for text in texts {
        // An address, or the name of an alias.
        let is_address = text.text.parse::<std::net::IpAddr>().is_ok();
        if is_address || text.to_name("targets", findings).is_some() {
            targets.push(text.text.to_owned());
        }
    }
    targets
}

fn read_class_views(section: &CheckedMapping<'_>, findings: &mut Findings) -> Vec<(String, ViewName)> {
    const EXAMPLE: &str = "class_views: [{class: internal, view: office}]";
    let items = section.list("class_views", EXAMPLE, findings).unwrap_or_default();
    let mut views = Vec::with_capacity(items.len());
    for item in items {
        let pair = CheckedMapping::item(item, "an entry of `class_views`", &["class", "view"], findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let class = pair.required_text("class", EXAMPLE, findings);
        let view = pair.required_text("view", EXAMPLE, findings);
        views.extend(
            class
                .zip(view)
                .map(|(class, view)| (class.text.to_owned(), view.text.into())),
        );
    }
    views
}

fn read_addresses(section: &CheckedMapping<'_>, findings: &mut Findings) -> Vec<ViewAddresses> {
    const EXAMPLE: &str = "addresses: [{view: office, prefixes: [10.0.0.0/8]}]";
    let items = section.list("addresses", EXAMPLE, findings).unwrap_or_default();
    let mut views: Vec<ViewAddresses> = Vec::with_capacity(items.len());
    for item in items {
        let entry = CheckedMapping::item(item, "an entry of `addresses`", &["view", "prefixes"], findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let view = short(&entry, "view", "view: office", findings).map(Into::into);
        let Some(prefixes) = entry.prefixes("prefixes", EXAMPLE, findings) else {
            let problem = ConfigProblem::MissingKey {
                key: "prefixes",
                section: "an entry of `addresses`".to_owned(),
                example: EXAMPLE,
            };
            findings.error(entry.at, problem);
            continue;
        };
        // Of two entries for one view both count.
        match views.iter_mut().find(|known| known.view == view) {
            Some(known) => known.prefixes.extend(prefixes),
            None => views.push(ViewAddresses { view, prefixes }),
        }
    }
    views
}
