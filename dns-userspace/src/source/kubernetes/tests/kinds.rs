//! Each kind by itself.

use super::*;
use crate::config::ViewAddresses;

const NONE: Value = Value::Null;

fn ingress(annotations: Value, spec: Value) -> Object {
    let status = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.11"}]}});
    made(
        Kind::Ingress,
        "demo/ing",
        annotations,
        json!({"spec": spec, "status": status}),
    )
}

fn asks(object: Object) -> Vec<String> {
    let mut cluster = cluster(publishing());
    let key = apply(&mut cluster, object);
    asked(&cluster, &key)
}

#[test]
fn an_ingress_publishes_its_rules_and_its_tls_hosts() {
    let spec = json!({
        "rules": [{"host": "a.peers.test"}, {"host": "*.peers.test"}, {"host": "other.test"}, {}],
        "tls": [{"hosts": ["a.peers.test", "b.peers.test"]}],
    });
    let asked = asks(ingress(NONE, spec));
    assert_eq!(
        asked,
        [
            "a.peers.test. 300 A 192.0.2.11",
            "*.peers.test. 300 A 192.0.2.11 (1)",
            "b.peers.test. 300 A 192.0.2.11",
        ]
    );
}

#[test]
fn annotations_of_all_prefixes_count() {
    let rule = json!({"rules": [{"host": "a.peers.test"}]});
    for prefix in super::super::annotations::PREFIXES {
        let annotations = json!({
            format!("{prefix}ttl"): "10m",
            format!("{prefix}hostname"): "x.peers.test",
            format!("{prefix}target"): "192.0.2.1,2001:db8::1",
        });
        let all = [
            "a.peers.test. 600 A 192.0.2.1",
            "a.peers.test. 600 AAAA 2001:db8::1",
            "x.peers.test. 600 A 192.0.2.1",
            "x.peers.test. 600 AAAA 2001:db8::1",
        ];
        assert_eq!(asks(ingress(annotations, rule.clone())), all, "{prefix}");
        assert!(asks(ingress(json!({format!("{prefix}exclude"): "true"}), rule.clone())).is_empty());
    }
    let alone = json!({
        "external-dns.alpha.kubernetes.io/ingress-hostname-source": "annotation-only",
        "external-dns.alpha.kubernetes.io/hostname": "x.peers.test",
        "hotdns.io/view": "office",
        "hotdns.io/zone": "peers.test",
    });
    assert_eq!(asks(ingress(alone, rule)), ["x.peers.test. 300 A 192.0.2.11 [office]"]);
}

#[test]
fn a_bad_ttl_is_told_and_the_default_is_used() {
    let mut cluster = cluster(publishing());
    let key = apply(
        &mut cluster,
        ingress(
            json!({"hotdns.io/ttl": "soon"}),
            json!({"rules": [{"host": "a.peers.test"}]}),
        ),
    );
    assert_eq!(asked(&cluster, &key), ["a.peers.test. 300 A 192.0.2.11"]);
    assert!(
        notes(&cluster, &key).contains("`soon` is no TTL"),
        "{}",
        notes(&cluster, &key)
    );
}

#[test]
fn classes_are_filtered_and_choose_a_view() {
    let mut cluster = cluster(Publishing {
        ingress_classes: vec!["public".into(), "internal".into()],
        class_views: vec![("internal".into(), "office".into())],
        ..publishing()
    });
    let rules = json!([{"host": "a.peers.test"}]);
    for (class, outcome) in [
        ("public", &["a.peers.test. 300 A 192.0.2.11"][..]),
        ("internal", &["a.peers.test. 300 A 192.0.2.11 [office]"]),
        ("other", &[]),
    ] {
        let spec = json!({"ingressClassName": class, "rules": rules});
        let key = apply(&mut cluster, ingress(NONE, spec));
        assert_eq!(asked(&cluster, &key), outcome, "{class}");
        let old = ingress(json!({"kubernetes.io/ingress.class": class}), json!({"rules": rules}));
        let key = apply(&mut cluster, old);
        assert_eq!(asked(&cluster, &key), outcome, "{class}");
    }
    let key = apply(&mut cluster, ingress(NONE, json!({"rules": rules})));
    assert!(asked(&cluster, &key).is_empty());
    let default = json!({"ingressclass.kubernetes.io/is-default-class": "true"});
    apply(&mut cluster, made(Kind::IngressClass, "public", default, json!({})));
    assert_eq!(asked(&cluster, &key), ["a.peers.test. 300 A 192.0.2.11"]);
}

