//! ConfigMap with records: a configuration file under one key, of which `records` is a source.
//!
//! ```text
//! data:
//!   config.yaml: |
//!     records:
//!       - {name: www.example.com., type: A, ttl: 300, value: [192.168.1.1]}
//! ```
//!
//! The text is checked as the configuration file itself is. A bad one changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::{Object, Wanted};
use crate::config;
use crate::model::record::Rdata;

/// What is read of a ConfigMap.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    data: BTreeMap<String, String>,
}

impl ConfigMap {
    pub(super) fn publish(&self, object: &Object, cluster: &Cluster, wanted: &mut Wanted<'_>) {
        let key = &cluster.publishing().config_map.key;
        let Some(text) = self.data.get(key) else {
            return wanted.fail(format!("it has no key `{key}`"));
        };
        let file = format!("{}:{key}", object.key());
        let loaded = match config::Loaded::from_text(text, Path::new(&file)) {
            Ok(loaded) => loaded,
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                return wanted.fail(errors.join("; "));
            }
        };
        let is_persisted = cluster.publishing().persist;
        // Where the API has the same records, those are served, but for the ones in views.
        let records = loaded.config.records.into_iter();
        for record in records.filter(|record| !is_persisted || record.view.is_some()) {
            let Some(owner) = wanted.owner(&record.owner.to_string()) else {
                continue;
            };
            if record.view.is_some() {
                wanted.set_view(record.view);
            }
            let rrset = record.rrset;
            let rdatas: Vec<Rdata> = rrset.rdatas.iter().map(Into::into).collect();
            wanted.claim(owner, rrset.rtype, Some(rrset.ttl), rdatas, rrset.handling.wildcard());
        }
    }
}
