//! Weights of the proxies by their open connections, which the metrics of each count.
//!
//! ```text
//! GET http://192.0.2.1:8082/metrics ─ traefik_open_connections ─► smoothed ─► weight 1 to 10 of 192.0.2.1
//! ```
//!
//! Clients keep an answer for its TTL, so what is drawn now is felt by then: connections are smoothed over that time,
//! and a weight stays until the load asks for one that is a whole step away. A proxy whose metrics cannot be had
//! weighs as much as the others do on average.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, timeout};

use super::super::peer::{Answer, Credential, LatePeer};
use super::super::{Object, WorldError};
use crate::config::{PeerSettings, ProxySource};

/// For a reply.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first list waits for the loads.
const FIRST: Duration = Duration::from_secs(2);
/// The shortest time over which connections are smoothed; a longer TTL counts in its place.
const SHORTEST_WINDOW: Duration = Duration::from_secs(30);
/// A load that was not heard of for so long, and for three looks, is not known any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// The weight of the proxy with the fewest connections; the least is 1.
const MOST: u16 = 10;
/// So many connections more or less make no great difference.
const FEW: f64 = 10.0;
/// Entry points whose connections are those of who asks for metrics and the API.
const OWN_ENTRY_POINTS: &[&str] = &["traefik", "metrics"];

/// The loads of all proxies of one source.
pub(super) struct Loads {
    proxies: Vec<Proxy>,
    /// Each target, and the place of its proxy.
    targets: Vec<(IpAddr, usize)>,
    running: FuturesUnordered<BoxFuture<'static, (usize, Result<f64, WorldError>)>>,
    /// The time between two looks.
    poll: Duration,
    /// The time over which connections are smoothed.
    window: Duration,
}

/// One proxy.
struct Proxy {
    url: Arc<str>,
    path: String,
    peer: LatePeer,
    load: Option<Load>,
    weight: u16,
    /// Why its metrics could not be had when they were asked for last.
    problem: Option<String>,
    was_asked: bool,
}

/// Open connections, smoothed, and when they were heard of last.
#[derive(Debug, Clone, Copy)]
struct Load {
    connections: f64,
    at: Instant,
}

impl Loads {
    /// The loads of the proxies of a source; none where it does not say where their metrics are.
    pub(super) fn new(settings: &ProxySource) -> Option<Self> {
        if settings.metrics.is_empty() {
            return None;
        }
        let mut proxies: Vec<Proxy> = Vec::new();
        let mut targets = Vec::with_capacity(settings.targets.len());
        for (target, metrics) in settings.targets.iter().zip(&settings.metrics) {
            // A proxy with two addresses is asked once.
            let known = proxies.iter().position(|proxy| proxy.url == metrics.url);
            targets.push((*target, known.unwrap_or(proxies.len())));
            if known.is_none() {
                proxies.push(Proxy::new(metrics));
            }
        }
        Some(Self {
            proxies,
            targets,
            running: FuturesUnordered::new(),
            poll: settings.poll,
            window: SHORTEST_WINDOW.max(Duration::from_secs(settings.ttl.into())),
        })
    }

    /// Begins to ask, where that has not begun, and waits a while for all to reply.
    pub(super) async fn begin(&mut self) {
        if !self.running.is_empty() {
            return;
        }
        for number in 0..self.proxies.len() {
            self.ask(number, Duration::ZERO);
        }
        // What comes later is a change.
        let _ = timeout(FIRST, async {
            while self.proxies.iter().any(|proxy| !proxy.was_asked) {
                self.take_next().await;
            }
        })
        .await;
    }

    /// Waits until a weight is another one, or the metrics of a proxy are away or back. Dropping the future loses
    /// nothing.
    pub(super) async fn changed(&mut self) {
        while !self.take_next().await {}
    }

    /// The weight of each target.
    pub(super) fn weights(&self) -> BTreeMap<IpAddr, u16> {
        let targets = self.targets.iter();
        targets
            .map(|(target, place)| (*target, self.proxies[*place].weight))
            .collect()
    }

    /// Proxies whose metrics cannot be had.
    pub(super) fn problems(&self) -> impl Iterator<Item = Object> {
        self.proxies.iter().filter_map(|proxy| {
            let problem = proxy.problem.as_ref()?;
            Some(Object {
                key: format!("Metrics {}", proxy.url).into(),
                since: 0,
                claims: Err(format!("{problem}; this proxy weighs as much as the others on average")),
            })
        })
    }

    fn ask(&mut self, number: usize, pause: Duration) {
        let proxy = &mut self.proxies[number];
        let (peer, path) = (proxy.peer.get(), proxy.path.clone());
        self.running.push(Box::pin(async move {
            sleep(pause).await;
            let answer = match peer {
                Ok(peer) => peer.get(&path, TIMEOUT).await,
                Err(error) => Err(error),
            };
            (number, answer.and_then(|answer| of_answer(&answer)))
        }));
    }

