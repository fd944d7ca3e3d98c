//! `hotdns rule`: the rules for names that are not ours, and how one is switched off for a time.

use clap::{Args, Subcommand};
use serde_json::Value;

use dns_userspace::model::shown::percent_encoded;

use super::connection::{Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::output::{cell, table};

/// Arguments of `hotdns rule`.
#[derive(Debug, Args)]
pub(crate) struct RuleArgs {
    #[command(subcommand)]
    verb: RuleVerb,
    #[command(flatten)]
    server: ServerArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum RuleVerb {
    /// List the rules in their order.
    List,
    /// Switch a rule off for a time.
    Pause {
        /// The rule.
        name: String,
        /// For how long: a time with its unit, up to 7d.
        #[arg(long = "for", value_name = "TIME", default_value = "5m")]
        time: String,
    },
    /// End a pause.
    Resume {
        /// The rule.
        name: String,
    },
}

/// Lists, pauses, or resumes.
pub(crate) fn rule(args: &RuleArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let (name, time) = match &args.verb {
        RuleVerb::List => {
            let answer = client.call("GET", "/api/v1/rules", Payload::None)?.json()?;
            return args.server.output.print(&answer, || shown(&answer));
        }
        RuleVerb::Pause { name, time } => (name, time.as_str()),
        RuleVerb::Resume { name } => (name, "0s"),
    };
    let path = format!("/api/v1/rules/{}/pause", percent_encoded(name));
    let path = path_with(&path, &[("for", Some(time))]);
    let answer = client.call("POST", &path, Payload::None)?.json()?;
    args.server
        .output
        .print(&answer, || match answer["paused_for"].as_u64() {
            None | Some(0) => format!("{name} is in force\n"),
            Some(seconds) => format!("{name} is off for {seconds} s\n"),
        })
}

fn shown(answer: &Value) -> String {
    let rules = answer["rules"].as_array().cloned().unwrap_or_default();
    let rows = rules.iter().map(|rule| {
        let lists = rule["lists"].as_array().cloned().unwrap_or_default();
        let faults = lists.iter().filter(|list| list["error"].is_string());
        let faults: Vec<_> = faults
            .map(|list| format!("{}: {}", cell(&list["url"]), cell(&list["error"])))
            .collect();
        let mut row = ["name", "kind", "names", "changed", "paused_for"]
            .map(|column| cell(&rule[column]))
            .to_vec();
        row.push(cell(&faults.join("\n").into()));
        row
    });
    table(&["RULE", "KIND", "NAMES", "CHANGED", "PAUSED_FOR", "FAULTS"], rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_that_cannot_be_had_are_named() {
        let answer = json!({"rules": [
            {"name": "ads", "kind": "block", "names": 7, "paused_for": 60,
                "lists": [{"url": "https://a/", "age": 1}, {"url": "https://b/", "error": "away"}]},
            {"name": "cdn", "kind": "ttl", "changed": 2},
        ]});
        assert_eq!(
            shown(&answer),
            "RULE  KIND   NAMES  CHANGED  PAUSED_FOR  FAULTS\n\
             ads   block  7      -        60          https://b/: away\n\
             cdn   ttl    -      2        -           -\n"
        );
    }
}
