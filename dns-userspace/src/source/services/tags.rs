//! Tags of an instance: Traefik's, and `urlprefix-` as Caddy's templates and fabio read it.
//!
//! ```text
//! traefik.enable=true
//! traefik.http.routers.NAME.rule=Host(`a.example.org`)      traefik.tcp.routers.NAME.rule=…
//! traefik.http.services.NAME.loadbalancer.server.weight=10  …server.port=8080
//! hotdns.check.rise=2  hotdns.check.fall=3                   what Traefik has no tags for
//! urlprefix-a.example.org/path weight=10                    a host; a path or a port alone names nothing
//! ```
//!
//! A tag that is none of these is the service's own, and no error.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::traefik_rule::Dialect;

/// A router that tags describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    /// The tag without its value, such as `traefik.http.routers.web.rule`.
    pub tag: String,
    /// The rule.
    pub rule: String,
    /// How to read it.
    pub dialect: Dialect,
}

/// What the tags of one instance say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// `traefik.enable`.
    pub enable: Option<bool>,
    /// Routers with their rules.
    pub routers: Vec<Router>,
    /// Hosts of `urlprefix-` tags, in lower case; `*.x` is a wildcard.
    pub prefixes: Vec<String>,
    /// Whether there is a `urlprefix-` tag, with a host or without.
    pub has_prefix: bool,
    /// The weight that a tag gives the instance.
    pub weight: Option<u16>,
    /// The port that a tag gives the instance.
    pub port: Option<u16>,
    /// How tags want the instance to be checked.
    pub check: CheckTags,
    /// Tags that are wrong, and why.
    pub problems: BTreeMap<String, String>,
}

/// `…loadbalancer.healthcheck.path=/health` and its like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckTags {
    /// The path of HTTP checks.
    pub path: Option<String>,
    /// Another port than the instance's.
    pub port: Option<u16>,
    /// The time between two checks.
    pub interval: Option<Duration>,
    /// How long a check may take.
    pub timeout: Option<Duration>,
    /// Checks in a row that have to pass.
    pub rise: Option<u32>,
    /// Checks in a row that have to fail.
    pub fall: Option<u32>,
}

impl Tags {
    /// Reads tags. Rules without a syntax of their own are of Traefik 2 where `is_v2` says so.
    pub fn read(tags: &[String], is_v2: bool) -> Self {
        let mut read = Self::default();
        let mut rules: BTreeMap<(bool, String), (String, String)> = BTreeMap::new();
        let mut syntaxes: BTreeMap<(bool, String), String> = BTreeMap::new();
        for tag in tags {
            if let Some(prefix) = tag.strip_prefix("urlprefix-") {
                read.prefix(tag, prefix);
                continue;
            }
            let Some((name, value)) = tag.split_once('=') else {
                continue;
            };
            // Traefik takes the names of tags in any case.
            let lower = name.trim().to_ascii_lowercase();
            let value = value.trim();
            let parts: Vec<&str> = lower.split('.').collect();
            match parts[..] {
                ["traefik", "enable"] => match value.to_ascii_lowercase().as_str() {
                    "true" | "1" | "t" => read.enable = Some(true),
                    "false" | "0" | "f" => read.enable = Some(false),
                    _ => read.problem(name, format!("`{value}` is neither `true` nor `false`")),
                },
                ["traefik", kind @ ("http" | "tcp"), "routers", router, "rule"] => {
                    let rule = (name.to_owned(), value.to_owned());
                    rules.insert((kind == "http", router.to_owned()), rule);
                }
                ["traefik", kind @ ("http" | "tcp"), "routers", router, "rulesyntax"] => {
                    syntaxes.insert((kind == "http", router.to_owned()), value.to_owned());
                }
                [
                    "traefik",
                    "http" | "tcp",
                    "services",
                    _,
                    "loadbalancer",
                    "server",
                    "weight",
                ] => match value.parse::<u16>() {
                    Ok(weight) if weight > 0 => read.weight = Some(weight),
                    _ => read.problem(name, format!("`{value}` is no weight; write a number from 1 to 65535")),
                },
                [
                    "traefik",
                    "http" | "tcp",
                    "services",
                    _,
                    "loadbalancer",
                    "server",
                    "port",
                ] => match value.parse() {
                    Ok(port) => read.port = Some(port),
                    Err(_) => read.problem(name, format!("`{value}` is no port; write a number from 1 to 65535")),
                },
                [
                    "traefik",
                    "http" | "tcp",
                    "services",
                    _,
                    "loadbalancer",
                    "healthcheck",
                    what,
                ] => {
                    read.check(name, what, value);
                }
                ["hotdns", "check", what @ ("rise" | "fall")] => match value.parse() {
                    Ok(count) if (1..=100).contains(&count) => match what {
                        "rise" => read.check.rise = Some(count),
                        _ => read.check.fall = Some(count),
                    },
                    _ => read.problem(
                        name,
                        format!("`{value}` is no number of checks; write one from 1 to 100"),
                    ),
                },
                _ => {}
            }
        }
        let default = is_v2.then_some("v2");
        for ((is_http, router), (tag, rule)) in rules {
            let syntax = syntaxes.get(&(is_http, router)).map(String::as_str).or(default);
            let dialect = if is_http {
                Dialect::http(syntax)
            } else {
                Dialect::tcp(syntax)
            };
            read.routers.push(Router { tag, rule, dialect });
        }
        read
    }

