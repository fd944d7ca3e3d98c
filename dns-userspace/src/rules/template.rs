//! Answers from a pattern: `^([^.]+)\.traefik\.$` → `{name} 60 IN A 172.20.0.3`.

use super::text::{Filling, Pattern, Text, TextError};
use super::{Asked, Verdict};
use crate::message::{Message, Record};
use crate::model::name::Name;
use crate::model::rdata::{self, RdataError};
use crate::model::record::RecordType;

const CLASS_IN: u16 = 1;
/// QR and AA.
const FLAGS: u16 = 0x8400;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
/// The TTL of a line that has none.
const DEFAULT_TTL: u32 = 60;
const MOST_TTL: u32 = i32::MAX as u32;

/// A rule that makes answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    qtype: Option<RecordType>,
    zone: Option<Name>,
    pattern: Option<Pattern>,
    answer: Vec<Line>,
    falls_through: bool,
}

/// A line of an answer. What does not depend on the question is read once.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    owner: Text,
    ttl: u32,
    rtype: RecordType,
    value: Value,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Fixed(Vec<u8>),
    Made(Text),
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message documents it")]
pub enum TemplateError {
    #[error("{0}")]
    Text(#[from] TextError),
    #[error("`{0}` is no record: write an owner, a TTL, IN, a type and a value, as in `{{name}} 60 IN A 172.20.0.3`")]
    NoRecord(String),
    #[error("the TTL {0} is more than {MOST_TTL} seconds")]
    Ttl(String),
    #[error("`{0}` is no type of records")]
    Type(String),
    #[error("`{value}` is no {rtype} value: {error}")]
    Value {
        rtype: RecordType,
        value: String,
        error: RdataError,
    },
}

impl Template {
    /// Answers questions of type `qtype` (any, where there is none) for names in `zone` that `pattern` finds with
    /// `answer`, lines of a master file with places.
    pub fn new(
        qtype: Option<RecordType>,
        zone: Option<Name>,
        pattern: Option<Pattern>,
        answer: &[&str],
        falls_through: bool,
    ) -> Result<Self, TemplateError> {
        let lines = answer.iter().map(|line| Line::parse(line, pattern.as_ref()));
        Ok(Self {
            qtype,
            answer: lines.collect::<Result<_, _>>()?,
            zone: zone.map(|zone| zone.to_lowercase()),
            pattern,
            falls_through,
        })
    }

    pub(super) fn evaluate(&self, asked: &Asked<'_>) -> Verdict {
        let is_asked = self.qtype.is_none_or(|qtype| qtype == asked.qtype);
        let is_inside = self.zone.as_ref().is_none_or(|zone| asked.is_in(zone.as_wire()));
        if !is_asked || !is_inside {
            return Verdict::Pass;
        }
        let captures = match &self.pattern {
            None => None,
            Some(Pattern(regex)) => match regex.captures(asked.text()) {
                Some(captures) => Some(captures),
                // As in CoreDNS; without a zone it would deny all names there are.
                None if !self.falls_through && self.zone.is_some() => {
                    return Verdict::Answer(message(NXDOMAIN, Vec::new()));
                }
                None => return Verdict::Pass,
            },
        };
        let zone = self.zone.as_ref().map_or_else(|| ".".to_owned(), Name::to_string);
        let filling = Filling {
            name: asked.text(),
            qtype: asked.qtype,
            zone: &zone,
            captures: captures.as_ref(),
        };
        let mut records = Vec::new();
        for line in &self.answer {
            match line.record(asked, &filling) {
                Some(record) if is_wanted(&record, asked.qtype) => records.push(record),
                Some(_) => {}
                None => return Verdict::Answer(message(SERVFAIL, Vec::new())),
            }
        }
        Verdict::Answer(message(0, records))
    }
}

fn is_wanted(record: &Record, qtype: RecordType) -> bool {
    qtype == RecordType::ANY || record.rtype == qtype.0 || record.rtype == RecordType::CNAME.0
}

pub(super) fn message(rcode: u16, records: Vec<Record>) -> Message {
    let mut message = Message::of_answer(records);
    message.flags = FLAGS | rcode;
    message
}

impl Line {
    fn parse(line: &str, pattern: Option<&Pattern>) -> Result<Self, TemplateError> {
        let no_record = || TemplateError::NoRecord(line.to_owned());
        let (owner, rest) = word(line).ok_or_else(no_record)?;
        let (mut next, mut rest) = word(rest).ok_or_else(no_record)?;
        let mut ttl = DEFAULT_TTL;
        if next.bytes().all(|octet| octet.is_ascii_digit()) {
            let number = next.parse().ok().filter(|ttl| *ttl <= MOST_TTL);
            ttl = number.ok_or_else(|| TemplateError::Ttl(next.to_owned()))?;
            (next, rest) = word(rest).ok_or_else(no_record)?;
        }
        if next.eq_ignore_ascii_case("IN") || matches!(next, "{class}" | "{{.Class}}") {
            (next, rest) = word(rest).ok_or_else(no_record)?;
        }
        let unknown = || TemplateError::Type(next.to_owned());
        let rtype: RecordType = next.parse().map_err(|_| unknown())?;
        if !rtype.is_data() {
            return Err(unknown());
        }
        let made = Text::parse(rest, pattern)?;
        let is_fixed = !rest.contains(['{', '$']);
        let value = if is_fixed {
            let value = rdata::parse_value(rtype, rest.trim()).map_err(|error| TemplateError::Value {
                rtype,
                value: rest.trim().to_owned(),
                error,
            })?;
            Value::Fixed(value.to_vec())
        } else {
            Value::Made(made)
        };
        Ok(Self {
            owner: Text::parse(owner, pattern)?,
            ttl,
            rtype,
            value,
        })
    }

    /// `None` where what was found makes no record.
    fn record(&self, asked: &Asked<'_>, filling: &Filling<'_>) -> Option<Record> {
        let owner = Name::parse(&self.owner.fill(filling)).ok()?;
        // In the case of the question.
        let owner = if owner.as_wire().eq_ignore_ascii_case(asked.wire) {
            asked.wire.to_vec()
        } else {
            owner.as_wire().to_vec()
        };
        let rdata = match &self.value {
            Value::Fixed(rdata) => rdata.clone(),
            Value::Made(text) => rdata::parse_value(self.rtype, text.fill(filling).trim()).ok()?.to_vec(),
        };
        Some(Record {
            owner,
            rtype: self.rtype.0,
            class: CLASS_IN,
            ttl: self.ttl,
            rdata,
        })
    }
}

/// The first word, and what is behind it. `{{ .Name }}` is one word.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let mut depth = 0usize;
    let end = text.find(|c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c.is_whitespace()
    });
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (!word.is_empty()).then_some((word, rest))
}
