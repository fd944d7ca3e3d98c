//! `hotdns reload`: a running server reads its files again.

use clap::Args;
use serde_json::Value;

use super::connection::{Payload, ServerArgs};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns reload`.
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Reloads and prints what is different; what could not be read is a finding.
pub(crate) fn reload(args: &ReloadArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let answer = client.call("POST", "/api/v1/reload", Payload::None)?.json()?;
    args.server.output.print(&answer, || shown(&answer))?;
    match answer["failed"].as_array() {
        Some(failed) if !failed.is_empty() => Err(Failure::Findings),
        _ => Ok(()),
    }
}

fn shown(answer: &Value) -> String {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let mut rows = Vec::new();
    for change in ["added", "changed", "removed"] {
        for rrset in list(change) {
            rows.push(vec![
                change.to_owned(),
                cell(&rrset["name"]),
                cell(&rrset["type"]),
                cell(&rrset["view"]),
            ]);
        }
    }
    let mut text = if rows.is_empty() {
        "nothing changed\n".to_owned()
    } else {
        table(&["CHANGE", "NAME", "TYPE", "VIEW"], rows)
    };
    for failure in list("failed") {
        text.push_str(&format!("\nnot loaded: {}\n", cell(&failure["error"])));
    }
    for key in list("applied") {
        text.push_str(&format!("\n`{}` has changed and is in force\n", cell(&key)));
    }
    for key in list("restart_needed") {
        text.push_str(&format!(
            "\n`{}` has changed and takes effect at a restart\n",
            cell(&key)
        ));
    }
    text
}
