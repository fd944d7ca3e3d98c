//! Master files (RFC 1035 §5).

use std::sync::Arc;

use super::{FormatError, Imported, LeftOut, Record, Source};
use crate::model::name::Name;
use crate::model::rdata::format_value;
use crate::zonefile::{self, ZoneContent, ZoneFileError};

pub(super) fn read(text: &str, source: Source<'_>) -> Result<Imported, Vec<FormatError>> {
    let Some(zone) = source.zone else {
        return Err(vec![FormatError::whole(
            "a zone file needs the name of its zone: give --zone",
        )]);
    };
    let content = content(text, source, zone)?;
    let records = content.rrsets.into_iter().map(|(owner, rrset)| Record {
        name: owner.to_string(),
        r#type: rrset.rtype.to_string(),
        ttl: Some(rrset.ttl),
        value: rrset
            .rdatas
            .iter()
            .map(|rdata| format_value(rrset.rtype, rdata))
            .collect(),
        ..Record::default()
    });
    Ok(Imported {
        records: records.collect(),
        ..Imported::default()
    })
}

/// A file is read where it is, with what it includes beside it. A text that is no file includes nothing.
fn content(text: &str, source: Source<'_>, zone: &Name) -> Result<ZoneContent, Vec<FormatError>> {
    let shown_as: Arc<str> = source.shown_as.display().to_string().into();
    let located = |errors: Vec<ZoneFileError>| {
        errors
            .iter()
            .map(|error| FormatError::whole(error.to_string()))
            .collect()
    };
    if source.shown_as.is_file() {
        return zonefile::load(source.shown_as, zone, shown_as).map_err(located);
    }
    zonefile::read_text(text.as_bytes(), zone, shown_as).map_err(located)
}

/// The SOA record first, then in canonical order of names, with absolute names throughout.
pub(super) fn write(records: &[Record]) -> (String, Vec<LeftOut>) {
    let mut left_out = Vec::new();
    let mut order: Vec<(bool, Option<Name>, &Record)> = Vec::new();
    for record in records {
        if record.view.is_some() {
            left_out.push(LeftOut {
                line: 0,
                text: format!("{} {}", record.name, record.r#type),
                reason: "a zone file is the same for every view".to_owned(),
            });
        } else {
            order.push((record.r#type != "SOA", record.owner(), record));
        }
    }
    order.sort_by_cached_key(|(is_not_soa, owner, _)| (*is_not_soa, owner.as_ref().map(Name::key)));
    let mut text = String::new();
    for (_, _, record) in order {
        let ttl = record.ttl.map_or(String::new(), |ttl| format!("{ttl} "));
        for value in &record.value {
            text.push_str(&format!("{} {ttl}IN {} {value}\n", record.name, record.r#type));
        }
    }
    (text, left_out)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ZONE: &str = "$TTL 300\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\n\
                        www 60 A 192.0.2.1\nwww 60 A 192.0.2.2\ntxt TXT \"a;b\" \"c\\\"d\"\nx TYPE65280 \\# 2 abcd\n";

    fn source<'a>(text: &'a str, zone: Option<&'a Name>) -> Source<'a> {
        Source {
            text,
            shown_as: Path::new("standard input"),
            zone,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let apex = Name::parse("example.com.").expect("a name");
        let first = read(ZONE, source(ZONE, Some(&apex))).expect("valid");
        assert_eq!(first.records.len(), 6);
        let (text, _) = write(&first.records);
        assert!(text.starts_with("example.com. 300 IN SOA ns1.example.com."), "{text}");
        let second = read(&text, source(&text, Some(&apex))).expect("valid");
        let sorted = |mut records: Vec<Record>| {
            records.sort_by(|a, b| (&a.name, &a.r#type).cmp(&(&b.name, &b.r#type)));
            records
        };
        assert_eq!(sorted(first.records), sorted(second.records));
    }

    #[test]
    fn errors_have_the_place() {
        let apex = Name::parse("example.com.").expect("a name");
        let text = "@ 60 SOA a b 1 2 3 4 5\nwww 60 A 192.0.2.300\n";
        let errors = read(text, source(text, Some(&apex))).expect_err("no address");
        assert!(errors[0].message.starts_with("standard input:2:10: "), "{errors:?}");
        assert!(read(text, source(text, None)).is_err());
    }
}
