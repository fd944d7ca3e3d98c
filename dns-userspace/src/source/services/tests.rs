//! What services become, from tags as people write them.

use super::*;
use crate::config::Near;
use crate::model::rdata;
use crate::model::record::Order;
use crate::source::Claim;

fn instance(id: &str, address: &str, tags: &[&str]) -> Instance {
    Instance {
        id: id.into(),
        address: address.into(),
        port: Some(8080),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        is_passing: true,
        node: Some(Node {
            name: "vm".into(),
            address: "192.0.2.100".into(),
            datacenter: "dc1".into(),
        }),
        ..Instance::default()
    }
}

fn naming() -> Naming {
    Naming::below("dev.example.com.".parse().expect("a name"))
}

/// `owner TYPE value…`, and the order or wildcard where it is not the default.
fn shown(claims: &[Claim]) -> Vec<String> {
    let mut all: Vec<String> = claims
        .iter()
        .map(|claim| {
            let values: Vec<String> = claim
                .rdatas
                .iter()
                .map(|value| rdata::format_value(claim.rtype, value))
                .collect();
            let weights = claim.handling.order().weights();
            let weights = if weights.is_empty() {
                String::new()
            } else {
                format!(" {weights:?}")
            };
            let wildcard = match claim.handling.wildcard().word() {
                "one_label" => " one_label",
                _ => "",
            };
            format!(
                "{} {} {}{weights}{wildcard}",
                claim.owner,
                claim.rtype,
                values.join(" | ")
            )
        })
        .collect();
    all.sort();
    all
}

fn described(service: &str, instances: &[Instance], naming: &Naming) -> Vec<String> {
    shown(&describe(service, instances, naming).expect("described").claims)
}

#[test]
fn a_service_is_named_below_the_suffix_with_its_ports() {
    let instances = [
        instance("1", "192.0.2.1", &["traefik.enable=true"]),
        instance("2", "192.0.2.2", &["traefik.enable=true"]),
        instance("3", "192.0.2.3", &[]),
    ];
    assert_eq!(
        described("api", &instances, &naming()),
        [
            "_api._tcp.dev.example.com. SRV 1 1 8080 c0000201.addr.dev.example.com. | 1 1 8080 \
             c0000202.addr.dev.example.com.",
            "api.dev.example.com. A 192.0.2.1 | 192.0.2.2",
            "api.dev.example.com. SRV 1 1 8080 c0000201.addr.dev.example.com. | 1 1 8080 \
             c0000202.addr.dev.example.com.",
            "c0000201.addr.dev.example.com. A 192.0.2.1",
            "c0000202.addr.dev.example.com. A 192.0.2.2",
        ]
    );
}

#[test]
fn an_untagged_service_has_no_name_unless_asked() {
    let instances = [
        instance("1", "192.0.2.1", &["v1"]),
        instance("2", "192.0.2.2", &["traefik.enable=false"]),
    ];
    assert!(described("web", &instances, &naming()).is_empty());
    let all = Naming {
        exposed_by_default: true,
        ..naming()
    };
    assert!(described("web", &instances, &all).contains(&"web.dev.example.com. A 192.0.2.1".to_owned()));
}

#[test]
fn rules_are_those_of_each_instance() {
    let rule = |rule: &str| format!("traefik.http.routers.app.rule={rule}");
    let instances = [
        instance("1", "192.0.2.1", &["traefik.enable=true", &rule("Host(`app.local`)")]),
        instance(
            "2",
            "192.0.2.2",
            &["traefik.enable=true", &rule("Host(`app.local`) || Host(`*.x`)")],
        ),
        instance(
            "3",
            "192.0.2.3",
            &["traefik.enable=true", "Traefik.TCP.Routers.a.Rule=HostSNI(`db.x`)"],
        ),
    ];
    let all = described("app", &instances, &naming());
    for line in [
        "app.local. A 192.0.2.1 | 192.0.2.2",
        "*.x. A 192.0.2.2 one_label",
        "db.x. A 192.0.2.3",
    ] {
        assert!(all.contains(&line.to_owned()), "{line}: {all:#?}");
    }
    let proxied = Naming {
        targets: vec!["198.51.100.1".parse().expect("an address")],
        ..naming()
    };
    let all = described("app", &instances, &proxied);
    assert!(all.contains(&"app.local. A 198.51.100.1".to_owned()), "{all:#?}");
    assert!(all.contains(&"app.dev.example.com. A 192.0.2.1 | 192.0.2.2 | 192.0.2.3".to_owned()));
}

