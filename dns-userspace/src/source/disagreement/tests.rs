//! Proxies and DNS that disagree, and that do not.

use std::sync::Arc;

use serde_json::json;

use super::super::peer::testing::{Player, Reply};
use super::*;
use crate::traefik_rule::{self, Dialect};

fn routed(router: &str, rule: &str) -> RoutedRule {
    let rule = traefik_rule::parse(rule, Dialect::HttpV3).expect("a rule");
    RoutedRule {
        router: router.into(),
        names: traefik_rule::hosts(&rule),
        rule,
    }
}

fn served(names: &[(&str, Wildcard, &str)]) -> BTreeMap<Name, ServedName> {
    let entries = names.iter().map(|(name, wildcard, address)| {
        let known = ServedName {
            wildcard: *wildcard,
            addresses: BTreeSet::from([address.parse().expect("an address")]),
        };
        (name.parse().expect("a name"), known)
    });
    entries.collect()
}

#[test]
fn each_kind_of_disagreement_is_found() {
    let routed = [
        routed("a", "Host(`a.x`) || Host(`missing.x`)"),
        routed("w", r"Host(`*.one.x`) || HostRegexp(`^.+\.deep.x$`)"),
        routed("v", r"HostRegexp(`^.+\.deep\.x$`) || Host(`b.covered.x`)"),
    ];
    let (one, deep) = (Wildcard::OneLabel, Wildcard::Rfc4592);
    let served = served(&[
        ("a.x.", deep, "192.0.2.1"),
        ("*.one.x.", deep, "192.0.2.1"),
        ("*.deep.x.", one, "192.0.2.1"),
        ("*.covered.x.", deep, "192.0.2.9"),
        ("old.x.", deep, "192.0.2.1"),
        ("mail.x.", deep, "192.0.2.25"),
    ]);
    let found = disagreements(&routed, &served, &["192.0.2.1".parse().expect("an address")]);
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 6, "{found:#?}");
    assert_eq!(found[0], "missing.x. is routed by a, and DNS has no address for it");
    assert_eq!(
        found[1],
        "*.one.x. of w takes one label in place of `*`, and DNS one label or more"
    );
    assert_eq!(
        found[2],
        "*.deep.x. of w takes one label or more in place of `*`, and DNS one label"
    );
    assert!(found[3].starts_with("w: no name can be derived"));
    assert_eq!(found[5], "old.x. leads to the proxy, and no router takes it");
}

#[test]
fn a_wildcard_ends_at_a_name_below_it() {
    let deep = Wildcard::Rfc4592;
    let served = served(&[("*.x.", deep, "192.0.2.1"), ("b.x.", deep, "192.0.2.1")]);
    let is = |name: &str| is_covered(&served, &name.parse().expect("a name"));
    assert!(is("a.x.") && is("a.c.x.") && is("b.x."));
    assert!(!is("a.b.x.") && !is("x."));
}

#[tokio::test]
async fn a_traefik_is_compared_with_what_is_served() {
    let player = Player::start().await;
    let routers = json!({"a@file": {"rule": "Host(`a.x`)"}, "b@file": {"rule": "Host(`b.x`)"}});
    player.set("/api/rawdata", Reply::ok(json!({ "routers": routers }).to_string()));
    let target: IpAddr = "192.0.2.1".parse().expect("an address");
    let settings = ProxySource {
        peer: PeerSettings::new(&player.url).expect("a URL"),
        path: None,
        targets: vec![target],
        metrics: Vec::new(),
        zones: Vec::new(),
        ttl: 60,
        poll: Duration::from_secs(5),
        is_v2: false,
    };
    let rrset = |value: &[u8]| RrSet {
        rtype: RecordType::A,
        ttl: 60,
        rdatas: [Box::<[u8]>::from(value)].into(),
        origin: crate::model::source::Origin::api(),
        handling: Default::default(),
    };
    let mut served = Snapshot::default();
    for (name, address) in [
        ("a.x.", [192, 0, 2, 1]),
        ("old.x.", [192, 0, 2, 1]),
        ("mail.x.", [192, 0, 2, 25]),
    ] {
        let name: Name = name.parse().expect("a name");
        let node = Node::new(&name, vec![Arc::new(rrset(&address))]);
        served.overlays.insert(name.key(), Arc::new(node));
    }
    let peer = Peer::new("Traefik", settings.peer.clone(), Credential::Basic).expect("a peer");
    let routers = traefik::routers(&peer).await.expect("routers");
    let found = compare(routers, &settings, &served);
    let found: Vec<_> = found
        .iter()
        .map(|found| (found.kind(), found.name().map(ToString::to_string)))
        .collect();
    let expected = [("not_served", "b.x."), ("not_routed", "old.x.")].map(|(kind, name)| (kind, Some(name.to_owned())));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn both_sides_are_asked() {
    let player = Player::start().await;
    let routers =
        json!({"a@file": {"rule": "Host(`a.x`)"}, "b@file": {"rule": "Host(`b.x`)"}, "c@file": {"rule": "("}});
    player.set("/api/rawdata", Reply::ok(json!({ "routers": routers }).to_string()));
    let records = json!([{"name": "a.x.", "type": "A", "ttl": 60, "value": ["192.0.2.1"], "source": "api"}]);
    player.set(
        "/api/v1/records",
        Reply::ok(json!({"records": records, "next": null}).to_string()),
    );
    let peer = || PeerSettings::new(&player.url).expect("a URL");
    let found = report(peer(), false, peer(), &[]).await.expect("a report");
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("Router c@file: the rule"), "{found:#?}");
    assert_eq!(
        found[1],
        "b.x. is routed by Router b@file, and DNS has no address for it"
    );
    let taking = |host: &'static str| {
        let host: Name = host.parse().expect("a name");
        async move { takers(peer(), false, &host).await.expect("routers") }
    };
    assert_eq!(
        taking("A.x.").await,
        [("Router a@file".to_owned(), "Host(`a.x`)".to_owned())]
    );
    assert!(taking("c.x.").await.is_empty());
}
