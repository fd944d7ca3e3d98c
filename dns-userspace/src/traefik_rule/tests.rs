//! Rules as Traefik's documentation and users write them, and each thing that can be wrong with one.

mod property;

use super::*;
use crate::model::name::Name;

fn names(dialect: Dialect, rule: &str) -> Names {
    hosts(&parse(rule, dialect).unwrap_or_else(|error| panic!("{error}")))
}

/// What comes of a rule, in words: `=` one name, `1` a wildcard of one label, `*` of any depth.
fn said(dialect: Dialect, rule: &str) -> String {
    let names = names(dialect, rule);
    let exact = names.exact.iter().map(|name| format!("={name}"));
    let one_label = names.one_label.iter().map(|name| format!("1{name}"));
    let any_depth = names.any_depth.iter().map(|name| format!("*{name}"));
    let unknown = names.underivable.iter().map(|unknown| format!("?{}", unknown.what));
    let every = names.takes_every_host.then(|| "every".to_owned());
    let words: Vec<String> = exact
        .chain(one_label)
        .chain(any_depth)
        .chain(unknown)
        .chain(every)
        .collect();
    words.join(" ")
}

fn said_v3(rule: &str) -> String {
    said(Dialect::HttpV3, rule)
}

fn said_v2(rule: &str) -> String {
    said(Dialect::HttpV2, rule)
}

fn wrong(dialect: Dialect, rule: &str) -> String {
    let error = parse(rule, dialect).expect_err(rule);
    format!("{}: {}", error.character, error.reason)
}

#[test]
fn hosts_and_what_is_beside_them() {
    assert_eq!(said_v3("Host(`a.example.com`)"), "=a.example.com.");
    assert_eq!(said_v3("Host(`A.Example.com.`) && PathPrefix(`/x`)"), "=a.example.com.");
    assert_eq!(
        said_v3("Host(\"ing.peers.test\") && PathPrefix(\"/\")"),
        "=ing.peers.test."
    );
    assert_eq!(said_v3("Host(`a.x`) || (Host(`b.x`) && !Path(`/p`))"), "=a.x. =b.x.");
    assert_eq!(
        said_v3("host(`a.x`) && (Method(`GET`) || HEADER(`X`, `y`)) && Query(`q`)"),
        "=a.x."
    );
    assert_eq!(said_v3("Host(`a.x`) ||\n  Host(`b.x`)\n"), "=a.x. =b.x.");
    assert_eq!(said_v3("Host(`a.x`,)"), "=a.x.");
    assert_eq!(said_v2("Host(`a.x`, `b.x`) && Headers(`X`, `y`)"), "=a.x. =b.x.");
    assert_eq!(said_v2("HostHeader(`a.x`)"), "=a.x.");
    assert_eq!(
        said(Dialect::TcpV3, "HostSNI(`db.x`) && ClientIP(`10.0.0.0/8`)"),
        "=db.x."
    );
    assert_eq!(said(Dialect::TcpV2, "HostSNI(`a.x`, `b.x`)"), "=a.x. =b.x.");
}

#[test]
fn every_host_gives_no_name() {
    assert_eq!(said_v3("PathPrefix(`/api`)"), "every");
    assert_eq!(said_v3("Host(`*`)"), "every");
    assert_eq!(said_v3("HostRegexp(`.*`)"), "every");
    assert_eq!(said_v3("Host(`a.x`) || PathPrefix(`/api`)"), "=a.x. every");
    assert_eq!(said(Dialect::TcpV3, "HostSNI(`*`)"), "every");
}

