//! `hotdns watch`: changes as they happen (Server-Sent Events, WHATWG HTML §9.2).

use std::io::{BufRead, BufReader};

use clap::Args;
use serde_json::{Value, json};

use super::connection::{ServerArgs, path_with};
use super::failure::Failure;
use super::output::{OutputFormat, cell, write_out, yaml};

/// Arguments of `hotdns watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Begin behind this version, instead of now.
    #[arg(long, value_name = "VERSION")]
    since: Option<String>,
    /// End after so many changes.
    #[arg(long, value_name = "N")]
    count: Option<usize>,
}

/// Prints each change, until the server or the user ends it.
pub(crate) fn watch(args: &WatchArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let path = path_with("/api/v1/watch", &[("since", args.since.as_deref())]);
    let mut body = client.stream(&path, &[("accept", "text/event-stream")])?;
    let mut left = args.count.unwrap_or(usize::MAX);
    let mut event = Event::default();
    for line in BufReader::new(body.as_reader()).lines() {
        let line = line.map_err(|error| Failure::Unreachable {
            server: client.shown().to_owned(),
            reason: error.to_string(),
        })?;
        let Some(whole) = event.line(&line) else { continue };
        write_out(&whole.shown(args.server.output)?)?;
        left -= 1;
        if left == 0 {
            return Ok(());
        }
    }
    Err(Failure::Unreachable {
        server: client.shown().to_owned(),
        reason: "the server ended the stream".to_owned(),
    })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    kind: String,
    id: String,
    data: String,
}

impl Event {
    /// Takes a line; an empty one ends the event, which is given.
    fn line(&mut self, line: &str) -> Option<Self> {
        if line.is_empty() {
            let whole = std::mem::take(self);
            return (!whole.kind.is_empty() || !whole.data.is_empty()).then_some(whole);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.kind = value.to_owned(),
            "id" => self.id = value.to_owned(),
            "data" if self.data.is_empty() => self.data = value.to_owned(),
            "data" => self.data = format!("{}\n{value}", self.data),
            _ => {}
        }
        None
    }

    fn shown(&self, output: OutputFormat) -> Result<String, Failure> {
        let data: Value = serde_json::from_str(&self.data).unwrap_or(Value::Null);
        let document = json!({"event": self.kind, "version": self.id, "data": data});
        Ok(match output {
            OutputFormat::Json => format!("{document}\n"),
            OutputFormat::Yaml => format!("---\n{}", yaml(&document)?),
            OutputFormat::Table => {
                let words = ["name", "ttl", "type"].map(|member| match &data[member] {
                    Value::Null => String::new(),
                    value => cell(value),
                });
                let value = if data["value"].is_null() {
                    String::new()
                } else {
                    cell(&data["value"]).replace('\n', ", ")
                };
                let text = format!("{} {} {} {value}", self.id, self.kind, words.join(" "));
                format!("{}\n", text.split_whitespace().collect::<Vec<_>>().join(" "))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_end_with_an_empty_line() {
        let mut event = Event::default();
        let text = ": a comment\n\nevent: added\nid: 7\ndata: {\"name\":\"a.\",\"type\":\"A\",\"ttl\":60,\ndata: \
                    \"value\":[\"192.0.2.1\"]}\n\n";
        let whole: Vec<Event> = text.lines().filter_map(|line| event.line(line)).collect();
        assert_eq!(whole.len(), 1);
        let shown = whole[0].shown(OutputFormat::Table).expect("text");
        assert_eq!(shown, "7 added a. 60 A 192.0.2.1\n");
    }
}
