//! The examples of the DNS specification 1.1.0.

use super::super::objects::domain_claims;
use super::*;

fn cluster_dns() -> Cluster {
    cluster(Publishing {
        cluster_domain: Some("cluster.local.".parse().expect("a domain")),
        ..Publishing::default()
    })
}

#[test]
fn a_service_has_its_address_its_ports_and_a_name_for_its_address() {
    let mut cluster = cluster_dns();
    let spec = json!({"type": "ClusterIP", "clusterIPs": ["10.3.0.100", "2001:db8::100"], "ports": [
        {"name": "https", "port": 443, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]});
    let service = made(
        Kind::Service,
        "default/kubernetes",
        Value::Null,
        json!({ "spec": spec }),
    );
    let key = apply(&mut cluster, service);
    let name = "kubernetes.default.svc.cluster.local.";
    assert_eq!(
        asked(&cluster, &key),
        [
            format!("{name} 5 A 10.3.0.100"),
            format!("{name} 5 AAAA 2001:db8::100"),
            format!("100.0.3.10.in-addr.arpa. 5 PTR {name}"),
            format!("0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 5 PTR {name}"),
            format!("_https._tcp.{name} 5 SRV 0 100 443 {name}"),
            format!("_dns._udp.{name} 5 SRV 0 100 53 {name}"),
        ]
    );
}

#[test]
fn a_headless_service_has_its_ready_endpoints_and_each_by_its_name() {
    let mut cluster = cluster_dns();
    let spec = json!({"type": "ClusterIP", "clusterIPs": ["None"]});
    let key = apply(
        &mut cluster,
        made(Kind::Service, "demo/db", Value::Null, json!({ "spec": spec })),
    );
    assert!(asked(&cluster, &key).is_empty());
    let slice = |name: &str, endpoints: Value| {
        let labels = json!({"kubernetes.io/service-name": "db"});
        object(
            Kind::EndpointSlice,
            json!({"metadata": {"namespace": "demo", "name": name, "labels": labels}, "endpoints": endpoints,
                   "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]}),
        )
    };
    apply(
        &mut cluster,
        slice("db-1", json!([{"addresses": ["10.0.0.1"], "hostname": "db-0"}])),
    );
    let second = slice(
        "db-2",
        json!([
            {"addresses": ["10.0.0.2"]},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
        ]),
    );
    apply(&mut cluster, second);
    let name = "db.demo.svc.cluster.local.";
    assert_eq!(
        asked(&cluster, &key),
        [
            format!("{name} 5 A 10.0.0.1 10.0.0.2"),
            format!("10-0-0-2.{name} 5 A 10.0.0.2"),
            format!("2.0.0.10.in-addr.arpa. 5 PTR 10-0-0-2.{name}"),
            format!("db-0.{name} 5 A 10.0.0.1"),
            format!("1.0.0.10.in-addr.arpa. 5 PTR db-0.{name}"),
            format!("_sql._tcp.{name} 5 SRV 0 100 5432 10-0-0-2.{name} 0 100 5432 db-0.{name}"),
        ]
    );
    let gone = ObjectKey::new(Kind::EndpointSlice, &"demo".into(), &"db-2".into());
    assert!(cluster.delete(&gone).contains(&key));
    assert_eq!(asked(&cluster, &key)[0], format!("{name} 5 A 10.0.0.1"));
}

#[test]
fn an_external_name_is_an_alias_and_the_domain_a_zone() {
    let mut cluster = cluster_dns();
    let spec = json!({"type": "ExternalName", "externalName": "www.example.com"});
    let key = apply(
        &mut cluster,
        made(Kind::Service, "demo/x", Value::Null, json!({ "spec": spec })),
    );
    assert_eq!(
        asked(&cluster, &key),
        ["x.demo.svc.cluster.local. 5 CNAME www.example.com."]
    );
    let claims = domain_claims(&"cluster.local.".parse().expect("a domain"));
    let types: Vec<String> = claims
        .iter()
        .map(|claim| format!("{} {}", claim.owner, claim.rtype))
        .collect();
    assert_eq!(types, ["cluster.local. SOA", "dns-version.cluster.local. TXT"]);
}
