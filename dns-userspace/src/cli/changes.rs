//! Change sets: edits that are made whole or not at all.

use clap::Args;
use serde_json::{Value, json};

use super::connection::{Client, Payload, path_with};
use super::failure::Failure;
use super::progress::Progress;

/// How a change set is made.
#[derive(Debug, Args, Default)]
pub(crate) struct ChangeOptions {
    /// Say what would be different, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete even where the server's deletion guard would refuse it.
    #[arg(long)]
    pub(crate) force: bool,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// Sends edits as one change set, and gives the server's answer: `version` and `diff`.
pub(crate) fn submit(client: &Client, edits: Vec<Value>, options: &ChangeOptions) -> Result<Value, Failure> {
    let mut body = json!({ "edits": edits });
    if let Some(comment) = &options.comment {
        body["comment"] = json!(comment);
    }
    if options.force {
        body["force"] = json!(true);
    }
    let dry_run = options.dry_run.then_some("true");
    let path = path_with("/api/v1/changes", &[("dry_run", dry_run)]);
    let _progress = Progress::of_waiting(client.output(), "the server makes the change:");
    client.call("POST", &path, Payload::Json(&body))?.json()
}

/// The server's `diff`, one line for each value that goes or comes.
pub(crate) fn shown_diff(diff: &Value) -> String {
    let mut text = String::new();
    for change in diff.as_array().into_iter().flatten() {
        for (sign, other, side) in [('-', "new", &change["old"]), ('+', "old", &change["new"])] {
            for value in side["value"].as_array().into_iter().flatten() {
                let other = &change[other];
                let is_kept = other["ttl"] == side["ttl"]
                    && other["value"].as_array().is_some_and(|values| values.contains(value));
                if !is_kept {
                    let [name, rtype] = ["name", "type"].map(|member| change[member].as_str().unwrap_or_default());
                    let (ttl, value) = (&side["ttl"], value.as_str().unwrap_or_default());
                    text.push_str(&format!("{sign} {name} {ttl} {rtype} {value}"));
                    if let Some(view) = change["view"].as_str() {
                        text.push_str(&format!("  (view {view})"));
                    }
                    text.push('\n');
                }
            }
        }
    }
    text
}

/// The answers of a dry run that would be others: one line each, with the plane that gives it.
pub(crate) fn shown_answers(answer: &Value) -> String {
    let side = |side: &Value| {
        let rcode = side["rcode"].as_str().unwrap_or("the upstream's answer");
        let records = side["records"].as_array().into_iter().flatten();
        let values = records.filter_map(|record| record["value"].as_array()).flatten();
        let mut text: Vec<&str> = std::iter::once(rcode).chain(values.filter_map(Value::as_str)).collect();
        let (plane, reason) = (side["plane"].as_str().unwrap_or_default(), side["pass_reason"].as_str());
        let plane = reason.map_or(format!("({plane})"), |reason| format!("({plane}: {reason})"));
        text.push(&plane);
        text.join(" ")
    };
    let answers = answer["answers"].as_array().into_iter().flatten();
    let mut text = String::new();
    for compared in answers.filter(|compared| compared["differs"] == true) {
        let [name, rtype] = ["name", "type"].map(|member| compared[member].as_str().unwrap_or_default());
        let (before, after) = (side(&compared["before"]), side(&compared["after"]));
        let view = compared["view"]
            .as_str()
            .map(|view| format!(" in view {view}"))
            .unwrap_or_default();
        text.push_str(&format!("  {name} {rtype}{view}: {before} -> {after}\n"));
    }
    if let Some(more @ 1..) = answer["more_answers"].as_u64() {
        text.push_str(&format!("  and {more} more, which were not compared\n"));
    }
    if text.is_empty() {
        text
    } else {
        format!("answers:\n{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_would_be_others_are_shown_with_their_plane() {
        let side = |rcode: &str, values: &[&str], plane: &str, reason: Value| {
            let records = [json!({"value": values})];
            json!({"rcode": rcode, "plane": plane, "pass_reason": reason, "records": records})
        };
        let answer = json!({"more_answers": 2, "answers": [
            {"name": "a.", "type": "A", "view": "lab", "differs": true,
             "before": side("NXDOMAIN", &[], "xdp", Value::Null),
             "after": side("NOERROR", &["192.0.2.1"], "userspace", json!("incomplete"))},
            {"name": "b.", "type": "A", "view": null, "differs": false},
        ]});
        assert_eq!(
            shown_answers(&answer),
            "answers:\n  a. A in view lab: NXDOMAIN (xdp) -> NOERROR 192.0.2.1 (userspace: incomplete)\n  and 2 more, \
             which were not compared\n"
        );
        assert_eq!(shown_answers(&json!({"diff": []})), "");
    }

    #[test]
    fn a_diff_shows_values_that_go_and_come() {
        let diff = json!([
            {"name": "a.", "type": "A", "view": null,
             "old": {"ttl": 60, "value": ["192.0.2.1", "192.0.2.2"]}, "new": {"ttl": 60, "value": ["192.0.2.2"]}},
            {"name": "b.", "type": "A", "view": "office", "old": null, "new": {"ttl": 60, "value": ["192.0.2.3"]}},
        ]);
        assert_eq!(
            shown_diff(&diff),
            "- a. 60 A 192.0.2.1\n+ b. 60 A 192.0.2.3  (view office)\n"
        );
    }
}
