//! Technitium DNS servers: form parameters in, JSON out. The API answers HTTP 200 to errors too; `status` says which.

use std::time::Duration;

use serde_json::Value;

use super::Around;
use super::plan::{Change, Held, RecordId, Wish};
use super::provider::{Pace, Provider, ProviderError, agent, exchange, shown, token};
use crate::config::{TechnitiumConfig, TokenPlace};
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::shown::percent_encoded;

/// A Technitium DNS server.
pub(super) struct Technitium {
    agent: ureq::Agent,
    url: Box<str>,
    token: TokenPlace,
    pace: Pace,
}

const ADD: &str = "/api/zones/records/add";
const UPDATE: &str = "/api/zones/records/update";
const DELETE: &str = "/api/zones/records/delete";
const GET: &str = "/api/zones/records/get";

impl Technitium {
    pub(super) fn new(config: &TechnitiumConfig) -> Self {
        Self {
            agent: agent(),
            url: config.provider.url.clone(),
            token: config.token.clone(),
            pace: Pace::new(config.provider.max_rate, Duration::from_secs(1)),
        }
    }

    fn add(&mut self, id: &RecordId, wish: &Wish, around: &Around) -> Result<(), ProviderError> {
        let (hostname, zone, ttl) = (id.hostname(), shown(&wish.zone), wish.ttl.to_string());
        let rtype = id.rtype.to_string();
        let form = [
            ("domain", hostname.as_str()),
            ("zone", &zone),
            ("type", &rtype),
            ("ttl", &ttl),
            ("overwrite", "false"),
            ("comments", &wish.comment),
            (parameter(id.rtype).0, &id.value),
        ];
        self.call(ADD, &form, around).map(drop)
    }

    fn update(&mut self, id: &RecordId, wish: &Wish, around: &Around) -> Result<(), ProviderError> {
        let (hostname, zone, ttl) = (id.hostname(), shown(&wish.zone), wish.ttl.to_string());
        let rtype = id.rtype.to_string();
        let (old, new) = parameter(id.rtype);
        let form = [
            ("domain", hostname.as_str()),
            ("zone", &zone),
            ("type", &rtype),
            ("ttl", &ttl),
            ("comments", &wish.comment),
            (old, &id.value),
            (new, &id.value),
        ];
        self.call(UPDATE, &form, around).map(drop)
    }

    fn delete(&mut self, id: &RecordId, held: &Held, around: &Around) -> Result<(), ProviderError> {
        let (hostname, zone, rtype) = (id.hostname(), shown(&held.zone), id.rtype.to_string());
        let form = [
            ("domain", hostname.as_str()),
            ("zone", &zone),
            ("type", &rtype),
            (parameter(id.rtype).0, &id.value),
        ];
        self.call(DELETE, &form, around).map(drop)
    }

    fn call(&mut self, endpoint: &'static str, form: &[(&str, &str)], around: &Around) -> Result<Value, ProviderError> {
        self.pace.wait();
        let token = token(&self.token)?;
        // Servers before version 15 know the parameter alone.
        let form = form.iter().copied().chain([("token", token.as_str())]);
        let form: Vec<String> = form
            .map(|(key, value)| format!("{key}={}", percent_encoded(value)))
            .collect();
        let called = format!("{}{endpoint}", self.url);
        let away = |reason: &dyn std::fmt::Display| ProviderError::Away(format!("{called}: {reason}"));
        let request = ureq::http::Request::post(called.as_str())
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.join("&").into_bytes());
        let count = |status: &str, took| around.figures.count_request(endpoint, status, took);
        let (status, text) = exchange(&self.agent, request, &called, count)?;
        if !status.is_success() {
            return Err(away(&format!("HTTP {status}")));
        }
        let reply: Value =
            serde_json::from_str(&text).map_err(|error| away(&format!("its answer is no JSON: {error}")))?;
        let message = reply["errorMessage"]
            .as_str()
            .unwrap_or("it does not say why")
            .to_owned();
        match reply["status"].as_str() {
            Some("ok") => Ok(reply),
            Some("invalid-token" | "2fa-required") => Err(away(&format!("the token is refused: {message}"))),
            _ if message.contains("already exists") => Err(ProviderError::Exists(message)),
            _ if message.contains("no such record exists") => Err(ProviderError::Absent(message)),
            _ => Err(ProviderError::Refused {
                endpoint: endpoint.to_owned(),
                message,
            }),
        }
    }
}

impl Provider for Technitium {
    const KIND: &'static str = "technitium";

    fn records(&mut self, zone: &Name, _: &str, around: &Around) -> Result<Vec<(RecordId, Held)>, ProviderError> {
        let zone_text = shown(zone);
        let form = [
            ("domain", zone_text.as_str()),
            ("zone", &zone_text),
            ("listZone", "true"),
        ];
        let reply = self.call(GET, &form, around)?;
        let records = reply["response"]["records"].as_array().cloned().unwrap_or_default();
        Ok(records.iter().filter_map(|record| read(record, zone)).collect())
    }

    fn perform(&mut self, changes: &[(RecordId, Change)], around: &Around) -> Vec<Result<(), ProviderError>> {
        let perform = |(id, change): &(RecordId, Change)| match change {
            Change::Add(wish) => self.add(id, wish, around),
            Change::Update(wish) => self.update(id, wish, around),
            Change::Delete(held) => self.delete(id, held, around),
        };
        changes.iter().map(perform).collect()
    }
}

/// The parameter that has the value of a type, and the one that has its new value.
fn parameter(rtype: RecordType) -> (&'static str, &'static str) {
    match rtype {
        RecordType::CNAME => ("cname", "cname"),
        RecordType::PTR => ("ptrName", "newPtrName"),
        RecordType::NS => ("nameServer", "newNameServer"),
        RecordType::TXT => ("text", "newText"),
        _ => ("ipAddress", "newIpAddress"),
    }
}

/// A record of the API; `None` for types that we do not write.
fn read(record: &Value, zone: &Name) -> Option<(RecordId, Held)> {
    let rtype: RecordType = record["type"].as_str()?.parse().ok()?;
    let field = match rtype {
        RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::PTR | RecordType::NS | RecordType::TXT => {
            parameter(rtype).0
        }
        _ => return None,
    };
    let value = record["rData"][field].as_str()?;
    let id = RecordId {
        owner: Name::parse_given(record["name"].as_str()?).ok()?.to_lowercase(),
        rtype,
        value: match rtype {
            RecordType::CNAME | RecordType::PTR | RecordType::NS => value.to_lowercase(),
            RecordType::AAAA => value.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
            _ => value.to_owned(),
        },
    };
    let held = Held {
        zone: zone.clone(),
        ttl: u32::try_from(record["ttl"].as_u64()?).ok()?,
        comment: record["comments"].as_str().unwrap_or_default().to_owned(),
        is_adopted: false,
    };
    Some((id, held))
}
