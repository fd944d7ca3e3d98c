//! What a frame shows: the differences of two readings.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::status::Metrics;
use super::Reading;

/// Figures of an interval. Rates are of a second.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) server: String,
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) memory_bytes: u64,
    /// Why the server cannot be asked just now.
    pub(super) trouble: Option<String>,
    pub(super) transports: Vec<(String, f64)>,
    pub(super) rcodes: Vec<(String, f64)>,
    pub(super) types: Vec<(String, f64)>,
    pub(super) passed: Vec<(String, f64)>,
    /// By plane: answers a second, and the median and the 99th percentile in seconds.
    pub(super) planes: Vec<(String, f64, Option<f64>, Option<f64>)>,
    /// Hits and misses a second, entries.
    pub(super) cache: Option<(f64, f64, u64)>,
    pub(super) tcp_connections: u64,
    pub(super) names: Vec<(String, f64)>,
    pub(super) clients: Vec<(String, f64)>,
    pub(super) has_xdp_names: bool,
    /// Kind and name, state, records.
    pub(super) sources: Vec<(String, String, u64)>,
}

impl Figures {
    pub(super) fn of(server: &str, before: &Reading, now: &Reading) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64().max(f64::MIN_POSITIVE);
        let (old, new) = (&before.metrics, &now.metrics);
        let is_first = now.at == before.at;
        let rate = |from: f64, to: f64| if is_first { 0.0 } else { (to - from).max(0.0) / seconds };
        let rates = |name: &str, label: &str| {
            let from = old.by(name, label);
            let rates = new.by(name, label).into_iter().map(|(of, to)| {
                let rate = rate(from.get(&of).copied().unwrap_or(0.0), to);
                (of, rate)
            });
            let mut rates: Vec<_> = rates.collect();
            rates.sort_by(|(_, less), (_, more)| more.total_cmp(less));
            rates
        };
        let started = new.sum("process_start_time_seconds");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let has_cache = new.of("hotdns_cache_hits_total").next().is_some();
        let total = |name: &str| rate(old.sum(name), new.sum(name));
        Self {
            server: server.to_owned(),
            version: new
                .labels("hotdns_build_info", "version")
                .unwrap_or_default()
                .to_owned(),
            uptime_seconds: (since.as_secs_f64() - started).max(0.0) as u64,
            memory_bytes: new.sum("process_resident_memory_bytes") as u64,
            trouble: None,
            transports: rates("hotdns_queries_total", "transport"),
            rcodes: rates("hotdns_queries_total", "rcode"),
            types: rates("hotdns_queries_total", "qtype"),
            passed: rates("hotdns_xdp_passed_total", "reason"),
            planes: planes(old, new, &rate),
            cache: has_cache.then(|| {
                let entries = new.sum("hotdns_cache_hot_entries") as u64;
                (
                    total("hotdns_cache_hits_total"),
                    total("hotdns_cache_misses_total"),
                    entries,
                )
            }),
            tcp_connections: new.sum("hotdns_tcp_connections") as u64,
            names: counted(&now.top, "names", "name"),
            clients: counted(&now.top, "clients", "client"),
            has_xdp_names: now.top["xdp"].as_bool().unwrap_or(false),
            sources: sources(&now.sources),
        }
    }

    pub(super) fn queries(&self) -> f64 {
        self.transports.iter().map(|(_, rate)| rate).sum()
    }

    pub(super) fn to_json(&self) -> Value {
        let rates = |rates: &[(String, f64)]| -> Value {
            rates
                .iter()
                .map(|(of, rate)| (of.clone(), json!(rounded(*rate))))
                .collect()
        };
        let ranked = |rates: &[(String, f64)], of: &str| -> Value {
            let ranked = rates
                .iter()
                .map(|(name, rate)| json!({of: name, "rate": rounded(*rate)}));
            ranked.collect()
        };
        let planes = self.planes.iter().map(|(plane, rate, median, most)| {
            let plane_of = json!({"rate": rounded(*rate), "p50_seconds": median, "p99_seconds": most});
            (plane.clone(), plane_of)
        });
        let sources = self
            .sources
            .iter()
            .map(|(source, state, records)| json!({"source": source, "state": state, "records": records}));
        json!({
            "server": self.server,
            "version": self.version,
            "uptime_seconds": self.uptime_seconds,
            "memory_bytes": self.memory_bytes,
            "queries": rounded(self.queries()),
            "transports": rates(&self.transports),
            "rcodes": rates(&self.rcodes),
            "types": rates(&self.types),
            "xdp_passed": rates(&self.passed),
            "planes": planes.collect::<serde_json::Map<_, _>>(),
            "cache": self.cache.map(|(hits, misses, entries)| {
                json!({"hits": rounded(hits), "misses": rounded(misses), "entries": entries})
            }),
            "tcp_connections": self.tcp_connections,
            "names": ranked(&self.names, "name"),
            "clients": ranked(&self.clients, "client"),
            "names_of_xdp": self.has_xdp_names,
            "sources": sources.collect::<Vec<_>>(),
        })
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

/// Answers by plane, with how long they took: of the interval, or since the start where nothing came in it.
fn planes(
    old: &Metrics,
    new: &Metrics,
    rate: &impl Fn(f64, f64) -> f64,
) -> Vec<(String, f64, Option<f64>, Option<f64>)> {
    const FAMILY: &str = "hotdns_answer_seconds";
    /// One of so many answers is timed.
    const ONE_IN: f64 = 16.0;
    let xdp = rate(old.sum("hotdns_xdp_answers_total"), new.sum("hotdns_xdp_answers_total"));
    let mut planes = vec![("xdp".to_owned(), xdp, None, None)];
    let (from, to) = (buckets(old, FAMILY), buckets(new, FAMILY));
    for (plane, now) in &to {
        let before = from.get(plane);
        let timed = |of: Option<&Buckets>| of.and_then(|of| of.values().next_back()).copied().unwrap_or(0.0);
        let (then, count) = (timed(before), timed(Some(now)));
        let counts = now.iter().map(|(bound, count)| {
            let then = before.and_then(|before| before.get(bound)).copied().unwrap_or(0.0);
            (f64::from_bits(*bound), count - then)
        });
        let counts: Vec<_> = counts.collect();
        let quantile = |share| quantile(&counts, share);
        planes.push((plane.clone(), rate(then, count) * ONE_IN, quantile(0.5), quantile(0.99)));
    }
    planes
}

/// Cumulated counts by upper bound; the bits of positive numbers are in the order of the numbers.
type Buckets = BTreeMap<u64, f64>;

fn buckets(metrics: &Metrics, family: &str) -> BTreeMap<String, Buckets> {
    let mut planes: BTreeMap<String, Buckets> = BTreeMap::new();
    for (labels, count) in metrics.of(&format!("{family}_bucket")) {
        let (Some(plane), Some(bound)) = (labels.get("plane"), labels.get("le")) else {
            continue;
        };
        let bound: f64 = bound.parse().unwrap_or(f64::INFINITY);
        *planes
            .entry(plane.clone())
            .or_default()
            .entry(bound.to_bits())
            .or_default() += count;
    }
    planes
}

/// The upper bound of the bucket that this share of the samples does not exceed.
fn quantile(counts: &[(f64, f64)], share: f64) -> Option<f64> {
    let all = counts.last()?.1;
    let found = counts.iter().find(|(_, count)| all > 0.0 && *count >= all * share)?;
    found.0.is_finite().then_some(found.0)
}

fn counted(top: &Value, list: &str, member: &str) -> Vec<(String, f64)> {
    let seconds = top["seconds"].as_f64().unwrap_or(0.0).max(0.001);
    let entries = top[list].as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let name = entry[member].as_str().unwrap_or_default().to_owned();
            (name, entry["queries"].as_f64().unwrap_or(0.0) / seconds)
        })
        .collect()
}

