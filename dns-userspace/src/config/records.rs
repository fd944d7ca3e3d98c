//! `records`: RRsets that are written into the configuration itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Config;
use super::backend::BackendConfig;
use super::document::{FilePosition, YamlKind};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use super::ttl_bounds::{MAX_TTL, TtlBounds};
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Handling, MOST_OF_MESSAGE, Order, Rdata, RecordType, RrSet, Wildcard, octets_of_answer};
use crate::model::shown::{MOST_OF_VALUE, shorten};
use crate::model::source::Origin;
use crate::model::views::{ViewClients, ViewName};
use crate::store::ConfiguredView;

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
    pub at: FilePosition,
}

/// The types at a name, and where the file has them.
type TypesAt = BTreeMap<RecordType, FilePosition>;
/// What wildcards stand for, and where the file says so first.
type Wildcards = HashMap<Name, (Wildcard, FilePosition)>;

const EXAMPLE: &str = "records: [{name: a.example., type: A, value: [192.0.2.1]}]";
const ITEM_KEYS: &[&str] = &["name", "type", "ttl", "value", "order", "weights", "wildcard", "view"];
/// Views that a message names.
const SHOWN_VIEWS: usize = 10;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::AtReload,
};

/// What a record takes from other keys.
struct RecordRules<'a> {
    views: &'a [ViewClients],
    default_ttl: u32,
    bounds: TtlBounds,
}

