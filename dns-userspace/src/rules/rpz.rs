//! Response policy zones: a zone file whose names say what other names get.
//!
//! | RR of `NAME.ZONE` | NAME gets |
//! |---|---|
//! | `CNAME .` | NXDOMAIN |
//! | `CNAME *.` | no data |
//! | `CNAME rpz-passthru.` | its own answer: no later rule is asked |
//! | `CNAME rpz-drop.` | no reply |
//! | `CNAME *.x.` | `NAME.x.` as an alias |
//! | any other RRs | these |
//!
//! `*.NAME.ZONE` is for all below NAME. The longest name decides, an exact one before a wildcard. Of the triggers of
//! the Internet draft draft-vixie-dnsop-dns-rpz these are the QNAME triggers; others are counted and left out.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::remote::RemoteList;
use super::template::message;
use super::{Asked, Verdict, suffixes};
use crate::host::files;
use crate::message::Record;
use crate::model::name::Name;
use crate::model::record::{RecordType, RrSet};
use crate::zonefile::{self, ZoneFileError};

const CLASS_IN: u16 = 1;
const NXDOMAIN: u16 = 3;
/// Octets of a file.
const MOST_OCTETS: u64 = 256 << 20;
/// Labels right below the zone that make another trigger of a name.
const OTHER_TRIGGERS: &[&[u8]] = &[b"rpz-ip", b"rpz-nsip", b"rpz-nsdname", b"rpz-client-ip"];

/// A rule with a response policy zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rpz {
    /// The zone's name: that of the file's SOA record.
    pub zone: Name,
    /// Where it is.
    pub source: RpzSource,
}

/// Where a response policy zone is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RpzSource {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Remote(RemoteList),
}

/// A zone that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyZone {
    /// By name in wire form, in lower case: what it gets itself.
    exact: HashMap<Box<[u8]>, Policy>,
    /// What all below it gets.
    below: HashMap<Box<[u8]>, Policy>,
    /// Names of other triggers, and actions that are not known.
    pub(super) left_out: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Policy {
    Nxdomain,
    Nodata,
    Passthru,
    Drop,
    /// An alias to the same name below this one.
    Below(Name),
    Local(Vec<RrSet>),
}

impl Rpz {
    /// Reads the zone; the empty one where it was not fetched yet.
    pub(super) fn load(&self) -> Result<PolicyZone, String> {
        let text = match &self.source {
            RpzSource::File(path) => files::read_text(path, MOST_OCTETS).map(Some),
            RpzSource::Remote(list) => list.copy(),
        };
        match text.map_err(|error| error.to_string())? {
            Some(text) => self.read(&text),
            None => Ok(PolicyZone::default()),
        }
    }

    /// Its source, for messages.
    pub(super) fn shown_source(&self) -> String {
        match &self.source {
            RpzSource::File(path) => path.display().to_string(),
            RpzSource::Remote(list) => list.url.to_string(),
        }
    }

    /// Reads its text.
    pub(super) fn read(&self, text: &str) -> Result<PolicyZone, String> {
        let read = zonefile::read_text(text.as_bytes(), &self.zone, Arc::from("rpz"));
        let content = read.map_err(|errors| first_of(&errors))?;
        let mut zone = PolicyZone::default();
        let mut local: HashMap<Name, Vec<RrSet>> = HashMap::new();
        for (owner, rrset) in content.rrsets {
            if owner != self.zone {
                local.entry(owner.to_lowercase()).or_default().push(rrset);
            }
        }
        for (owner, rrsets) in local {
            if zone.add(&owner, &self.zone, rrsets).is_none() {
                zone.left_out += 1;
            }
        }
        Ok(zone)
    }
}

fn first_of(errors: &[ZoneFileError]) -> String {
    match errors {
        [] => "it cannot be read".to_owned(),
        [error, rest @ ..] => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(", and {} more", rest.len())
            };
            format!("line {}: {}{more}", error.line, error.message)
        }
    }
}

impl PolicyZone {
    /// Names in it.
    pub(super) fn len(&self) -> usize {
        self.exact.len() + self.below.len()
    }

