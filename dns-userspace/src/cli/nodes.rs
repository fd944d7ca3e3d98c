//! `hotdns nodes`: the servers that share an etcd, and what each serves.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::connection::{Payload, ServerArgs};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns nodes`.
#[derive(Debug, Args)]
pub(crate) struct NodesArgs {
    #[command(subcommand)]
    verb: Option<NodesVerb>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum NodesVerb {
    /// Say which state is right, where the server doubts what etcd holds.
    Accept {
        /// Whose state is taken.
        #[arg(value_enum)]
        take: Take,
    },
}

/// Whose state is taken.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Take {
    /// What etcd holds is served by the server.
    Etcd,
    /// What the server serves is written in the place of what etcd holds.
    Node,
}

/// Lists the nodes, or says what is taken. A server that is not connected, or doubts, is a finding.
pub(crate) fn nodes(args: &NodesArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let answer = match args.verb {
        None => client.call("GET", "/api/v1/nodes", Payload::None)?.json()?,
        Some(NodesVerb::Accept { take }) => {
            let take = match take {
                Take::Etcd => "etcd",
                Take::Node => "node",
            };
            let body = json!({"take": take});
            return client
                .call("POST", "/api/v1/nodes/accept", Payload::Json(&body))
                .map(drop);
        }
    };
    args.server.output.print(&answer, || shown(&answer))?;
    match answer["state"].as_str() {
        Some("away" | "doubted") => Err(Failure::Findings),
        _ => Ok(()),
    }
}

fn shown(answer: &Value) -> String {
    let nodes = answer["nodes"].as_array().cloned().unwrap_or_default();
    let rows = nodes.iter().map(|node| {
        let name = cell(&node["name"]);
        vec![
            match node["is_self"].as_bool() {
                Some(true) => format!("{name} (this one)"),
                _ => name,
            },
            cell(&node["id"]),
            cell(&node["version"]),
            cell(&node["behind"]),
            cell(&node["program"]),
        ]
    });
    let state = summary(answer);
    match nodes.is_empty() {
        true => format!("{state}\n"),
        false => format!(
            "{state}\n\n{}",
            table(
                &["NODE", "ID", "VERSION", "BEHIND", "PROGRAM"],
                rows.collect::<Vec<_>>()
            )
        ),
    }
}

/// How the server is connected, in a line.
pub(super) fn summary(answer: &Value) -> String {
    let reason = answer["reason"].as_str().unwrap_or_default();
    match answer["state"].as_str() {
        Some("alone") => "this server shares nothing with others".to_owned(),
        Some("connected") => format!("connected to etcd at {}", cell(&answer["endpoint"])),
        Some("starting") => "etcd was not asked yet".to_owned(),
        Some("away") => format!("etcd is away: {reason}"),
        _ => reason.to_owned(),
    }
}