#[test]
fn the_syntax_of_a_rule_is_its_own_or_the_source_s() {
    let template = "traefik.http.routers.a.rule=HostRegexp(`{subdomain:[a-z0-9-]+}.traefik`)";
    let wildcard = "*.traefik. A 192.0.2.1 one_label".to_owned();
    let own = [instance(
        "1",
        "192.0.2.1",
        &["traefik.enable=true", template, "traefik.http.routers.a.ruleSyntax=v2"],
    )];
    assert!(described("a", &own, &naming()).contains(&wildcard));
    let of_source = Naming {
        is_v2: true,
        ..naming()
    };
    let plain = [instance("1", "192.0.2.1", &["traefik.enable=true", template])];
    assert!(described("a", &plain, &of_source).contains(&wildcard));
}

#[test]
fn prefixes_name_their_host() {
    let tags = [
        "urlprefix-Shop.example.com/",
        "urlprefix-/api/ proto=http",
        "urlprefix-:8080/",
        "urlprefix-*.y:80/p",
    ];
    let all = described("shop", &[instance("1", "192.0.2.1", &tags)], &naming());
    assert!(all.contains(&"shop.example.com. A 192.0.2.1".to_owned()), "{all:#?}");
    assert!(all.contains(&"*.y. A 192.0.2.1".to_owned()));
    assert!(all.contains(&"shop.dev.example.com. A 192.0.2.1".to_owned()));
    assert!(
        describe("shop", &[instance("1", "192.0.2.1", &tags)], &naming())
            .expect("described")
            .problems
            .is_empty()
    );
}

#[test]
fn names_of_rules_outside_of_the_zones_are_reported() {
    let naming = Naming {
        zones: vec!["example.com.".parse().expect("a name")],
        ..naming()
    };
    let tags = [
        "urlprefix-in.example.com/",
        "urlprefix-out.example.org/",
        "urlprefix-*/",
    ];
    let described = describe("a", &[instance("1", "192.0.2.1", &tags)], &naming).expect("described");
    let owners: Vec<String> = described.claims.iter().map(|claim| claim.owner.to_string()).collect();
    assert!(owners.contains(&"in.example.com.".to_owned()) && !owners.contains(&"out.example.org.".to_owned()));
    assert!(!owners.contains(&"*.".to_owned()));
    assert_eq!(described.problems.keys().collect::<Vec<_>>(), ["name out.example.org."]);
}

#[test]
fn the_order_is_the_source_s_where_weights_are_equal() {
    let naming = Naming {
        order: Order::Random,
        ..naming()
    };
    let light = instance("1", "192.0.2.1", &["traefik.enable=true"]);
    let mut heavy = instance("2", "192.0.2.2", &["traefik.enable=true"]);
    let order = |instances: &[Instance]| {
        let claims = describe("a", instances, &naming).expect("described").claims;
        let claim = claims
            .into_iter()
            .find(|claim| claim.owner.to_string() == "a.dev.example.com.");
        claim.expect("a claim").handling.order().word()
    };
    assert_eq!(order(&[light.clone(), heavy.clone()]), "random");
    heavy.weight = 5;
    assert_eq!(order(&[light, heavy]), "weighted");
}

/// An instance on a node of a datacenter.
fn placed(address: &str, node: &str, datacenter: &str) -> Instance {
    let node = Node {
        name: node.into(),
        address: String::new(),
        datacenter: datacenter.into(),
    };
    Instance {
        node: Some(node),
        ..instance(address, address, &["traefik.enable=true"])
    }
}

