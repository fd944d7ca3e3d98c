//! Zones, what people write about objects, and Services that lead to nodes.

use super::*;

const NONE: Value = Value::Null;

#[test]
fn a_zone_has_its_soa_and_what_record_sets_in_it_do_not_say() {
    let mut cluster = cluster(publishing());
    let zone = json!({"spec": {
        "name": "peers.test", "nameservers": ["ns1.peers.test", "ns.other.org."],
        "addresses": ["192.0.2.53", "2001:db8::53"],
        "mailbox": "dns@other.org", "ttl": 900, "minimum": 30, "defaults": {"ttl": 77, "view": "office"},
    }});
    let set = made(
        Kind::RecordSet,
        "demo/set",
        NONE,
        json!({"spec": {"name": "www.peers.test", "type": "A", "values": ["192.0.2.1"]}}),
    );
    let set = apply(&mut cluster, set);
    assert_eq!(asked(&cluster, &set), ["www.peers.test. 300 A 192.0.2.1"]);
    let zone = made(Kind::Zone, "demo/zone", NONE, zone);
    let key = zone.key();
    let touched = cluster.apply(zone, Instant::now());
    assert!(touched.contains(&set) && touched.contains(&key), "{touched:?}");
    assert_eq!(
        asked(&cluster, &key),
        [
            "peers.test. 900 SOA ns1.peers.test. dns.other.org. 1 7200 1800 1209600 30",
            "peers.test. 900 NS ns1.peers.test. ns.other.org.",
            "ns1.peers.test. 900 A 192.0.2.53",
            "ns1.peers.test. 900 AAAA 2001:db8::53",
        ]
    );
    assert_eq!(asked(&cluster, &set), ["www.peers.test. 77 A 192.0.2.1 [office]"]);
    assert!(cluster.delete(&key).contains(&set));
    assert_eq!(asked(&cluster, &set), ["www.peers.test. 300 A 192.0.2.1"]);
    let bare = apply(
        &mut cluster,
        made(
            Kind::Zone,
            "demo/zone",
            NONE,
            json!({"spec": {"name": "sub.peers.test."}}),
        ),
    );
    assert_eq!(asked(&cluster, &bare)[1], "sub.peers.test. 3600 NS ns1.sub.peers.test.");
    assert!(notes(&cluster, &bare).contains("name it in a RecordSet"));
    let wrong = json!({"spec": {"name": "peers.test", "nameservers": ["a..b"]}});
    let wrong = apply(&mut cluster, made(Kind::Zone, "demo/zone", NONE, wrong));
    assert!(asked(&cluster, &wrong)[0].starts_with("error: spec.nameservers: "));
}

#[test]
fn owner_and_description_go_with_the_records() {
    let mut cluster = cluster(publishing());
    let annotations = json!({"hotdns.io/owner": "team-a", "catalyst-dns-sync.io/description": "Graphs",
        "external-dns.kubernetes.io/target": "192.0.2.1"});
    let spec = json!({"spec": {"rules": [{"host": "g.peers.test"}]}});
    let key = apply(&mut cluster, made(Kind::Ingress, "demo/g", annotations, spec));
    let claims = cluster.outcome(&key).expect("it is there").claims.expect("it is good");
    assert_eq!(
        claims[0].handling.keeping().note.as_deref(),
        Some("Graphs (owner: team-a)")
    );
}

#[test]
fn a_node_port_leads_to_the_nodes_where_it_asks_for_them() {
    let mut cluster = cluster(publishing());
    let node = |name: &str, ready: &str, addresses: Value| {
        let status = json!({"status": {"conditions": [{"type": "Ready", "status": ready}], "addresses": addresses}});
        made(Kind::Node, name, NONE, status)
    };
    let address = |of: &str, address: &str| json!({"type": of, "address": address});
    let both = json!([
        address("InternalIP", "10.0.0.1"),
        address("ExternalIP", "192.0.2.1"),
        address("Hostname", "n1")
    ]);
    apply(&mut cluster, node("n1", "True", both.clone()));
    apply(
        &mut cluster,
        node(
            "n2",
            "True",
            json!([address("InternalIP", "10.0.0.2"), address("InternalIP", "2001:db8::2")]),
        ),
    );
    apply(
        &mut cluster,
        node("n3", "False", json!([address("ExternalIP", "192.0.2.3")])),
    );
    let service = |access: Option<&str>, policy: &str| {
        let mut annotations = json!({"hotdns.io/hostname": "np.peers.test"});
        if let Some(access) = access {
            annotations["hotdns.io/access"] = access.into();
        }
        let spec = json!({"type": "NodePort", "externalTrafficPolicy": policy,
            "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}]});
        made(Kind::Service, "demo/np", annotations, json!({ "spec": spec }))
    };
    let key = apply(&mut cluster, service(None, "Cluster"));
    assert!(asked(&cluster, &key).is_empty(), "it does not ask");
    let srv = "_http._tcp.np.peers.test. 300 SRV 0 50 30080 np.peers.test.";
    apply(&mut cluster, service(Some("public"), "Cluster"));
    assert_eq!(
        asked(&cluster, &key),
        [
            "np.peers.test. 300 A 192.0.2.1",
            "np.peers.test. 300 AAAA 2001:db8::2",
            srv
        ]
    );
    apply(&mut cluster, service(Some("private"), "Cluster"));
    assert_eq!(
        asked(&cluster, &key),
        [
            "np.peers.test. 300 A 10.0.0.1 10.0.0.2",
            "np.peers.test. 300 AAAA 2001:db8::2",
            srv
        ]
    );
    apply(&mut cluster, service(Some("private"), "Local"));
    assert!(
        notes(&cluster, &key).contains("has no node"),
        "{}",
        notes(&cluster, &key)
    );
    let labels = json!({"kubernetes.io/service-name": "np"});
    let slice = json!({"metadata": {"namespace": "demo", "name": "np-1", "labels": labels},
        "endpoints": [{"addresses": ["10.1.0.1"], "nodeName": "n1"}]});
    let touched = cluster.apply(object(Kind::EndpointSlice, slice), Instant::now());
    assert!(touched.contains(&key));
    assert_eq!(asked(&cluster, &key), ["np.peers.test. 300 A 10.0.0.1", srv]);
    // A heartbeat is no change.
    assert!(cluster.apply(node("n1", "True", both), Instant::now()).is_empty());
    let gone = node("n1", "False", json!([]));
    assert!(cluster.apply(gone, Instant::now()).contains(&key));
    apply(&mut cluster, service(Some("all"), "Cluster"));
    assert!(notes(&cluster, &key).contains("write public or private"));
}
