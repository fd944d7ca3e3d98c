//! A source for tests: objects in a JSON file, which is looked at every few milliseconds.
//!
//! ```text
//! {"Thing one": {"since": 1, "name": "www.x.", "addresses": ["192.0.2.1"]}, "Thing two": {"since": "?"}}
//! ```
//!
//! A file that is missing or no JSON is a world that is away.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::super::{Change, Claim, Event, Listing, Object, World, WorldError};
use crate::model::rdata;
use crate::model::record::{Handling, RecordType};

/// The file, and what it said last.
pub(super) struct Objects {
    pub(super) path: PathBuf,
    known: BTreeMap<String, Value>,
    /// The place that an earlier process had come to.
    pub(super) was_at: Arc<std::sync::Mutex<Option<String>>>,
}

impl Objects {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            known: BTreeMap::new(),
            was_at: Arc::default(),
        }
    }

    fn read(&self) -> Result<BTreeMap<String, Value>, WorldError> {
        let away = |error: &dyn std::fmt::Display| WorldError(format!("{}: {error}", self.path.display()));
        let text = std::fs::read(&self.path).map_err(|error| away(&error))?;
        serde_json::from_slice(&text).map_err(|error| away(&error))
    }

    fn place(&self) -> Option<String> {
        Some(format!("{} objects", self.known.len()))
    }
}

fn object(key: &str, value: &Value) -> Object {
    Object {
        key: key.into(),
        since: value["since"].as_u64().unwrap_or(0),
        claims: claims(value),
    }
}

fn claims(value: &Value) -> Result<Vec<Claim>, String> {
    let owner = value["name"].as_str().ok_or("it has no `name`")?;
    let owner = owner.parse().map_err(|error| format!("`{owner}`: {error}"))?;
    let addresses = value["addresses"].as_array().ok_or("it has no `addresses`")?;
    let addresses = addresses.iter().map(|address| {
        let address = address.as_str().ok_or("an address is a string")?;
        rdata::parse_value(RecordType::A, address).map_err(|error| format!("`{address}`: {error}"))
    });
    let rdatas: Vec<_> = addresses.collect::<Result<_, String>>()?;
    let claim = Claim {
        view: None,
        owner,
        rtype: RecordType::A,
        ttl: 60,
        rdatas,
        handling: Handling::default(),
    };
    Ok(if claim.rdatas.is_empty() {
        Vec::new()
    } else {
        vec![claim]
    })
}

impl World for Objects {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        self.known = self.read()?;
        Ok(Listing {
            objects: self.known.iter().map(|(key, value)| object(key, value)).collect(),
            resume: self.place(),
        })
    }

    async fn next(&mut self) -> Result<Event, WorldError> {
        loop {
            let now = self.read()?;
            let gone = self.known.keys().find(|key| !now.contains_key(*key)).cloned();
            if let Some(key) = gone {
                self.known.remove(&key);
                return Ok(Event {
                    change: Change::Deleted(key.as_str().into()),
                    resume: self.place(),
                });
            }
            let other = now.into_iter().find(|(key, value)| self.known.get(key) != Some(value));
            if let Some((key, value)) = other {
                let object = object(&key, &value);
                self.known.insert(key, value);
                return Ok(Event {
                    change: Change::Applied(object),
                    resume: self.place(),
                });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn was_at(&mut self, place: &str) {
        *self.was_at.lock().expect("not poisoned") = Some(place.to_owned());
    }
}
