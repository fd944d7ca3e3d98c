//! Zones at Cloudflare, by version 4 of its API: JSON in and out, one record at a time, each with an id.
//!
//! A record's comment says whose it is, as at Technitium. Comments of a free plan have 100 characters: what is longer
//! is cut.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Around;
use super::plan::{Change, Held, RecordId, Wish};
use super::provider::{Pace, Provider, ProviderError, agent, beginning, exchange, shown, token};
use crate::config::{CloudflareConfig, TokenPlace};
use crate::model::name::Name;
use crate::model::record::RecordType;

/// TTLs that are taken, in seconds.
const TTLS: std::ops::RangeInclusive<u32> = 60..=86_400;
const MOST_COMMENT: usize = 100;
const PAGE: usize = 1000;
/// "An identical record already exists", and its older form.
const EXISTS: [u64; 2] = [81058, 81057];
/// "Record does not exist".
const ABSENT: u64 = 81044;

/// Zones at Cloudflare.
pub(super) struct Cloudflare {
    agent: ureq::Agent,
    url: Box<str>,
    token: TokenPlace,
    pace: Pace,
    /// Ids of zones.
    zones: BTreeMap<Name, String>,
    /// Ids of records.
    records: BTreeMap<RecordId, String>,
}

impl Cloudflare {
    pub(super) fn new(config: &CloudflareConfig) -> Self {
        Self {
            agent: agent(),
            url: config.provider.url.clone(),
            token: config.token.clone(),
            pace: Pace::new(config.provider.max_rate, Duration::from_secs(1)),
            zones: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    fn zone(&mut self, zone: &Name, around: &Around) -> Result<String, ProviderError> {
        if let Some(id) = self.zones.get(zone) {
            return Ok(id.clone());
        }
        let path = format!("/zones?name={}", shown(zone));
        let reply = self.call("GET", "/zones", &path, None, around)?;
        let id = reply["result"][0]["id"].as_str();
        let id = id.ok_or_else(|| ProviderError::Away(format!("there is no zone {} in this account", shown(zone))))?;
        self.zones.insert(zone.clone(), id.to_owned());
        Ok(id.to_owned())
    }

    fn make(&mut self, id: &RecordId, change: &Change, around: &Around) -> Result<(), ProviderError> {
        let zone = match change {
            Change::Add(wish) | Change::Update(wish) => &wish.zone,
            Change::Delete(held) => &held.zone,
        };
        let records = format!("/zones/{}/dns_records", self.zone(zone, around)?);
        let record = |known: &BTreeMap<RecordId, String>| match known.get(id) {
            Some(record) => Ok(format!("{records}/{record}")),
            None => Err(ProviderError::Absent(format!("{id}: its id is not known"))),
        };
        match change {
            Change::Add(wish) => {
                let reply = self.call("POST", "/dns_records", &records, Some(&body(id, wish)), around)?;
                let made = reply["result"]["id"].as_str().unwrap_or_default().to_owned();
                self.records.insert(id.clone(), made);
            }
            Change::Update(wish) => {
                let path = record(&self.records)?;
                self.call("PATCH", "/dns_records/{id}", &path, Some(&body(id, wish)), around)?;
            }
            Change::Delete(_) => {
                let path = record(&self.records)?;
                self.call("DELETE", "/dns_records/{id}", &path, None, around)?;
                self.records.remove(id);
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        method: &str,
        endpoint: &'static str,
        path: &str,
        body: Option<&Value>,
        around: &Around,
    ) -> Result<Value, ProviderError> {
        self.pace.wait();
        let bearer = format!("Bearer {}", token(&self.token)?);
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", bearer);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(body.map_or_else(Vec::new, |body| body.to_string().into_bytes()));
        let called = format!("{}{endpoint}", self.url);
        let away = |reason: &dyn std::fmt::Display| ProviderError::Away(format!("{called}: {reason}"));
        let count = |status: &str, took| around.figures.count_provider(Self::KIND, endpoint, status, took);
        let (status, text) = exchange(&self.agent, request, &called, count)?;
        let reply: Value = serde_json::from_str(&text)
            .map_err(|_| away(&format!("HTTP {status}, and no JSON: {}", beginning(&text))))?;
        if status.is_success() && reply["success"] == true {
            return Ok(reply);
        }
        let error = &reply["errors"][0];
        let code = error["code"].as_u64().unwrap_or_default();
        let message = format!(
            "{} (code {code})",
            error["message"].as_str().unwrap_or("it does not say why")
        );
        match status.as_u16() {
            _ if EXISTS.contains(&code) => Err(ProviderError::Exists(message)),
            _ if code == ABSENT => Err(ProviderError::Absent(message)),
            401 | 403 => Err(away(&format!("the token is refused: {message}"))),
            429 | 500.. => Err(away(&format!("HTTP {status}: {message}"))),
            _ => Err(ProviderError::Refused {
                endpoint: endpoint.to_owned(),
                message,
            }),
        }
    }
}

impl Provider for Cloudflare {
    const KIND: &'static str = "cloudflare";

    fn records(&mut self, zone: &Name, _: &str, around: &Around) -> Result<Vec<(RecordId, Held)>, ProviderError> {
        let id = self.zone(zone, around)?;
        let mut found = Vec::new();
        self.records.retain(|record, _| !record.owner.is_at_or_below(zone));
        for page in 1.. {
            let path = format!("/zones/{id}/dns_records?per_page={PAGE}&page={page}");
            let reply = self.call("GET", "/dns_records", &path, None, around)?;
            for record in reply["result"].as_array().into_iter().flatten() {
                if let Some((id, held)) = read(record, zone) {
                    let name = record["id"].as_str().unwrap_or_default().to_owned();
                    self.records.insert(id.clone(), name);
                    found.push((id, held));
                }
            }
            let pages = reply["result_info"]["total_pages"].as_u64().unwrap_or(1);
            if page >= pages {
                break;
            }
        }
        Ok(found)
    }

    fn perform(&mut self, changes: &[(RecordId, Change)], around: &Around) -> Vec<Result<(), ProviderError>> {
        let changes = changes.iter();
        changes.map(|(id, change)| self.make(id, change, around)).collect()
    }

    fn fit(&self, wish: &mut Wish) {
        wish.ttl = wish.ttl.clamp(*TTLS.start(), *TTLS.end());
        wish.comment = wish.comment.chars().take(MOST_COMMENT).collect();
    }
}

/// A record as the API takes it.
fn body(id: &RecordId, wish: &Wish) -> Value {
    let content = match id.rtype {
        RecordType::TXT => format!("\"{}\"", id.value.replace('\\', "\\\\").replace('"', "\\\"")),
        _ => id.value.clone(),
    };
    json!({
        "type": id.rtype.to_string(), "name": id.hostname(), "content": content, "ttl": wish.ttl,
        "comment": wish.comment, "proxied": false,
    })
}

/// A record of the API; `None` for types that we do not write.
fn read(record: &Value, zone: &Name) -> Option<(RecordId, Held)> {
    let rtype: RecordType = record["type"].as_str()?.parse().ok()?;
    let content = record["content"].as_str()?;
    let value = match rtype {
        RecordType::A => content.to_owned(),
        RecordType::AAAA => content.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        RecordType::CNAME | RecordType::PTR | RecordType::NS => content.trim_end_matches('.').to_lowercase(),
        RecordType::TXT => {
            let quoted = content.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let text = quoted.unwrap_or(content).replace("\" \"", "");
            text.replace("\\\"", "\"").replace("\\\\", "\\")
        }
        _ => return None,
    };
    let id = RecordId {
        owner: Name::parse_given(record["name"].as_str()?).ok()?.to_lowercase(),
        rtype,
        value,
    };
    let held = Held {
        zone: zone.clone(),
        ttl: u32::try_from(record["ttl"].as_u64()?).ok()?,
        comment: record["comment"].as_str().unwrap_or_default().to_owned(),
        is_adopted: false,
    };
    Some((id, held))
}
