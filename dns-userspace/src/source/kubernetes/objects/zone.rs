//! Zone (`hotdns.io`), our own kind: what a zone has by itself, and what RecordSets in it say where they say nothing.
//! Its definition is in `deploy/kubernetes/crds/`.
//!
//! ```text
//! spec: {name: example.org, nameservers: [ns1.example.org], addresses: [192.0.2.53], defaults: {ttl: 600}}
//!   ─► example.org. SOA, NS;  ns1.example.org. A
//! ```

use std::net::IpAddr;

use serde::Deserialize;

use super::{Condition, Wanted};
use crate::model::name::Name;
use crate::model::record::{RecordType, Wildcard};

/// The TTL of a zone's own records where it says none, in seconds.
const TTL: u32 = 3600;

/// What is read of a Zone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Zone {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
struct Spec {
    name: String,
    nameservers: Vec<String>,
    addresses: Vec<IpAddr>,
    primary: Option<String>,
    mailbox: Option<String>,
    ttl: u32,
    refresh: u32,
    retry: u32,
    expire: u32,
    minimum: u32,
    defaults: Defaults,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            name: String::new(),
            nameservers: Vec::new(),
            addresses: Vec::new(),
            primary: None,
            mailbox: None,
            ttl: TTL,
            refresh: 7200,
            retry: 1800,
            expire: 1_209_600,
            minimum: 300,
            defaults: Defaults::default(),
        }
    }
}

/// What RecordSets in the zone say where they say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// The TTL.
    pub ttl: Option<u32>,
    /// The view.
    pub view: Option<String>,
}

impl Zone {
    /// The name of the zone; `None` where it is none.
    pub fn apex(&self) -> Option<Name> {
        Name::parse_given(&self.spec.name).ok()
    }

    /// What RecordSets in it take from it.
    pub fn defaults(&self) -> &Defaults {
        &self.spec.defaults
    }

    /// What its status says of us.
    pub(super) fn condition(&self) -> Option<&Condition> {
        let mut conditions = self.status.conditions.iter();
        conditions.find(|condition| condition.condition == "Synced")
    }

    pub(super) fn publish(&self, wanted: &mut Wanted<'_>) {
        let spec = &self.spec;
        let Some(apex) = wanted.owner(&spec.name) else {
            return;
        };
        let mut names = Vec::with_capacity(spec.nameservers.len().max(1));
        for server in &spec.nameservers {
            match Name::parse_given(server) {
                Ok(name) => names.push(name),
                Err(error) => return wanted.fail(format!("spec.nameservers: {error}")),
            }
        }
        if names.is_empty() {
            match apex.child(b"ns1") {
                Some(name) => names.push(name),
                None => return wanted.fail("spec.name: it is too long to have a name server in it"),
            }
        }
        let given = |text: &Option<String>, default: Name, key: &str| match text {
            None => Ok(default),
            Some(text) => {
                let name = Name::parse_given(&text.replacen('@', ".", 1));
                name.map_err(|error| format!("spec.{key}: {error}"))
            }
        };
        let hostmaster = apex.child(b"hostmaster").unwrap_or_else(|| apex.clone());
        let (primary, mailbox) = match (
            given(&spec.primary, names[0].clone(), "primary"),
            given(&spec.mailbox, hostmaster, "mailbox"),
        ) {
            (Ok(primary), Ok(mailbox)) => (primary, mailbox),
            (Err(error), _) | (_, Err(error)) => return wanted.fail(error),
        };
        let Spec {
            ttl,
            refresh,
            retry,
            expire,
            minimum,
            ..
        } = spec;
        let soa = format!("{primary} {mailbox} 1 {refresh} {retry} {expire} {minimum}");
        wanted.record(apex.clone(), RecordType::SOA, Some(*ttl), &[&soa], Wildcard::Rfc4592);
        let values: Vec<String> = names.iter().map(Name::to_string).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        wanted.record(apex.clone(), RecordType::NS, Some(*ttl), &values, Wildcard::Rfc4592);
        for name in names.into_iter().filter(|name| name.is_at_or_below(&apex)) {
            if spec.addresses.is_empty() {
                wanted.note(format!(
                    "{name} is in the zone, and `addresses` says none: name it in a RecordSet"
                ));
            }
            wanted.addresses(name, &spec.addresses, *ttl);
        }
    }
}
