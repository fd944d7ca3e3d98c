//! Edits as clients write them in change sets, and differences as they are shown.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use utoipa::ToSchema;

use super::body::{AskedRrset, RrsetBody, Values, missing};
use super::page::{Record, record};
use super::parameters::{find_view, parse_name, parse_type};
use super::problem::Problem;
use super::templates::{ZoneBody, zone_records};
use crate::config::ZoneTemplate;
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::Snapshot;
use crate::model::views::ViewName;
use crate::store::{Condition, Edit, EditedRrset, Expected, Subject};

/// What an edit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EditOperation)]
pub(super) enum Op {
    Put,
    Add,
    Remove,
    Delete,
    CreateZone,
    DeleteZone,
}

/// One edit of a body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Edit)]
pub(super) struct EditBody {
    op: Op,
    view: Option<String>,
    name: Option<String>,
    zone: Option<String>,
    r#type: Option<String>,
    #[schema(value_type = Option<u32>, maximum = 2147483647)]
    ttl: Option<Number>,
    value: Option<Values>,
    order: Option<String>,
    #[schema(value_type = Option<Vec<u16>>)]
    weights: Option<Vec<Number>>,
    wildcard: Option<String>,
    locked: Option<bool>,
    disabled: Option<bool>,
    note: Option<String>,
    #[schema(value_type = Option<Vec<RrsetBody>>)]
    records: Option<Vec<Value>>,
    if_match: Option<Tag>,
    if_none_match: Option<Tag>,
    #[serde(rename = "source")]
    #[schema(value_type = Option<Value>)]
    _source: Option<serde::de::IgnoredAny>,
    #[serde(rename = "object")]
    #[schema(value_type = Option<Value>)]
    _object: Option<serde::de::IgnoredAny>,
    #[serde(rename = "version")]
    #[schema(value_type = Option<Value>)]
    _version: Option<serde::de::IgnoredAny>,
}

/// A version, or `*`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a version is a number, or `*`")]
#[schema(as = ExpectedVersion)]
pub(super) enum Tag {
    Version(u64),
    Text(String),
}

impl Tag {
    fn condition(&self, one_of: fn(Vec<u64>) -> Condition, any: Condition) -> Result<Condition, Problem> {
        match self {
            Self::Version(version) => Ok(one_of(vec![*version])),
            Self::Text(text) if text == "*" => Ok(any),
            Self::Text(text) => {
                let quoted = text.trim_matches('"').parse();
                quoted.map(|version| one_of(vec![version])).map_err(|_| {
                    Problem::bad_request(
                        "invalid_body",
                        format!("`{text}` is no version: write a number, or `*`"),
                    )
                })
            }
        }
    }
}

/// An edit, and what it expects.
pub(super) struct AskedEdit {
    pub(super) edit: Edit,
    pub(super) expects: Vec<Expected>,
}

/// Reads the edit in this place of a list.
pub(super) fn read(
    snapshot: &Snapshot,
    template: &ZoneTemplate,
    place: usize,
    body: EditBody,
) -> Result<AskedEdit, Problem> {
    let tags = [
        body.if_match
            .as_ref()
            .map(|tag| tag.condition(Condition::OneOf, Condition::Exists)),
        body.if_none_match
            .as_ref()
            .map(|tag| tag.condition(Condition::NoneOf, Condition::Absent)),
    ];
    let conditions: Vec<Condition> = tags.into_iter().flatten().collect::<Result<_, _>>()?;
    let (edit, subject) = match body.op {
        Op::CreateZone | Op::DeleteZone => of_zone(template, body)?,
        Op::Delete => delete(snapshot, &body)?,
        Op::Put | Op::Add | Op::Remove => of_rrset(snapshot, body)?,
    };
    let expects = conditions.into_iter().map(|condition| match &subject {
        Some(subject) => Ok(Expected {
            edit: place,
            subject: subject.clone(),
            condition,
        }),
        None => Err(Problem::bad_request(
            "invalid_body",
            "a condition needs `type`: each RRset has a version of its own, and the name has none",
        )),
    });
    Ok(AskedEdit {
        expects: expects.collect::<Result<_, _>>()?,
        edit,
    })
}

fn of_zone(template: &ZoneTemplate, body: EditBody) -> Result<(Edit, Option<Subject>), Problem> {
    let name = body.zone.or(body.name).ok_or_else(|| missing("zone"))?;
    let apex = parse_name(&name)?;
    let subject = Subject::Zone(apex.clone());
    if body.op == Op::DeleteZone {
        return Ok((Edit::DeleteZone { apex }, Some(subject)));
    }
    let zone = ZoneBody {
        name,
        records: body.records.unwrap_or_default(),
    };
    let records = zone_records(template, &apex, zone.records)?;
    Ok((Edit::CreateZone { apex, records }, Some(subject)))
}

