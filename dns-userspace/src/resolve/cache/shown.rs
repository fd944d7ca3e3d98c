//! Entries as people see them.

use std::time::Duration;

use serde::Serialize;

use super::entry::{Entry, Given};
use super::key::{name_of, tail_of};
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::RecordType;

/// An answer in the cache, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CachedAnswer {
    /// The question's name.
    pub name: String,
    /// Its type.
    pub r#type: String,
    /// `NOERROR`, `NXDOMAIN` …, or `SERVFAIL` where upstream has failed.
    pub rcode: &'static str,
    /// Seconds for which it holds; 0 where it is over.
    pub ttl: u32,
    /// Whether it is over, and given only where upstream does not answer.
    pub stale: bool,
    /// The set of upstream servers that it came from.
    pub upstream: String,
    /// DO of the question.
    pub dnssec_ok: bool,
    /// CD of the question.
    pub checking_disabled: bool,
    /// The answer section, as lines of a master file.
    pub records: Vec<String>,
}

pub(super) fn show(
    key: &[u8],
    entry: &Entry,
    now: Duration,
    max_age: Duration,
    set_name: &impl Fn(u16) -> String,
) -> Option<CachedAnswer> {
    let left = entry.left(now);
    let can_be_given = left.is_some() || (entry.failure().is_none() && entry.is_over_by(now) <= max_age);
    let name = Name::from_wire(name_of(key)).ok().filter(|_| can_be_given)?;
    let (qtype, _, dnssec_ok, checking_disabled, set) = tail_of(key)?;
    let given = left.map_or(Given::Stale, |_| Given::Aged(entry.age(now)));
    let message = entry.message(name.as_wire(), qtype, given)?;
    let records = message.answer.iter().map(|record| {
        let owner = Name::from_wire(&record.owner).map_or_else(|_| "?".to_owned(), |owner| owner.to_string());
        let rtype = RecordType(record.rtype);
        let value = rdata::format_value(rtype, &record.rdata);
        format!("{owner} {} IN {rtype} {value}", record.ttl)
    });
    Some(CachedAnswer {
        name: name.to_string(),
        r#type: RecordType(qtype).to_string(),
        rcode: match entry.rcode() {
            0 => "NOERROR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            _ => "YXDOMAIN",
        },
        ttl: left.unwrap_or(0),
        stale: left.is_none(),
        upstream: set_name(set),
        dnssec_ok,
        checking_disabled,
        records: records.collect(),
    })
}
