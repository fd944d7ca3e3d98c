//! `sources.caddy`: the hosts of a Caddy, from its admin API.
//!
//! ```text
//! GET /config/ ─ apps.http.servers.SERVER.routes[].match[].host[] ─► Host a.example.org of SERVER
//! ```
//!
//! The same from a file, with `path`. A Caddyfile is a configuration too, once Caddy has read it. In a host `*` is one
//! label. Where a route within another one names hosts, those of the outer one count, if it has any.
//! `docs/discovery.md` is for users.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::peer::{Credential, LatePeer};
use super::polled::{Objects, Readable};
use super::proxy_files::{ProxyFiles, Texts};
use super::services::of_targets;
use super::traefik::outside_of_zones;
use super::{Claim, Object, WorldError};
use crate::config::{ProxySource, is_within};
use crate::model::name::Name;
use crate::model::record::Wildcard;

/// For a reply.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Routes within one another at most.
const MOST_DEPTH: usize = 32;

/// The hosts of a Caddy.
pub(super) struct Caddy {
    settings: ProxySource,
    peer: LatePeer,
    /// Its configuration, where that is read in the place of the API.
    files: Option<ProxyFiles>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Route {
    #[serde(rename = "match")]
    matches: Vec<Match>,
    handle: Vec<Handler>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Match {
    host: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Handler {
    routes: Vec<Route>,
}

impl Readable for Caddy {
    async fn read(&mut self) -> Result<Objects, WorldError> {
        let configs: Vec<Value> = match &mut self.files {
            Some(files) => from_files(files.read(&["json"]).await?)?,
            None => vec![self.peer.get()?.get("/config/", TIMEOUT).await?.json()?],
        };
        let mut objects = Objects::new();
        for config in &configs {
            objects.append(&mut self.objects(config)?);
        }
        Ok(objects)
    }

    async fn pause(&mut self) {
        match &mut self.files {
            Some(files) => files.changed().await,
            None => tokio::time::sleep(self.settings.poll).await,
        }
    }
}

/// Configurations as Caddy keeps them: JSON, and no Caddyfile.
fn from_files(texts: Texts) -> Result<Vec<Value>, WorldError> {
    let configs = texts.into_iter().map(|(path, text)| {
        serde_json::from_str(&text).map_err(|error| {
            WorldError(format!(
                "{}: {error}: only JSON is read; a Caddyfile becomes JSON by `caddy adapt`, or let hotdns ask Caddy's \
                 admin API, with `address` for `path`",
                path.display()
            ))
        })
    });
    configs.collect()
}

impl Caddy {
    /// The hosts of one configuration.
    fn objects(&self, config: &Value) -> Result<Objects, WorldError> {
        let servers = config.pointer("/apps/http/servers").and_then(Value::as_object);
        let mut objects = Objects::new();
        for (server, settings) in servers.into_iter().flatten() {
            let routes = settings.get("routes").cloned().unwrap_or(Value::Array(Vec::new()));
            let routes: Vec<Route> = serde_json::from_value(routes).map_err(|error| {
                WorldError(format!(
                    "Caddy's server {server} has routes that are not understood: {error}"
                ))
            })?;
            let mut hosts = BTreeSet::new();
            collect(&routes, MOST_DEPTH, &mut hosts);
            for host in hosts {
                let key: Arc<str> = format!("Host {host} of {server}").into();
                let claims = self.claims(&host);
                objects.insert(Arc::clone(&key), Object { key, since: 0, claims });
            }
        }
        Ok(objects)
    }

    pub(super) fn new(settings: ProxySource) -> Self {
        Self {
            peer: LatePeer::new("Caddy", settings.peer.clone(), Credential::Basic),
            files: settings.path.clone().map(ProxyFiles::new),
            settings,
        }
    }

    fn claims(&self, host: &str) -> Result<Vec<Claim>, String> {
        if host.contains('{') {
            return Err("a placeholder is no name: Caddy knows its value only when it is asked".to_owned());
        }
        if host.parse::<IpAddr>().is_ok() || host.is_empty() || host == "*" {
            return Ok(Vec::new());
        }
        let name = Name::parse_given(host).map_err(|error| error.to_string())?;
        if !is_within(&name, &self.settings.zones) {
            return Err(outside_of_zones(&name));
        }
        let labels_with_star = name.labels().filter(|label| label.contains(&b'*')).count();
        if labels_with_star > usize::from(name.is_wildcard()) {
            return Err("`*` is not its first label, and a wildcard of DNS is".to_owned());
        }
        let wildcard = if name.is_wildcard() {
            Wildcard::OneLabel
        } else {
            Wildcard::Rfc4592
        };
        let targets: BTreeMap<IpAddr, u16> = self.settings.targets.iter().map(|target| (*target, 1)).collect();
        Ok(of_targets(&name, targets, wildcard, self.settings.ttl))
    }
}

/// The hosts of routes, and of the routes within those that name none.
fn collect(routes: &[Route], depth: usize, hosts: &mut BTreeSet<String>) {
    for route in routes {
        let own: Vec<&String> = route.matches.iter().flat_map(|matched| &matched.host).collect();
        if own.is_empty() && depth > 0 {
            route
                .handle
                .iter()
                .for_each(|handler| collect(&handler.routes, depth - 1, hosts));
        }
        hosts.extend(own.into_iter().map(|host| host.to_ascii_lowercase()));
    }
}

#[cfg(test)]
mod tests;
