//! `hotdns history` and `hotdns rollback`: who changed what, and how it was before.

use clap::Args;
use dns_userspace::model::name::Name;
use dns_userspace::model::shown::percent_encoded;
use serde_json::{Value, json};

use super::changes::shown_diff;
use super::connection::{Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::files::parse_name;
use super::output::{cell, table};

/// Arguments of `hotdns history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only changes in this zone.
    #[arg(long)]
    zone: Option<String>,
    /// Only changes of this name.
    #[arg(long)]
    name: Option<String>,
    /// Only changes by this token or source.
    #[arg(long)]
    actor: Option<String>,
    /// Only changes of this source, such as consul/dc1.
    #[arg(long)]
    source: Option<String>,
    /// Only changes since this time (2026-01-31T12:00:00Z) or version.
    #[arg(long)]
    since: Option<String>,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Show what was different, too.
    #[arg(long)]
    diff: bool,
}

/// Arguments of `hotdns rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The zone.
    #[arg(value_parser = parse_name)]
    zone: Name,
    /// The version that its records are to be as of, from `hotdns history --zone ZONE`.
    #[arg(long, value_name = "VERSION")]
    to: u64,
    /// Say what would be different, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Prints changes, the newest first.
pub(crate) fn history(args: &HistoryArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let limit = args.limit.to_string();
    let path = path_with(
        "/api/v1/history",
        &[
            ("zone", args.zone.as_deref()),
            ("name", args.name.as_deref()),
            ("actor", args.actor.as_deref()),
            ("source", args.source.as_deref()),
            ("since", args.since.as_deref()),
            ("limit", Some(&limit)),
        ],
    );
    let answer = client.call("GET", &path, Payload::None)?.json()?;
    args.server
        .output
        .print(&answer, || shown(&answer["entries"], args.diff))
}

/// The entries of a page of the history; with what was different, if that is wanted.
pub(super) fn shown(entries: &Value, with_diff: bool) -> String {
    let entries = entries.as_array().map_or(&[][..], Vec::as_slice);
    let row = |entry: &Value| {
        let changed = entry["diff"].as_array().map_or(0, Vec::len).to_string();
        let mut row = ["version", "time", "actor", "source"]
            .map(|member| cell(&entry[member]))
            .to_vec();
        row.push(changed);
        row.push(cell(&entry["comment"]));
        row
    };
    let heading = ["VERSION", "TIME", "ACTOR", "SOURCE", "RRSETS", "COMMENT"];
    if !with_diff {
        return table(&heading, entries.iter().map(row));
    }
    let whole = |entry: &Value| format!("{}{}\n", table(&heading, [row(entry)]), shown_diff(&entry["diff"]));
    entries.iter().map(whole).collect()
}

/// Makes a zone's records as they were; a change like any other, so it can be undone.
pub(crate) fn rollback(args: &RollbackArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let path = format!("/api/v1/zones/{}/rollback", percent_encoded(&args.zone.to_string()));
    let path = path_with(&path, &[("dry_run", args.dry_run.then_some("true"))]);
    let answer = client
        .call("POST", &path, Payload::Json(&json!({"to": args.to})))?
        .json()?;
    args.server.output.print(&answer, || shown_diff(&answer["diff"]))
}
