//! Random sequences of changes of objects, in any order, against what the last state of each object says by itself.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::config::KubernetesSource;
use crate::source::Claim;

/// What a seed did not do well is seen with it again.
const SEEDS: u64 = 150;
const STEPS: usize = 60;

/// An object of a small world; some of them another one needs.
fn random_object(random: &mut StdRng) -> (Kind, Value) {
    let mut pick = |from: &[&str]| (*from.choose(random).expect("not empty")).to_owned();
    let namespace = pick(&["one", "two"]);
    let name = pick(&["a", "b", "c"]);
    let host = pick(&["a.peers.test", "b.peers.test", "*.peers.test", "c.other.org"]);
    let address = pick(&["192.0.2.1", "192.0.2.2", "2001:db8::1", ""]);
    let kind = pick(&[
        "ingress",
        "service",
        "set",
        "zone",
        "gateway",
        "route",
        "namespace",
        "class",
        "slice",
        "node",
    ]);
    let more = pick(&["true", "false"]);
    let points = match address.as_str() {
        "" => json!([]),
        address => json!([{"ip": address}]),
    };
    let mut meta = json!({"namespace": namespace, "name": name, "uid": format!("{kind}-{namespace}-{name}")});
    let (kind, mut object) = match kind.as_str() {
        "ingress" => (
            Kind::Ingress,
            json!({"spec": {"rules": [{"host": host}]}, "status": {"loadBalancer": {"ingress": points}}}),
        ),
        "service" => {
            meta["annotations"] = json!({"hotdns.io/hostname": host, "hotdns.io/access": "private"});
            let service_type = if more == "true" { "NodePort" } else { "ClusterIP" };
            let spec =
                json!({"type": service_type, "clusterIPs": ["None"], "ports": [{"port": 80, "nodePort": 30080}]});
            (Kind::Service, json!({ "spec": spec }))
        }
        "set" => {
            let spec = json!({"name": host, "type": "TXT", "values": [address]});
            (Kind::RecordSet, json!({ "spec": spec }))
        }
        "zone" => (
            Kind::Zone,
            json!({"spec": {"name": "peers.test", "defaults": {"ttl": if more == "true" { 60 } else { 61 }}}}),
        ),
        "gateway" => {
            let from = json!({"namespaces": {"from": if more == "true" { "All" } else { "Same" }}});
            let listener = json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": from});
            let addresses = if address.is_empty() {
                json!([])
            } else {
                json!([{"value": address}])
            };
            (
                Kind::Gateway,
                json!({"spec": {"listeners": [listener]}, "status": {"addresses": addresses}}),
            )
        }
        "route" => {
            let parent = json!({"name": "a", "namespace": "one"});
            let accepted = json!([{"type": "Accepted", "status": if more == "true" { "True" } else { "False" }}]);
            let status = json!({"parents": [{"parentRef": parent, "conditions": accepted}]});
            let spec = json!({"parentRefs": [parent], "hostnames": [host]});
            (Kind::HttpRoute, json!({"spec": spec, "status": status}))
        }
        "namespace" => {
            meta = json!({"name": namespace});
            if more == "true" {
                meta["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            (Kind::Namespace, json!({}))
        }
        "class" => {
            meta = json!({"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": more}});
            (Kind::IngressClass, json!({}))
        }
        "slice" => {
            meta["labels"] = json!({"kubernetes.io/service-name": "a"});
            let addresses = if address.is_empty() {
                json!([])
            } else {
                json!([address])
            };
            (
                Kind::EndpointSlice,
                json!({"endpoints": [{"addresses": addresses, "nodeName": "a"}]}),
            )
        }
        _ => {
            meta = json!({"name": name});
            let addresses = json!([{"type": "InternalIP", "address": address}]);
            (Kind::Node, json!({"status": {"addresses": addresses}}))
        }
    };
    object["metadata"] = meta;
    (kind, object)
}

fn settings() -> Publishing {
    KubernetesSource {
        ingress_classes: vec!["a".into()],
        // An address that a status has lost counts no longer: what is held depends on what was before.
        hold: Duration::ZERO,
        ..publishing()
    }
}

type Asked = BTreeMap<ObjectKey, Result<Vec<Claim>, String>>;

fn all_of(cluster: &Cluster) -> Asked {
    let keys: BTreeSet<ObjectKey> = cluster.keys().cloned().collect();
    let outcomes = keys.into_iter().filter_map(|key| {
        let outcome = cluster.outcome(&key)?;
        Some((key, outcome.claims))
    });
    outcomes.collect()
}

#[test]
fn only_what_is_told_may_differ_and_the_way_does_not_matter() {
    for seed in 0..SEEDS {
        let mut random = StdRng::seed_from_u64(seed);
        let mut cluster = cluster(settings());
        let mut model: BTreeMap<ObjectKey, (Kind, Value)> = BTreeMap::new();
        let mut known = Asked::new();
        let start = Instant::now();
        for step in 0..STEPS {
            let now = start + Duration::from_secs(step as u64);
            let mut touched = cluster.expire(now);
            if random.random_bool(0.25) && !model.is_empty() {
                let keys: Vec<ObjectKey> = model.keys().cloned().collect();
                let key = keys.choose(&mut random).expect("not empty");
                model.remove(key);
                touched.extend(cluster.delete(key));
            } else {
                let (kind, value) = random_object(&mut random);
                let object = object(kind, value.clone());
                model.insert(object.key(), (kind, value));
                touched.extend(cluster.apply(object, now));
            }
            touched.extend(cluster.expire(now));
            // What nobody was told of is as it was.
            let asked = all_of(&cluster);
            for key in asked.keys().chain(known.keys()) {
                if !touched.contains(key) {
                    assert_eq!(
                        asked.get(key),
                        known.get(key),
                        "seed {seed}, step {step}: {key} was not told"
                    );
                }
            }
            known = asked;
        }
        // Another cluster that has the last state alone, from lists, says the same.
        let mut listed = self::cluster(settings());
        let kinds: BTreeSet<Kind> = model.values().map(|(kind, _)| *kind).collect();
        for kind in kinds {
            let of_kind = model.values().filter(|(of, _)| *of == kind);
            let objects = of_kind.map(|(kind, value)| Ok(Box::new(object(*kind, value.clone()))));
            listed.reset(kind, None, objects.collect(), start);
        }
        assert_eq!(all_of(&cluster), all_of(&listed), "seed {seed}");
    }
}

/// What a change costs depends on the change: as many objects are looked at again in a large cluster as in a small one.
#[test]
fn ten_thousand_services_cost_a_change_no_more_than_ten() {
    let touched_by_a_change = |services: usize, endpoints: usize| {
        let mut cluster = cluster(Publishing {
            cluster_domain: Some("cluster.local.".parse().expect("a domain")),
            ..Publishing::default()
        });
        let now = Instant::now();
        let slice = |number: usize, ready: bool| {
            let of: Vec<Value> = (0..endpoints)
                .map(|at| {
                    let address = format!("10.{}.{}.{at}", number / 250, number % 250);
                    json!({"addresses": [address], "conditions": {"ready": ready || at > 0}})
                })
                .collect();
            let labels = json!({"kubernetes.io/service-name": format!("s{number}")});
            let meta = json!({"namespace": "demo", "name": format!("s{number}-1"), "labels": labels});
            object(Kind::EndpointSlice, json!({"metadata": meta, "endpoints": of}))
        };
        for number in 0..services {
            let spec = json!({"spec": {"type": "ClusterIP", "clusterIPs": ["None"]}});
            let service = made(Kind::Service, &format!("demo/s{number}"), Value::Null, spec);
            cluster.apply(service, now);
            cluster.apply(slice(number, true), now);
        }
        let started = Instant::now();
        let mut touched = 0;
        const CHANGES: usize = 500;
        for change in 0..CHANGES {
            for key in cluster.apply(slice(change % services, change / services % 2 == 1), now) {
                touched += 1;
                cluster.outcome(&key).expect("it is there").claims.expect("it is good");
            }
        }
        let took = started.elapsed();
        println!(
            "{services} Services, {} endpoints: {CHANGES} changes in {took:?}",
            services * endpoints
        );
        assert_eq!(touched, CHANGES, "each change is of one Service");
        took
    };
    let small = touched_by_a_change(10, 10);
    let large = touched_by_a_change(10_000, 10);
    assert!(
        large < small * 20 + Duration::from_millis(200),
        "{large:?} against {small:?}"
    );
}