#[test]
fn host_names_as_targets_are_aliases() {
    let spec = json!({"rules": [{"host": "a.peers.test"}, {"host": "sub.peers.test"}]});
    let points = json!({"loadBalancer": {"ingress": [{"hostname": "lb.cloud.example"}]}});
    let aliased = made(Kind::Ingress, "demo/ing", NONE, json!({"spec": spec, "status": points}));
    let aliases = [
        "a.peers.test. 300 CNAME lb.cloud.example.",
        "sub.peers.test. 300 ALIAS lb.cloud.example.",
    ];
    assert_eq!(asks(aliased), aliases);
    let points = json!({"loadBalancer": {"ingress": [{"hostname": "lb.cloud.example", "ip": "192.0.2.1"}]}});
    let both = made(Kind::Ingress, "demo/ing", NONE, json!({"spec": spec, "status": points}));
    assert_eq!(
        asks(both),
        ["a.peers.test. 300 A 192.0.2.1", "sub.peers.test. 300 A 192.0.2.1"]
    );
}

#[test]
fn configured_targets_are_for_objects_without_addresses() {
    let mut cluster = cluster(Publishing {
        targets: vec!["192.0.2.54".into()],
        ..publishing()
    });
    let none = made(
        Kind::Ingress,
        "demo/ing",
        NONE,
        json!({"spec": {"rules": [{"host": "a.peers.test"}]}}),
    );
    let key = apply(&mut cluster, none.clone());
    assert_eq!(asked(&cluster, &key), ["a.peers.test. 300 A 192.0.2.54"]);
    let mut without = super::cluster(publishing());
    let key = apply(&mut without, none);
    assert!(asked(&without, &key).is_empty());
    assert!(notes(&without, &key).contains("no address"));
}

#[test]
fn names_lead_to_the_addresses_of_their_view_alone() {
    let prefixes = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a prefix")).collect();
    let office = Some("office".into());
    let mut cluster = cluster(Publishing {
        addresses: vec![
            ViewAddresses {
                view: None,
                prefixes: prefixes(&["192.0.2.0/24", "2001:db8::/32"]),
            },
            ViewAddresses {
                view: office,
                prefixes: prefixes(&["10.0.0.0/8"]),
            },
        ],
        ..publishing()
    });
    let of_view = |view: &str| {
        let annotations = json!({"hotdns.io/view": view, "hotdns.io/target": "10.0.0.1,192.0.2.1,2001:db8::1"});
        ingress(annotations, json!({"rules": [{"host": "a.peers.test"}]}))
    };
    let key = apply(&mut cluster, of_view("office"));
    assert_eq!(asked(&cluster, &key), ["a.peers.test. 300 A 10.0.0.1 [office]"]);
    assert!(notes(&cluster, &key).contains("does not lead to 192.0.2.1, 2001:db8::1: `addresses`"));
    let key = apply(&mut cluster, of_view("lab"));
    assert_eq!(
        asked(&cluster, &key),
        [
            "a.peers.test. 300 A 10.0.0.1 192.0.2.1 [lab]",
            "a.peers.test. 300 AAAA 2001:db8::1 [lab]"
        ],
        "nothing is said of this view"
    );
    let annotations = json!({"hotdns.io/target": "10.0.0.1"});
    let key = apply(
        &mut cluster,
        ingress(annotations, json!({"rules": [{"host": "a.peers.test"}]})),
    );
    assert!(asked(&cluster, &key).is_empty());
    assert!(notes(&cluster, &key).contains("allow it in the default view"));
}

