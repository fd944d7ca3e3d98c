//! `hotdns status`: whether a server serves, what, and how much.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::connection::{Client, Payload, ServerArgs};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Prints the state; a server that is not ready is a failure with its reason.
pub(crate) fn status(args: &StatusArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let readiness = client.call("GET", "/ready", Payload::None);
    let not_ready = match readiness {
        Ok(_) => None,
        Err(Failure::Refused {
            status: 503, detail, ..
        }) => Some(detail),
        Err(error) => return Err(error),
    };
    let metrics = Metrics::parse(&client.call("GET", "/metrics", Payload::None)?.text);
    let state = state(&client, &metrics, not_ready.as_deref());
    args.server.output.print(&state, || shown(&state))?;
    match not_ready {
        Some(_) => Err(Failure::Findings),
        None => Ok(()),
    }
}

fn state(client: &Client, metrics: &Metrics, not_ready: Option<&str>) -> Value {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    let started = metrics.sum("process_start_time_seconds");
    let queries = metrics.by("hotdns_queries_total", "transport");
    let all: f64 = queries.values().sum();
    let by_xdp = queries.get("xdp").copied().unwrap_or(0.0);
    json!({
        "server": client.shown(),
        "version": metrics.labels("hotdns_build_info", "version"),
        "ready": not_ready.is_none(),
        "reason": not_ready,
        "uptime_seconds": (started > 0.0).then(|| (now - started).max(0.0) as u64),
        "records": whole(&metrics.by("hotdns_records", "source")),
        "queries": whole(&queries),
        "xdp_share": (all > 0.0).then(|| (by_xdp / all * 1000.0).round() / 1000.0),
        "rcodes": whole(&metrics.by("hotdns_queries_total", "rcode")),
        "reload_failures": metrics.sum("hotdns_reload_failures_total") as u64,
        "memory_bytes": metrics.sum("process_resident_memory_bytes") as u64,
        "nodes": client.call("GET", "/api/v1/nodes", Payload::None).and_then(|answer| answer.json()).ok(),
        "sources": client.call("GET", "/api/v1/sources", Payload::None).and_then(|answer| answer.json()).ok(),
    })
}

fn whole(figures: &BTreeMap<String, f64>) -> Value {
    figures
        .iter()
        .map(|(name, value)| (name.clone(), json!(*value as u64)))
        .collect()
}

fn shown(state: &Value) -> String {
    let each = |name: &str| match state[name].as_object() {
        Some(figures) if !figures.is_empty() => {
            let parts: Vec<String> = figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
            parts.join(", ")
        }
        _ => "none".to_owned(),
    };
    let mut rows = vec![
        ("server", cell(&state["server"])),
        ("version", cell(&state["version"])),
        (
            "ready",
            match state["reason"].as_str() {
                None => "yes".to_owned(),
                Some(reason) => format!("no: {reason}"),
            },
        ),
        ("up", state["uptime_seconds"].as_u64().map_or("-".to_owned(), duration)),
        ("records", each("records")),
        ("answers", each("queries")),
        ("rcodes", each("rcodes")),
        ("failed reloads", cell(&state["reload_failures"])),
        (
            "memory",
            format!("{} MiB", state["memory_bytes"].as_u64().unwrap_or(0) >> 20),
        ),
    ];
    if let Some(share) = state["xdp_share"].as_f64() {
        rows.insert(6, ("by XDP", format!("{:.1} %", share * 100.0)));
    }
    if state["nodes"]["state"].as_str().is_some_and(|state| state != "alone") {
        let each = state["nodes"]["nodes"].as_array().into_iter().flatten();
        let names: Vec<String> = each
            .map(|node| format!("{} ({} behind)", cell(&node["name"]), cell(&node["behind"])))
            .collect();
        rows.push(("etcd", super::nodes::summary(&state["nodes"])));
        rows.push(("nodes", names.join(", ")));
    }
    let sources = state["sources"]
        .as_array()
        .or_else(|| state["sources"]["sources"].as_array());
    for source in sources.into_iter().flatten() {
        let error = source["error"]
            .as_str()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        let name = format!("{}/{}", cell(&source["kind"]), cell(&source["name"]));
        let revision = source["revision"].as_str();
        let revision = revision.map(|revision| format!(" at {revision}")).unwrap_or_default();
        rows.push(("source", format!("{name} {}{revision}{error}", cell(&source["state"]))));
    }
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
    // The heading would say nothing here.
    let text = table(&["", ""], rows);
    text.split_once('\n').map_or(String::new(), |(_, rows)| rows.to_owned())
}

/// Days, hours, minutes, seconds: the two largest that are not zero.
pub(super) fn duration(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let from = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown: Vec<String> = parts[from..]
        .iter()
        .take(2)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    shown.join(" ")
}

/// Samples of an exposition (Prometheus text format).
pub(super) struct Metrics(Vec<(String, BTreeMap<String, String>, f64)>);

impl Metrics {
    pub(super) fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let value = value.parse().ok()?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| {
                let (name, value) = label.split_once("=\"")?;
                Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
            });
            Some((name.to_owned(), labels.collect(), value))
        };
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(sample)
                .collect(),
        )
    }

    pub(super) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a BTreeMap<String, String>, f64)> {
        let samples = self.0.iter().filter(move |(own, _, _)| own == name);
        samples.map(|(_, labels, value)| (labels, *value))
    }

    pub(super) fn sum(&self, name: &str) -> f64 {
        self.of(name).map(|(_, value)| value).sum()
    }

    pub(super) fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (labels, value) in self.of(name) {
            if let Some(of) = labels.get(label) {
                *sums.entry(of.clone()).or_insert(0.0) += value;
            }
        }
        sums.retain(|_, value| *value > 0.0);
        sums
    }

    pub(super) fn labels<'a>(&'a self, name: &'a str, label: &str) -> Option<&'a str> {
        self.of(name)
            .find_map(|(labels, _)| labels.get(label))
            .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_label() {
        let metrics = Metrics::parse(
            "# HELP q x\nq{transport=\"xdp\",rcode=\"NOERROR\"} 3\nq{transport=\"udp\",rcode=\"NOERROR\"} 2\n\
             q{transport=\"udp\",rcode=\"REFUSED\"} 1\nv{version=\"1.2.3\"} 1\nplain 7\n",
        );
        assert_eq!(metrics.sum("plain"), 7.0);
        assert_eq!(metrics.labels("v", "version"), Some("1.2.3"));
        let by = metrics.by("q", "transport");
        assert_eq!((by["xdp"], by["udp"]), (3.0, 3.0));
    }

    #[test]
    fn durations_show_two_units() {
        assert_eq!(duration(5), "5 s");
        assert_eq!(duration(3_725), "1 h 2 min");
        assert_eq!(duration(90_061), "1 d 1 h");
    }
}