#[test]
fn wildcards() {
    assert_eq!(said_v3("Host(`*.x`)"), "1*.x.");
    assert_eq!(said_v3(r"HostRegexp(`^[^.]+\.x$`)"), "1*.x.");
    assert_eq!(said_v3(r"HostRegexp(`^[a-z0-9-]+\.x$`)"), "1*.x.");
    assert_eq!(
        said_v3(r"HostRegexp(`^(?P<tenant>[a-zA-Z0-9-]{1,63})\.a\.x$`)"),
        "1*.a.x."
    );
    assert_eq!(said_v3(r"HostRegexp(`^.+\.w\.peers\.test$`)"), "**.w.peers.test.");
    assert_eq!(said_v3(r"HostRegexp(`^(.+\.)?x\.y$`)"), "=x.y. **.x.y.");
    assert_eq!(said_v3(r"HostRegexp(`^([^.]+\.)*x\.y$`)"), "=x.y. **.x.y.");
    assert_eq!(said_v3("HostRegexp(\"^[^.]+\\\\.x$\")"), "1*.x.");
}

#[test]
fn captures_of_version_2() {
    assert_eq!(said_v2("HostRegexp(`{subdomain:[a-z0-9-]+}.traefik`)"), "1*.traefik.");
    assert_eq!(said_v2("HostRegexp(`{subdomain}.x.y`)"), "1*.x.y.");
    assert_eq!(said_v2("HostRegexp(`{any:.*}.x`, `x`)"), "=x. **.x.");
    assert_eq!(said_v2("HostRegexp(`{host:(www|api)}.x`)"), "=api.x. =www.x.");
    assert_eq!(said_v2("HostRegexp(`WWW.x`)"), "=www.x.");
    assert_eq!(said_v2("HostRegexp(`{n:[0-9]{1,2}}.x`)").split(' ').count(), 110);
}

#[test]
fn finite_expressions_are_written_out() {
    assert_eq!(said_v3(r"HostRegexp(`^(www|api)\.x$`)"), "=api.x. =www.x.");
    assert_eq!(said_v3(r"HostRegexp(`^w[12]?\.x$`)"), "=w.x. =w1.x. =w2.x.");
    assert_eq!(said_v3(r"HostRegexp(`^A\.x$`)"), "", "hosts are compared in lower case");
    assert_eq!(said_v3(r"HostRegexp(`(?i)^A\.x$`)"), "=a.x.");
    assert_eq!(said_v3(r"HostRegexp(`^$`)"), "");
}

#[test]
fn what_dns_cannot_say_is_told_with_the_reason() {
    let reason = |rule: &str| {
        let names = names(Dialect::HttpV3, rule);
        assert!(names.is_empty(), "{names:?}");
        names.underivable[0].reason.clone()
    };
    assert!(reason(r"HostRegexp(`^web-[0-9]+\.x$`)").contains("[0-9])+` takes some labels"));
    assert!(reason(r"HostRegexp(`^api\.[^.]+\.x$`)").contains("not its first label"));
    assert!(reason(r"HostRegexp(`^[^.]+\.[^.]+\.x$`)").contains("more than one part"));
    assert!(reason(r"HostRegexp(`^api\.x`)").contains("no `$`"));
    assert!(reason(r"HostRegexp(`^api-[^.]+\.x$`)").contains("not its first label"));
    assert!(reason("!Host(`a.x`)").contains("no exceptions"));
    assert!(reason("Host(`*.x`) && !Host(`a.x`)").contains("no exceptions"));
    assert!(reason("Host(`192.0.2.1`)").contains("an address"));
    assert!(reason("Host(`a.x:8080`)").contains("no name"));
}

#[test]
fn the_part_that_dns_can_say_is_given() {
    assert_eq!(said_v3("HostRegexp(`^a.x$`)"), "=a.x. ?^a.x$");
    assert_eq!(said_v3(r"HostRegexp(`x\.y$`)"), "=x.y. **.x.y. ?x\\.y$");
    assert_eq!(
        said_v3(r"Host(`b.peers.test`) || HostRegexp(`^.+\.w\.peers\.test$`)"),
        "=b.peers.test. **.w.peers.test."
    );
}

