//! `zones` and `records` of the configuration file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::TtlBounds;
use super::document::{Kind, Node, Position};
use super::limits::read_access;
use super::problem::{Findings, Problem};
use super::section::{Section, Text};
use crate::access::AccessList;
use crate::name::Name;
use crate::rdata;
use crate::record::{Handling, MOST_OF_MESSAGE, Order, Rdata, RecordType, RrSet, Source, Wildcard, octets_of_answer};
use crate::shown::{MOST_OF_VALUE, shorten};
use crate::views::{ViewClients, ViewName};
use crate::work::Sought;

/// A zone of the configuration file. What its zone file holds is not part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredZone {
    /// The name of the zone.
    pub apex: Name,
    /// Where the zone file is.
    pub file: PathBuf,
    /// The zone file as the configuration writes it: what logs and replies call it.
    pub shown_as: Arc<str>,
    /// `acl`: who may ask for its names.
    pub access: Option<Arc<AccessList>>,
    /// Where the configuration names the file.
    pub file_at: Position,
}

/// An RRset of `records`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredRecord {
    /// The view that it is in; `None` is the default.
    pub view: Option<ViewName>,
    /// The owner, in the case in which it was written.
    pub owner: Name,
    /// Type, TTL and values.
    pub rrset: RrSet,
    /// Where the configuration says so.
    pub at: Position,
}

/// The types at a name, and where the file has them.
type TypesAt = BTreeMap<Sought<RecordType>, Position>;
/// The views that are configured, by name.
type Views<'a> = HashMap<Sought<&'a str>, &'a ViewName>;
/// What wildcards stand for, and where the file says so first.
type Wildcards = HashMap<Sought<Name>, (Wildcard, Position)>;

const ZONE_KEYS: &[&str] = &["name", "file", "acl"];
const RECORD_KEYS: &[&str] = &["name", "type", "ttl", "value", "order", "weights", "wildcard", "view"];
/// Views that a message names.
const SHOWN_VIEWS: usize = 10;
/// The largest TTL (RFC 2181 §8).
pub(super) const MAX_TTL: u32 = 0x7FFF_FFFF;

pub(super) fn read_zones(items: &[Rc<Node>], base: &Path, findings: &mut Findings) -> Vec<ConfiguredZone> {
    let mut zones = Vec::with_capacity(items.len());
    let mut first: HashMap<Sought<Name>, Position> = HashMap::new();
    for item in items {
        let section = Section::item(item, "a zone", ZONE_KEYS, findings);
        if !matches!(item.kind, Kind::Mapping(_)) {
            continue;
        }
        let name = section.required_text("name", "name: example.com.", findings);
        let access = read_access(&section, findings);
        let file = section.required_text("file", "file: zones/example.com.zone", findings);
        let apex = name.and_then(|name| parse_name("name", name, findings));
        if let (Some(apex), Some(name)) = (&apex, name) {
            let sought = Sought(apex.clone());
            if let Some(first) = first.get(&sought) {
                findings.error(
                    name.at,
                    Problem::DuplicateZone {
                        apex: apex.clone(),
                        first: *first,
                    },
                );
                continue;
            }
            first.insert(sought, name.at);
        }
        if let Some(Text { at, text: "" }) = file {
            findings.error(
                at,
                Problem::Empty {
                    key: "file".to_owned(),
                    remedy: "write the zone file's path",
                },
            );
            continue;
        }
        if let (Some(apex), Some(file)) = (apex, file) {
            zones.push(ConfiguredZone {
                apex,
                file: base.join(file.text),
                shown_as: file.text.into(),
                access,
                file_at: file.at,
            });
        }
    }
    zones
}

/// What `records` takes from the rest of the configuration.
pub(super) struct RecordRules<'a> {
    pub(super) views: &'a [ViewClients],
    pub(super) default_ttl: u32,
    pub(super) bounds: TtlBounds,
}

