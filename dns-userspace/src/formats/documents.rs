//! JSON and YAML with the members of the API: a list of records, or one under `records`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FormatError, Imported, Record, Records};

/// What is read: a configuration has other keys, and what the API gives has `next`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Wrapped { records: Vec<Value> },
    Bare(Vec<Value>),
}

#[derive(Serialize)]
struct Wrapped<'a> {
    records: &'a [Record],
}

/// JSON is YAML too.
pub(super) fn read(text: &str) -> Result<Imported, Vec<FormatError>> {
    let document: Document = serde_saphyr::from_str(text).map_err(|error| {
        vec![FormatError::whole(format!(
            "this is no list of records, nor a mapping with the key `records`: {error}"
        ))]
    })?;
    let (Document::Wrapped { records: items } | Document::Bare(items)) = document;
    let (mut records, mut errors) = (Records::default(), Vec::new());
    for (number, item) in items.into_iter().enumerate() {
        match record(item) {
            Ok(record) => records.push(record),
            Err(message) => errors.push(FormatError::whole(format!("/records/{number}: {message}"))),
        }
    }
    Imported::of(records, errors)
}

fn record(mut item: Value) -> Result<Record, String> {
    // A single value may stand for a list, as in the API.
    if let Some(value) = item.get_mut("value")
        && !value.is_array()
    {
        *value = Value::Array(vec![value.take()]);
    }
    let record: Record = serde_json::from_value(item).map_err(|error| error.to_string())?;
    record.canonical()
}

pub(super) fn write_json(records: &[Record]) -> Result<String, FormatError> {
    let text = serde_json::to_string_pretty(&Wrapped { records });
    text.map(|text| text + "\n")
        .map_err(|error| FormatError::whole(error.to_string()))
}

pub(super) fn write_yaml(records: &[Record]) -> Result<String, FormatError> {
    serde_saphyr::to_string(&Wrapped { records }).map_err(|error| FormatError::whole(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = "records:\n- {name: \"*.a.example\", type: A, ttl: 60, value: [192.0.2.1], wildcard: one_label}\n\
                    - {name: b.example., type: TXT, value: 'yes', view: office, source: api}\n";
        let imported = read(text).expect("valid");
        assert_eq!(imported.records[1].value, ["\"yes\""]);
        for again in [write_json(&imported.records), write_yaml(&imported.records)] {
            let again = again.expect("written");
            assert_eq!(read(&again).expect("valid").records, imported.records, "{again}");
        }
    }

    #[test]
    fn errors_name_the_record() {
        let errors = read("[{\"name\":\"a.example\",\"type\":\"A\",\"value\":[\"x\"]}]").expect_err("no address");
        assert!(
            errors[0].message.starts_with("/records/0: `x` is no A value"),
            "{errors:?}"
        );
        assert!(read("a: 1\n").is_err());
    }
}