fn delete(snapshot: &Snapshot, body: &EditBody) -> Result<(Edit, Option<Subject>), Problem> {
    let owner = parse_name(body.name.as_deref().ok_or_else(|| missing("name"))?)?;
    let rtype = body.r#type.as_deref().map(parse_type).transpose()?;
    let view = body.view.as_deref().map(|name| find_view(snapshot, name)).transpose();
    let view = view.map_err(|detail| Problem::bad_request("invalid_value", detail))?;
    let subject = rtype.map(|rtype| Subject::Rrset {
        view: view.clone(),
        owner: owner.clone(),
        rtype,
    });
    Ok((Edit::Delete { view, owner, rtype }, subject))
}

fn of_rrset(snapshot: &Snapshot, body: EditBody) -> Result<(Edit, Option<Subject>), Problem> {
    let op = body.op;
    let rrset = RrsetBody {
        view: body.view,
        name: body.name,
        r#type: body.r#type,
        ttl: body.ttl,
        value: body.value,
        order: body.order,
        weights: body.weights,
        wildcard: body.wildcard,
        locked: body.locked,
        disabled: body.disabled,
        note: body.note,
        ..RrsetBody::default()
    };
    let mut asked = AskedRrset::of(snapshot, rrset, None, None, None)?;
    let rdatas = asked.values()?;
    let AskedRrset {
        view,
        owner,
        rtype,
        wanted,
        ..
    } = asked;
    let subject = Subject::Rrset {
        view: view.clone(),
        owner: owner.clone(),
        rtype,
    };
    let edit = match op {
        Op::Add => Edit::AddValues {
            view,
            owner,
            rtype,
            wanted,
            rdatas,
        },
        Op::Remove => Edit::RemoveValues {
            view,
            owner,
            rtype,
            rdatas,
        },
        _ => Edit::Put {
            view,
            owner,
            rtype,
            wanted,
            rdatas,
        },
    };
    Ok((edit, Some(subject)))
}

/// An RRset that differs, as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Difference)]
pub(super) struct ShownDifference {
    name: String,
    r#type: String,
    view: Option<String>,
    old: Option<Record>,
    new: Option<Record>,
}

/// The parts of a difference.
pub(super) struct Differing<'a> {
    pub(super) view: Option<&'a ViewName>,
    pub(super) owner: &'a Name,
    pub(super) rtype: RecordType,
    pub(super) old: Option<&'a RrSet>,
    pub(super) new: Option<&'a RrSet>,
}

impl<'a> From<&'a EditedRrset> for Differing<'a> {
    fn from(edited: &'a EditedRrset) -> Self {
        Self {
            view: edited.view.as_ref(),
            owner: &edited.owner,
            rtype: edited.rtype,
            old: edited.before.as_deref(),
            new: edited.after.as_deref(),
        }
    }
}

impl<'a> From<&'a crate::control::Difference> for Differing<'a> {
    fn from(difference: &'a crate::control::Difference) -> Self {
        Self {
            view: difference.view.as_ref(),
            owner: &difference.owner,
            rtype: difference.rtype,
            old: difference.old.as_deref(),
            new: difference.new.as_deref(),
        }
    }
}

impl Differing<'_> {
    /// As JSON shows it.
    pub(super) fn shown(&self) -> ShownDifference {
        // What is shown is what the set says, not what is served by now.
        static NOTHING: LazyLock<Snapshot> = LazyLock::new(Snapshot::default);
        let shown = |rrset: Option<&RrSet>| rrset.map(|rrset| record(&NOTHING, self.view, self.owner, rrset));
        ShownDifference {
            name: self.owner.to_string(),
            r#type: self.rtype.to_string(),
            view: self.view.map(|view| view.to_string()),
            old: shown(self.old),
            new: shown(self.new),
        }
    }

    fn lines(&self, sign: char, rrset: Option<&RrSet>, text: &mut String) {
        let Some(rrset) = rrset else { return };
        for line in master_lines(self.owner, rrset) {
            text.push(sign);
            text.push_str(&line);
            if let Some(view) = self.view {
                text.push_str(&format!(" ; view {view}"));
            }
            text.push('\n');
        }
    }
}

/// One line of a master file for each RR of an RRset.
pub(super) fn master_lines<'a>(owner: &'a Name, rrset: &'a RrSet) -> impl Iterator<Item = String> + 'a {
    rrset.rdatas.iter().map(move |value| {
        let value = rdata::format_value(rrset.rtype, value);
        format!("{owner} {} IN {} {value}", rrset.ttl, rrset.rtype)
    })
}

/// A unified text: what goes behind `-`, what comes behind `+`, what stays is left out.
pub(super) fn unified<'a>(from: u64, to: &str, differing: impl Iterator<Item = Differing<'a>>) -> String {
    let mut text = format!("--- version {from}\n+++ {to}\n");
    for difference in differing {
        text.push_str(&format!("@@ {} {} @@\n", difference.owner, difference.rtype));
        difference.lines('-', difference.old, &mut text);
        difference.lines('+', difference.new, &mut text);
    }
    text
}