pub(super) fn read(
    input: &Input<'_>,
    bounds: &TtlBounds,
    backend: &BackendConfig,
    views: &[ViewClients],
    findings: &mut Findings,
) -> Vec<ConfiguredRecord> {
    let rules = RecordRules {
        default_ttl: backend.default_ttl,
        bounds: *bounds,
        views,
    };
    let items = input.root.list("records", EXAMPLE, findings).unwrap_or_default();
    let mut records = Vec::with_capacity(items.len());
    let views: HashMap<&str, &ViewName> = rules.views.iter().map(|view| (&*view.name, &view.name)).collect();
    let mut types: HashMap<(Option<ViewName>, Name), TypesAt> = HashMap::new();
    let mut wildcards: HashMap<Option<ViewName>, Wildcards> = HashMap::new();
    for item in items {
        let section = CheckedMapping::item(item, "a record", ITEM_KEYS, findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let owner = section
            .required_text("name", "name: www.example.com.", findings)
            .and_then(|name| name.to_name("name", findings));
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
            findings.error(section.at, ConfigProblem::SoaInView { owner });
            continue;
        }
        // `Some(None)`: a view that is not there, which is reported.
        let view = match view {
            Some(None) => continue,
            Some(view) => view,
            None => None,
        };

        let beside = types.entry((view.clone(), owner.clone())).or_default();
        if !stands_beside(&owner, rtype, section.at, beside, findings) {
            continue;
        }
        beside.insert(rtype, section.at);
        let of_view = wildcards.entry(view.clone()).or_default();
        agree_on_wildcard(&owner, (wildcard, section.at), of_view, findings);
        let rrset = RrSet {
            rtype,
            ttl,
            rdatas: values.rdatas.into(),
            origin: Origin::config(),
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

impl Config {
    /// The RRsets of `records` that are in no view, as the store takes them.
    pub fn record_sets(&self) -> Vec<(Name, RrSet)> {
        let records = self.records.iter().filter(|record| record.view.is_none());
        let origin = self.origin();
        records.map(|record| Self::as_stored(record, &origin)).collect()
    }

    /// The views with their RRsets of `records`, as the store takes them.
    pub fn view_sets(&self) -> Vec<ConfiguredView> {
        let origin = self.origin();
        let mut by_view: HashMap<&ViewName, Vec<(Name, RrSet)>> = HashMap::new();
        for record in &self.records {
            if let Some(view) = &record.view {
                by_view.entry(view).or_default().push(Self::as_stored(record, &origin));
            }
        }
        let views = self.views.iter();
        let views = views.map(|view| ConfiguredView {
            view: view.clone(),
            records: by_view.remove(&view.name).unwrap_or_default(),
        });
        views.collect()
    }

    /// A record as the store takes it; `origin` is this file.
    fn as_stored(record: &ConfiguredRecord, origin: &Origin) -> (Name, RrSet) {
        let rrset = RrSet {
            origin: origin.clone(),
            ..record.rrset.clone()
        };
        (record.owner.clone(), rrset)
    }

    fn origin(&self) -> Origin {
        Origin::config_file(self.file.display().to_string())
    }
}

impl RecordRules<'_> {
    fn find_view(&self, name: Text<'_>, views: &HashMap<&str, &ViewName>, findings: &mut Findings) -> Option<ViewName> {
        let found = views.get(name.text).copied().cloned();
        if found.is_none() {
            let known = self.views.iter().take(SHOWN_VIEWS);
            let known = known.map(|view| view.name.to_string()).collect();
            let given = name.text.to_owned();
            findings.error(name.at, ConfigProblem::UnknownView { name: given, known });
        }
        found
    }

    fn check_ttl(&self, ttl: u32, at: Option<FilePosition>, findings: &mut Findings) -> u32 {
        let TtlBounds { min, max } = self.bounds;
        if !(min..=max).contains(&ttl) {
            findings.error_at(at, ConfigProblem::TtlOutOfBounds { ttl, min, max });
        }
        ttl
    }
}

/// Reports what cannot be at the same owner as an earlier record.
fn stands_beside(owner: &Name, rtype: RecordType, at: FilePosition, beside: &TypesAt, findings: &mut Findings) -> bool {
    let problem = if let Some(&first) = beside.get(&rtype) {
        ConfigProblem::DuplicateRrset {
            owner: owner.clone(),
            rtype,
            first,
        }
    } else if let Some((other, clash)) = rtype.first_clash(|other| beside.contains_key(&other), beside.keys().copied())
    {
        ConfigProblem::Clash {
            owner: owner.clone(),
            rtype,
            other,
            other_at: beside[&other],
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
struct RecordValues {
    /// Each once.
    rdatas: Vec<Rdata>,
    /// Which of those that are written these are.
    kept: Vec<usize>,
    /// How many are written.
    written: usize,
}

/// The order of a record's values.
fn read_order(section: &CheckedMapping<'_>, values: &RecordValues, findings: &mut Findings) -> Order {
    const EXAMPLE: &str = "weights: [10, 5]";
    let word = section.word("order", Order::WORDS, findings).unwrap_or(Order::WORDS[0]);
    let weights = section.numbers("weights", 0..=u16::MAX, EXAMPLE, findings);
    let at = section.position("weights");
    let is_weighted = word == Order::Weighted(Box::default()).word();
    match (&weights, at) {
        (Some(weights), _) if !is_weighted && weights.is_empty() => {}
        (Some(_), Some(at)) if !is_weighted => findings.error(at, ConfigProblem::WeightsWithoutOrder),
        (Some(weights), Some(at)) if weights.len() != values.written => findings.error(
            at,
            ConfigProblem::WeightsForValues {
                weights: weights.len(),
                values: values.written,
            },
        ),
        (None, None) if is_weighted => findings.error(
            section.position("order").unwrap_or(section.at),
            ConfigProblem::MissingKey {
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
fn read_wildcard(section: &CheckedMapping<'_>, owner: Option<&Name>, findings: &mut Findings) -> Wildcard {
    let word = section.word("wildcard", Wildcard::WORDS, findings);
    if let (Some(at), Some(owner)) = (section.position("wildcard"), owner)
        && !owner.is_wildcard()
    {
        findings.error(at, ConfigProblem::NoWildcard { owner: owner.clone() });
    }
    word.and_then(Wildcard::from_word).unwrap_or_default()
}

/// All records of a wildcard say the same of it.
fn agree_on_wildcard(
    owner: &Name,
    (wildcard, at): (Wildcard, FilePosition),
    wildcards: &mut Wildcards,
    findings: &mut Findings,
) {
    if !owner.is_wildcard() {
        return;
    }
    let (first, first_at) = *wildcards.entry(owner.clone()).or_insert((wildcard, at));
    if first != wildcard {
        let owner = owner.clone();
        findings.error(at, ConfigProblem::WildcardsDiffer { owner, first: first_at });
    }
}

/// The values of a record; `None` where they cannot be used.
fn read_values(
    section: &CheckedMapping<'_>,
    owner: Option<&Name>,
    rtype: Option<RecordType>,
    findings: &mut Findings,
) -> Option<RecordValues> {
    const EXAMPLE: &str = "value: [192.0.2.1]";
    let Some(at) = section.position("value") else {
        let section_name = "a record".to_owned();
        findings.error(
            section.at,
            ConfigProblem::MissingKey {
                key: "value",
                section: section_name,
                example: EXAMPLE,
            },
        );
        return Some(RecordValues::default()); // the other keys are still worth checking
    };
    let items = section.list("value", EXAMPLE, findings)?;
    if items.is_empty() {
        findings.error(
            at,
            ConfigProblem::Empty {
                key: "value".to_owned(),
                remedy: "write at least one value",
            },
        );
    }
    let mut values = RecordValues {
        written: items.len(),
        ..RecordValues::default()
    };
    let mut seen = HashSet::new();
    for (written, item) in items.iter().enumerate() {
        // Any scalar is a value as it is written: a TXT record may say 1.10, or true.
        let YamlKind::Scalar { text, .. } = &item.kind else {
            let key = "value".to_owned();
            let problem = ConfigProblem::WrongType {
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
                ConfigProblem::Empty {
                    key: "value".to_owned(),
                    remedy,
                },
            );
            continue;
        }
        let Some(rtype) = rtype else { continue };
        match rdata::parse_value(rtype, text) {
            Ok(rdata) if seen.insert(rdata::canonical(rtype, &rdata)) => {
                values.rdatas.push(rdata);
                values.kept.push(written);
            }
            Ok(_) => findings.warning(item.at, format!("`{text}` is there already and counts once")),
            Err(error) => findings.error(
                item.at,
                ConfigProblem::BadValue {
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
fn check_rrset(owner: &Name, rtype: RecordType, rdatas: &[Rdata], at: FilePosition, findings: &mut Findings) {
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
            ConfigProblem::SeveralOfSingleton {
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
            ConfigProblem::RrsetTooLarge {
                owner: owner.clone(),
                rtype,
                bytes,
            },
        );
    }
}

fn parse_type(rtype: Text<'_>, findings: &mut Findings) -> Option<RecordType> {
    match rtype.text.parse::<RecordType>() {
        Ok(known) if known.is_data() => Some(known),
        Ok(known) => {
            findings.error(rtype.at, ConfigProblem::NotDataType { rtype: known });
            None
        }
        Err(error) => {
            findings.error(rtype.at, ConfigProblem::BadType { error });
            None
        }
    }
}