pub(super) fn read_records(
    items: &[Rc<Node>],
    rules: &RecordRules<'_>,
    findings: &mut Findings,
) -> Vec<ConfiguredRecord> {
    let mut records = Vec::with_capacity(items.len());
    let views: Views<'_> = rules
        .views
        .iter()
        .map(|view| (Sought(&*view.name), &view.name))
        .collect();
    let mut types: HashMap<Sought<(Option<ViewName>, Name)>, TypesAt> = HashMap::new();
    let mut wildcards: HashMap<Sought<Option<ViewName>>, Wildcards> = HashMap::new();
    for item in items {
        let section = Section::item(item, "a record", RECORD_KEYS, findings);
        if !matches!(item.kind, Kind::Mapping(_)) {
            continue;
        }
        let owner = section
            .required_text("name", "name: www.example.com.", findings)
            .and_then(|name| parse_name("name", name, findings));
        let rtype = section
            .required_text("type", "type: A", findings)
            .and_then(|rtype| parse_type(rtype, findings));
        let ttl = section
            .number("ttl", 0..=MAX_TTL, "seconds", "ttl: 300", findings)
            .map_or(rules.default_ttl, |ttl| {
                rules.check_ttl(ttl, section.position("ttl"), findings)
            });
        let wildcard = read_wildcard(&section, owner.as_ref(), findings);
        let Some(values) = read_values(&section, owner.as_ref(), rtype, findings) else {
            continue;
        };
        let order = read_order(&section, &values, findings);
        let view = section.text("view", "view: office", findings);
        let view = view.map(|view| rules.find_view(view, &views, findings));
        let (Some(owner), Some(rtype)) = (owner, rtype) else {
            continue;
        };
        if view.is_some() && rtype == RecordType::SOA {
            findings.error(section.at, Problem::SoaInView { owner });
            continue;
        }
        // `Some(None)`: a view that is not there, which is reported.
        let view = match view {
            Some(None) => continue,
            Some(view) => view,
            None => None,
        };

        let beside = types.entry(Sought((view.clone(), owner.clone()))).or_default();
        if !stands_beside(&owner, rtype, section.at, beside, findings) {
            continue;
        }
        beside.insert(Sought(rtype), section.at);
        let of_view = wildcards.entry(Sought(view.clone())).or_default();
        agree_on_wildcard(&owner, (wildcard, section.at), of_view, findings);
        let rrset = RrSet {
            rtype,
            ttl,
            rdatas: values.rdatas.into(),
            source: Source::Config,
            handling: Handling::new(order, wildcard),
        };
        records.push(ConfiguredRecord {
            view,
            owner,
            rrset,
            at: section.at,
        });
    }
    records
}

impl RecordRules<'_> {
    fn find_view(&self, name: Text<'_>, views: &Views<'_>, findings: &mut Findings) -> Option<ViewName> {
        let found = views.get(&Sought(name.text)).copied().cloned();
        if found.is_none() {
            let known = self.views.iter().take(SHOWN_VIEWS);
            let known = known.map(|view| view.name.to_string()).collect();
            let given = name.text.to_owned();
            findings.error(name.at, Problem::UnknownView { name: given, known });
        }
        found
    }

    fn check_ttl(&self, ttl: u32, at: Option<Position>, findings: &mut Findings) -> u32 {
        let TtlBounds { min, max } = self.bounds;
        if !(min..=max).contains(&ttl) {
            findings.error_at(at, Problem::TtlOutOfBounds { ttl, min, max });
        }
        ttl
    }
}

/// Reports what cannot be at the same owner as an earlier record.
fn stands_beside(owner: &Name, rtype: RecordType, at: Position, beside: &TypesAt, findings: &mut Findings) -> bool {
    let problem = if let Some(&first) = beside.get(&Sought(rtype)) {
        Problem::DuplicateRrset {
            owner: owner.clone(),
            rtype,
            first,
        }
    } else if let Some((other, clash)) = rtype.first_clash(
        |other| beside.contains_key(&Sought(other)),
        beside.keys().map(|other| other.0),
    ) {
        Problem::Clash {
            owner: owner.clone(),
            rtype,
            other,
            other_at: beside[&Sought(other)],
            clash,
        }
    } else {
        return true;
    };
    findings.error(at, problem);
    false
}

/// The values of a record.
#[derive(Default)]
struct Values {
    /// Each once.
    rdatas: Vec<Rdata>,
    /// Which of those that are written these are.
    kept: Vec<usize>,
    /// How many are written.
    written: usize,
}

/// The order of a record's values.
fn read_order(section: &Section<'_>, values: &Values, findings: &mut Findings) -> Order {
    const EXAMPLE: &str = "weights: [10, 5]";
    let word = section.word("order", Order::WORDS, findings).unwrap_or(Order::WORDS[0]);
    let weights = section.numbers("weights", 0..=u16::MAX, EXAMPLE, findings);
    let at = section.position("weights");
    let is_weighted = word == Order::Weighted(Box::default()).word();
    match (&weights, at) {
        (Some(weights), _) if !is_weighted && weights.is_empty() => {}
        (Some(_), Some(at)) if !is_weighted => findings.error(at, Problem::WeightsWithoutOrder),
        (Some(weights), Some(at)) if weights.len() != values.written => findings.error(
            at,
            Problem::WeightsForValues {
                weights: weights.len(),
                values: values.written,
            },
        ),
        (None, None) if is_weighted => findings.error(
            section.position("order").unwrap_or(section.at),
            Problem::MissingKey {
                key: "weights",
                section: "a record with `order: weighted`".to_owned(),
                example: EXAMPLE,
            },
        ),
        _ => {}
    }
    let weights = weights.unwrap_or_default();
    let kept = values.kept.iter().filter_map(|&at| weights.get(at).copied());
    Order::from_word(word, kept.collect()).unwrap_or_default()
}