fn sources(sources: &Value) -> Vec<(String, String, u64)> {
    let list = sources.as_array().or_else(|| sources["sources"].as_array());
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    list.into_iter()
        .flatten()
        .map(|source| {
            let name = format!("{}/{}", text(&source["kind"]), text(&source["name"]));
            (name, text(&source["state"]), source["records"].as_u64().unwrap_or(0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn reading(at: Instant, queries: u32) -> Reading {
        let text = format!(
            "hotdns_queries_total{{transport=\"udp\",qtype=\"A\",rcode=\"NOERROR\"}} {queries}\n\
             hotdns_answer_seconds_bucket{{plane=\"fast_path\",transport=\"udp\",rcode=\"NOERROR\",le=\"0.000005\"}} \
             {}\n\
             hotdns_answer_seconds_bucket{{plane=\"fast_path\",transport=\"udp\",rcode=\"NOERROR\",le=\"0.001\"}} \
             {queries}\n\
             hotdns_answer_seconds_bucket{{plane=\"fast_path\",transport=\"udp\",rcode=\"NOERROR\",le=\"+Inf\"}} \
             {queries}\n",
            queries / 2
        );
        Reading {
            at,
            metrics: Metrics::parse(&text),
            top: json!({"seconds": 2.0, "names": [{"name": "www.x.", "queries": 10}], "clients": [], "xdp": true}),
            sources: json!([{"kind": "consul", "name": "dc1", "state": "synced", "records": 3}]),
        }
    }

    #[test]
    fn rates_are_of_the_interval() {
        let now = Instant::now();
        let figures = Figures::of("here", &reading(now, 100), &reading(now + Duration::from_secs(2), 300));
        assert_eq!(figures.transports, [("udp".to_owned(), 100.0)]);
        assert_eq!(
            figures.planes[1],
            ("fast_path".to_owned(), 1600.0, Some(0.000_005), Some(0.001))
        );
        assert_eq!(figures.names, [("www.x.".to_owned(), 5.0)]);
        assert_eq!(figures.sources, [("consul/dc1".to_owned(), "synced".to_owned(), 3)]);
        assert_eq!(figures.to_json()["queries"], 100.0);
    }
}
