//! `hotdns targets`: where names go besides, what waits, what differs, and which replica writes.

use clap::Args;
use serde_json::Value;

use super::connection::{Payload, ServerArgs};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns targets`.
#[derive(Debug, Args)]
pub(crate) struct TargetsArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Prints the targets.
pub(crate) fn targets(args: &TargetsArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let answer = client.call("GET", "/api/v1/targets", Payload::None)?.json()?;
    args.server.output.print(&answer, || shown(&answer))
}

fn shown(answer: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let targets = list(&answer["targets"]);
    let fields = |value: &Value, names: &[&str]| names.iter().map(|name| cell(&value[*name])).collect::<Vec<_>>();
    let columns = ["target", "state", "records", "pending_count", "drift_count", "error"];
    let rows = targets.iter().map(|target| fields(target, &columns));
    let mut text = table(&["TARGET", "STATE", "RECORDS", "PENDING", "DRIFT", "ERROR"], rows);
    let mut part = |title: &str, of: &str, heading: &[&str], names: &[&str]| {
        let rows = targets.iter().flat_map(|target| {
            let items = list(&target[of]);
            items.into_iter().map(|item| {
                let mut row = vec![cell(&target["target"])];
                row.extend(fields(&item, names));
                row
            })
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            text.push_str(&format!("\n{title}\n{}", table(heading, rows)));
        }
    };
    part(
        "Changes that wait:",
        "pending",
        &["TARGET", "CHANGE", "RECORD", "ATTEMPTS", "REASON"],
        &["change", "record", "attempts", "reason"],
    );
    part(
        "Differences that hotdns did not make:",
        "drift",
        &["TARGET", "KIND", "RECORD", "SINCE", "REMEDIATED"],
        &["drift_type", "record", "since", "remediated"],
    );
    for target in &targets {
        if let Some(diff) = target["diff"].as_str().filter(|diff| !diff.is_empty()) {
            text.push_str(&format!("\n{diff}"));
        }
    }
    let leader = &answer["leader"];
    if leader.is_object() {
        let writes = if leader["leads"] == true {
            "writes"
        } else {
            "does not write"
        };
        let (lease, holder) = (cell(&leader["lease"]), cell(&leader["holder"]));
        text.push_str(&format!("\nThis replica {writes}; Lease {lease} is held by {holder}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_waits_and_what_differs_is_shown() {
        let answer = json!({
            "targets": [{
                "target": "technitium/home", "state": "synced", "records": 3, "pending_count": 1, "drift_count": 1,
                "error": null, "diff": null,
                "pending": [{"change": "add", "record": "a.x A 192.0.2.1", "attempts": 5, "reason": "denied"}],
                "drift": [{"drift_type": "missing_record", "record": "b.x A 192.0.2.2", "since": "now",
                    "remediated": false}],
            }],
            "leader": {"lease": "infrastructure/hotdns", "holder": "other", "leads": false},
        });
        let text = shown(&answer);
        for part in [
            "technitium/home",
            "a.x A 192.0.2.1",
            "missing_record",
            "does not write",
            "held by other",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
