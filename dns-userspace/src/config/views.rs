//! `views`: their names, and the prefixes of the clients that are in them.

use std::collections::HashMap;

use ipnet::IpNet;

use super::address::parse_prefix;
use super::document::{FilePosition, YamlKind};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use crate::model::views::{ViewClients, ViewName};

const EXAMPLE: &str = "views: [{name: office, clients: [10.0.0.0/8]}]";
const ITEM_KEYS: &[&str] = &["name", "clients"];
/// The longest name of a view, in octets.
const MAX_NAME_BYTES: usize = 64;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::AtReload,
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> Vec<ViewClients> {
    let items = input.root.list("views", EXAMPLE, findings).unwrap_or_default();
    let mut views = Vec::with_capacity(items.len());
    let mut first: HashMap<&str, FilePosition> = HashMap::new();
    let mut prefixes: HashMap<IpNet, ViewName> = HashMap::new();
    for item in items {
        let section = CheckedMapping::item(item, "a view", ITEM_KEYS, findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let name = section.required_text("name", "name: office", findings);
        let clients = read_clients(&section, name, &mut prefixes, findings);
        let Some(Text { at, text }) = name else { continue };
        let problem = match (text.len(), first.get(text)) {
            (0, _) => ConfigProblem::Empty {
                key: "name".to_owned(),
                remedy: "write a name for the view",
            },
            (bytes, _) if bytes > MAX_NAME_BYTES => ConfigProblem::TooLong {
                key: "name".to_owned(),
                bytes,
                most: MAX_NAME_BYTES,
            },
            (_, Some(first)) => ConfigProblem::DuplicateView {
                name: text.to_owned(),
                first: *first,
            },
            (_, None) => {
                first.insert(text, at);
                views.push(ViewClients {
                    name: text.into(),
                    clients,
                });
                continue;
            }
        };
        findings.error(at, problem);
    }
    views
}

fn read_clients(
    section: &CheckedMapping<'_>,
    view: Option<Text<'_>>,
    prefixes: &mut HashMap<IpNet, ViewName>,
    findings: &mut Findings,
) -> Vec<IpNet> {
    const EXAMPLE: &str = "clients: [10.0.0.0/8]";
    let key = || "clients".to_owned();
    let Some(at) = section.position("clients") else {
        findings.error(
            section.at,
            ConfigProblem::MissingKey {
                key: "clients",
                section: "a view".to_owned(),
                example: EXAMPLE,
            },
        );
        return Vec::new();
    };
    let Some(texts) = section.texts("clients", EXAMPLE, findings) else {
        return Vec::new();
    };
    if section
        .list("clients", EXAMPLE, findings)
        .is_some_and(|items| items.is_empty())
    {
        let remedy = "write the prefixes of its clients, or remove the view";
        findings.error(at, ConfigProblem::Empty { key: key(), remedy });
    }
    let name = view.map_or("", |view| view.text);
    let mut clients = Vec::with_capacity(texts.len());
    for Text { at, text } in texts {
        let prefix = match parse_prefix("clients", text) {
            Ok(prefix) => prefix,
            Err(problem) => {
                findings.error(at, problem);
                continue;
            }
        };
        match prefixes.get(&prefix) {
            Some(view) => findings.error(
                at,
                ConfigProblem::DuplicatePrefix {
                    key: key(),
                    prefix,
                    view: view.to_string(),
                },
            ),
            None => {
                prefixes.insert(prefix, name.into());
                clients.push(prefix);
            }
        }
    }
    clients
}
