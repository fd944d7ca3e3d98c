//! CSV (RFC 4180) with a heading: `name,type,ttl,value`, and optionally `view`; one value a row.

use super::{FormatError, Imported, Record, Records};

/// The columns that must be there.
const NEEDED: [&str; 3] = ["name", "type", "value"];

pub(super) fn read(text: &str) -> Result<Imported, Vec<FormatError>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .from_reader(text.as_bytes());
    let headers = reader
        .headers()
        .map_err(|error| vec![FormatError::at(1, error.to_string())])?
        .clone();
    let column = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    for name in NEEDED {
        if column(name).is_none() {
            let message = format!("no column `{name}`: the first line is the heading `name,type,ttl,value`");
            return Err(vec![FormatError::at(1, message)]);
        }
    }
    let places = ["name", "type", "ttl", "value", "view"].map(column);
    let (mut records, mut errors) = (Records::default(), Vec::new());
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                errors.push(FormatError::at(line as usize, error.to_string()));
                continue;
            }
        };
        let line = row.position().map_or(0, csv::Position::line) as usize;
        let [name, rtype, ttl, value, view] = places.map(|at| at.and_then(|at| row.get(at)).unwrap_or_default());
        match record(name.trim(), rtype.trim(), ttl.trim(), value, view.trim()) {
            Ok(record) => records.push(record),
            Err(message) => errors.push(FormatError::at(line, message)),
        }
    }
    Imported::of(records, errors)
}

fn record(name: &str, rtype: &str, ttl: &str, value: &str, view: &str) -> Result<Record, String> {
    let ttl = match ttl {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|_| format!("`{text}` is no TTL: write whole seconds"))?,
        ),
    };
    let mut record = Record::parse(name, rtype, ttl, value)?;
    record.view = (!view.is_empty()).then(|| view.to_owned());
    Ok(record)
}

pub(super) fn write(records: &[Record]) -> Result<String, FormatError> {
    let has_views = records.iter().any(|record| record.view.is_some());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let unwritten = |error: csv::Error| FormatError::whole(error.to_string());
    let columns = if has_views { 5 } else { 4 };
    writer
        .write_record(&["name", "type", "ttl", "value", "view"][..columns])
        .map_err(unwritten)?;
    for record in records {
        let ttl = record.ttl.map_or(String::new(), |ttl| ttl.to_string());
        for value in &record.value {
            let view = record.view.as_deref().unwrap_or_default();
            let row = [&record.name, &record.r#type, &ttl, value, view];
            writer.write_record(&row[..columns]).map_err(unwritten)?;
        }
    }
    let octets = writer
        .into_inner()
        .map_err(|error| FormatError::whole(error.to_string()))?;
    String::from_utf8(octets).map_err(|error| FormatError::whole(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = "name,type,ttl,value\na.example.,A,60,192.0.2.1\na.example.,A,60,192.0.2.2\n\
                    b.example.,TXT,,\"\"\"x, y\"\" \"\"z\"\"\"\n";
        let imported = read(text).expect("valid");
        assert_eq!(imported.records[0].value, ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(imported.records[1].value, ["\"x, y\" \"z\""]);
        assert_eq!(write(&imported.records).expect("written"), text);
    }

    #[test]
    fn columns_may_be_in_any_order_and_errors_have_their_line() {
        let imported = read("VALUE, Type ,name,view\n192.0.2.1,A,a.example,office\n").expect("valid");
        assert_eq!(imported.records[0].view.as_deref(), Some("office"));
        let errors = read("name,type,ttl,value\na.example,A,x,192.0.2.1\nb.example,A,60,b\n").expect_err("two");
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3]);
        assert!(read("a.example,A,60,192.0.2.1\n").is_err());
    }
}
