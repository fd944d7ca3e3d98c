//! A name is compiled exactly if some request to it is taken: random rules against an evaluator of requests.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use regex::Regex;

use super::super::*;
use crate::model::name::Name;

/// A rule, and what it means by itself.
#[derive(Debug, Clone)]
enum Node {
    Host(&'static str),
    Regexp(&'static str),
    Path(&'static str),
    PathPrefix(&'static str),
    Method(&'static str),
    Header,
    ClientIp,
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
}

struct Request<'a> {
    host: &'a str,
    path: &'a str,
    method: &'a str,
    has_header: bool,
    is_from_office: bool,
}

const HOSTS: &[&str] = &["a.x", "b.x", "x", "a.b.x", "w1.y.z", "*.x", "*.b.x", "*", "Y.Z"];
const PATTERNS: &[&str] = &[
    r"^[^.]+\.x$",
    r"^.+\.x$",
    r"^(.+\.)?x$",
    r"^(a|b)\.x$",
    r"^([a-z0-9-]+\.)*y\.z$",
    r"^w[0-9]\.y\.z$",
    r"^w[0-9]+\.y\.z$",
    r"^a\.",
    r"\.x$",
    r"b.x$",
    r"^a.x$",
    r"^[^.]+\.b\.x$",
    r".*",
    r"^.*$",
    r"^[a-z]+\.x$",
];
const PATHS: &[&str] = &["/", "/a", "/a/b", "/b"];

thread_local! {
    static EXPRESSIONS: HashMap<&'static str, Regex> = PATTERNS
        .iter()
        .map(|pattern| (*pattern, Regex::new(pattern).expect("an expression")))
        .collect();
}

impl Node {
    fn random(random: &mut StdRng, depth: usize) -> Self {
        let one_of = |random: &mut StdRng, all: &[&'static str]| all[random.random_range(0..all.len())];
        let kinds = if depth == 0 { 9 } else { 16 };
        match random.random_range(0..kinds) {
            0..=2 => Self::Host(one_of(random, HOSTS)),
            3 | 4 => Self::Regexp(one_of(random, PATTERNS)),
            5 => Self::Path(one_of(random, PATHS)),
            6 => Self::PathPrefix(one_of(random, PATHS)),
            7 => Self::Method(one_of(random, &["GET", "POST"])),
            8 if random.random() => Self::Header,
            8 => Self::ClientIp,
            9 => Self::Not(Box::new(Self::random(random, depth - 1))),
            kind => {
                let one = Box::new(Self::random(random, depth - 1));
                let other = Box::new(Self::random(random, depth - 1));
                if kind < 13 {
                    Self::And(one, other)
                } else {
                    Self::Or(one, other)
                }
            }
        }
    }

    fn takes(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Host("*") => true,
            Self::Host(host) => match host.strip_prefix("*.") {
                Some(base) => request.host.split_once('.').is_some_and(|(_, rest)| rest == base),
                None => host.eq_ignore_ascii_case(request.host),
            },
            Self::Regexp(regexp) => EXPRESSIONS.with(|expressions| expressions[regexp].is_match(request.host)),
            Self::Path(path) => *path == request.path,
            Self::PathPrefix(path) => request.path.starts_with(path),
            Self::Method(method) => *method == request.method,
            Self::Header => request.has_header,
            Self::ClientIp => request.is_from_office,
            Self::Not(inner) => !inner.takes(request),
            Self::And(one, other) => one.takes(request) && other.takes(request),
            Self::Or(one, other) => one.takes(request) || other.takes(request),
        }
    }

    /// As text; parentheses where they are needed, and at random elsewhere.
    fn write(&self, random: &mut StdRng, binds: u8) -> String {
        let space = |random: &mut StdRng| ["", " ", "\n ", "\t"][random.random_range(0..4)];
        let (text, own) = match self {
            Self::Host(host) => (
                format!("{}(`{host}`)", ["Host", "host", "HOST"][random.random_range(0..3)]),
                3,
            ),
            Self::Regexp(regexp) if random.random() => (format!("HostRegexp(`{regexp}`)"), 3),
            Self::Regexp(regexp) => (format!("Hostregexp( \"{}\" )", regexp.replace('\\', "\\\\")), 3),
            Self::Path(path) => (format!("Path(`{path}`)"), 3),
            Self::PathPrefix(path) => (format!("PathPrefix(\"{path}\")"), 3),
            Self::Method(method) => (format!("Method(`{method}`)"), 3),
            Self::Header => ("Header(`X-Test`, `1`)".to_owned(), 3),
            Self::ClientIp => ("ClientIP(`10.0.0.0/8`)".to_owned(), 3),
            Self::Not(inner) => (format!("!{}{}", space(random), inner.write(random, 3)), 2),
            Self::And(one, other) => {
                let (one, other) = (one.write(random, 1), other.write(random, 2));
                (format!("{one} &&{}{other}", space(random)), 1)
            }
            Self::Or(one, other) => {
                let (one, other) = (one.write(random, 0), other.write(random, 1));
                (format!("{one} ||{}{other}", space(random)), 0)
            }
        };
        match own < binds || random.random_range(0..8) == 0 {
            true => format!("({text})"),
            false => text,
        }
    }
}

fn is_compiled(names: &Names, host: &str) -> bool {
    let host: Name = host.parse().expect("a name");
    let parents = std::iter::successors(host.parent(), Name::parent);
    let mut wildcards = parents.filter_map(|parent| parent.child(b"*"));
    names.exact.contains(&host)
        || wildcards
            .clone()
            .take(1)
            .any(|wildcard| names.one_label.contains(&wildcard))
        || wildcards.any(|wildcard| names.any_depth.contains(&wildcard))
}

/// Some request to `host` is taken.
fn is_routed(node: &Node, host: &str) -> bool {
    let paths = ["/", "/a", "/az", "/a/b", "/a/bz", "/b", "/bz", "/z"];
    let mut requests = paths.iter().flat_map(|path| {
        ["GET", "POST", "PUT"].iter().flat_map(move |method| {
            (0..4).map(move |bits| Request {
                host,
                path,
                method,
                has_header: bits & 1 == 1,
                is_from_office: bits & 2 == 2,
            })
        })
    });
    requests.any(|request| node.takes(&request))
}

#[test]
fn a_name_is_compiled_exactly_if_some_request_to_it_is_taken() {
    let mut random = StdRng::seed_from_u64(22);
    let mut hosts_to_try = vec![];
    for base in ["x", "b.x", "y.z", "z", "other"] {
        hosts_to_try.push(base.to_owned());
        for label in ["a", "b", "w1", "w27", "x-0", "b0x"] {
            hosts_to_try.push(format!("{label}.{base}"));
            hosts_to_try.push(format!("c.{label}.{base}"));
        }
    }
    let (mut derived, mut known) = (0, 0);
    for _ in 0..3000 {
        let depth = random.random_range(0..4);
        let node = Node::random(&mut random, depth);
        let text = node.write(&mut random, 0);
        let rule = parse(&text, Dialect::HttpV3).unwrap_or_else(|error| panic!("{error}"));
        let names = hosts(&rule);
        let is_all = names.underivable.is_empty() && !names.takes_every_host;
        derived += usize::from(is_all && !names.is_empty());
        for host in &hosts_to_try {
            let is_routed = is_routed(&node, host);
            let is_compiled = is_compiled(&names, host);
            assert!(!is_compiled || is_routed, "{text}: {host} is not routed: {names:?}");
            assert!(
                is_compiled || !is_routed || !is_all,
                "{text}: {host} is left out: {names:?}"
            );
            let given = host.parse().expect("a name");
            assert_eq!(rule.takes(&given), is_routed, "{text}: {host}");
            known += usize::from(is_compiled);
        }
    }
    assert!(derived > 800, "{derived} rules alone were derived whole");
    assert!(known > 3000, "{known} names alone were compiled");
}
