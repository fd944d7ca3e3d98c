//! `hotdns upstreams`: the servers that names which are not ours go to, how they do, and which names these are.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::connection::{Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns upstreams`.
#[derive(Debug, Args)]
pub(crate) struct UpstreamsArgs {
    #[command(subcommand)]
    verb: Option<UpstreamsVerb>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What to show.
#[derive(Debug, Subcommand)]
enum UpstreamsVerb {
    /// The names that went upstream most often since the start.
    Names {
        /// How many names.
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: u16,
    },
}

/// Prints the servers, or the names.
pub(crate) fn upstreams(args: &UpstreamsArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    match args.verb {
        None => {
            let answer = client.call("GET", "/api/v1/upstreams", Payload::None)?.json()?;
            args.server.output.print(&answer, || shown(&answer))
        }
        Some(UpstreamsVerb::Names { limit }) => {
            let path = path_with("/api/v1/upstreams/names", &[("limit", Some(&limit.to_string()))]);
            let answer = client.call("GET", &path, Payload::None)?.json()?;
            args.server.output.print(&answer, || shown_names(&answer))
        }
    }
}

fn shown(answer: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut rows = Vec::new();
    for upstream in list(&answer["upstreams"]) {
        for server in list(&upstream["servers"]) {
            let mut row = vec![cell(&upstream["name"]), cell(&upstream["policy"])];
            let columns = ["server", "state", "addresses", "rtt_ms", "queries", "failures"];
            row.extend(columns.map(|column| cell(&server[column])));
            rows.push(row);
        }
    }
    table(
        &[
            "UPSTREAM",
            "POLICY",
            "SERVER",
            "STATE",
            "ADDRESSES",
            "RTT_MS",
            "QUERIES",
            "FAILURES",
        ],
        rows,
    )
}

fn shown_names(answer: &Value) -> String {
    let names = answer["names"].as_array().cloned().unwrap_or_default();
    let columns = ["name", "queries", "uncertain"];
    let rows = names
        .iter()
        .map(|name| columns.map(|column| cell(&name[column])).to_vec());
    table(&["NAME", "QUERIES", "UNCERTAIN"], rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_server_is_a_row() {
        let answer = json!({"upstreams": [{"name": "default", "policy": "sequential", "servers": [
            {"server": "192.0.2.1", "state": "up", "addresses": ["192.0.2.1:53"], "rtt_ms": 1.5, "queries": 7,
                "failures": 0},
            {"server": "dns.example", "state": "unresolved", "addresses": [], "queries": 0, "failures": 0},
        ]}]});
        assert_eq!(
            shown(&answer),
            "UPSTREAM  POLICY      SERVER       STATE       ADDRESSES     RTT_MS  QUERIES  FAILURES\n\
             default   sequential  192.0.2.1    up          192.0.2.1:53  1.5     7        0\n\
             default   sequential  dns.example  unresolved                -       0        0\n"
        );
        let names = json!({"names": [{"name": "a.example.", "queries": 3, "uncertain": 0}]});
        assert_eq!(
            shown_names(&names),
            "NAME        QUERIES  UNCERTAIN\na.example.  3        0\n"
        );
    }
}
