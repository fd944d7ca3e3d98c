//! `views` of the configuration file: names and the prefixes of clients.

use std::collections::HashMap;
use std::rc::Rc;

use ipnet::IpNet;

use super::address::parse_prefix;
use super::document::{Kind, Node, Position};
use super::problem::{Findings, Problem};
use super::section::{Section, Text};
use crate::views::{ViewClients, ViewName};
use crate::work::Sought;

const VIEW_KEYS: &[&str] = &["name", "clients"];
/// The longest name of a view, in octets.
const MAX_NAME_BYTES: usize = 64;

pub(super) fn read_views(items: &[Rc<Node>], findings: &mut Findings) -> Vec<ViewClients> {
    let mut views = Vec::with_capacity(items.len());
    let mut first: HashMap<Sought<&str>, Position> = HashMap::new();
    let mut prefixes: HashMap<Sought<IpNet>, ViewName> = HashMap::new();
    for item in items {
        let section = Section::item(item, "a view", VIEW_KEYS, findings);
        if !matches!(item.kind, Kind::Mapping(_)) {
            continue;
        }
        let name = section.required_text("name", "name: office", findings);
        let clients = read_clients(&section, name, &mut prefixes, findings);
        let Some(Text { at, text }) = name else { continue };
        let problem = match (text.len(), first.get(&Sought(text))) {
            (0, _) => Problem::Empty {
                key: "name".to_owned(),
                remedy: "write a name for the view",
            },
            (bytes, _) if bytes > MAX_NAME_BYTES => Problem::TooLong {
                key: "name".to_owned(),
                bytes,
                most: MAX_NAME_BYTES,
            },
            (_, Some(first)) => Problem::DuplicateView {
                name: text.to_owned(),
                first: *first,
            },
            (_, None) => {
                first.insert(Sought(text), at);
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
    section: &Section<'_>,
    view: Option<Text<'_>>,
    prefixes: &mut HashMap<Sought<IpNet>, ViewName>,
    findings: &mut Findings,
) -> Vec<IpNet> {
    const EXAMPLE: &str = "clients: [10.0.0.0/8]";
    let key = || "clients".to_owned();
    let Some(at) = section.position("clients") else {
        findings.error(
            section.at,
            Problem::MissingKey {
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
        findings.error(at, Problem::Empty { key: key(), remedy });
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
        match prefixes.get(&Sought(prefix)) {
            Some(view) => findings.error(
                at,
                Problem::DuplicatePrefix {
                    key: key(),
                    prefix,
                    view: view.to_string(),
                },
            ),
            None => {
                prefixes.insert(Sought(prefix), name.into());
                clients.push(prefix);
            }
        }
    }
    clients
}
