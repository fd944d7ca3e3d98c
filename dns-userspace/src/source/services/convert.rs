//! Tags of Caddy's templates and fabio (`urlprefix-`) as Traefik's, and back.
//!
//! ```text
//! urlprefix-app.example.com/api/ weight=10
//!   traefik.enable=true
//!   traefik.http.routers.app.rule=Host(`app.example.com`) && PathPrefix(`/api/`)
//!   traefik.http.services.app.loadbalancer.server.weight=10
//! ```
//!
//! Tags of other programs stay as they are. What the other side cannot say is told in a note, and left as it is.

mod document;

use std::collections::BTreeSet;

use super::tags::Tags;
use crate::traefik_rule::{self, Route};

pub use self::document::{DocumentError, convert_document, validate_document};

/// Whose tags are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Traefik's.
    Traefik,
    /// `urlprefix-`.
    UrlPrefix,
}

/// Tags of one service in the other dialect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Converted {
    /// The tags, in the order of those that they come from.
    pub tags: Vec<String>,
    /// What could not be said, and what to do.
    pub notes: Vec<String>,
}

impl Converted {
    fn add(&mut self, tag: String) {
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
    }
}

/// The tags of a service in a dialect.
pub fn convert(service: &str, tags: &[String], to: Dialect) -> Converted {
    match to {
        Dialect::Traefik => to_traefik(service, tags),
        Dialect::UrlPrefix => to_url_prefix(tags),
    }
}

fn to_traefik(service: &str, tags: &[String]) -> Converted {
    let mut converted = Converted::default();
    let service: String = service
        .chars()
        .map(|symbol| {
            if symbol.is_ascii_alphanumeric() || symbol == '-' {
                symbol
            } else {
                '-'
            }
        })
        .collect();
    let taken: BTreeSet<String> = tags
        .iter()
        .filter_map(|tag| router_of(tag))
        .map(str::to_owned)
        .collect();
    let mut routers = (1..).map(|number: usize| match number {
        1 => service.clone(),
        number => format!("{service}-{number}"),
    });
    for tag in tags {
        let Some(text) = tag.strip_prefix("urlprefix-") else {
            converted.add(tag.clone());
            continue;
        };
        converted.add("traefik.enable=true".to_owned());
        let mut words = text.split_ascii_whitespace();
        let route = words.next().unwrap_or_default();
        let (address, path) = route.find('/').map_or((route, ""), |slash| route.split_at(slash));
        let (host, port) = address
            .rsplit_once(':')
            .map_or((address, None), |(host, port)| (host, Some(port)));
        let balancer = format!("traefik.http.services.{service}.loadbalancer");
        if let Some(port) = port {
            converted.add(format!("{balancer}.server.port={port}"));
        }
        let parts: Vec<String> = [
            (!host.is_empty()).then(|| match host.strip_prefix("*.") {
                Some(base) => format!("HostRegexp(`^.+\\.{}$`)", base.replace('.', "\\.")),
                None => format!("Host(`{host}`)"),
            }),
            (path.len() > 1 || (host.is_empty() && port.is_none())).then(|| {
                let path = if path.is_empty() { "/" } else { path };
                format!("PathPrefix(`{path}`)")
            }),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !parts.is_empty() {
            let router = routers
                .by_ref()
                .find(|router| !taken.contains(router))
                .unwrap_or_default();
            converted.add(format!("traefik.http.routers.{router}.rule={}", parts.join(" && ")));
        }
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("proto", scheme @ ("http" | "https" | "h2c")) => {
                    converted.add(format!("{balancer}.server.scheme={scheme}"));
                }
                ("weight", weight) => match Tags::read(&[tag.clone()], false).weight {
                    Some(weight) => converted.add(format!("{balancer}.server.weight={weight}")),
                    None => converted
                        .notes
                        .push(format!("{tag}: `{weight}` is no weight, and is left out")),
                },
                ("sticky", _) => converted.add(format!("{balancer}.sticky.cookie=true")),
                ("lb", "round_robin") => {}
                _ => converted
                    .notes
                    .push(format!("{tag}: `{word}` has no tag of Traefik, and is left out")),
            }
        }
    }
    converted
}

fn router_of(tag: &str) -> Option<&str> {
    tag.strip_prefix("traefik.http.routers.")?.split('.').next()
}

fn to_url_prefix(tags: &[String]) -> Converted {
    let read = Tags::read(tags, false);
    let mut converted = Converted::default();
    let mut options = String::new();
    let mut used: BTreeSet<&String> = BTreeSet::new();
    let mut port = None;
    for tag in tags {
        let lower = tag.to_ascii_lowercase();
        let Some((name, value)) = lower.split_once('=') else {
            continue;
        };
        if name == "traefik.enable" {
            used.insert(tag);
        } else if let Some((_, option)) = name.split_once(".loadbalancer.")
            && name.starts_with("traefik.http.services.")
        {
            match option {
                "server.weight" => options.push_str(&format!(" weight={value}")),
                "server.scheme" => options.push_str(&format!(" proto={value}")),
                "sticky.cookie" if value == "true" => options.push_str(" sticky"),
                "server.port" => port = Some(value.to_owned()),
                _ => continue,
            }
            used.insert(tag);
        }
    }
    for tag in tags {
        let router = read.routers.iter().find(|router| {
            let rest = tag.strip_prefix(router.tag.as_str());
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        let Some(router) = router else {
            if !used.contains(tag) {
                converted.add(tag.clone());
            }
            continue;
        };
        let routes = traefik_rule::parse(&router.rule, router.dialect);
        match routes.map(|rule| traefik_rule::routes(&rule)) {
            Ok(Some(routes)) => {
                for Route { host, path_prefix } in routes {
                    let (host, path) = (host.unwrap_or_default(), path_prefix.unwrap_or_else(|| "/".to_owned()));
                    converted.add(format!("urlprefix-{host}{path}{options}"));
                }
            }
            Ok(None) => {
                let why = "a urlprefix- tag has a host and a path alone";
                converted.notes.push(format!("{tag}: {why}: the tag is left as it is"));
                converted.add(tag.clone());
            }
            Err(error) => {
                converted.notes.push(format!("{tag}: {error}"));
                converted.add(tag.clone());
            }
        }
    }
    if let Some(port) = port {
        converted.add(format!("urlprefix-:{port}/"));
    }
    converted
}

#[cfg(test)]
mod tests;
