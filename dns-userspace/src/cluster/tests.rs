//! Reviews of objects, and what is counted of Certificates.

use std::sync::Arc;

use prometheus::core::Collector;
use serde_json::{Value, json};

use super::certificates::Certificate;
use super::*;
use crate::config::KubernetesSource;
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Handling, RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot};
use crate::model::source::{Origin, SourceId};

fn source() -> SourceId {
    SourceId::watched("kubernetes", "prod", 0)
}

/// What is served: `www.talos00` of an Ingress in `demo`.
fn snapshot() -> Snapshot {
    let owner: Name = "www.talos00.".parse().expect("a name");
    let rrset = RrSet {
        rtype: RecordType::A,
        ttl: 300,
        rdatas: vec![rdata::parse_value(RecordType::A, "192.0.2.1").expect("an address")].into(),
        origin: Origin::of_object(source(), "Ingress demo/web", None),
        handling: Handling::default(),
    };
    let mut snapshot = Snapshot::default();
    snapshot
        .overlays
        .insert(owner.key(), Arc::new(Node::new(&owner, vec![Arc::new(rrset)])));
    snapshot
}

fn review(kind: &str, namespace: &str, object: Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u1", "kind": {"kind": kind}, "namespace": namespace, "operation": "CREATE", "object": object}})
}

/// Why an object is refused; `None` where it is allowed.
fn refusal(review: &Value) -> Option<String> {
    let settings = KubernetesSource {
        zones: vec!["talos00.".parse().expect("a name")],
        ingress_classes: vec!["public".to_owned()],
        ..KubernetesSource::default()
    };
    let answer = ObjectAdmission::new(source(), settings).review(review, &snapshot());
    let answer = answer.expect("an answer");
    assert_eq!(
        (&answer["kind"], &answer["response"]["uid"]),
        (&json!("AdmissionReview"), &json!("u1"))
    );
    let response = &answer["response"];
    (response["allowed"] == false).then(|| response["status"]["message"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn foreign_hosts_and_those_of_another_namespace_are_refused() {
    let ingress = |host: &str| json!({"metadata": {"name": "x"}, "spec": {"rules": [{"host": host}]}});
    assert_eq!(refusal(&review("Ingress", "demo", ingress("new.talos00"))), None);
    let foreign = refusal(&review("Ingress", "demo", ingress("www.google.com"))).expect("refused");
    assert!(
        foreign.contains("`www.google.com` is in none of the zones of this cluster (talos00)"),
        "{foreign}"
    );
    // In the same namespace two objects may share a host, as paths of one site do.
    assert_eq!(refusal(&review("Ingress", "demo", ingress("www.talos00"))), None);
    let double = refusal(&review("Ingress", "other", ingress("WWW.talos00"))).expect("refused");
    assert!(
        double.contains("is a host of Ingress demo/web, which is in another namespace"),
        "{double}"
    );

    let route = |rule: &str| json!({"spec": {"routes": [{"match": rule, "kind": "Rule"}]}});
    let rule = "Host(`a.talos00`) || (Host(`www.talos00`) && PathPrefix(`/x`))";
    assert!(refusal(&review("IngressRoute", "other", route(rule))).is_some());
    assert_eq!(
        refusal(&review("IngressRoute", "other", route("Host(`a.talos00`)"))),
        None
    );
    let http = json!({"spec": {"hostnames": ["a.talos00", "x.example.org"]}});
    assert!(refusal(&review("HTTPRoute", "other", http)).is_some());
    let service = json!({"metadata": {"annotations": {"external-dns.alpha.kubernetes.io/hostname": "a.talos00, b.x"}}});
    assert!(refusal(&review("Service", "other", service)).is_some_and(|text| text.contains("`b.x`")));

    // What is not ours to publish is not ours to refuse.
    let mut of_class = ingress("www.google.com");
    of_class["spec"]["ingressClassName"] = json!("internal");
    assert_eq!(refusal(&review("Ingress", "demo", of_class)), None);
    let mut excluded = ingress("www.google.com");
    excluded["metadata"]["annotations"] = json!({"hotdns.io/exclude": "true"});
    assert_eq!(refusal(&review("Ingress", "demo", excluded)), None);
    let mut deleted = review("Ingress", "other", ingress("www.talos00"));
    deleted["request"]["operation"] = json!("DELETE");
    assert_eq!(refusal(&deleted), None);
    let admission = ObjectAdmission::new(source(), KubernetesSource::default());
    assert!(admission.review(&json!({"kind": "Pod"}), &snapshot()).is_none());
}

fn certificate(attempts: u64, ready: &str) -> Certificate {
    Certificate::read(&json!({
        "metadata": {"name": "wildcard-talos00", "namespace": "traefik"},
        "spec": {"issuerRef": {"name": "letsencrypt-prod", "kind": "ClusterIssuer"}},
        "status": {
            "notAfter": "2096-03-01T00:00:00Z",
            "failedIssuanceAttempts": attempts,
            "conditions": [
                {"type": "Ready", "status": ready, "reason": "DoesNotExist"},
                {"type": "Issuing", "status": "False", "reason": "Failed"},
            ],
        },
    }))
}

/// The metrics as lines, `name{labels} value` with the names shortened.
fn shown(figures: &Arc<CertificateFigures>) -> Vec<String> {
    let collector = CertificatesCollector(Arc::clone(figures));
    // Those without a Certificate are not shown by the registry either.
    let families: Vec<_> = collector
        .collect()
        .into_iter()
        .filter(|family| !family.get_metric().is_empty())
        .collect();
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&families)
        .expect("text");
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("catalyst_dns_sync_certificate_"));
    lines.map(str::to_owned).collect()
}

#[test]
fn metrics_say_what_the_status_says() {
    let figures: Arc<CertificateFigures> = Arc::default();
    figures.reset(vec![certificate(3, "True")]);
    let has = |line: &str| {
        let all = shown(&figures);
        assert!(all.iter().any(|known| known == line), "{line}: {all:#?}");
    };
    has("ready{name=\"wildcard-talos00\",namespace=\"traefik\"} 1");
    has("status{cert=\"wildcard-talos00\",status=\"ready\"} 1");
    has("status{cert=\"wildcard-talos00\",status=\"not_ready\"} 0");
    has("renewal_failures_total{name=\"wildcard-talos00\",reason=\"Failed\"} 0");
    let days = "expiry_days{issuer=\"letsencrypt-prod\",name=\"wildcard-talos00\",namespace=\"traefik\"} ";
    let line = shown(&figures)
        .into_iter()
        .find_map(|line| line.strip_prefix(days).map(str::to_owned));
    let days: f64 = line.expect("the days").parse().expect("a number");
    assert!(days > 1000.0 && days.fract() == 0.0, "{days}");
    assert!(
        shown(&figures)
            .iter()
            .any(|line| line.starts_with("expiry_seconds{cert=\"wildcard-talos00\"} "))
    );

    figures.set(certificate(5, "False"));
    has("ready{name=\"wildcard-talos00\",namespace=\"traefik\"} 0");
    has("renewal_failures_total{name=\"wildcard-talos00\",reason=\"Failed\"} 2");
    figures.remove("traefik", "wildcard-talos00");
    assert!(!shown(&figures).iter().any(|line| line.starts_with("ready{")));
}