#[test]
fn the_nearest_are_drawn_as_the_first() {
    let near = |node: &str| Naming {
        near: Some(Near {
            node: Some(node.into()),
            datacenter: Some("dc1".into()),
        }),
        ..naming()
    };
    let mut all = [
        placed("192.0.2.1", "far", "dc2"),
        placed("192.0.2.2", "vm2", "dc1"),
        placed("192.0.2.3", "vm3", "dc1"),
        placed("192.0.2.4", "vm1", "dc1"),
    ];
    let lines = |all: &[Instance], naming: &Naming| {
        let lines = described("a", all, naming).into_iter();
        lines
            .filter(|line| line.starts_with("a.dev.example.com. A "))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&all, &near("vm1")),
        ["a.dev.example.com. A 192.0.2.4 | 192.0.2.2 | 192.0.2.3 | 192.0.2.1 [1, 0, 0, 0]"]
    );
    all[2].weight = 5;
    assert_eq!(
        lines(&all, &near("other")),
        ["a.dev.example.com. A 192.0.2.2 | 192.0.2.3 | 192.0.2.4 | 192.0.2.1 [1, 5, 1, 0]"],
        "the datacenter, by weight"
    );
    assert_eq!(
        lines(&all[1..2], &near("other")),
        ["a.dev.example.com. A 192.0.2.2"],
        "all are as near"
    );
    let proxied = Naming {
        targets: vec![
            "192.0.2.80".parse().expect("an address"),
            "192.0.2.81".parse().expect("an address"),
        ],
        ..near("vm1")
    };
    all[0].tags.push("traefik.http.routers.a.rule=Host(`a.x`)".into());
    let lines = described("a", &all, &proxied);
    assert!(
        lines.contains(&"a.x. A 192.0.2.80 | 192.0.2.81".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn weights_come_from_tags_or_the_registry() {
    let weight = "traefik.http.services.api.loadbalancer.server.weight=10";
    let mut instances = [
        instance("1", "192.0.2.1", &["traefik.enable=true", weight]),
        instance("2", "192.0.2.2", &["traefik.enable=true"]),
        instance("3", "192.0.2.3", &["urlprefix-api.x/ weight=0.25"]),
    ];
    instances[1].weight = 3;
    let all = described("api", &instances, &naming());
    assert!(
        all.contains(&"api.dev.example.com. A 192.0.2.1 | 192.0.2.2 | 192.0.2.3 [10, 3, 25]".to_owned()),
        "{all:#?}"
    );
    assert!(all.iter().any(|line| line.contains("SRV 1 10 8080")));
}

#[test]
fn a_bad_tag_is_reported_and_the_rest_is_served() {
    let tags = [
        "traefik.enable=true",
        "traefik.http.routers.bad.rule=Hots(`a.x`)",
        "traefik.http.routers.odd.rule=HostRegexp(`^w[0-9]+\\.x$`)",
        "traefik.http.routers.good.rule=Host(`good.x`)",
        "traefik.http.services.a.loadbalancer.server.weight=heavy",
    ];
    let described = describe("a", &[instance("1", "192.0.2.1", &tags)], &naming()).expect("described");
    assert!(shown(&described.claims).contains(&"good.x. A 192.0.2.1".to_owned()));
    let problems: Vec<&String> = described.problems.keys().collect();
    assert_eq!(
        problems,
        [
            "tag traefik.http.routers.bad.rule",
            "tag traefik.http.routers.odd.rule",
            "tag traefik.http.services.a.loadbalancer.server.weight"
        ]
    );
    let objects = objects("a", 5, &[instance("1", "192.0.2.1", &tags)], &naming());
    assert_eq!(objects.len(), 4);
    assert!(objects[0].claims.is_ok() && objects[1].claims.is_err());
    assert_eq!(&*objects[1].key, "Service a, tag traefik.http.routers.bad.rule");
}

#[test]
fn a_host_name_for_an_address_is_an_alias() {
    let all = described(
        "ext",
        &[instance("1", "db.example.net", &["traefik.enable=true"])],
        &naming(),
    );
    assert_eq!(
        all,
        [
            "_ext._tcp.dev.example.com. SRV 1 1 8080 db.example.net.",
            "ext.dev.example.com. CNAME db.example.net.",
        ]
    );
}

/// An instance at a host that was looked up.
fn at_host(id: &str, host: &str, addresses: &[&str]) -> Instance {
    Instance {
        resolved: Resolved {
            addresses: addresses.iter().map(|text| text.parse().expect("an address")).collect(),
            problem: addresses.is_empty().then(|| "no such host".to_owned()),
        },
        ..instance(id, host, &["traefik.enable=true"])
    }
}

#[test]
fn several_hosts_are_served_by_their_addresses() {
    let instances = [
        at_host("1", "a.example.net", &["192.0.2.7", "2001:db8::7"]),
        at_host("2", "b.example.net", &["192.0.2.8"]),
        instance("3", "192.0.2.9", &["traefik.enable=true"]),
    ];
    assert_eq!(
        described("ext", &instances, &naming()),
        [
            "_ext._tcp.dev.example.com. SRV 1 1 8080 a.example.net. | 1 1 8080 b.example.net. | 1 1 8080 \
             c0000209.addr.dev.example.com.",
            "c0000209.addr.dev.example.com. A 192.0.2.9",
            "ext.dev.example.com. A 192.0.2.7 | 192.0.2.8 | 192.0.2.9",
            "ext.dev.example.com. AAAA 2001:db8::7",
            "ext.dev.example.com. SRV 1 1 8080 a.example.net. | 1 1 8080 b.example.net. | 1 1 8080 \
             c0000209.addr.dev.example.com.",
        ]
    );
    // Two instances at one host are an alias still.
    let one_host = [
        at_host("1", "a.example.net", &["192.0.2.7"]),
        at_host("2", "a.example.net", &[]),
    ];
    let all = described("ext", &one_host, &naming());
    assert!(
        all.contains(&"ext.dev.example.com. CNAME a.example.net.".to_owned()),
        "{all:?}"
    );
}

#[test]
fn a_host_that_cannot_be_looked_up_is_told_on_its_service() {
    let instances = [
        at_host("1", "a.example.net", &[]),
        at_host("2", "b.example.net", &["192.0.2.8"]),
    ];
    let all = objects("ext", 0, &instances, &naming());
    let [service, problem] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(&*problem.key, "Service ext, host a.example.net");
    let reason = problem.claims.as_ref().expect_err("a problem");
    assert!(
        reason.contains("no such host") && reason.contains("no address"),
        "{reason}"
    );
    let lines = shown(service.claims.as_ref().expect("claims"));
    assert!(
        lines.contains(&"ext.dev.example.com. A 192.0.2.8".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn a_name_that_is_no_label_is_an_error() {
    let error = describe(
        "a.b",
        &[instance("1", "192.0.2.1", &["traefik.enable=true"])],
        &naming(),
    );
    assert!(error.expect_err("an error").contains("cannot be a label"));
}

#[test]
fn the_last_instance_never_leaves() {
    let mut instances = [instance("1", "192.0.2.1", &[]), instance("2", "192.0.2.2", &[])];
    let ids = |served: Vec<&Instance>| served.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    instances[0].is_passing = false;
    assert_eq!(ids(served(&instances, &[])), ["2"]);
    instances[1].is_passing = false;
    assert_eq!(ids(served(&instances, &["2".to_owned()])), ["2"]);
    assert_eq!(ids(served(&instances, &[])), ["1", "2"]);
}

#[test]
fn the_registry_s_own_names_are_those_of_its_dns_server() {
    let mut instances = [
        instance("1", "192.0.2.1", &["v1", "a=b"]),
        instance("2", "192.0.2.100", &[]),
    ];
    instances[0].meta.insert("version".into(), "7".into());
    let naming = Naming {
        domain: Some("consul.".parse().expect("a name")),
        ..naming()
    };
    let all = described("web", &instances, &naming);
    for line in [
        "web.service.consul. A 192.0.2.1 | 192.0.2.100",
        "web.service.dc1.consul. A 192.0.2.1 | 192.0.2.100",
        "v1.web.service.dc1.consul. A 192.0.2.1",
        "_web._v1.service.consul. SRV 1 1 8080 c0000201.addr.consul.",
        "_web._tcp.service.consul. SRV 1 1 8080 c0000201.addr.consul. | 1 1 8080 vm.node.consul.",
        "c0000201.addr.dc1.consul. A 192.0.2.1",
    ] {
        assert!(all.contains(&line.to_owned()), "{line}: {all:#?}");
    }
    assert!(!all.iter().any(|line| line.contains("a=b")));
    let vm = instances[0].node.clone().expect("a node");
    assert_eq!(
        shown(&node(&vm, &"consul.".parse().expect("a name"), 5)),
        ["vm.node.consul. A 192.0.2.100", "vm.node.dc1.consul. A 192.0.2.100"]
    );
}

#[test]
fn meta_becomes_txt_where_asked() {
    let mut one = instance("1", "192.0.2.1", &["traefik.enable=true"]);
    one.meta.insert("note".into(), "say \"hi\"".into());
    let naming = Naming {
        has_meta_txt: true,
        ..naming()
    };
    let all = described("web", &[one], &naming);
    assert!(
        all.contains(&r#"web.dev.example.com. TXT "note=say \"hi\"""#.to_owned()),
        "{all:#?}"
    );
}
