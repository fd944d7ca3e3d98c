//! `hotdns record`: RRsets of a running server.

use clap::{Args, Subcommand};
use dns_userspace::model::shown::percent_encoded;
use serde_json::{Map, Value, json};

use super::connection::{Client, Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::mark::{self, Mark, MarkArgs};
use super::output::{OutputFormat, cell, table};
use super::progress::Progress;

/// The most that the API gives in one page.
const PAGE: usize = 1000;

/// Arguments of `hotdns record`.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: RecordVerb,
}

#[derive(Debug, Subcommand)]
enum RecordVerb {
    /// List what is served.
    List(ListArgs),
    /// Show the records at a name.
    Get(GetArgs),
    /// Create an RRset, or replace it: afterwards it has exactly these values.
    Set(ChangeArgs),
    /// Add values to an RRset, or create it.
    Add(ChangeArgs),
    /// Remove values, an RRset, or all of the API's records at a name.
    Remove(RemoveArgs),
    /// Lock RRsets: nobody changes them until they are unlocked.
    Lock(MarkArgs),
    /// Unlock RRsets.
    Unlock(MarkArgs),
    /// Keep RRsets and do not serve them.
    Disable(MarkArgs),
    /// Serve RRsets again.
    Enable(MarkArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only this name.
    #[arg(long)]
    name: Option<String>,
    /// Only this type.
    #[arg(long, value_name = "TYPE")]
    r#type: Option<String>,
    /// Only this zone.
    #[arg(long)]
    zone: Option<String>,
    /// The records of this view.
    #[arg(long)]
    view: Option<String>,
    /// Only those with this text in their name, value, source or note.
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// Those that are kept and not served.
    #[arg(long)]
    disabled: bool,
    /// At most so many RRsets.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
struct GetArgs {
    /// The name, absolute; the final dot is optional.
    name: String,
    /// Only this type.
    r#type: Option<String>,
    /// The records of this view.
    #[arg(long)]
    view: Option<String>,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    /// The name, absolute; the final dot is optional.
    name: String,
    /// The type, such as A, AAAA, CNAME, MX or TXT.
    r#type: String,
    /// The values in presentation format, one argument each: '10 mail.example.com.' for an MX record.
    #[arg(required = true, allow_negative_numbers = true)]
    values: Vec<String>,
    /// Seconds; without it an RRset keeps its own, and a new one takes the server's default.
    #[arg(long)]
    ttl: Option<u32>,
    /// The view that it is in.
    #[arg(long)]
    view: Option<String>,
    /// In which order the values are answered: fixed, rotate, random, weighted or hash.
    #[arg(long)]
    order: Option<String>,
    /// With `--order weighted` a number for each value, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    weights: Vec<u32>,
    /// What a wildcard stands for: rfc4592 or one_label.
    #[arg(long, value_name = "KIND")]
    wildcard: Option<String>,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The name, absolute; the final dot is optional.
    name: String,
    /// Only this type.
    r#type: Option<String>,
    /// Only these values.
    values: Vec<String>,
    /// The view that they are in.
    #[arg(long)]
    view: Option<String>,
}

/// Does what `hotdns record` was asked for.
pub(crate) fn record(args: &RecordArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let output = args.server.output;
    match &args.verb {
        RecordVerb::List(list) => {
            let filter = Filter {
                name: list.name.as_deref(),
                rtype: list.r#type.as_deref(),
                zone: list.zone.as_deref(),
                view: list.view.as_deref(),
                text: list.query.as_deref(),
                disabled: list.disabled,
            };
            print(output, records(&client, &filter, list.limit)?)
        }
        RecordVerb::Get(get) => {
            let path = format!("/api/v1/records/{}", percent_encoded(&get.name));
            let parameters = [("type", get.r#type.as_deref()), ("view", get.view.as_deref())];
            let answer = client
                .call("GET", &path_with(&path, &parameters), Payload::None)?
                .json()?;
            print(output, answer["records"].as_array().cloned().unwrap_or_default())
        }
        RecordVerb::Set(change) => {
            let path = format!("/api/v1/records/{}", percent_encoded(&change.name));
            let answer = client.call("PUT", &path, Payload::Json(&body(change)))?;
            print(output, vec![answer.json()?])
        }
        RecordVerb::Add(change) => {
            let answer = client.call("POST", "/api/v1/records", Payload::Json(&body(change)))?;
            print(output, vec![answer.json()?])
        }
        RecordVerb::Remove(remove) => remove_records(&client, remove),
        RecordVerb::Lock(asked) => mark::mark(&client, output, asked, Mark::Locked(true)),
        RecordVerb::Unlock(asked) => mark::mark(&client, output, asked, Mark::Locked(false)),
        RecordVerb::Disable(asked) => mark::mark(&client, output, asked, Mark::Disabled(true)),
        RecordVerb::Enable(asked) => mark::mark(&client, output, asked, Mark::Disabled(false)),
    }
}

fn remove_records(client: &Client, remove: &RemoveArgs) -> Result<(), Failure> {
    let path = format!("/api/v1/records/{}", percent_encoded(&remove.name));
    let (rtype, view) = (remove.r#type.as_deref(), remove.view.as_deref());
    let values: Vec<Option<&str>> = if remove.values.is_empty() {
        vec![None]
    } else {
        remove.values.iter().map(|value| Some(value.as_str())).collect()
    };
    for value in values {
        let path = path_with(&path, &[("type", rtype), ("value", value), ("view", view)]);
        client.call("DELETE", &path, Payload::None)?;
    }
    Ok(())
}

fn body(change: &ChangeArgs) -> Value {
    let mut body = Map::new();
    body.insert("name".into(), json!(change.name));
    body.insert("type".into(), json!(change.r#type));
    body.insert("value".into(), json!(change.values));
    let mut optional = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.into(), value);
        }
    };
    optional("ttl", change.ttl.map(|ttl| json!(ttl)));
    optional("view", change.view.as_ref().map(|view| json!(view)));
    optional("order", change.order.as_ref().map(|order| json!(order)));
    optional("wildcard", change.wildcard.as_ref().map(|kind| json!(kind)));
    optional("weights", (!change.weights.is_empty()).then(|| json!(change.weights)));
    Value::Object(body)
}

/// Which records are listed.
#[derive(Debug, Default)]
pub(crate) struct Filter<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) rtype: Option<&'a str>,
    pub(crate) zone: Option<&'a str>,
    pub(crate) view: Option<&'a str>,
    pub(crate) text: Option<&'a str>,
    /// Those that are kept and not served, and no others.
    pub(crate) disabled: bool,
}

/// All records, page by page, up to `limit`.
pub(crate) fn records(client: &Client, filter: &Filter<'_>, limit: Option<usize>) -> Result<Vec<Value>, Failure> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    let progress = Progress::of_things(client.output(), "RRsets read:", None);
    while found.len() < limit {
        let page = (limit - found.len()).min(PAGE).to_string();
        let path = path_with(
            "/api/v1/records",
            &[
                ("name", filter.name),
                ("type", filter.rtype),
                ("zone", filter.zone),
                ("view", filter.view),
                ("q", filter.text),
                ("disabled", filter.disabled.then_some("true")),
                ("limit", Some(&page)),
                ("cursor", cursor.as_deref()),
            ],
        );
        let answer = client.call("GET", &path, Payload::None)?;
        let mut json = answer.json()?;
        if let Value::Array(records) = json["records"].take() {
            found.extend(records);
        }
        match json["next"].as_str() {
            Some(next) => {
                progress.add(PAGE);
                cursor = Some(next.to_owned());
            }
            None => break,
        }
    }
    Ok(found)
}

/// Prints RRsets, one row each.
pub(crate) fn print(output: OutputFormat, records: Vec<Value>) -> Result<(), Failure> {
    let has_views = records.iter().any(|record| record["view"].is_string());
    let document = json!({ "records": records });
    output.print(&document, || {
        let records = document["records"].as_array().into_iter().flatten();
        let rows = records.map(|record| {
            let mut row: Vec<String> = ["name", "type", "ttl"].map(|name| cell(&record[name])).to_vec();
            row.push(value_cell(record));
            row.push(cell(&record["source"]));
            if has_views {
                row.push(cell(&record["view"]));
            }
            row
        });
        let mut heading = vec!["NAME", "TYPE", "TTL", "VALUE", "SOURCE"];
        if has_views {
            heading.push("VIEW");
        }
        table(&heading, rows)
    })
}

/// The values, each on its line, and behind the last what else the RRset says.
fn value_cell(record: &Value) -> String {
    let mut text = cell(&record["value"]);
    let mut notes: Vec<String> = Vec::new();
    for name in ["order", "wildcard", "note"] {
        if let Some(value) = record[name].as_str() {
            notes.push(format!("{name}: {value}"));
        }
    }
    for name in ["locked", "disabled"] {
        if record[name] == json!(true) {
            notes.push(name.to_owned());
        }
    }
    if !notes.is_empty() {
        text.push_str(&format!("  [{}]", notes.join(", ")));
    }
    text
}
