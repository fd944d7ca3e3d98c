//! Objects as the API shows them, and what comes of them.

mod cluster_dns;
mod dependencies;
mod fake;
mod faults;
mod kinds;
mod model;
mod own_kinds;
mod persist;
mod reports;
mod restarts;
mod two_clusters;
mod watches;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::kinds::Kind;
use super::objects::{Object, ObjectKey};
use super::settings::Publishing;
use crate::model::rdata;
use crate::model::record::Wildcard;

fn publishing() -> Publishing {
    Publishing {
        zones: ["peers.test.", "sub.peers.test."]
            .map(|zone| zone.parse().expect("a zone"))
            .into(),
        ..Publishing::default()
    }
}

fn cluster(publishing: Publishing) -> Cluster {
    Cluster::new(Arc::new(publishing))
}

fn object(kind: Kind, value: Value) -> Object {
    Object::read(kind, value).expect("it can be read")
}

/// The object of `namespace/name` with this specification, status and annotations.
fn made(kind: Kind, name: &str, annotations: Value, rest: Value) -> Object {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    let mut value = rest;
    value["metadata"] = json!({"namespace": namespace, "name": name, "annotations": annotations});
    object(kind, value)
}

fn apply(cluster: &mut Cluster, object: Object) -> ObjectKey {
    let key = object.key();
    cluster.apply(object, Instant::now());
    key
}

/// What an object asks for: `name TTL type values`, a wildcard of one label marked by `(1)`; or what is wrong.
fn asked(cluster: &Cluster, key: &ObjectKey) -> Vec<String> {
    let claims = match cluster.outcome(key).expect("it is there").claims {
        Ok(claims) => claims,
        Err(error) => return vec![format!("error: {error}")],
    };
    let shown = claims.iter().map(|claim| {
        let values = claim.rdatas.iter().map(|rdata| rdata::format_value(claim.rtype, rdata));
        let values: Vec<String> = values.collect();
        let one_label = if claim.handling.wildcard() == Wildcard::OneLabel && claim.owner.is_wildcard() {
            " (1)"
        } else {
            ""
        };
        let view = claim.view.as_ref().map(|view| format!(" [{view}]")).unwrap_or_default();
        format!(
            "{} {} {} {}{one_label}{view}",
            claim.owner,
            claim.ttl,
            claim.rtype,
            values.join(" ")
        )
    });
    shown.collect()
}

fn notes(cluster: &Cluster, key: &ObjectKey) -> String {
    cluster.outcome(key).expect("it is there").notes.join("; ")
}