    /// Takes the next reply; whether it has changed anything.
    async fn take_next(&mut self) -> bool {
        let Some((number, heard)) = self.running.next().await else {
            return std::future::pending().await;
        };
        self.ask(number, self.poll);
        let (now, window) = (Instant::now(), self.window);
        let proxy = &mut self.proxies[number];
        proxy.was_asked = true;
        let problem = match heard {
            Ok(connections) => {
                proxy.load = Some(Load {
                    connections: match proxy.load {
                        Some(before) => smoothed(before.connections, connections, now - before.at, window),
                        None => connections,
                    },
                    at: now,
                });
                None
            }
            Err(error) => Some(error.0),
        };
        let is_away = problem.is_some();
        let was_away = std::mem::replace(&mut proxy.problem, problem).is_some();
        let weights_before = self.weights();
        self.weigh(now);
        was_away != is_away || self.weights() != weights_before
    }

    fn weigh(&mut self, now: Instant) {
        let longest = FORGOTTEN_AFTER.max(3 * self.poll);
        let known = |proxy: &Proxy| proxy.load.filter(|load| now - load.at <= longest);
        let loads: Vec<Option<f64>> = self
            .proxies
            .iter()
            .map(|proxy| known(proxy).map(|load| load.connections))
            .collect();
        let before: Vec<u16> = self.proxies.iter().map(|proxy| proxy.weight).collect();
        for (proxy, weight) in self.proxies.iter_mut().zip(weights(&loads, &before)) {
            proxy.weight = weight;
        }
    }
}

impl Proxy {
    fn new(metrics: &PeerSettings) -> Self {
        let authority = metrics.url.find("://").map_or(0, |scheme| scheme + 3);
        let end = metrics.url[authority..].find('/').map(|path| authority + path);
        let (base, path) = metrics.url.split_at(end.unwrap_or(metrics.url.len()));
        let settings = PeerSettings {
            url: base.into(),
            ..metrics.clone()
        };
        Self {
            url: Arc::clone(&metrics.url),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            peer: LatePeer::new("Traefik", settings, Credential::Basic),
            load: None,
            weight: MOST,
            problem: None,
            was_asked: false,
        }
    }
}

/// Connections after `passed`, where there are `now`, and were `before` on average.
fn smoothed(before: f64, now: f64, passed: Duration, window: Duration) -> f64 {
    let share = 1.0 - (-passed.as_secs_f64() / window.as_secs_f64()).exp();
    before + share * (now - before)
}

/// The weight of each proxy by its load: [`MOST`] for the least one, half of that for twice as much. One that is near
/// to what it was stays. Those whose load is not known have the average; where none is, all are alike.
fn weights(loads: &[Option<f64>], before: &[u16]) -> Vec<u16> {
    let known = || loads.iter().copied().flatten();
    let least = known().fold(f64::INFINITY, f64::min);
    if !least.is_finite() {
        return vec![MOST; loads.len()];
    }
    let exact = |load: f64| (f64::from(MOST) * (least + FEW) / (load + FEW)).max(1.0);
    let average = known().map(exact).sum::<f64>() / known().count() as f64;
    let weigh = |(load, before): (&Option<f64>, &u16)| {
        let exact = load.map_or(average, exact);
        match (exact - f64::from(*before)).abs() < 1.0 {
            true => *before,
            false => exact.round() as u16,
        }
    };
    loads.iter().zip(before).map(weigh).collect()
}

fn of_answer(answer: &Answer) -> Result<f64, WorldError> {
    let text = String::from_utf8_lossy(&answer.body);
    open_connections(&text).ok_or_else(|| {
        WorldError(format!(
            "{} has no metrics of a Traefik: let `metrics.prometheus` of Traefik serve them there",
            answer.what
        ))
    })
}

/// Open connections of all entry points but Traefik's own, by its metrics in Prometheus' text format. Traefik 2 counts
/// requests in flight instead. `None` where the text is not Traefik's.
fn open_connections(text: &str) -> Option<f64> {
    let (mut of_v3, mut of_v2) = (None, None);
    let mut is_traefik = false;
    for line in text.lines() {
        is_traefik |= line.starts_with("traefik_");
        let Some((name, labels, value)) = sample(line) else {
            continue;
        };
        let sum = match name {
            "traefik_open_connections" => &mut of_v3,
            "traefik_entrypoint_open_connections" => &mut of_v2,
            _ => continue,
        };
        let is_own = label(labels, "entrypoint").is_some_and(|name| OWN_ENTRY_POINTS.contains(&name));
        let counted = if is_own || !value.is_finite() {
            0.0
        } else {
            value.max(0.0)
        };
        *sum = Some(sum.unwrap_or(0.0) + counted);
    }
    // One that has had no connection yet counts none.
    of_v3.or(of_v2).or(is_traefik.then_some(0.0))
}

/// A sample: its name, its labels and its value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let line = line.trim_start();
    let end = line.find(|character: char| character == '{' || character.is_ascii_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => {
            let end = end_of_labels(rest)?;
            (&rest[..end], &rest[end + 1..])
        }
        None => ("", rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// Where the labels end: at the first brace that is in no value.
fn end_of_labels(text: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.bytes().position(|octet| {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            b'}' => return !is_quoted,
            _ => {}
        }
        false
    })
}

/// The value of a label that has no quotes in it.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = labels.split(',').filter_map(|part| part.trim().split_once("=\""));
    let (_, value) = parts.find(|(label, _)| *label == name)?;
    value.strip_suffix('"')
}

#[cfg(test)]
mod tests;
