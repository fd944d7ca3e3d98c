//! A client of the HTTP API, inside the server's namespace.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use ureq::Agent;

const BASE: &str = "http://127.0.0.1:8080";

/// One client, with connections of its own that stay open.
pub(in crate::bench) struct Api {
    agent: Agent,
}

impl Api {
    pub(in crate::bench) fn new() -> Self {
        let limit = Some(Duration::from_secs(60));
        Self {
            agent: Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(limit)
                .build()
                .into(),
        }
    }

    /// Whether `/ready` says so.
    pub(in crate::bench) fn is_ready(&self) -> bool {
        self.agent
            .get(format!("{BASE}/ready"))
            .call()
            .is_ok_and(|response| response.status() == 200)
    }

    /// Gives a name this one address.
    pub(in crate::bench) fn put(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let body = json!({"name": name, "type": "A", "ttl": 60, "value": [address.to_string()]}).to_string();
        let url = format!("{BASE}/api/v1/records/{name}");
        let response = self
            .agent
            .put(&url)
            .content_type("application/json")
            .send(body)
            .with_context(|| url.clone())?;
        read(response, &[200, 201])
            .with_context(|| format!("PUT {url}"))
            .map(drop)
    }

    /// Takes all addresses from a name.
    pub(in crate::bench) fn delete(&self, name: &str) -> Result<()> {
        let url = format!("{BASE}/api/v1/records/{name}?type=A");
        let response = self.agent.delete(&url).call().with_context(|| url.clone())?;
        read(response, &[204])
            .with_context(|| format!("DELETE {url}"))
            .map(drop)
    }

    /// Reloads; gives what changed.
    pub(in crate::bench) fn reload(&self) -> Result<Value> {
        self.reload_with(200)
    }

    /// Reloads a configuration with errors; gives what is said of it.
    pub(in crate::bench) fn reload_refused(&self) -> Result<Value> {
        self.reload_with(422)
    }

    fn reload_with(&self, status: u16) -> Result<Value> {
        let url = format!("{BASE}/api/v1/reload");
        let request = self.agent.post(&url).content_type("application/json");
        let text = read(request.send("").with_context(|| url.clone())?, &[status]).context("POST reload")?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// The value of a metric without labels.
    pub(in crate::bench) fn metric(&self, name: &str) -> Result<f64> {
        let url = format!("{BASE}/metrics");
        let text = read(self.agent.get(&url).call().with_context(|| url.clone())?, &[200])?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
            .with_context(|| format!("no metric {name}"))
    }

    /// Every A record there is, by name; names with several have the last of them.
    pub(in crate::bench) fn addresses(&self) -> Result<BTreeMap<String, Ipv4Addr>> {
        let mut addresses = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let url = format!("{BASE}/api/v1/records?type=A&limit=1000{cursor}");
            let text = read(self.agent.get(&url).call().with_context(|| url.clone())?, &[200])?;
            let page: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))?;
            for record in page["records"]
                .as_array()
                .with_context(|| format!("no records in {text}"))?
            {
                let name = record["name"].as_str().context("a record without a name")?;
                for value in record["value"].as_array().context("a record without values")? {
                    let address = value
                        .as_str()
                        .and_then(|text| text.parse().ok())
                        .context("not an address")?;
                    addresses.insert(name.to_owned(), address);
                }
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={}", percent_encoded(next)),
                None => return Ok(addresses),
            }
        }
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>, expected: &[u16]) -> Result<String> {
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().context("cannot read the body")?;
    if !expected.contains(&status) {
        bail!("status {status}: {text}");
    }
    Ok(text)
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
