//! Objects that depend on others: routes on Gateways, all on their namespace; addresses that are held.

use std::time::Duration;

use super::*;
use crate::config::WatchedKind;

const NONE: Value = Value::Null;

fn gateway(listeners: Value) -> Object {
    let status = json!({"addresses": [{"type": "IPAddress", "value": "192.0.2.12"}]});
    made(
        Kind::Gateway,
        "infra/gw",
        NONE,
        json!({"spec": {"listeners": listeners}, "status": status}),
    )
}

fn route(kind: Kind, hostnames: Value, accepted: &str) -> Object {
    let parent = json!({"name": "gw", "namespace": "infra"});
    let condition = json!({"type": "Accepted", "status": accepted, "reason": "Pending"});
    let rest = json!({
        "spec": {"parentRefs": [parent], "hostnames": hostnames},
        "status": {"parents": [{"parentRef": parent, "conditions": [condition]}]},
    });
    made(kind, "demo/hr", NONE, rest)
}

fn all_namespaces() -> Value {
    json!({"namespaces": {"from": "All"}})
}

#[test]
fn a_route_is_published_where_a_listener_accepted_it() {
    let mut cluster = cluster(publishing());
    let hosts = json!(["hr.peers.test", "*.deep.peers.test", "hr.other.test"]);
    let key = apply(&mut cluster, route(Kind::HttpRoute, hosts.clone(), "True"));
    assert!(asked(&cluster, &key).is_empty());
    let listener = json!([{"name": "http", "protocol": "HTTP", "port": 80, "hostname": "*.peers.test",
                           "allowedRoutes": all_namespaces()}]);
    let touched = cluster.apply(gateway(listener), Instant::now());
    assert!(touched.contains(&key));
    let both = ["hr.peers.test. 300 A 192.0.2.12", "*.deep.peers.test. 300 A 192.0.2.12"];
    assert_eq!(asked(&cluster, &key), both);
    let refused = apply(&mut cluster, route(Kind::HttpRoute, hosts.clone(), "False"));
    assert!(asked(&cluster, &refused).is_empty());
    assert!(notes(&cluster, &refused).contains("has not accepted it: Pending"));
    let tls = apply(&mut cluster, route(Kind::TlsRoute, hosts, "True"));
    assert!(asked(&cluster, &tls).is_empty(), "the listener is none of TLS");
    let passed = json!([{"name": "tls", "protocol": "TLS", "port": 443, "hostname": "*.deep.peers.test",
                         "allowedRoutes": all_namespaces()},
                        {"name": "http", "protocol": "HTTP", "port": 80, "hostname": "*.peers.test",
                         "allowedRoutes": all_namespaces()}]);
    apply(&mut cluster, gateway(passed));
    assert_eq!(asked(&cluster, &tls), ["*.deep.peers.test. 300 A 192.0.2.12"]);
    let any = apply(&mut cluster, route(Kind::GrpcRoute, json!([]), "True"));
    assert_eq!(asked(&cluster, &any), ["*.peers.test. 300 A 192.0.2.12"]);
}

#[test]
fn a_gateway_has_the_names_of_its_listeners_where_it_is_watched_for_itself() {
    let listeners = json!([
        {"name": "http", "protocol": "HTTP", "port": 80, "hostname": "gw.peers.test"},
        {"name": "tcp", "protocol": "TCP", "port": 5432, "hostname": "*.db.peers.test"},
        {"name": "any", "protocol": "HTTP", "port": 81},
    ]);
    let mut unwatched = cluster(publishing());
    let key = apply(&mut unwatched, gateway(listeners.clone()));
    assert!(asked(&unwatched, &key).is_empty());
    let mut cluster = cluster(Publishing {
        watch: Some(vec![WatchedKind::Gateway]),
        ..publishing()
    });
    let key = apply(&mut cluster, gateway(listeners));
    let both = ["gw.peers.test. 300 A 192.0.2.12", "*.db.peers.test. 300 A 192.0.2.12"];
    assert_eq!(asked(&cluster, &key), both);
}

#[test]
fn listeners_choose_namespaces() {
    let mut cluster = cluster(publishing());
    let key = apply(&mut cluster, route(Kind::HttpRoute, json!(["hr.peers.test"]), "True"));
    let labelled = |labels: Value| object(Kind::Namespace, json!({"metadata": {"name": "demo", "labels": labels}}));
    apply(&mut cluster, labelled(json!({"team": "a"})));
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}});
    let expression = json!({"from": "Selector", "selector": {"matchExpressions": [
        {"key": "team", "operator": "In", "values": ["b"]}]}});
    for (namespaces, is_let_in) in [
        (json!({"from": "All"}), true),
        (json!({"from": "Same"}), false),
        (json!({}), false),
        (json!({"from": "None"}), false),
        (selector, true),
        (expression.clone(), false),
    ] {
        let listener =
            json!([{"name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": {"namespaces": namespaces}}]);
        apply(&mut cluster, gateway(listener));
        assert_eq!(!asked(&cluster, &key).is_empty(), is_let_in, "{namespaces}");
    }
    let listener =
        json!([{"name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": {"namespaces": expression}}]);
    apply(&mut cluster, gateway(listener));
    let touched = cluster.apply(labelled(json!({"team": "b"})), Instant::now());
    assert!(touched.contains(&key));
    assert!(!asked(&cluster, &key).is_empty());
}