#[test]
fn conditions_on_hosts_are_calculated() {
    assert_eq!(said_v3(r"HostRegexp(`^(a|b)\.x$`) && !Host(`b.x`)"), "=a.x.");
    assert_eq!(said_v3(r"HostRegexp(`^(a|b)\.x$`) && HostRegexp(`^b`)"), "=b.x.");
    assert_eq!(said_v3(r"HostRegexp(`^.+\.x$`) && Host(`*.a.x`)"), "1*.a.x.");
    assert_eq!(said_v3("Host(`a.x`) && Host(`b.x`)"), "");
    assert_eq!(said_v3("Host(`a.x`) && Path(`/a`) && !PathPrefix(`/`)"), "");
    assert_eq!(said_v3("Host(`a.x`) && Method(`GET`) && Method(`POST`)"), "");
    assert_eq!(said_v3("!(!Host(`a.x`) || Path(`/p`))"), "=a.x.");
}

#[test]
fn a_host_can_be_asked_about() {
    let rule = parse(r"HostRegexp(`^web-[0-9]+\.x$`)", Dialect::HttpV3).expect("a rule");
    let takes = |host: &str| rule.takes(&host.parse::<Name>().expect("a name"));
    assert!(takes("WEB-7.x."));
    assert!(!takes("web-.x"));
}

#[test]
fn errors_say_where_and_what_to_write() {
    let v3 = |rule: &str| wrong(Dialect::HttpV3, rule);
    assert!(v3("Host('a.x')").starts_with("6: strings are in back-quotes"));
    assert!(v3("Host(`a.x`").starts_with("5: this `(` has no `)`"));
    assert!(v3("Host(`a.x`))").starts_with("12: this `)` has no `(`"));
    assert!(v3("Host(`a.x").contains("no closing back-quote"));
    assert!(v3("Host(`a.x`) & Path(`/`)").starts_with("13: `&` is written twice"));
    assert!(v3("Host(`a.x`) Path(`/`)").contains("`&&` or `||` was expected"));
    assert!(v3("Host(`a.x`)\n|| Host(`b.x`)").contains("not after it"));
    assert!(v3("Host(`a.x`, `b.x`)").contains("write Host(`a`) || Host(`b`)"));
    assert!(v3("Host()").contains("no argument"));
    assert!(v3("Host(``)").contains("empty argument"));
    assert!(v3("Host").contains("Host(`…`)"));
    assert!(v3("Hots(`a.x`)").contains("there are Host, HostRegexp"));
    assert!(v3("Headers(`a`, `b`)").contains("a function of Traefik 2"));
    assert!(v3("HostSNI(`a.x`)").contains("a function of TCP routers"));
    assert!(v3("HostRegexp(`(`)").contains("no regular expression"));
    assert!(v3("Host(`münchen.example`)").contains("A-labels"));
    assert!(v3("Host(\"a\\.x\")").contains("no escape"));
    assert!(v3("").contains("a function such as"));
    assert!(v3(&format!("{}Host(`a`){}", "(".repeat(200), ")".repeat(200))).contains("nested"));
    assert!(v3("Host(`ä`) Ö").starts_with("11: "));
    assert!(wrong(Dialect::HttpV2, "HostRegexp(`{a.x`)").contains("not in pairs"));
    assert!(wrong(Dialect::HttpV2, "Header(`a`, `b`)").contains("a function of Traefik 3"));
}

#[test]
fn a_rule_with_endless_combinations_is_refused_quickly() {
    let part = "(Host(`a.x`) || Host(`b.x`) || Path(`/a`) || Path(`/b`))";
    let rule = vec![part; 30].join(" && ");
    assert!(
        names(Dialect::HttpV3, &rule).underivable[0]
            .reason
            .contains("too many combinations")
    );
    let rule = format!(r"HostRegexp(`^{}\.x$`)", "[a-f]?".repeat(40));
    assert!(
        names(Dialect::HttpV3, &rule).underivable[0]
            .reason
            .contains("over 1000 names")
    );
}
