//! Route 53's XML: what is sent, and what is read of answers.

use std::collections::BTreeSet;

use quick_xml::{de, se};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::super::plan::RecordId;
use crate::model::record::RecordType;

/// The namespace of all documents.
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// An RRset of an answer.
pub(super) struct RecordSet {
    pub(super) name: String,
    pub(super) rtype: String,
    pub(super) ttl: u32,
    pub(super) values: Vec<String>,
    /// Whether it is an alias of Route 53's own, which has no values.
    pub(super) is_alias: bool,
}

/// A page of RRsets.
pub(super) struct Page {
    pub(super) sets: Vec<RecordSet>,
    /// Name and type that the next page begins with.
    pub(super) next: Option<(String, String)>,
}

/// One change of a batch.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Action {
    action: &'static str,
    resource_record_set: Set,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Set {
    name: String,
    r#type: String,
    #[serde(rename = "TTL")]
    ttl: u32,
    resource_records: Records,
    #[serde(skip_serializing)]
    alias_target: Option<IgnoredAny>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Records {
    #[serde(rename = "ResourceRecord")]
    records: Vec<Value>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Value {
    value: String,
}

#[derive(Serialize)]
#[serde(rename = "ChangeResourceRecordSetsRequest", rename_all = "PascalCase")]
struct Batch<'a> {
    #[serde(rename = "@xmlns")]
    namespace: &'static str,
    change_batch: Changes<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changes<'a> {
    changes: ChangeList<'a>,
}

#[derive(Serialize)]
struct ChangeList<'a> {
    #[serde(rename = "Change")]
    changes: &'a [Action],
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ListedSets {
    resource_record_sets: Sets,
    is_truncated: bool,
    next_record_name: Option<String>,
    next_record_type: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Sets {
    #[serde(rename = "ResourceRecordSet")]
    sets: Vec<Set>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ListedZones {
    hosted_zones: Zones,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Zones {
    #[serde(rename = "HostedZone")]
    zones: Vec<Zone>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Zone {
    id: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorAnswer {
    error: ErrorPart,
    /// Of a batch that is refused (`InvalidChangeBatch`).
    messages: Messages,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorPart {
    code: String,
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Messages {
    message: Vec<String>,
}

impl Action {
    pub(super) fn upsert(name: &str, rtype: RecordType, ttl: u32, values: &BTreeSet<String>) -> Self {
        Self::of("UPSERT", name, rtype, ttl, values)
    }

    pub(super) fn delete(name: &str, rtype: RecordType, ttl: u32, values: &BTreeSet<String>) -> Self {
        Self::of("DELETE", name, rtype, ttl, values)
    }

    pub(super) fn upsert_mark(name: &str, ttl: u32, text: &str) -> Self {
        Self::of("UPSERT", name, RecordType::TXT, ttl, &[quoted(text)].into())
    }

    pub(super) fn delete_mark(name: &str, ttl: u32, text: &str) -> Self {
        Self::of("DELETE", name, RecordType::TXT, ttl, &[quoted(text)].into())
    }

    pub(super) fn is_deletion(&self) -> bool {
        self.action == "DELETE"
    }

    fn of(action: &'static str, name: &str, rtype: RecordType, ttl: u32, values: &BTreeSet<String>) -> Self {
        let records = values.iter().map(|value| Value { value: value.clone() });
        Self {
            action,
            resource_record_set: Set {
                name: format!("{name}."),
                r#type: rtype.to_string(),
                ttl,
                resource_records: Records {
                    records: records.collect(),
                },
                alias_target: None,
            },
        }
    }
}

/// The body of `ChangeResourceRecordSets`.
pub(super) fn change_batch(actions: &[Action]) -> Result<String, String> {
    let batch = Batch {
        namespace: NAMESPACE,
        change_batch: Changes {
            changes: ChangeList { changes: actions },
        },
    };
    let text = se::to_string(&batch).map_err(|error| format!("the changes cannot be written as XML: {error}"))?;
    Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}"))
}

/// Names and ids of an answer to `ListHostedZonesByName`.
pub(super) fn hosted_zones(text: &str) -> Result<Vec<(String, String)>, String> {
    let listed: ListedZones = read(text)?;
    let zones = listed.hosted_zones.zones.into_iter();
    let id = |id: String| id.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(zones.map(|zone| (zone.name, id(zone.id))).collect())
}

/// An answer to `ListResourceRecordSets`. Octal escapes of names are undone.
pub(super) fn record_sets(text: &str) -> Result<Page, String> {
    let listed: ListedSets = read(text)?;
    let next = listed.next_record_name.zip(listed.next_record_type);
    let sets = listed.resource_record_sets.sets.into_iter().map(|set| RecordSet {
        name: set.name.replace("\\052", "*").to_lowercase(),
        rtype: set.r#type,
        ttl: set.ttl,
        is_alias: set.alias_target.is_some(),
        values: set
            .resource_records
            .records
            .into_iter()
            .map(|record| record.value)
            .collect(),
    });
    Ok(Page {
        sets: sets.collect(),
        next: next.filter(|_| listed.is_truncated),
    })
}

/// Code and message of an error.
pub(super) fn error_of(text: &str) -> (String, String) {
    let Ok(answer) = read::<ErrorAnswer>(text) else {
        return ("an error".to_owned(), super::super::provider::beginning(text));
    };
    match answer.messages.message.is_empty() {
        true => (answer.error.code, answer.error.message),
        false => ("InvalidChangeBatch".to_owned(), answer.messages.message.join("; ")),
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    de::from_str(text).map_err(|error| format!("its answer is not the XML that was expected: {error}"))
}

/// A value as Route 53 has it: names with their final dot, texts in quotes.
pub(super) fn value_of(id: &RecordId) -> String {
    match id.rtype {
        RecordType::TXT => quoted(&id.value),
        RecordType::CNAME | RecordType::PTR | RecordType::NS => format!("{}.", id.value),
        _ => id.value.clone(),
    }
}

/// The opposite; `None` for types that we do not write.
pub(super) fn plain(rtype: RecordType, value: &str) -> Option<String> {
    match rtype {
        RecordType::A => Some(value.to_owned()),
        RecordType::AAAA => value.parse::<std::net::Ipv6Addr>().ok().map(|value| value.to_string()),
        RecordType::CNAME | RecordType::PTR | RecordType::NS => Some(value.trim_end_matches('.').to_lowercase()),
        RecordType::TXT => text_of(value),
        _ => None,
    }
}

/// Character-strings of at most 255 octets, in quotes.
fn quoted(text: &str) -> String {
    let mut strings = vec![String::new()];
    let mut octets = 0;
    for character in text.chars() {
        octets += character.len_utf8();
        if octets > 255 {
            strings.push(String::new());
            octets = character.len_utf8();
        }
        let last = strings.last_mut().expect("there is one");
        if matches!(character, '"' | '\\') {
            last.push('\\');
        }
        last.push(character);
    }
    format!("\"{}\"", strings.join("\" \""))
}

/// The text of such strings.
pub(super) fn text_of(value: &str) -> Option<String> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    let joined = inner.replace("\" \"", "");
    Some(joined.replace("\\\"", "\"").replace("\\\\", "\\"))
}
