//! `DNSRecordBackup`: a YAML document of addresses by host name, as Catalyst DNS Sync writes it.
//!
//! A record has one `ip`; a name with several is there several times. Where each came from (`source`) is not ours to
//! keep: a record that is imported is the API's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hosts::type_of;
use super::{FormatError, Imported, LeftOut, Record, Records};
use crate::model::name::Name;

const API_VERSION: &str = "catalyst-dns-sync.io/v1alpha1";
const KIND: &str = "DNSRecordBackup";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Backup {
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    records: Vec<Entry>,
}

#[derive(Default, Serialize, Deserialize)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    hostname: String,
    ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Value>,
}

pub(super) fn read(text: &str) -> Result<Imported, Vec<FormatError>> {
    let backup: Backup = serde_saphyr::from_str(text).map_err(|error| vec![FormatError::whole(error.to_string())])?;
    if backup.kind != KIND {
        let message = format!("`kind` is `{}`; {KIND} is what is read here", backup.kind);
        return Err(vec![FormatError::whole(message)]);
    }
    let (mut records, mut errors) = (Records::default(), Vec::new());
    for (number, entry) in backup.records.iter().enumerate() {
        let outcome = match entry.ip.parse() {
            Ok(address) => records.add(&entry.hostname, type_of(address), entry.ttl, &entry.ip),
            Err(_) => Err(format!("`{}` is no address", entry.ip)),
        };
        if let Err(message) = outcome {
            errors.push(FormatError::whole(format!("/records/{number}: {message}")));
        }
    }
    Imported::of(records, errors)
}

pub(super) fn write(records: &[Record], zone: Option<&Name>) -> Result<(String, Vec<LeftOut>), FormatError> {
    let (mut entries, mut left_out) = (Vec::new(), Vec::new());
    for record in records {
        if !matches!(record.r#type.as_str(), "A" | "AAAA") || record.view.is_some() {
            left_out.push(LeftOut {
                line: 0,
                text: format!("{} {}", record.name, record.r#type),
                reason: format!("a {KIND} has addresses alone, the same for everybody"),
            });
            continue;
        }
        entries.extend(record.value.iter().map(|value| Entry {
            hostname: undotted(&record.name),
            ip: value.clone(),
            ttl: record.ttl,
            source: None,
        }));
    }
    let backup = Backup {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        metadata: Metadata {
            timestamp: None,
            zone: zone.map(|zone| undotted(&zone.to_string())),
        },
        records: entries,
    };
    let text = serde_saphyr::to_string(&backup).map_err(|error| FormatError::whole(error.to_string()))?;
    Ok((text, left_out))
}

fn undotted(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "apiVersion: catalyst-dns-sync.io/v1alpha1\nkind: DNSRecordBackup\nmetadata:\n  timestamp: \
                          '2025-11-11T20:00:00Z'\n  zone: talos00\nrecords:\n  - hostname: grafana.talos00\n    ip: \
                          192.168.1.54\n    ttl: 300\n    source:\n      kind: IngressRoute\n      namespace: \
                          monitoring\n      name: grafana\n";

    #[test]
    fn what_is_written_is_read_again() {
        let imported = read(SAMPLE).expect("valid");
        assert_eq!(imported.records[0].name, "grafana.talos00.");
        assert_eq!(imported.records[0].ttl, Some(300));
        let zone = Name::parse("talos00.").expect("a name");
        let (text, left_out) = write(&imported.records, Some(&zone)).expect("written");
        assert!(left_out.is_empty() && text.contains("zone: talos00"), "{text}");
        assert_eq!(read(&text).expect("valid").records, imported.records);
    }

    #[test]
    fn errors_name_the_record() {
        let text = SAMPLE.replace("192.168.1.54", "192.168.1");
        let errors = read(&text).expect_err("no address");
        assert!(errors[0].message.starts_with("/records/0: "), "{errors:?}");
        assert!(read(&SAMPLE.replace("Backup", "Thing")).is_err());
    }
}
