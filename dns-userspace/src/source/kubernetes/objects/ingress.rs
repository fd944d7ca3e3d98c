//! Ingress v1 (`networking.k8s.io`): names of `spec.rules` and `spec.tls`, addresses of its status.
//!
//! `*.foo.com` stands for names with exactly one label in the place of the `*`.

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::super::settings::Target;
use super::wanted::wildcard_of;
use super::{CLASS_ANNOTATION, Object, Wanted};

/// What is read of an Ingress.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ingress {
    spec: Spec,
    status: LoadBalanced,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    ingress_class_name: Option<String>,
    rules: Vec<Rule>,
    tls: Vec<Tls>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Rule {
    host: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Tls {
    hosts: Vec<String>,
}

/// The status of what has a load balancer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LoadBalanced {
    load_balancer: LoadBalancer,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Point>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Point {
    ip: String,
    hostname: String,
}

impl LoadBalanced {
    /// Its addresses and host names.
    pub(super) fn addresses(&self) -> Vec<Target> {
        let points = self.load_balancer.ingress.iter();
        let texts = points.flat_map(|point| [&point.ip, &point.hostname]);
        texts
            .filter(|text| !text.is_empty())
            .map(|text| Target::parse(text))
            .collect()
    }
}

impl Ingress {
    pub(super) fn addresses(&self) -> Vec<Target> {
        self.status.addresses()
    }

    pub(super) fn publish(&self, object: &Object, cluster: &Cluster, wanted: &mut Wanted<'_>) {
        let own_class = self.spec.ingress_class_name.as_ref();
        let class = own_class.or_else(|| object.meta.annotations.get(CLASS_ANNOTATION));
        let class = class.map(String::as_str).or_else(|| cluster.default_class());
        let classes = &cluster.publishing().ingress_classes;
        if !classes.is_empty() && !class.is_some_and(|class| classes.iter().any(|of| of == class)) {
            return wanted.note(match class {
                Some(class) => format!("its class `{class}` is none of `ingress_classes`"),
                None => "it has no class, and there is no default class".to_owned(),
            });
        }
        if let Some(class) = class {
            wanted.set_view_of_class(class);
        }
        let (mut is_spec, mut is_annotation) = (true, true);
        match object.meta.annotations().get("ingress-hostname-source") {
            Some("defined-hosts-only") => is_annotation = false,
            Some("annotation-only") => is_spec = false,
            Some(other) => {
                return wanted.fail(format!(
                    "annotation `ingress-hostname-source`: `{other}`: write defined-hosts-only or annotation-only"
                ));
            }
            None => {}
        }
        let mut hosts = Vec::new();
        if is_spec {
            hosts.extend(self.spec.rules.iter().map(|rule| rule.host.as_str()));
            hosts.extend(
                self.spec
                    .tls
                    .iter()
                    .flat_map(|tls| tls.hosts.iter().map(String::as_str)),
            );
        }
        if is_annotation {
            hosts.extend(object.meta.annotations().list("hostname"));
        }
        let hosts = hosts.into_iter().filter(|host| !host.is_empty());
        let hosts: Vec<_> = hosts.map(|host| (host.to_owned(), wildcard_of(object.kind))).collect();
        let targets = wanted.targets(cluster.addresses(object));
        wanted.point_all(&hosts, &targets);
    }
}
