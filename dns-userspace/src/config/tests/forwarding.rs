//! `forward`, `cache`, `rules`, and `fallthrough` of a zone.

use super::*;
use crate::rules::{Action, BlockAnswer, NewTtl, PRIVATE};

#[test]
fn sets_routes_cache_and_rules_are_read() {
    let text = r#"
forward:
  upstreams:
    - {name: corp, servers: ["10.0.0.2", "tls://192.0.2.9#dns.example", "https://dns.example/dns-query",
       "quic://dns.example"], policy: fastest, failover_on: [network], timeout: 2s,
       probe: {interval: 1s, name: corp.example, type: SOA, when: always}}
  bootstrap: [192.0.2.53, "[2001:db8::53]:5353"]
  routes: [{zone: corp.example., to: corp}, {zone: internal., to: never}, {zone: a.corp.example, to: default},
           {zone: ., to: corp, view: office}]
views: [{name: office, clients: [10.0.0.0/8]}]
cache: {enabled: true, max_bytes: 64MiB, min_ttl: 0, max_ttl: 86400, negative_max_ttl: 3600,
        stale: {max_age: 1d, client_wait: 1800ms}, prefetch: true, xdp: {names: 16384}}
rules:
  - {name: wild, template: {type: A, zone: traefik., match: '^([^.]+)\.traefik\.$', answer: "{name} 60 IN A 172.20.0.3",
     fallthrough: true}}
  - {name: ads, block: {files: [hosts.txt], answer: nxdomain}}
  - {name: db, rewrite: {match: '^(.+)\.traefik\.$', to: "$1.db."}, clients: [10.0.0.0/8]}
  - {name: sink, block: {names: [ads.example], answer: sinkhole}}
  - {name: far, block: {urls: ["https://lists.example/ads.txt"], refresh: 1h, max_bytes: 1MiB}, views: [office]}
  - {name: feed, rpz: {zone: rpz.example., url: "http://lists.example/feed"}}
  - {name: ttl, ttl: {suffix: example.com, min: 60}}
  - {name: inner, filter: {except: [corp.example]}}
zones: [{name: example.com., file: zone, fallthrough: true}]
"#;
    let config = loaded(text).config;
    let set = &config.forward.upstreams[0];
    assert_eq!((set.policy, set.timeout), (Policy::Fastest, Duration::from_secs(2)));
    assert_eq!(set.servers[1].to_string(), "tls://192.0.2.9:853#dns.example");
    assert!(set.failover_on.network && !set.failover_on.servfail && !set.failover_on.refused);
    let targets: Vec<_> = config.forward.routes.iter().map(|route| &route.to).collect();
    assert_eq!(
        targets,
        [
            &RouteTarget::Set("corp".into()),
            &RouteTarget::Never,
            &RouteTarget::Default,
            &RouteTarget::Set("corp".into())
        ]
    );
    assert_eq!(config.forward.routes[3].view.as_deref(), Some("office"));
    assert_eq!(config.forward.bootstrap[1], "[2001:db8::53]:5353".parse().unwrap());
    let shown: Vec<String> = set.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown[2..],
        ["https://dns.example:443/dns-query", "quic://dns.example:853"]
    );
    let probe = &set.probe;
    assert_eq!((probe.interval, probe.rtype), (Duration::from_secs(1), RecordType::SOA));
    assert_eq!(
        (probe.name.to_string().as_str(), probe.when),
        ("corp.example.", ProbeWhen::Always)
    );
    // The contract's values are the defaults.
    assert_eq!(config.cache, loaded("").config.cache);
    assert_eq!(config.rules.len(), 8);
    let remote = &config.rules[4].remotes()[0];
    assert_eq!((remote.refresh.as_secs(), remote.max_octets), (3600, 1 << 20));
    assert_eq!(
        config.rules[4].views.as_ref().map(|views| &views.numbers[..]),
        Some(&[1][..])
    );
    assert_eq!(config.rules[5].remotes()[0].refresh.as_secs(), 86_400);
    let Action::Ttl(ttl) = &config.rules[6].action else {
        panic!("{:?}", config.rules[6])
    };
    assert_eq!(ttl.ttl, NewTtl::Within(60, u32::MAX));
    let Action::Filter(filter) = &config.rules[7].action else {
        panic!("{:?}", config.rules[7])
    };
    assert_eq!((filter.addresses.len(), filter.except.len()), (PRIVATE.len(), 1));
    let Action::Block(block) = &config.rules[1].action else {
        panic!("{:?}", config.rules[1])
    };
    assert!(block.files[0].is_absolute() && block.files[0].ends_with("hosts.txt"));
    let Action::Block(block) = &config.rules[3].action else {
        panic!("{:?}", config.rules[3])
    };
    assert!(matches!(&block.answer, BlockAnswer::Sinkhole(addresses) if addresses.len() == 2));
    assert!(config.zones[0].falls_through && config.resolves());
    assert!(!loaded("").config.resolves());
}