/// What a record's wildcard stands for.
fn read_wildcard(section: &Section<'_>, owner: Option<&Name>, findings: &mut Findings) -> Wildcard {
    let word = section.word("wildcard", Wildcard::WORDS, findings);
    if let (Some(at), Some(owner)) = (section.position("wildcard"), owner)
        && !owner.is_wildcard()
    {
        findings.error(at, Problem::NoWildcard { owner: owner.clone() });
    }
    word.and_then(Wildcard::from_word).unwrap_or_default()
}

/// All records of a wildcard say the same of it.
fn agree_on_wildcard(
    owner: &Name,
    (wildcard, at): (Wildcard, Position),
    wildcards: &mut Wildcards,
    findings: &mut Findings,
) {
    if !owner.is_wildcard() {
        return;
    }
    let (first, first_at) = *wildcards.entry(Sought(owner.clone())).or_insert((wildcard, at));
    if first != wildcard {
        let owner = owner.clone();
        findings.error(at, Problem::WildcardsDiffer { owner, first: first_at });
    }
}

/// The values of a record; `None` where they cannot be used.
fn read_values(
    section: &Section<'_>,
    owner: Option<&Name>,
    rtype: Option<RecordType>,
    findings: &mut Findings,
) -> Option<Values> {
    const EXAMPLE: &str = "value: [192.0.2.1]";
    let Some(at) = section.position("value") else {
        let section_name = "a record".to_owned();
        findings.error(
            section.at,
            Problem::MissingKey {
                key: "value",
                section: section_name,
                example: EXAMPLE,
            },
        );
        return Some(Values::default()); // the other keys are still worth checking
    };
    let items = section.list("value", EXAMPLE, findings)?;
    if items.is_empty() {
        findings.error(
            at,
            Problem::Empty {
                key: "value".to_owned(),
                remedy: "write at least one value",
            },
        );
    }
    let mut values = Values {
        written: items.len(),
        ..Values::default()
    };
    let mut seen = HashSet::new();
    for (written, item) in items.iter().enumerate() {
        // Any scalar is a value as it is written: a TXT record may say 1.10, or true.
        let Kind::Scalar { text, .. } = &item.kind else {
            let key = "value".to_owned();
            let problem = Problem::WrongType {
                key,
                found: item.describe(),
                expected: "a list of text",
                example: EXAMPLE,
            };
            findings.error(item.at, problem);
            continue;
        };
        if item.is_null() {
            let remedy = "remove the entry, or write the value in quotes";
            findings.error(
                item.at,
                Problem::Empty {
                    key: "value".to_owned(),
                    remedy,
                },
            );
            continue;
        }
        let Some(rtype) = rtype else { continue };
        match rdata::parse_value(rtype, text) {
            Ok(rdata) if seen.insert(Sought(rdata::canonical(rtype, &rdata))) => {
                values.rdatas.push(rdata);
                values.kept.push(written);
            }
            Ok(_) => findings.warning(item.at, format!("`{text}` is there already and counts once")),
            Err(error) => findings.error(
                item.at,
                Problem::BadValue {
                    rtype,
                    text: shorten(text.as_bytes(), MOST_OF_VALUE),
                    error,
                },
            ),
        }
    }
    if let (Some(owner), Some(rtype)) = (owner, rtype) {
        check_rrset(owner, rtype, &values.rdatas, at, findings);
    }
    Some(values)
}

/// Checks what a whole RRset must fulfil.
fn check_rrset(owner: &Name, rtype: RecordType, rdatas: &[Rdata], at: Position, findings: &mut Findings) {
    if rtype.is_singleton() && rdatas.len() > 1 {
        let rfc = match rtype {
            RecordType::CNAME => "RFC 2181 §10.1",
            RecordType::DNAME => "RFC 6672 §2.4",
            RecordType::ALIAS => "an ALIAS stands for one target",
            _ => "RFC 1035 §5.2",
        };
        let values = rdatas.len();
        findings.error(
            at,
            Problem::SeveralOfSingleton {
                owner: owner.clone(),
                rtype,
                values,
                rfc,
            },
        );
    }
    let bytes = octets_of_answer(owner, rdatas.iter().map(|rdata| &**rdata));
    if bytes > MOST_OF_MESSAGE {
        findings.error(
            at,
            Problem::RrsetTooLarge {
                owner: owner.clone(),
                rtype,
                bytes,
            },
        );
    }
}

fn parse_name(key: &str, name: Text<'_>, findings: &mut Findings) -> Option<Name> {
    Name::parse_given(name.text)
        .map_err(|error| {
            findings.error(
                name.at,
                Problem::BadName {
                    key: key.to_owned(),
                    error,
                },
            )
        })
        .ok()
}

fn parse_type(rtype: Text<'_>, findings: &mut Findings) -> Option<RecordType> {
    match rtype.text.parse::<RecordType>() {
        Ok(known) if known.is_data() => Some(known),
        Ok(known) => {
            findings.error(rtype.at, Problem::NotDataType { rtype: known });
            None
        }
        Err(error) => {
            findings.error(rtype.at, Problem::BadType { error });
            None
        }
    }
}
