//! What verbs print: tables for people, JSON and YAML for scripts.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde_json::Value;

use super::failure::Failure;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Columns, for people.
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

impl OutputFormat {
    /// Prints a result: `value` as JSON or YAML, or what `table` makes of it.
    pub(crate) fn print(self, value: &Value, table: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = match self {
            Self::Table => table(),
            Self::Json => format!("{value:#}\n"),
            Self::Yaml => yaml(value)?,
        };
        write_out(&text)
    }
}

/// The value as YAML.
pub(crate) fn yaml(value: &Value) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(value);
    text.map_err(|error| Failure::Text(format!("this cannot be written as YAML: {error}")))
}

/// Writes to standard output. A reader that has gone away, such as `head`, is no error.
pub(crate) fn write_out(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::File {
            path: "standard output".to_owned(),
            error,
        }),
        _ => Ok(()),
    }
}

/// Columns with a heading, two spaces apart.
pub(crate) fn table(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heading.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A member that is text or a number, as a table shows it; `-` where it is missing.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_have_columns_without_trailing_space() {
        let rows = [vec!["a.example.".into(), "1\n2".into()], vec!["b.".into(), "3".into()]];
        assert_eq!(
            table(&["NAME", "VALUE"], rows),
            "NAME        VALUE\na.example.  1\n            2\nb.          3\n"
        );
    }

    #[test]
    fn yaml_gives_back_what_was_written() {
        let value = json!({"a": ["x: y", "\"q\"", "no", "1"], "b": null, "c": {"d": 1}});
        let text = yaml(&value).expect("YAML");
        let again: Value = serde_saphyr::from_str(&text).expect("read");
        assert_eq!(again, value, "{text}");
    }
}
