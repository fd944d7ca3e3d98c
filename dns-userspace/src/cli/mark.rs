//! `hotdns record lock`, `unlock`, `disable` and `enable`: one RRset, or all that a filter finds.
//!
//! ```text
//! hotdns record lock www.example.com A
//! hotdns record disable --zone old.example --query legacy --dry-run
//! ```
//!
//! What is found is sent back as one change set, each RRset with the version that was read: whole or not at all, and
//! not over a change that somebody else makes meanwhile.

use clap::Args;
use serde_json::{Map, Value, json};

use super::changes::{self, ChangeOptions};
use super::connection::Client;
use super::failure::Failure;
use super::output::OutputFormat;
use super::record::{Filter, print, records};

/// Which RRsets, and why.
#[derive(Debug, Args)]
pub(crate) struct MarkArgs {
    /// The name, absolute; the final dot is optional.
    #[arg(required_unless_present_any = ["zone", "query"])]
    name: Option<String>,
    /// The type; all types where it is left out.
    r#type: Option<String>,
    /// All RRsets of this zone.
    #[arg(long, conflicts_with = "name")]
    zone: Option<String>,
    /// All RRsets with this text in their name, value, source or note.
    #[arg(long, value_name = "TEXT", conflicts_with = "name")]
    query: Option<String>,
    /// Only this type, beside `--zone` and `--query`.
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "name")]
    only_type: Option<String>,
    /// The view that they are in.
    #[arg(long)]
    view: Option<String>,
    /// Why, for whoever finds them so.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Show what would be marked, and mark nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What RRsets become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Locked(bool),
    Disabled(bool),
}

impl Mark {
    fn member(self) -> (&'static str, bool) {
        match self {
            Self::Locked(is_locked) => ("locked", is_locked),
            Self::Disabled(is_disabled) => ("disabled", is_disabled),
        }
    }
}

/// Members of an RRset's answer that an edit takes back.
const TAKEN_BACK: [&str; 11] = [
    "view", "name", "type", "ttl", "value", "order", "weights", "wildcard", "locked", "disabled", "note",
];

/// Marks what is asked for, and prints it.
pub(crate) fn mark(client: &Client, output: OutputFormat, asked: &MarkArgs, mark: Mark) -> Result<(), Failure> {
    let filter = Filter {
        name: asked.name.as_deref(),
        rtype: asked.r#type.as_deref().or(asked.only_type.as_deref()),
        zone: asked.zone.as_deref(),
        view: asked.view.as_deref(),
        text: asked.query.as_deref(),
        // What is disabled is no longer among what is served.
        disabled: mark == Mark::Disabled(false),
    };
    let (member, value) = mark.member();
    let found = records(client, &filter, None)?;
    let is_ours = |record: &Value| record["source"] == "api";
    let foreign = found.iter().filter(|record| !is_ours(record)).count();
    let mut marked: Vec<Value> = found.into_iter().filter(is_ours).collect();
    let is_chosen = asked.name.is_some() || asked.note.is_some();
    marked.retain(|record| is_chosen || record[member].as_bool().unwrap_or(false) != value);
    if foreign > 0 {
        eprintln!(
            "{foreign} of the RRsets found are not the API's: they are changed where they come from, and left out"
        );
    }
    if marked.is_empty() {
        return match &asked.name {
            Some(name) => Err(Failure::Refused {
                status: 404,
                code: "not_found".to_owned(),
                detail: format!("the API has no RRset at {name} that could be marked so"),
            }),
            None => print(output, Vec::new()),
        };
    }
    for record in &mut marked {
        record[member] = json!(value);
        if let Some(note) = &asked.note {
            record["note"] = json!(note);
        }
    }
    let edits = marked.iter().map(edit).collect();
    let options = ChangeOptions {
        dry_run: asked.dry_run,
        ..ChangeOptions::default()
    };
    changes::submit(client, edits, &options)?;
    print(output, marked)
}

/// The edit that puts an RRset as it is shown, if it still has the version that was read.
fn edit(record: &Value) -> Value {
    let mut edit = Map::new();
    edit.insert("op".to_owned(), json!("put"));
    for member in TAKEN_BACK {
        if !record[member].is_null() {
            edit.insert(member.to_owned(), record[member].clone());
        }
    }
    if let Some(version) = record["version"].as_u64() {
        edit.insert("if_match".to_owned(), json!(version));
    }
    Value::Object(edit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_has_what_can_be_put_and_the_version_that_was_read() {
        let record = json!({
            "name": "a.example.", "type": "A", "ttl": 60, "value": ["192.0.2.1"], "source": "api", "object": null,
            "version": 7, "locked": true, "view": null,
        });
        let expected = json!({
            "op": "put", "name": "a.example.", "type": "A", "ttl": 60, "value": ["192.0.2.1"], "locked": true,
            "if_match": 7,
        });
        assert_eq!(edit(&record), expected);
    }
}