    /// Whether an instance with these tags has names.
    pub fn are_exposed(&self, by_default: bool) -> bool {
        self.enable.unwrap_or(by_default || self.has_prefix)
    }

    fn check(&mut self, tag: &str, what: &str, value: &str) {
        let duration = match value.parse::<u64>() {
            // Traefik takes a number for seconds.
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => humantime_serde::re::humantime::parse_duration(value).ok(),
        };
        let duration =
            duration.filter(|duration| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(duration));
        match (what, duration) {
            ("path", _) if value.starts_with('/') => self.check.path = Some(value.to_owned()),
            ("path", _) => self.problem(tag, format!("`{value}` is no path; it begins with `/`")),
            ("port", _) => match value.parse() {
                Ok(port) => self.check.port = Some(port),
                Err(_) => self.problem(tag, format!("`{value}` is no port; write a number from 1 to 65535")),
            },
            ("interval", Some(duration)) => self.check.interval = Some(duration),
            ("timeout", Some(duration)) => self.check.timeout = Some(duration),
            ("interval" | "timeout", None) => {
                self.problem(tag, format!("`{value}` is no duration from 100ms to 1h; write 30s"));
            }
            _ => {}
        }
    }

    fn problem(&mut self, tag: &str, reason: String) {
        self.problems.insert(format!("tag {tag}"), reason);
    }

    /// `host/path`, `:port` or `/path`, and options after a space.
    fn prefix(&mut self, tag: &str, text: &str) {
        self.has_prefix = true;
        let mut words = text.split_ascii_whitespace();
        let route = words.next().unwrap_or_default();
        let host = route.split(['/', ':']).next().unwrap_or_default();
        // `*` alone is every host.
        if !host.is_empty() && host != "*" {
            self.prefixes.push(host.to_ascii_lowercase());
        }
        for word in words {
            if let Some(weight) = word.strip_prefix("weight=") {
                match weight.parse::<f64>() {
                    // fabio's weights are shares of 1.
                    Ok(share) if share > 0.0 && share < 1.0 => self.weight = Some((share * 100.0).ceil() as u16),
                    Ok(weight) if (1.0..=65_535.0).contains(&weight) => self.weight = Some(weight as u16),
                    _ => self.problem(tag, format!("`{weight}` is no weight; write weight=10 or weight=0.1")),
                }
            }
        }
    }
}
