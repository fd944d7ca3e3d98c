//! `hotdns token`: who may use the API, and for what.

use clap::{Args, Subcommand};
use dns_userspace::model::shown::percent_encoded;
use serde_json::{Map, Value, json};

use super::connection::{Payload, ServerArgs};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// List tokens, without their secrets.
    List,
    /// Make a token and print its secret, which is shown this once.
    Create(CreateArgs),
    /// Delete a token: what uses it is refused from then on.
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What it is called, in lists and in the history.
    name: String,
    /// Only these zones.
    #[arg(long = "zone", value_name = "ZONE")]
    zones: Vec<String>,
    /// Only names that match one of these patterns, such as '_acme-challenge.*'.
    #[arg(long = "match", value_name = "PATTERN")]
    names: Vec<String>,
    /// Only these types.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only these HTTP methods.
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// Only these views.
    #[arg(long = "view", value_name = "VIEW")]
    views: Vec<String>,
    /// Only records of these sources, such as api.
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// When it ends (2026-12-31T00:00:00Z).
    #[arg(long, value_name = "TIME", conflicts_with = "expires_in")]
    expires: Option<String>,
    /// How long it is good (90d, 12h).
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// Its id, from `hotdns token list`.
    id: String,
}

/// Does what `hotdns token` was asked for.
pub(crate) fn token(args: &TokenArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let output = args.server.output;
    match &args.verb {
        TokenVerb::List => {
            let answer = client.call("GET", "/api/v1/tokens", Payload::None)?.json()?;
            output.print(&answer, || shown(&answer["tokens"]))
        }
        TokenVerb::Create(create) => {
            let answer = client
                .call("POST", "/api/v1/tokens", Payload::Json(&body(create)))?
                .json()?;
            output.print(&answer, || cell(&answer["secret"]) + "\n")
        }
        TokenVerb::Delete(delete) => {
            let path = format!("/api/v1/tokens/{}", percent_encoded(&delete.id));
            client.call("DELETE", &path, Payload::None).map(|_| ())
        }
    }
}

fn body(create: &CreateArgs) -> Value {
    let mut scope = Map::new();
    for (member, list) in [
        ("zones", &create.zones),
        ("names", &create.names),
        ("types", &create.types),
        ("methods", &create.methods),
        ("views", &create.views),
        ("sources", &create.sources),
    ] {
        if !list.is_empty() {
            scope.insert(member.to_owned(), json!(list));
        }
    }
    let mut body = json!({"name": create.name, "scope": scope});
    for (member, given) in [("expires", &create.expires), ("expires_in", &create.expires_in)] {
        if let Some(given) = given {
            body[member] = json!(given);
        }
    }
    body
}

fn shown(tokens: &Value) -> String {
    let rows = tokens.as_array().into_iter().flatten().map(|token| {
        let scope = token["scope"].as_object().cloned().unwrap_or_default();
        let parts: Vec<String> = scope
            .iter()
            .filter(|(_, value)| value.as_array().is_some_and(|list| !list.is_empty()))
            .map(|(member, value)| format!("{member}: {}", cell(value).replace('\n', ", ")))
            .collect();
        let scope = if parts.is_empty() {
            "everything".to_owned()
        } else {
            parts.join("\n")
        };
        vec![cell(&token["id"]), cell(&token["name"]), scope, cell(&token["expires"])]
    });
    table(&["ID", "NAME", "MAY", "EXPIRES"], rows)
}
