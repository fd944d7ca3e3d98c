//! `sources.consul_kv`: records in Consul's key-value store.
//!
//! ```text
//! hotdns/records/web   {"name": "www.example.com.", "type": "A", "ttl": 60, "value": ["192.0.2.1"]}
//! hotdns/records/mail  [{"name": …}, {"name": …}]      a list of records
//! ```
//!
//! One blocking query follows all keys below the prefix; each key is an object. `docs/discovery.md` is for users.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::consul::{INDEX, LONGEST_WAIT, Place, WAIT};
use super::peer::{Answer, Credential, LatePeer};
use super::polled::{Objects, Polled};
use super::{Claim, Event, Listing, Object, World, WorldError};
use crate::config::ConsulKvSource;
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Handling, Order, Rdata, RecordType, Wildcard};
use crate::model::shown::percent_encoded;

/// For a reply that does not wait.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The records below one prefix.
pub(super) struct ConsulKv {
    settings: ConsulKvSource,
    peer: LatePeer,
    place: Place,
    polled: Polled,
    /// The reply that is waited for.
    waiting: Option<BoxFuture<'static, Result<Answer, WorldError>>>,
}

/// A key as Consul shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    #[serde(default)]
    value: Option<String>,
}

/// A record, in the words of the configuration and the API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    ttl: Option<u32>,
    value: Values,
    #[serde(default)]
    order: Option<String>,
    #[serde(default)]
    weights: Vec<u16>,
    #[serde(default)]
    wildcard: Option<String>,
}

/// One value, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl ConsulKv {
    pub(super) fn new(settings: ConsulKvSource) -> Self {
        Self {
            peer: LatePeer::new("Consul", settings.peer.clone(), Credential::Header("X-Consul-Token")),
            settings,
            place: Place::default(),
            polled: Polled::default(),
            waiting: None,
        }
    }

    fn path(&self) -> String {
        let parts: Vec<String> = self.settings.prefix.split('/').map(percent_encoded).collect();
        format!("/v1/kv/{}?recurse", parts.join("/"))
    }

    /// The objects of a reply. Without any key below the prefix Consul says 404.
    fn objects(&mut self, answer: Answer) -> Result<Objects, WorldError> {
        self.place.advance(answer.number(INDEX));
        let entries: Vec<Entry> = match answer.status.as_u16() {
            404 => Vec::new(),
            _ => answer.checked()?.json()?,
        };
        let folders_aside = entries.into_iter().filter(|entry| !entry.key.ends_with('/'));
        let objects = folders_aside.map(|entry| {
            let key: Arc<str> = format!("Key {}", entry.key).into();
            let claims = claims(&entry.value.unwrap_or_default(), self.settings.ttl);
            (Arc::clone(&key), Object { key, since: 0, claims })
        });
        Ok(objects.collect())
    }
}

/// The records of one key, whose value is in base64.
fn claims(value: &str, default_ttl: u32) -> Result<Vec<Claim>, String> {
    let octets = data_encoding::BASE64
        .decode(value.as_bytes())
        .map_err(|error| error.to_string())?;
    let json: Value = serde_json::from_slice(&octets).map_err(|error| format!("its value is no JSON: {error}"))?;
    let all = match json {
        Value::Array(all) => all,
        one => vec![one],
    };
    all.into_iter().map(|record| claim(record, default_ttl)).collect()
}

fn claim(record: Value, default_ttl: u32) -> Result<Claim, String> {
    let example = r#"write {"name": "www.example.com.", "type": "A", "value": ["192.0.2.1"]}"#;
    let record: Record = serde_json::from_value(record).map_err(|error| format!("{error}; {example}"))?;
    let owner = Name::parse_given(&record.name).map_err(|error| error.to_string())?;
    let rtype: RecordType = record
        .rtype
        .parse()
        .map_err(|_| format!("`{}` is no type of records", record.rtype))?;
    let values = match record.value {
        Values::One(value) => vec![value],
        Values::Many(values) => values,
    };
    let rdatas: Result<Vec<Rdata>, String> = values
        .iter()
        .map(|value| rdata::parse_value(rtype, value).map_err(|error| format!("`{value}`: {error}")))
        .collect();
    let order = record.order.as_deref().unwrap_or("fixed");
    if order == "weighted" && record.weights.len() != values.len() {
        return Err("`order: weighted` needs `weights`, one for each value".to_owned());
    }
    let order = Order::from_word(order, record.weights.into())
        .ok_or_else(|| format!("`{order}` is no order; there are {}", Order::WORDS.join(", ")))?;
    let wildcard = record.wildcard.as_deref().unwrap_or("rfc4592");
    let wildcard = Wildcard::from_word(wildcard).ok_or_else(|| {
        format!(
            "`{wildcard}` is no kind of wildcard; there are {}",
            Wildcard::WORDS.join(", ")
        )
    })?;
    Ok(Claim {
        view: None,
        owner,
        rtype,
        ttl: record.ttl.unwrap_or(default_ttl),
        rdatas: rdatas?,
        handling: Handling::new(order, wildcard),
    })
}

impl World for ConsulKv {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        self.waiting = None;
        let peer = self.peer.get()?;
        self.place = Place::default();
        let answer = peer.ask(&self.path(), TIMEOUT).await?;
        let objects = self.objects(answer)?;
        Ok(self.polled.list(objects))
    }

    async fn next(&mut self) -> Result<Event, WorldError> {
        loop {
            if let Some(event) = self.polled.next() {
                return Ok(event);
            }
            if self.waiting.is_none() {
                let peer = self.peer.get()?;
                let pause = self.place.pause();
                let mut path = self.path();
                match self.place.index() {
                    0 => {}
                    index => path.push_str(&format!("&index={index}&wait={WAIT}")),
                }
                self.waiting = Some(Box::pin(async move {
                    tokio::time::sleep(pause).await;
                    peer.ask(&path, LONGEST_WAIT).await
                }));
            }
            if let Some(waiting) = &mut self.waiting {
                let answer = waiting.await;
                self.waiting = None;
                let objects = self.objects(answer?)?;
                self.polled.take(objects);
            }
        }
    }
}

#[cfg(test)]
mod tests;
