//! The configuration file as JSON, with secrets masked, for `GET /api/v1/config`.

use serde_json::{Map, Value};

use super::document::{YamlKind, YamlNode};

/// What stands in the place of a secret.
const MASK: &str = "***";
/// Words in the name of a key whose value is a secret; but for keys of files, whose values are paths.
const SECRET: [&str; 6] = ["password", "secret", "token", "credential", "private", "api_key"];
/// `records` and `zones` with more entries than this are counted.
const MOST_ENTRIES: usize = 1000;

/// The whole document.
pub(super) fn shown(document: &YamlNode) -> Value {
    value("", document)
}

fn value(key: &str, node: &YamlNode) -> Value {
    match &node.kind {
        YamlKind::Scalar { .. } if node.is_null() => Value::Null,
        YamlKind::Scalar { .. } if is_secret(key) => MASK.into(),
        YamlKind::Scalar { text, plain } => scalar(node.describe(), text, *plain),
        YamlKind::Sequence(items) if is_secret(key) || items.len() > MOST_ENTRIES => {
            let what = if is_secret(key) {
                MASK.to_owned()
            } else {
                format!("{} entries", items.len())
            };
            what.into()
        }
        YamlKind::Sequence(items) => items.iter().map(|item| value(key, item)).collect(),
        YamlKind::Mapping(entries) => {
            let entries = entries.iter().map(|(name, node)| {
                let name = match &name.kind {
                    YamlKind::Scalar { text, .. } => text.clone(),
                    _ => String::new(),
                };
                let value = value(&name, node);
                (name, value)
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// Whether the values of a key are secrets: `api_key` is one, `secret_file` is a path.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_path = key.ends_with("_file") || key.ends_with("_path") || key == "tsig_keys";
    !is_path && SECRET.iter().any(|word| key.contains(word))
}

fn scalar(kind: &str, text: &str, plain: bool) -> Value {
    match kind {
        "a boolean" if plain => text.eq_ignore_ascii_case("true").into(),
        "a number" if plain => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        _ => without_user(text).into(),
    }
}

/// A URL without the user and the password in it.
fn without_user(text: &str) -> String {
    let masked = text.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://{MASK}@{host}{behind}"))
    });
    masked.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::document;
    use super::*;

    #[test]
    fn what_is_loaded_is_shown_without_its_secrets() {
        let text = "dns_port: 53\nhttp: {token_file: root.token, password: hunter2}\nfiles: {watch: true}\n\
                    sources: {git: [{name: x, url: 'https://me:hunter2@example.org/x.git', apiToken: hunter2}]}\n\
                    records:\n";
        let document = document::parse(text, 1000).expect("YAML");
        let shown = shown(&document);
        let expected = json!({
            "dns_port": 53,
            "http": {"token_file": "root.token", "password": "***"},
            "files": {"watch": true},
            "sources": {"git": [{"name": "x", "url": "https://***@example.org/x.git", "apiToken": "***"}]},
            "records": null,
        });
        assert_eq!(shown, expected);
        assert!(!shown.to_string().contains("hunter2"));
    }

    #[test]
    fn long_lists_are_counted() {
        let list: Vec<String> = (0..=MOST_ENTRIES).map(|number| number.to_string()).collect();
        let document = document::parse(&format!("records: [{}]", list.join(",")), 5000).expect("YAML");
        assert_eq!(shown(&document), json!({"records": "1001 entries"}));
    }
}
