//! Sources of services and routers, from the file and from the environment.

use super::*;

const SOURCES: &str = r#"sources:
  consul:
    - {name: dc1, address: "https://consul.example:8501/base/", token_file: token, ca: ca.pem, suffix: dev.example.com,
       exposed_by_default: true, ttl: 5, targets: [192.0.2.1, "2001:db8::1"], domain: consul, meta_txt: true,
       order: random, zones: [example.com],
       rule_syntax: v2, datacenter: dc1, namespace: team}
  nomad: [{name: n}]
  traefik: [{name: t, targets: [192.0.2.1], metrics: ["http://192.0.2.1:8082/metrics"], ca: ca.pem}]
  caddy: [{name: c, targets: [192.0.2.1], poll: 1s}]
  consul_kv: [{name: k, prefix: dns/}]
"#;

/// The sources of `text` with these variables.
fn sources(text: &str, variables: &[(&str, &str)]) -> Vec<ConfiguredSource> {
    let folder = Folder::with(text);
    let mut source = folder.source();
    source.overrides.environment = environment(variables);
    source
        .load()
        .unwrap_or_else(|errors| panic!("{errors:?}"))
        .config
        .sources
}

fn environment(variables: &[(&str, &str)]) -> EnvironmentVariables {
    EnvironmentVariables::new(
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}

#[test]
fn every_key_of_registries_and_proxies_is_read() {
    let sources = sources(SOURCES, &[("NOMAD_TOKEN", "secret")]);
    let keys: Vec<String> = sources.iter().map(|source| source.id.key()).collect();
    assert_eq!(keys, ["consul/dc1", "nomad/n", "traefik/t", "caddy/c", "consul_kv/k"]);
    let SourceSettings::Consul(consul) = &sources[0].settings else {
        panic!("{sources:?}")
    };
    assert_eq!(&*consul.peer.url, "https://consul.example:8501/base");
    assert!(
        consul
            .peer
            .secret_file
            .as_ref()
            .is_some_and(|path| path.ends_with("token") && path.is_absolute())
    );
    assert_eq!(consul.naming.suffix.to_string(), "dev.example.com.");
    assert_eq!(
        consul.naming.domain.as_ref().map(ToString::to_string),
        Some("consul.".to_owned())
    );
    assert_eq!((consul.naming.ttl, consul.naming.targets.len()), (5, 2));
    assert!(consul.naming.exposed_by_default && consul.naming.has_meta_txt && consul.naming.is_v2);
    assert_eq!((&consul.naming.order, consul.naming.zones.len()), (&Order::Random, 1));
    let SourceSettings::Nomad(nomad) = &sources[1].settings else {
        panic!("{sources:?}")
    };
    assert_eq!((&*nomad.peer.url, &*nomad.namespace), ("http://127.0.0.1:4646", "*"));
    assert_eq!(nomad.peer.secret, Some(Secret("secret".into())));
    assert_eq!(nomad.naming, Naming::below("localhost.".parse().expect("a name")));
    let SourceSettings::Traefik(traefik) = &sources[2].settings else {
        panic!("{sources:?}")
    };
    assert_eq!((traefik.ttl, traefik.poll), (300, Duration::from_secs(5)));
    let [metrics] = &traefik.metrics[..] else {
        panic!("{traefik:?}")
    };
    assert_eq!(&*metrics.url, "http://192.0.2.1:8082/metrics");
    assert_eq!(metrics.ca, traefik.peer.ca);
}

#[test]
fn tokens_are_never_shown() {
    let sources = sources(SOURCES, &[("CONSUL_HTTP_TOKEN", "hunter2"), ("NOMAD_TOKEN", "hunter2")]);
    assert!(!format!("{sources:?}").contains("hunter2"));
    assert!(!format!("{:?}", environment(&[("NOMAD_TOKEN", "hunter2")])).contains("hunter2"));
}

#[test]
fn what_is_wrong_is_told() {
    let consul = |keys: &str| format!("sources:\n  consul:\n    - name: a\n      {keys}\n");
    refused(&consul("address: ftp://x"), "4:16", "does not begin with http://");
    refused(&consul("address: \"http://u:p@x\""), "4:16", "a user in it");
    refused(
        &consul("targets: [web]"),
        "4:17",
        "write an IP address, such as 192.0.2.1",
    );
    refused(&consul("rule_syntax: v4"), "4:20", "v3");
    refused(&consul("poll: 5s"), "4:7", "unknown key `poll`");
    refused("sources: {traefik: [{name: t}]}\n", "1:21", "targets: [192.0.2.1]");
    let traefik = |metrics: &str| {
        format!("sources:\n  traefik:\n    - name: t\n      targets: [192.0.2.1]\n      metrics: {metrics}\n")
    };
    refused(&traefik("[web]"), "5:17", "does not begin with http://");
    refused(&traefik("[]"), "5:16", "0 metrics for 1 targets");
    refused(
        &traefik("[\"http://a/metrics\", \"http://b/metrics\"]"),
        "5:16",
        "2 metrics for 1 targets: give each target the URL of its metrics",
    );
}

#[test]
fn variables_ask_for_both_registries_where_the_file_has_no_sources() {
    let keys = |variables: &[(&str, &str)]| -> Vec<String> {
        sources("dns_port: 53\n", variables)
            .iter()
            .map(|source| source.id.key())
            .collect()
    };
    assert_eq!(
        keys(&[("DOMAIN_SUFFIX", "dev.example.com")]),
        ["nomad/env", "consul/env"]
    );
    assert_eq!(
        keys(&[("TRAEFIK_PROVIDER_PRIMARY", "consul")]),
        ["consul/env", "nomad/env"]
    );
    assert_eq!(keys(&[("NOMAD_ADDR", "http://10.0.0.1:4646")]).len(), 2);
    assert!(keys(&[("NOMAD_TOKEN", "x"), ("CONSUL_HTTP_TOKEN", "x"), ("DOMAIN_SUFFIX", "")]).is_empty());
    assert_eq!(
        sources(SOURCES, &[("TRAEFIK_PROVIDER_PRIMARY", "nomad")]).len(),
        5,
        "the file's alone"
    );
    let both = sources(
        "",
        &[
            ("DOMAIN_SUFFIX", "dev.example.com"),
            ("CONSUL_HTTP_ADDR", "10.0.0.1:8500"),
        ],
    );
    let SourceSettings::Consul(consul) = &both[1].settings else {
        panic!("{both:?}")
    };
    assert_eq!(&*consul.peer.url, "http://10.0.0.1:8500");
    assert_eq!(consul.naming.suffix.to_string(), "dev.example.com.");
}

#[test]
fn variables_that_are_wrong_are_told() {
    let errors = |variables: &[(&str, &str)]| {
        let folder = Folder::with("");
        let mut source = folder.source();
        source.overrides.environment = environment(variables);
        source.load().expect_err("an error")[0].to_string()
    };
    let primary = errors(&[("TRAEFIK_PROVIDER_PRIMARY", "docker")]);
    assert_eq!(
        primary,
        "environment: TRAEFIK_PROVIDER_PRIMARY is `docker`: write nomad or consul"
    );
    assert!(errors(&[("DOMAIN_SUFFIX", "a..b")]).starts_with("environment: DOMAIN_SUFFIX is `a..b`: "));
    assert!(errors(&[("NOMAD_ADDR", "ftp://x")]).contains("http://"));
}

#[test]
fn checks_have_their_defaults() {
    let text = "sources: {nomad: [{name: n, checks: {type: http, interval: 1s, fall: 3}}]}\n";
    let sources = sources(text, &[]);
    let SourceSettings::Nomad(nomad) = &sources[0].settings else {
        panic!("{sources:?}")
    };
    let wanted = CheckSettings {
        ask: CheckAsk::Path("/".into()),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(5),
        rise: 1,
        fall: 3,
    };
    assert_eq!(nomad.checks, Some(wanted));
    refused("sources: {nomad: [{name: n, checks: {type: ping}}]}\n", "1:44", "tcp");
    refused(
        "sources: {nomad: [{name: n, checks: {type: dns}}]}\n",
        "1:37",
        "checks.name",
    );
}

#[test]
fn orders_registrations_and_files_are_read() {
    let text = "sources:
  consul:
    - name: dc1
      order: nearest
      near: {node: vm1, datacenter: dc1}
      register: {service: dns, address: 192.0.2.53, port: 5353, tags: [primary], check: \"127.0.0.1:5353\"}
    - {name: dc2, order: hash, register: {check: \"http://127.0.0.1:8080/ready\"}}
  nomad: [{name: n, order: nearest, allocation_checks: false}]
  traefik: [{name: t, path: dynamic, targets: [192.0.2.1]}]
";
    let sources = sources(text, &[]);
    let consul = |at: usize| match &sources[at].settings {
        SourceSettings::Consul(consul) => consul.clone(),
        other => panic!("{other:?}"),
    };
    let near = Near {
        node: Some("vm1".into()),
        datacenter: Some("dc1".into()),
    };
    assert_eq!(
        (consul(0).naming.order, consul(0).naming.near),
        (Order::Rotate, Some(near))
    );
    let register = consul(0).register.expect("wanted");
    assert_eq!((&*register.id, &*register.service, register.port), ("dns", "dns", 5353));
    assert_eq!(register.check, CheckedBy::Tcp("127.0.0.1:5353".into()));
    assert_eq!((consul(1).naming.order, consul(1).naming.near), (Order::Hash, None));
    let register = consul(1).register.expect("wanted");
    assert_eq!((&*register.id, register.address, register.port), ("hotdns", None, 53));
    assert_eq!(register.check, CheckedBy::Http("http://127.0.0.1:8080/ready".into()));
    let SourceSettings::Nomad(nomad) = &sources[2].settings else {
        panic!("{sources:?}")
    };
    assert!(!nomad.has_allocation_checks && nomad.naming.near == Some(Near::default()));
    let SourceSettings::Traefik(traefik) = &sources[3].settings else {
        panic!("{sources:?}")
    };
    assert!(
        traefik
            .path
            .as_ref()
            .is_some_and(|path| path.is_absolute() && path.ends_with("dynamic"))
    );
}

#[test]
fn orders_registrations_and_files_that_cannot_be() {
    let consul = |keys: &str| format!("sources:\n  consul:\n    - name: a\n      {keys}\n");
    refused(&consul("near: {node: a}"), "4:13", "order: nearest");
    refused(&consul("order: near"), "4:14", "hash, nearest");
    refused(&consul("register: {service: dns}"), "4:17", "check");
    refused(&consul("register: {check: ready}"), "4:25", "HOST:PORT");
    refused(
        &consul("register: {check: \"a:1\", address: web}"),
        "4:41",
        "an IP address",
    );
    let both = "sources: {traefik: [{name: t, targets: [192.0.2.1], address: \"http://a\", path: b}]}\n";
    refused(both, "1:80", "exclude each other");
}