#[test]
fn services_are_published_by_annotation() {
    let host = json!({"external-dns.alpha.kubernetes.io/hostname": "web.peers.test"});
    let balanced = json!({
        "spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.1"], "externalIPs": ["192.0.2.7"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}},
    });
    let service = |annotations: &Value, rest: Value| asks(made(Kind::Service, "demo/web", annotations.clone(), rest));
    assert_eq!(
        service(&host, balanced.clone()),
        ["web.peers.test. 300 A 192.0.2.7 192.0.2.10"]
    );
    assert!(service(&NONE, balanced.clone()).is_empty());
    let internal = json!({"hotdns.io/internal-hostname": "web.peers.test"});
    assert_eq!(service(&internal, balanced), ["web.peers.test. 300 A 10.96.0.1"]);
    let name = json!({"spec": {"type": "ExternalName", "externalName": "db.example.com"}});
    assert_eq!(service(&host, name), ["web.peers.test. 300 CNAME db.example.com."]);
    assert!(
        service(
            &host,
            json!({"spec": {"type": "ClusterIP", "clusterIPs": ["10.96.0.1"]}})
        )
        .is_empty()
    );
}

#[test]
fn a_headless_service_leads_to_its_ready_endpoints() {
    let mut cluster = cluster(publishing());
    let host = json!({"hotdns.io/hostname": "db.peers.test"});
    let headless = json!({"spec": {"type": "ClusterIP", "clusterIPs": ["None"]}});
    let key = apply(&mut cluster, made(Kind::Service, "demo/db", host, headless));
    assert!(asked(&cluster, &key).is_empty());
    let slice = object(
        Kind::EndpointSlice,
        json!({
            "metadata": {"namespace": "demo", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"}},
            "endpoints": [
                {"addresses": ["10.0.0.1"], "hostname": "db-0", "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
            ],
            "ports": null,
        }),
    );
    let touched = cluster.apply(slice, Instant::now());
    assert_eq!(touched.iter().collect::<Vec<_>>(), [&key]);
    let all = [
        "db.peers.test. 300 A 10.0.0.1 10.0.0.2",
        "db-0.db.peers.test. 300 A 10.0.0.1",
    ];
    assert_eq!(asked(&cluster, &key), all);
}

#[test]
fn dns_endpoints_and_record_sets_say_records() {
    let endpoints = json!({"spec": {"endpoints": [
        {"dnsName": "de.peers.test", "recordTTL": 60, "recordType": "A", "targets": ["192.0.2.9"]},
        {"dnsName": "m.peers.test", "recordType": "MX", "targets": ["10 mx.peers.test"]},
        {"dnsName": "t.peers.test", "recordType": "TXT", "targets": ["heritage=external-dns"]},
        {"dnsName": "other.test", "recordType": "A", "targets": ["192.0.2.9"]},
    ]}});
    let all = [
        "de.peers.test. 60 A 192.0.2.9",
        "m.peers.test. 300 MX 10 mx.peers.test.",
        "t.peers.test. 300 TXT \"heritage=external-dns\"",
    ];
    assert_eq!(asks(made(Kind::DnsEndpoint, "demo/de", NONE, endpoints)), all);
    let set = |spec: Value| asks(made(Kind::RecordSet, "demo/r", NONE, json!({ "spec": spec })));
    let spec =
        json!({"name": "*.peers.test", "type": "AAAA", "ttl": 30, "values": ["2001:db8::1"], "wildcard": "one_label"});
    assert_eq!(set(spec), ["*.peers.test. 30 AAAA 2001:db8::1 (1)"]);
    let wrong = set(json!({"name": "a.peers.test", "type": "A", "values": ["192.0.2"]}));
    assert!(wrong[0].starts_with("error: a.peers.test. A: "), "{wrong:?}");
}

#[test]
fn a_config_map_says_records_as_the_configuration_does() {
    let map = |text: &str| {
        asks(made(
            Kind::ConfigMap,
            "default/jw238dns-config",
            NONE,
            json!({"data": {"config.yaml": text}}),
        ))
    };
    let text = "dns_port: 53\nhttp_port: 8080\nlog_level: info\n\
                records:\n  - name: www.peers.test.\n    type: A\n    ttl: 300\n    value:\n      - 192.168.1.1\n";
    assert_eq!(map(text), ["www.peers.test. 300 A 192.168.1.1"]);
    let wrong = map("records:\n  - name: www.peers.test.\n    type: A\n    value: [192.168.1]\n");
    assert!(
        wrong[0].contains("ConfigMap default/jw238dns-config:config.yaml:4:"),
        "{wrong:?}"
    );
    let none = made(Kind::ConfigMap, "default/jw238dns-config", NONE, json!({"data": {}}));
    assert_eq!(asks(none), ["error: it has no key `config.yaml`"]);
}

#[test]
fn an_ingress_route_publishes_what_its_rules_route() {
    let mut cluster = cluster(Publishing {
        targets: vec!["192.168.1.54".into()],
        ..publishing()
    });
    let mut route = |kind: Kind, annotations: Value, routes: Value| {
        let key = apply(
            &mut cluster,
            made(
                kind,
                "monitoring/grafana",
                annotations,
                json!({"spec": {"routes": routes}}),
            ),
        );
        asked(&cluster, &key)
    };
    let grafana = json!([{"match": "Host(`grafana.peers.test`)"}]);
    let ttl = json!({"catalyst-dns-sync.io/ttl": "300"});
    assert_eq!(
        route(Kind::IngressRoute, ttl, grafana),
        ["grafana.peers.test. 300 A 192.168.1.54"]
    );
    let several = json!([
        {"match": "(Host(`a.peers.test`) || Host(`*.b.peers.test`)) && PathPrefix(`/x`)"},
        {"match": "PathPrefix(`/y`)"},
        {"match": "Host(`c.peers.test`"},
    ]);
    let all = [
        "a.peers.test. 300 A 192.168.1.54",
        "*.b.peers.test. 300 A 192.168.1.54 (1)",
    ];
    assert_eq!(route(Kind::IngressRoute, NONE, several), all);
    let tcp = json!([{"match": "HostSNI(`db.peers.test`)"}]);
    assert_eq!(
        route(Kind::IngressRouteTcp, NONE, tcp),
        ["db.peers.test. 300 A 192.168.1.54"]
    );
    let wrong = route(Kind::IngressRoute, NONE, json!([{"match": "Host(`c.peers.test`"}]));
    assert!(wrong[0].starts_with("error: the rule `Host("), "{wrong:?}");
    let old = json!([{"match": "HostRegexp(`{sub:[a-z0-9-]+}.peers.test`)", "syntax": "v2"}]);
    assert_eq!(
        route(Kind::IngressRoute, NONE, old),
        ["*.peers.test. 300 A 192.168.1.54 (1)"]
    );
}

#[test]
fn recorded_lists_can_be_read() {
    let mut cluster = cluster(publishing());
    let lists = [
        (Kind::Service, include_str!("recorded/k8s-list-api-v1-services.json")),
        (
            Kind::Ingress,
            include_str!("recorded/k8s-list-apis-networking.k8s.io-v1-ingresses.json"),
        ),
        (
            Kind::Namespace,
            include_str!("recorded/k8s-list-api-v1-namespaces.json"),
        ),
        (
            Kind::Gateway,
            include_str!("recorded/k8s-list-apis-gateway.networking.k8s.io-v1-gateways.json"),
        ),
        (
            Kind::HttpRoute,
            include_str!("recorded/k8s-list-apis-gateway.networking.k8s.io-v1-httproutes.json"),
        ),
        (
            Kind::EndpointSlice,
            include_str!("recorded/k8s-list-apis-discovery.k8s.io-v1-endpointslices.json"),
        ),
        (
            Kind::DnsEndpoint,
            include_str!("recorded/k8s-list-apis-externaldns.k8s.io-v1alpha1-dnsendpoints.json"),
        ),
    ];
    for (kind, text) in lists {
        let list: Value = serde_json::from_str(text).expect("JSON");
        let items = list["items"].as_array().expect("items").iter().cloned();
        let objects: Vec<_> = items.map(|item| Ok(Box::new(object(kind, item)))).collect();
        assert!(!objects.is_empty(), "{}", kind.name());
        cluster.reset(kind, None, objects, Instant::now());
    }
    let keys: Vec<ObjectKey> = cluster.keys().cloned().collect();
    let all: Vec<String> = keys.iter().flat_map(|key| asked(&cluster, key)).collect();
    for wanted in [
        "ing.peers.test. 300 A 192.0.2.11",
        "web.peers.test. 300 A 192.0.2.10",
        "de.peers.test. 60 A 192.0.2.9",
    ] {
        assert!(all.iter().any(|line| line == wanted), "{wanted}: {all:?}");
    }
    let route = keys.iter().find(|key| key.kind == Kind::HttpRoute).expect("the route");
    assert!(
        notes(&cluster, route).contains("has not accepted it yet"),
        "{}",
        notes(&cluster, route)
    );
}
