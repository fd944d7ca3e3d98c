//! Objects before the cluster takes them (`admission.k8s.io/v1`): whose hosts are in none of our zones, or are those of
//! an object in another namespace, is refused.
//!
//! Pure: an AdmissionReview and what is served in, an AdmissionReview out.

use serde_json::{Value, json};

use crate::config::{KubernetesSource, WatchedKind};
use crate::model::name::Name;
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::source::kubernetes::PREFIXES;
use crate::source::oldest_of;
use crate::traefik_rule::{self, Dialect};

/// Looks at objects before a cluster takes them.
pub struct ObjectAdmission {
    source: SourceId,
    settings: KubernetesSource,
}

impl ObjectAdmission {
    /// For the objects of this source.
    pub fn new(source: SourceId, settings: KubernetesSource) -> Self {
        Self { source, settings }
    }

    /// The answer to a review; `None` where it is no review.
    pub fn review(&self, review: &Value, snapshot: &Snapshot) -> Option<Value> {
        let request = review.get("request").filter(|_| review["kind"] == "AdmissionReview")?;
        let uid = request["uid"].as_str()?;
        let response = match self.check(request, snapshot) {
            Ok(()) => json!({"uid": uid, "allowed": true}),
            Err(message) => json!({
                "uid": uid, "allowed": false,
                "status": {"code": 403, "reason": "Forbidden", "message": format!("hotdns: {message}")},
            }),
        };
        Some(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
    }

    fn check(&self, request: &Value, snapshot: &Snapshot) -> Result<(), String> {
        let (object, kind) = (&request["object"], request["kind"]["kind"].as_str().unwrap_or_default());
        let namespace = request["namespace"].as_str().unwrap_or_default();
        let namespaces = &self.settings.namespaces;
        let is_watched = namespaces.is_empty() || namespaces.iter().any(|of| of == namespace);
        if request["operation"] == "DELETE" || !is_watched || annotation(object, "exclude") == Some("true") {
            return Ok(());
        }
        if kind == "Ingress" && !self.is_of_our_class(object) {
            return Ok(());
        }
        let watch = self.settings.watch.as_ref();
        if kind == "Gateway" && !watch.is_some_and(|watch| watch.contains(&WatchedKind::Gateway)) {
            return Ok(());
        }
        for host in hosts(kind, object, self.settings.is_traefik_v2) {
            let Ok(name) = Name::parse_given(&host) else {
                return Err(format!("`{host}` is no name that DNS can have"));
            };
            if !self.settings.is_published(&name) {
                let zones: Vec<String> = self.settings.zones.iter().map(shown).collect();
                let zones = zones.join(", ");
                return Err(format!("`{host}` is in none of the zones of this cluster ({zones})"));
            }
            if let Some(other) = self.elsewhere(&name, namespace, snapshot) {
                return Err(format!(
                    "`{host}` is a host of {other}, which is in another namespace: take another name, or ask its owner"
                ));
            }
        }
        Ok(())
    }

    fn is_of_our_class(&self, object: &Value) -> bool {
        let classes = &self.settings.ingress_classes;
        let class = object["spec"]["ingressClassName"].as_str();
        let class = class.or_else(|| object["metadata"]["annotations"]["kubernetes.io/ingress.class"].as_str());
        // Without a class the default one is taken, which we do not know here.
        classes.is_empty() || class.is_none_or(|class| classes.iter().any(|of| of == class))
    }

    /// The object of another namespace whose name this is.
    fn elsewhere(&self, name: &Name, namespace: &str, snapshot: &Snapshot) -> Option<String> {
        let node = snapshot.node(&name.key())?;
        let mut ours = node.rrsets.iter().filter(|rrset| *rrset.origin.source() == self.source);
        ours.find_map(|rrset| {
            // `Ingress demo/web`: of several objects that share the name, the oldest.
            let object = oldest_of(rrset.origin.object()?);
            let place = object.split_once(' ').and_then(|(_, rest)| rest.split_once('/'));
            place.filter(|(of, _)| *of != namespace).map(|_| object.to_owned())
        })
    }
}

/// The hosts that an object asks for, as far as it says them itself.
fn hosts(kind: &str, object: &Value, is_traefik_v2: bool) -> Vec<String> {
    let spec = &object["spec"];
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let each = |value: &Value, field: &str| -> Vec<Value> {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| item[field].clone()).collect()
    };
    let mut hosts = match kind {
        "Ingress" => {
            let mut hosts = texts(&Value::Array(each(&spec["rules"], "host")));
            hosts.extend(each(&spec["tls"], "hosts").iter().flat_map(texts));
            hosts
        }
        "IngressRoute" | "IngressRouteTCP" => {
            let routes = spec["routes"].as_array().into_iter().flatten();
            let names = routes.flat_map(|route| {
                let syntax = route["syntax"].as_str().or(is_traefik_v2.then_some("v2"));
                let dialect = match kind {
                    "IngressRoute" => Dialect::http(syntax),
                    _ => Dialect::tcp(syntax),
                };
                // A rule that cannot be read is Traefik's to refuse.
                let rule = traefik_rule::parse(route["match"].as_str().unwrap_or_default(), dialect);
                rule.map(|rule| {
                    let names = traefik_rule::hosts(&rule);
                    let all = names.exact.iter().chain(&names.any_depth).chain(&names.one_label);
                    all.map(ToString::to_string).collect::<Vec<_>>()
                })
                .unwrap_or_default()
            });
            names.collect()
        }
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" => texts(&spec["hostnames"]),
        "Gateway" => texts(&Value::Array(each(&spec["listeners"], "hostname"))),
        "DNSEndpoint" => texts(&Value::Array(each(&spec["endpoints"], "dnsName"))),
        "RecordSet" => texts(&Value::Array(vec![spec["name"].clone()])),
        _ => Vec::new(),
    };
    let named = annotation(object, "hostname")
        .into_iter()
        .flat_map(|text| text.split(','));
    hosts.extend(named.map(|host| host.trim().to_owned()));
    hosts.retain(|host| !host.is_empty());
    hosts
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    let annotations = &object["metadata"]["annotations"];
    PREFIXES
        .iter()
        .find_map(|prefix| annotations[format!("{prefix}{key}")].as_str())
}

fn shown(name: &Name) -> String {
    name.to_string().trim_end_matches('.').to_owned()
}