#[test]
fn a_preview_namespace_has_a_name_and_short_ttls() {
    let mut cluster = cluster(publishing());
    let rest = json!({
        "metadata": {"namespace": "app-pr-123", "name": "app", "labels": {"preview": "pr-123"}},
        "spec": {"rules": [{"host": "app.peers.test"}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.11"}]}},
    });
    let key = apply(&mut cluster, object(Kind::Ingress, rest));
    assert_eq!(asked(&cluster, &key), ["app.peers.test. 300 A 192.0.2.11"]);
    let namespace = |deleted: Value| {
        object(
            Kind::Namespace,
            json!({"metadata": {"name": "app-pr-123", "deletionTimestamp": deleted, "annotations": {
                "catalyst-dns-sync.io/preview": "true", "catalyst-dns-sync.io/base-hostname": "myapp"}}}),
        )
    };
    let touched = cluster.apply(namespace(NONE), Instant::now());
    assert!(touched.contains(&key));
    let both = [
        "pr-123.myapp.peers.test. 60 A 192.0.2.11",
        "app.peers.test. 60 A 192.0.2.11",
    ];
    assert_eq!(asked(&cluster, &key), both);
    apply(&mut cluster, namespace(json!("2026-11-28T22:12:38Z")));
    assert!(asked(&cluster, &key).is_empty(), "it is about to go");
}

#[test]
fn preview_environments_are_counted() {
    let mut cluster = cluster(publishing());
    let namespace = |name: &str, preview: &str, deleted: Value| {
        let annotations = json!({"hotdns.io/preview": preview, "hotdns.io/base-hostname": "myapp"});
        let meta = json!({"name": name, "deletionTimestamp": deleted, "annotations": annotations});
        object(Kind::Namespace, json!({ "metadata": meta }))
    };
    apply(&mut cluster, namespace("pr-1", "true", NONE));
    apply(&mut cluster, namespace("pr-2", "true", json!("2026-11-28T22:12:38Z")));
    apply(&mut cluster, namespace("demo", "false", NONE));
    let all = cluster.previews().into_iter();
    let all: Vec<String> = all.map(|(name, status)| format!("{name} {status}")).collect();
    assert_eq!(all, ["pr-1 active", "pr-2 ending"]);
}

#[test]
fn addresses_of_an_emptied_status_are_held_for_a_while() {
    let mut cluster = cluster(publishing());
    let ingress = |uid: &str, points: Value| {
        object(
            Kind::Ingress,
            json!({
                "metadata": {"namespace": "demo", "name": "ing", "uid": uid},
                "spec": {"rules": [{"host": "a.peers.test"}]},
                "status": {"loadBalancer": {"ingress": points}},
            }),
        )
    };
    let now = Instant::now();
    let key = apply(&mut cluster, ingress("1", json!([{"ip": "192.0.2.11"}])));
    cluster.apply(ingress("1", json!([])), now);
    assert_eq!(asked(&cluster, &key), ["a.peers.test. 300 A 192.0.2.11"]);
    cluster.apply(ingress("1", json!([])), now + Duration::from_secs(1));
    assert_eq!(cluster.next_expiry(), Some(now + Duration::from_secs(300)));
    assert!(cluster.expire(now + Duration::from_secs(299)).is_empty());
    assert!(cluster.expire(now + Duration::from_secs(300)).contains(&key));
    assert!(asked(&cluster, &key).is_empty());
    assert_eq!(cluster.next_expiry(), None);
    apply(&mut cluster, ingress("1", json!([{"ip": "192.0.2.11"}])));
    cluster.apply(ingress("2", json!([])), now);
    assert!(asked(&cluster, &key).is_empty(), "another object of the same name");
}

#[test]
fn a_list_of_a_kind_takes_away_what_it_does_not_show() {
    let mut cluster = cluster(publishing());
    let set = |name: &str| {
        made(
            Kind::RecordSet,
            name,
            NONE,
            json!({"spec": {"name": "a.peers.test", "type": "A", "values": ["192.0.2.1"]}}),
        )
    };
    let key = apply(&mut cluster, set("demo/a"));
    let broken = ObjectKey::new(Kind::RecordSet, &"demo".into(), &"c".into());
    let touched = cluster.reset(
        Kind::RecordSet,
        None,
        vec![Ok(Box::new(set("demo/b"))), Err((broken.clone(), "odd".into()))],
        Instant::now(),
    );
    assert_eq!(touched.len(), 3);
    assert_eq!(cluster.outcome(&key), None);
    assert_eq!(asked(&cluster, &broken), ["error: odd"]);
}

#[test]
fn routes_of_gateways_that_may_not_be_read_lead_to_the_configured_targets() {
    let mut cluster = cluster(Publishing {
        targets: vec!["192.0.2.54".into()],
        ..publishing()
    });
    let key = apply(&mut cluster, route(Kind::HttpRoute, json!(["hr.peers.test"]), "True"));
    assert!(asked(&cluster, &key).is_empty());
    assert!(cluster.set_gateways(false).contains(&key));
    assert_eq!(asked(&cluster, &key), ["hr.peers.test. 300 A 192.0.2.54"]);
    assert!(cluster.set_gateways(false).is_empty());
    let refused = apply(&mut cluster, route(Kind::HttpRoute, json!(["hr.peers.test"]), "False"));
    assert!(asked(&cluster, &refused).is_empty());
}
