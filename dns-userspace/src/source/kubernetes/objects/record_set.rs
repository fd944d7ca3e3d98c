//! RecordSet (`hotdns.io`), our own kind: one RRset. Its definition is in `deploy/kubernetes/crds/`.
//!
//! ```text
//! spec: {name: www.example.org, type: A, ttl: 300, values: [192.0.2.1], view: office, wildcard: one_label}
//! ```

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::{Condition, Wanted};
use crate::model::record::{RecordType, Wildcard};

/// What is read of a RecordSet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RecordSet {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Spec {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    ttl: Option<u32>,
    values: Vec<String>,
    view: Option<String>,
    wildcard: Option<String>,
}

impl RecordSet {
    /// What its status says of us.
    pub(super) fn condition(&self) -> Option<&Condition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.condition == "Synced")
    }

    pub(super) fn publish(&self, cluster: &Cluster, wanted: &mut Wanted<'_>) {
        let Spec {
            name,
            rtype,
            ttl,
            values,
            view,
            wildcard,
        } = &self.spec;
        let Some(owner) = wanted.owner(name) else {
            return;
        };
        let rtype = match rtype.parse::<RecordType>() {
            Ok(rtype) => rtype,
            Err(error) => return wanted.fail(format!("spec.type: {error}")),
        };
        let word = wildcard.as_deref().unwrap_or(Wildcard::WORDS[0]);
        let Some(wildcard) = Wildcard::from_word(word) else {
            let words = Wildcard::WORDS.join(" or ");
            return wanted.fail(format!("spec.wildcard: `{word}`: write {words}"));
        };
        let defaults = cluster.defaults_at(&owner);
        if let Some(view) = view.as_ref().or(defaults.and_then(|defaults| defaults.view.as_ref())) {
            wanted.set_view(Some(view.as_str().into()));
        }
        let ttl = ttl.or(defaults.and_then(|defaults| defaults.ttl));
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        wanted.record(owner, rtype, ttl, &values, wildcard);
    }
}
