//! `hotdns k8s`: objects of the clusters that a running server watches. No kubeconfig is needed here.

use clap::{Args, Subcommand};
use dns_userspace::model::shown::percent_encoded;
use serde_json::{Value, json};

use super::connection::{Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns k8s`.
#[derive(Debug, Args)]
pub(crate) struct K8sArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: K8sVerb,
}

#[derive(Debug, Subcommand)]
enum K8sVerb {
    /// Show which names an object gives, which of them are served, and why the others are not.
    Explain(ExplainArgs),
    /// Take over the names that external-dns has written into this server; without --apply only say which.
    Adopt(AdoptArgs),
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// The object as KIND/NAMESPACE/NAME, such as ingress/monitoring/grafana.
    object: String,
    /// Only in the cluster of this name.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

#[derive(Debug, Args)]
struct AdoptArgs {
    /// The name of the source that takes over.
    source: String,
    /// external-dns's --txt-prefix.
    #[arg(long, default_value = "", hide_default_value = true)]
    txt_prefix: String,
    /// external-dns's --txt-suffix.
    #[arg(long, default_value = "", hide_default_value = true)]
    txt_suffix: String,
    /// external-dns's --txt-wildcard-replacement.
    #[arg(long, default_value = "", hide_default_value = true)]
    txt_wildcard_replacement: String,
    /// Only what external-dns with this --txt-owner-id has written.
    #[arg(long)]
    txt_owner_id: Option<String>,
    /// Do it.
    #[arg(long)]
    apply: bool,
}

/// Does what `hotdns k8s` was asked for.
pub(crate) fn k8s(args: &K8sArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let output = args.server.output;
    match &args.verb {
        K8sVerb::Explain(explain) => {
            let query = [
                ("object", Some(&*explain.object)),
                ("source", explain.source.as_deref()),
            ];
            let path = path_with("/api/v1/kubernetes/objects", &query);
            let answer = client.call("GET", &path, Payload::None)?.json()?;
            output.print(&answer, || explained(&answer))
        }
        K8sVerb::Adopt(adopt) => {
            let dry_run = !adopt.apply;
            let path = format!(
                "/api/v1/sources/kubernetes/{}/adopt?dry_run={dry_run}",
                percent_encoded(&adopt.source)
            );
            let body = json!({
                "txt_prefix": adopt.txt_prefix,
                "txt_suffix": adopt.txt_suffix,
                "txt_wildcard_replacement": adopt.txt_wildcard_replacement,
                "txt_owner_id": adopt.txt_owner_id,
            });
            let answer = client.call("POST", &path, Payload::Json(&body))?.json()?;
            output.print(&answer, || adopted(&answer))
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn explained(answer: &Value) -> String {
    let mut text = String::new();
    for object in list(&answer["objects"]) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{} in {}", cell(&object["object"]), cell(&object["source"])));
        if let Some(note) = object["note"].as_str() {
            text.push_str(&format!(": {note}"));
        }
        text.push('\n');
        if object["ending"] == true {
            text.push_str("it is being deleted\n");
        }
        if let Some(error) = object["error"].as_str() {
            text.push_str(&format!(
                "it cannot be understood, what it gave before stays: {error}\n"
            ));
        }
        let rows = list(&object["names"]).map(|name| {
            let served = match name["served"] == true {
                true => "served".to_owned(),
                false => format!("not served: {}", cell(&name["reason"])),
            };
            let columns = ["name", "ttl", "type", "value", "view"].map(|member| cell(&name[member]));
            columns.into_iter().chain([served]).collect()
        });
        let rows: Vec<Vec<String>> = rows.collect();
        match rows.is_empty() {
            true => text.push_str("it gives no names\n"),
            false => text.push_str(&table(&["NAME", "TTL", "TYPE", "VALUE", "VIEW", ""], rows)),
        }
        for note in list(&object["notes"]) {
            text.push_str(&format!("- {}\n", cell(note)));
        }
    }
    text
}

fn adopted(answer: &Value) -> String {
    let is_dry = answer["dry_run"] == true;
    let mut text = String::new();
    let taken = list(&answer["taken"]).map(|taken| {
        let members = ["name", "type", "object", "resource", "txt_owner_id"];
        members.map(|member| cell(&taken[member])).to_vec()
    });
    let taken: Vec<Vec<String>> = taken.collect();
    let count = taken.len();
    if count > 0 {
        text.push_str(&table(&["NAME", "TYPE", "OBJECT", "MADE FOR", "OWNER ID"], taken));
    }
    let texts = list(&answer["texts"]).count();
    text.push_str(&match is_dry {
        true => format!("{count} records would be taken over, {texts} TXT records would go; do it with --apply\n"),
        false => format!("{count} records were taken over, {texts} TXT records are gone\n"),
    });
    for left in list(&answer["left"]) {
        let [name, rtype, reason] = ["name", "type", "reason"].map(|member| cell(&left[member]));
        text.push_str(&format!("- {name} {rtype} stays: {reason}\n"));
    }
    text
}