    fn add(&mut self, owner: &Name, zone: &Name, rrsets: Vec<RrSet>) -> Option<()> {
        // What is left is the name that it is about.
        let wire = owner.as_wire();
        let relative = wire.len().checked_sub(zone.as_wire().len())?;
        let mut trigger = wire[..relative].to_vec();
        trigger.push(0);
        let labels: Vec<&[u8]> = suffixes(&trigger)
            .filter_map(|name| name.get(1..1 + usize::from(name[0])))
            .collect();
        // The last one is the root's.
        let last = labels.iter().rev().find(|label| !label.is_empty())?;
        if OTHER_TRIGGERS.contains(last) {
            return None;
        }
        let policy = policy(rrsets)?;
        match trigger.strip_prefix(b"\x01*") {
            Some(below) => self.below.insert(below.into(), policy),
            None => self.exact.insert(trigger.into(), policy),
        };
        Some(())
    }

    /// What a name gets; `None`: nothing of it is here.
    pub(super) fn verdict(&self, asked: &Asked<'_>) -> Option<Verdict> {
        let mut above = suffixes(&asked.lower).skip(1);
        let found = self.exact.get(&asked.lower[..]);
        let policy = found.or_else(|| above.find_map(|name| self.below.get(name)))?;
        Some(policy.verdict(asked))
    }
}

/// `None` where it is no action that is known.
fn policy(rrsets: Vec<RrSet>) -> Option<Policy> {
    let alias = rrsets.iter().find(|rrset| rrset.rtype == RecordType::CNAME);
    let target = alias.and_then(|alias| Name::from_wire(alias.rdatas.iter().next()?).ok());
    let Some(target) = target else {
        return Some(Policy::Local(rrsets));
    };
    match target.to_string().to_ascii_lowercase().as_str() {
        "." => Some(Policy::Nxdomain),
        "*." => Some(Policy::Nodata),
        "rpz-passthru." => Some(Policy::Passthru),
        "rpz-drop." => Some(Policy::Drop),
        // `rpz-tcp-only.`, and what may come.
        text if text.starts_with("rpz-") && target.label_count() == 1 => None,
        _ => match target.as_wire().strip_prefix(b"\x01*") {
            Some(below) => Name::from_wire(below).ok().map(Policy::Below),
            None => Some(Policy::Local(rrsets)),
        },
    }
}

impl Policy {
    fn verdict(&self, asked: &Asked<'_>) -> Verdict {
        let record = |rtype: RecordType, ttl: u32, rdata: Vec<u8>| Record {
            owner: asked.wire.to_vec(),
            rtype: rtype.0,
            class: CLASS_IN,
            ttl,
            rdata,
        };
        match self {
            Self::Nxdomain => Verdict::Blocked(message(NXDOMAIN, Vec::new())),
            Self::Nodata => Verdict::Blocked(message(0, Vec::new())),
            Self::Passthru => Verdict::Pass,
            Self::Drop => Verdict::Drop,
            Self::Below(name) => {
                let mut target = asked.wire[..asked.wire.len() - 1].to_vec();
                target.extend_from_slice(name.as_wire());
                match Name::from_wire(&target) {
                    Ok(target) => {
                        let alias = record(RecordType::CNAME, ALIAS_TTL, target.as_wire().to_vec());
                        Verdict::Answer(message(0, vec![alias]))
                    }
                    // The name would be too long.
                    Err(_) => Verdict::Blocked(message(NXDOMAIN, Vec::new())),
                }
            }
            Self::Local(rrsets) => {
                let wanted = rrsets.iter().filter(|rrset| {
                    let is_asked = rrset.rtype == asked.qtype || asked.qtype == RecordType::ANY;
                    is_asked || rrset.rtype == RecordType::CNAME
                });
                let records = wanted.flat_map(|rrset| {
                    let rdatas = rrset.rdatas.iter();
                    rdatas.map(|rdata| record(rrset.rtype, rrset.ttl, rdata.to_vec()))
                });
                Verdict::Answer(message(0, records.collect()))
            }
        }
    }
}

/// The TTL of an alias that is made.
const ALIAS_TTL: u32 = 60;
