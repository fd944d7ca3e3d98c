//! The difference between what is served and what is wanted, and the edits that remove it.

use std::collections::BTreeMap;

use dns_userspace::formats::Record;
use dns_userspace::model::name::NameKey;
use serde_json::{Value, json};

use super::failure::Failure;

/// An RRset that is not as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What is served now.
    pub(crate) old: Option<Record>,
    /// What is wanted; `None` where the RRset is to go.
    pub(crate) new: Option<Record>,
    /// Who holds the RRset now, where that is not the API.
    pub(crate) holder: Option<String>,
}

/// An RRset as the API gives it, and its source.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) record: Record,
    pub(crate) source: String,
}

type Place = (Option<NameKey>, String, Option<String>);

fn place(record: &Record) -> Place {
    let owner = record.owner().map(|owner| owner.key());
    (owner, record.r#type.clone(), record.view.clone())
}

/// RRsets that the API gave.
pub(crate) fn served(records: Vec<Value>) -> Result<Vec<Served>, Failure> {
    let read = |value: Value| {
        let source = value["source"].as_str().unwrap_or_default().to_owned();
        let record = serde_json::from_value(value).map_err(|error| Failure::Unexpected {
            call: "GET /api/v1/records".to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Served { record, source })
    };
    records.into_iter().map(read).collect()
}

/// Compares by name, type and view. With `prune`, what the API holds and nobody wants is to go.
pub(crate) fn differences(served: &[Served], wanted: &[Record], prune: bool) -> Vec<Difference> {
    let mut there: BTreeMap<Place, &Served> = served.iter().map(|served| (place(&served.record), served)).collect();
    let mut differences = Vec::new();
    for new in wanted {
        let old = there.remove(&place(new));
        if old.is_some_and(|old| is_same(&old.record, new)) {
            continue;
        }
        differences.push(Difference {
            old: old.map(|old| old.record.clone()),
            new: Some(new.clone()),
            holder: old.filter(|old| old.source != "api").map(|old| old.source.clone()),
        });
    }
    if prune {
        differences.extend(
            there
                .into_values()
                .filter(|old| old.source == "api")
                .map(|old| Difference {
                    old: Some(old.record.clone()),
                    new: None,
                    holder: None,
                }),
        );
    }
    differences
}

/// What is wanted without a TTL takes any; without an order the values are a set.
fn is_same(old: &Record, new: &Record) -> bool {
    let sorted = |record: &Record| {
        let mut values = record.value.clone();
        values.sort();
        values
    };
    let is_ordered = new.order.is_some() || old.order.is_some();
    let same_values = if is_ordered {
        old.value == new.value
    } else {
        sorted(old) == sorted(new)
    };
    let same_ttl = new.ttl.is_none() || old.ttl == new.ttl;
    same_values && same_ttl && old.order == new.order && old.weights == new.weights && old.wildcard == new.wildcard
}

/// The edits of a change set (`POST /api/v1/changes`).
pub(crate) fn edits(differences: &[Difference]) -> Result<Vec<Value>, Failure> {
    differences.iter().map(edit).collect()
}

fn edit(difference: &Difference) -> Result<Value, Failure> {
    let (op, record) = match (&difference.new, &difference.old) {
        (Some(new), _) => ("put", new),
        (None, Some(old)) => ("delete", old),
        (None, None) => return Err(Failure::Usage("an edit of nothing".to_owned())),
    };
    let mut edit = match op {
        "put" => serde_json::to_value(record).map_err(|error| Failure::Text(error.to_string()))?,
        _ => json!({"name": record.name, "type": record.r#type}),
    };
    edit["op"] = json!(op);
    if let Some(view) = &record.view {
        edit["view"] = json!(view);
    }
    Ok(edit)
}

/// One line for each value that goes or comes.
pub(crate) fn shown(differences: &[Difference]) -> String {
    let mut text = String::new();
    for difference in differences {
        let holder = difference.holder.as_ref().map(|holder| format!("  # held by {holder}"));
        for (sign, record) in [('-', &difference.old), ('+', &difference.new)] {
            let Some(record) = record else { continue };
            let other = if sign == '-' { &difference.new } else { &difference.old };
            for value in &record.value {
                let is_kept = other.as_ref().is_some_and(|other| {
                    let same_ttl =
                        other.ttl == record.ttl || difference.new.as_ref().is_some_and(|new| new.ttl.is_none());
                    same_ttl && other.value.contains(value) && other.order == record.order
                });
                if !is_kept {
                    text.push_str(&format!(
                        "{sign} {}{}\n",
                        line(record, value),
                        holder.as_deref().unwrap_or("")
                    ));
                }
            }
        }
    }
    text
}

fn line(record: &Record, value: &str) -> String {
    let ttl = record.ttl.map_or(String::new(), |ttl| format!(" {ttl}"));
    let view = record
        .view
        .as_ref()
        .map_or(String::new(), |view| format!("  (view {view})"));
    format!("{}{ttl} {} {value}{view}", record.name, record.r#type)
}

/// The differences as JSON, in the shape of the API's `diff`.
pub(crate) fn as_json(differences: &[Difference]) -> Value {
    let one = |difference: &Difference| {
        let record = difference.new.as_ref().or(difference.old.as_ref());
        json!({
            "name": record.map(|record| &record.name),
            "type": record.map(|record| &record.r#type),
            "view": record.and_then(|record| record.view.as_ref()),
            "old": difference.old,
            "new": difference.new,
        })
    };
    json!({ "diff": differences.iter().map(one).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, ttl: Option<u32>, values: &[&str]) -> Record {
        let mut record = Record::parse(name, "A", ttl, values[0]).expect("valid");
        record.value = values.iter().map(|value| (*value).to_owned()).collect();
        record
    }

    fn held(record: Record, source: &str) -> Served {
        Served {
            record,
            source: source.to_owned(),
        }
    }

    #[test]
    fn only_what_differs_is_changed_and_only_the_apis_is_pruned() {
        let served = [
            held(record("same.example.", Some(300), &["192.0.2.1", "192.0.2.2"]), "api"),
            held(
                record("changed.example.", Some(300), &["192.0.2.1", "192.0.2.3"]),
                "api",
            ),
            held(record("gone.example.", Some(300), &["192.0.2.1"]), "api"),
            held(record("file.example.", Some(300), &["192.0.2.1"]), "zone_file"),
        ];
        let wanted = [
            record("SAME.example.", None, &["192.0.2.2", "192.0.2.1"]),
            record("changed.example.", Some(300), &["192.0.2.1", "192.0.2.2"]),
            record("new.example.", None, &["192.0.2.9"]),
        ];
        let without = differences(&served, &wanted, false);
        assert_eq!(
            shown(&without),
            "- changed.example. 300 A 192.0.2.3\n+ changed.example. 300 A 192.0.2.2\n+ new.example. A 192.0.2.9\n"
        );
        let with = differences(&served, &wanted, true);
        let edits = edits(&with).expect("edits");
        assert_eq!(edits.len(), 3);
        assert_eq!(edits[2], json!({"op": "delete", "name": "gone.example.", "type": "A"}));
        assert_eq!(
            (&edits[1]["op"], &edits[1]["value"]),
            (&json!("put"), &json!(["192.0.2.9"]))
        );
    }

    #[test]
    fn another_sources_rrset_is_named() {
        let served = [held(record("a.example.", Some(300), &["192.0.2.1"]), "zone_file")];
        let found = differences(&served, &[record("a.example.", None, &["192.0.2.2"])], true);
        assert_eq!(found[0].holder.as_deref(), Some("zone_file"));
        assert!(shown(&found).contains("# held by zone_file"));
    }
}
