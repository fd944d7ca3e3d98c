//! `hotdns cache`: what is kept of upstream's answers, and how it is flushed.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::connection::{Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns cache`.
#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    verb: CacheVerb,
    #[command(flatten)]
    server: ServerArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum CacheVerb {
    /// List answers that are kept.
    List {
        /// The question's name; all names without one.
        name: Option<String>,
        /// How many answers, 100000 at most.
        #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
        limit: u32,
    },
    /// Take answers out, so that the next question goes upstream.
    Flush {
        /// The question's name.
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Names below it, too.
        #[arg(long, requires = "name")]
        tree: bool,
        /// All answers.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
}

/// Lists or flushes.
pub(crate) fn cache(args: &CacheArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    match &args.verb {
        CacheVerb::List { name, limit } => {
            let limit = limit.to_string();
            let parameters = [("name", name.as_deref()), ("limit", Some(limit.as_str()))];
            let path = path_with("/api/v1/cache", &parameters);
            let answer = client.call("GET", &path, Payload::None)?.json()?;
            args.server.output.print(&answer, || shown(&answer))
        }
        CacheVerb::Flush { name, tree, .. } => {
            let parameters = [("name", name.as_deref()), ("tree", tree.then_some("true"))];
            let path = path_with("/api/v1/cache", &parameters);
            let answer = client.call("DELETE", &path, Payload::None)?.json()?;
            let removed = || format!("answers taken out: {}\n", cell(&answer["removed"]));
            args.server.output.print(&answer, removed)
        }
    }
}

fn shown(answer: &Value) -> String {
    let entries = answer["entries"].as_array().cloned().unwrap_or_default();
    let columns = ["name", "type", "rcode", "ttl", "upstream", "records"];
    let rows = entries.iter().map(|entry| {
        let mut row = columns.map(|column| cell(&entry[column])).to_vec();
        if entry["stale"] == true {
            row[3].push_str(" (over)");
        }
        row
    });
    let mut text = table(&["NAME", "TYPE", "RCODE", "TTL", "UPSTREAM", "RECORDS"], rows);
    if let Some(more @ 1..) = answer["more"].as_u64() {
        text.push_str(&format!("\n{more} more are not shown\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_over_and_what_is_not_shown_is_said() {
        let entry = |ttl: u32, stale: bool| {
            json!({"name": "a.", "type": "A", "rcode": "NOERROR", "ttl": ttl, "stale": stale, "upstream": "default",
                "records": ["a. 7 IN A 192.0.2.1"]})
        };
        let answer = json!({"entries": [entry(7, false), entry(0, true)], "more": 3});
        assert_eq!(
            shown(&answer),
            "NAME  TYPE  RCODE    TTL       UPSTREAM  RECORDS\n\
             a.    A     NOERROR  7         default   a. 7 IN A 192.0.2.1\n\
             a.    A     NOERROR  0 (over)  default   a. 7 IN A 192.0.2.1\n\n3 more are not shown\n"
        );
    }
}
