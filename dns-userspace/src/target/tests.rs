//! Targets against what they write to: a hosts file, and a server that speaks Technitium's API.

mod adopt;
mod drift;
mod hosts_file;
mod providers;
mod replies;
mod slack;
mod technitium;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::ProviderConfig;
use crate::control::Event;
use crate::model::rdata;
use crate::model::record::{Handling, RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot};
use crate::model::source::{Origin, SourceId};

fn around() -> Around {
    Around {
        sources: Arc::default(),
        figures: Arc::default(),
        targets: Arc::default(),
        dry_run: DryRun::Off,
        stop: CancellationToken::new(),
    }
}

/// A configuration that reads its zones at each write.
fn provider(url: &str, zones: &[&str]) -> ProviderConfig {
    ProviderConfig {
        name: "home".into(),
        url: url.into(),
        zones: zones.iter().map(|zone| zone.parse().expect("a zone")).collect(),
        max_rate: 1000,
        resync: Some(Duration::ZERO),
        drift: Duration::from_secs(900),
        fault_rate: 0.0,
        adopt: None,
    }
}

fn source() -> SourceId {
    SourceId::watched("kubernetes", "prod", 0)
}

/// What is wanted where these records are served, each `owner TTL type value`.
fn wanted(records: &[&str]) -> Wanted {
    let mut snapshot = Snapshot {
        version: 1,
        ..Snapshot::default()
    };
    for record in records {
        let mut words = record.splitn(4, ' ');
        let mut word = || words.next().expect("four words");
        let (owner, ttl, rtype) = (word(), word(), word());
        let rtype: RecordType = rtype.parse().expect("a type");
        let values: Vec<_> = word()
            .split(',')
            .map(|value| rdata::parse_value(rtype, value).expect("a value"))
            .collect();
        let owner: crate::model::name::Name = owner.parse().expect("a name");
        let rrset = RrSet {
            rtype,
            ttl: ttl.parse().expect("a TTL"),
            rdatas: values.into(),
            origin: Origin::of_object(source(), "Ingress demo/web", None),
            handling: Handling::default(),
        };
        let mut all: Vec<Arc<RrSet>> = snapshot
            .overlays
            .get(&owner.key())
            .map(|node| node.rrsets.to_vec())
            .unwrap_or_default();
        all.push(Arc::new(rrset));
        all.sort_by_key(|rrset| rrset.rtype);
        snapshot.overlays.insert(owner.key(), Arc::new(Node::new(&owner, all)));
    }
    let own = RrSet {
        rtype: RecordType::A,
        ttl: 1,
        rdatas: [[192, 0, 2, 200]].into(),
        origin: Origin::api(),
        handling: Handling::default(),
    };
    let api: crate::model::name::Name = "api.talos00.".parse().expect("a name");
    snapshot
        .overlays
        .insert(api.key(), Arc::new(Node::new(&api, vec![Arc::new(own)])));
    let mut wanted = Wanted::default();
    assert!(wanted.take(&Event::Reset(Arc::new(snapshot.clone()))) != records.is_empty());
    assert!(
        !wanted.take(&Event::Reset(Arc::new(snapshot))),
        "the same again differs in nothing"
    );
    wanted
}