#[test]
fn what_is_wrong_with_them_is_said_where_it_is() {
    // The text, from where on it is wrong, and a part of what is said.
    for (text, wrong, part) in [
        ("forward: {upstreams: [{name: a}]}", "{name", "`servers` is empty"),
        (
            "forward: {upstreams: [{name: never, servers: [\"10.0.0.1\"]}]}",
            "never",
            "cannot be the name",
        ),
        (
            "forward: {upstreams: [{name: a, servers: [\"sdns://dns.example\"]}]}",
            "\"sdns",
            "no upstream server",
        ),
        (
            "forward: {upstreams: [{name: a, servers: [\"https://dns.example/dns-query\"]}]}",
            "[{name: a",
            "nobody is there who knows its addresses",
        ),
        (
            "forward: {bootstrap: [\"127.0.0.1\"]}",
            "\"127",
            "`forward.bootstrap`: 127.0.0.1:53 is this server itself",
        ),
        (
            "forward: {routes: [{zone: x., to: never, view: none}]}",
            "none}",
            "no view `none`",
        ),
        (
            "forward: {upstreams: [{name: a, servers: [\"10.0.0.1\"], probe: {interval: 2h}}]}",
            "2h",
            "write a duration",
        ),
        (
            "forward: {upstreams: [{name: a, servers: [\"10.0.0.1\"], failover_on: [loss]}]}",
            "loss",
            "write one of network",
        ),
        (
            "forward: {routes: [{zone: x., to: nowhere}]}",
            "nowhere",
            "no upstream set `nowhere`",
        ),
        (
            "forward: {routes: [{zone: x., to: never}, {zone: X, to: never}]}",
            "X,",
            "a second time",
        ),
        ("cache: {min_ttl: 100, max_ttl: 10}", "100", "more than `cache.max_ttl`"),
        ("cache: {max_bytes: 1KiB}", "1KiB", "write a size"),
        ("cache: {xdp: {names: 300000}}", "300000", "262144"),
        ("cache: {stale: {max_age: 30d}}", "30d", "write a duration"),
        ("rules: [{name: a}]", "{name", "exactly one of `template`"),
        ("rules: [{block: {names: [x]}}]", "{block", "`name` is missing"),
        (
            "rules: [{name: a, template: {answer: \"{name} A 192.0.2.1\"}}]",
            "{answer",
            "for all names",
        ),
        (
            "rules: [{name: a, template: {match: \"(\", answer: []}}]",
            "\"(",
            "regular expression",
        ),
        (
            "rules: [{name: a, template: {zone: x., answer: \"{name} A {1}\"}}]",
            "\"{name} A",
            "no group 1",
        ),
        (
            "rules: [{name: a, template: {zone: x., answer: \"{name} A nonsense\"}}]",
            "\"{name} A",
            "no A value",
        ),
        (
            "rules: [{name: a, block: {answer: drop}}]",
            "{answer",
            "`files` is missing",
        ),
        (
            "rules: [{name: a, block: {names: [x], sinkhole: [192.0.2.1]}}]",
            "[192.0.2.1]",
            "for `answer: sinkhole` alone",
        ),
        (
            "rules: [{name: a, block: {urls: [\"ftp://lists.example/x\"]}}]",
            "\"ftp",
            "no URL of a list",
        ),
        (
            "rules: [{name: a, rpz: {zone: x., file: a, url: \"http://b.example\"}}]",
            "{zone",
            "exactly one of `file`",
        ),
        (
            "rules: [{name: a, ttl: {fixed: 1, min: 2}}]",
            "{fixed",
            "write `fixed`, or one of",
        ),
        (
            "rules: [{name: a, clients: [10.0.0.0/8], filter: {}}]",
            "[10.",
            "write `views`",
        ),
        ("rules: [{name: a, views: [b], ttl: {fixed: 1}}]", "b]", "no view `b`"),
        (
            "rules: [{name: a, rewrite: {name: x., suffix: y., to: z.}}]",
            "{name: x.",
            "exactly one of `name`",
        ),
        (
            "rules: [{name: a, rewrite: {match: \"^x$\", to: \"$1.\"}}]",
            "\"$1.",
            "no group 1",
        ),
    ] {
        let column = text.find(wrong).expect("a part of the text") + 1;
        refused(text, &format!("1:{column}"), part);
    }
}
