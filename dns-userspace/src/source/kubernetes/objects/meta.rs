//! Metadata that every object has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::super::annotations::{self, Annotations};
use super::super::kinds::Kind;

/// What is read of `metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    /// The namespace; empty where the kind has none.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// What tells it from another one of the same name.
    pub uid: Box<str>,
    /// Its version, for optimistic locking.
    pub resource_version: Box<str>,
    /// Counts changes of the specification.
    pub generation: i64,
    /// When it was made, in seconds of Unix time.
    #[serde(rename = "creationTimestamp", deserialize_with = "seconds")]
    pub created: u64,
    /// Set where it is about to go.
    pub deletion_timestamp: Option<Box<str>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations; of these only those that are read.
    pub annotations: BTreeMap<String, String>,
}

impl Meta {
    /// Without what nobody reads.
    pub(super) fn kept(mut self) -> Self {
        self.annotations.retain(|key, _| annotations::is_read(key));
        self
    }

    /// The annotations.
    pub fn annotations(&self) -> Annotations<'_> {
        Annotations(&self.annotations)
    }
}

/// A condition of a status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub condition: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// The specification that it is about.
    pub observed_generation: i64,
    /// Since when the status is what it is.
    pub last_transition_time: Option<String>,
}

impl Condition {
    /// Whether it says the same, since whenever.
    pub fn is_the_same(&self, other: &Self) -> bool {
        let unchanged = |one: &Self| Self {
            last_transition_time: None,
            ..one.clone()
        };
        unchanged(self) == unchanged(other)
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let time = text.and_then(|text| text.parse::<Timestamp>().ok());
    Ok(time.and_then(|time| u64::try_from(time.as_second()).ok()).unwrap_or(0))
}

/// What tells an object from all others of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty where the kind has none.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// Of these parts.
    pub fn new(kind: Kind, namespace: &Arc<str>, name: &Arc<str>) -> Self {
        Self {
            kind,
            namespace: Arc::clone(namespace),
            name: Arc::clone(name),
        }
    }
}

impl fmt::Display for ObjectKey {
    /// As people write it: `Ingress monitoring/grafana`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        match namespace.is_empty() {
            true => write!(f, "{} {name}", kind.name()),
            false => write!(f, "{} {namespace}/{name}", kind.name()),
        }
    }
}
