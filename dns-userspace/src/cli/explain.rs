//! `hotdns explain`: which record, source, view and plane answers a question, and why.

use clap::Args;
use serde_json::Value;

use super::connection::{Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The name that is asked for.
    name: String,
    /// The type that is asked for.
    #[arg(default_value = "A")]
    r#type: String,
    /// The address of the client that asks.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,
}

/// Prints what answers.
pub(crate) fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let path = path_with(
        "/api/v1/explain",
        &[
            ("name", Some(&args.name)),
            ("type", Some(&args.r#type)),
            ("client", args.client.as_deref()),
        ],
    );
    let answer = client.call("GET", &path, Payload::None)?.json()?;
    args.server.output.print(&answer, || shown(&answer))
}

fn shown(answer: &Value) -> String {
    let members = [
        "answered_by",
        "pass_reason",
        "rcode",
        "zone",
        "view",
        "source",
        "object",
        "rule",
    ];
    let mut rows: Vec<Vec<String>> = members
        .iter()
        .filter(|member| !answer[**member].is_null())
        .map(|member| vec![member.replace('_', " "), cell(&answer[*member])])
        .collect();
    if let Some(record) = answer["record"].as_object() {
        let words = ["name", "ttl", "type"].map(|member| record.get(member).map(cell).unwrap_or_default());
        let value = record.get("value").map(cell).unwrap_or_default();
        rows.push(vec![
            "record".to_owned(),
            format!("{} {}", words.join(" "), value.replace('\n', ", ")),
        ]);
    }
    let text = table(&["", ""], rows);
    let mut text = text.split_once('\n').map_or(String::new(), |(_, rows)| rows.to_owned());
    for (number, step) in (1..).zip(answer["steps"].as_array().into_iter().flatten()) {
        text.push_str(&format!("{number}. {}\n", cell(step)));
    }
    text
}
