//! Tags within files: JSON of Consul's services and Nomad's jobs, and job files in HCL.
//!
//! In JSON each object with a name and a list of tags is a service. In HCL each `tags = [ … ]` is, and its name is the
//! `name` of the block `service` around it. All else of a file stays as it is.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::{Dialect, convert};
use crate::source::services::Tags;
use crate::traefik_rule;

/// Why a file cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It begins as JSON and is none.
    #[error("this is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A list in HCL that is not one of strings.
    #[error("line {line}: the list of tags has something else than strings in it: {found}")]
    List {
        /// The line.
        line: usize,
        /// What was found.
        found: String,
    },
}

/// The keys that a service's name is under, and its tags.
const NAMES: &[&str] = &["Name", "name", "ServiceName", "Service"];
const TAGS: &[&str] = &["Tags", "tags", "ServiceTags"];

static LISTS: LazyLock<Regex> = LazyLock::new(|| expression(r"(?m)^([ \t]*)tags[ \t]*=[ \t]*\["));
static BLOCKS: LazyLock<Regex> = LazyLock::new(|| expression(r#"(?m)^[ \t]*service[ \t]*(?:"([^"]*)"[ \t]*)?\{"#));
static NAME: LazyLock<Regex> = LazyLock::new(|| expression(r#"(?m)^[ \t]*name[ \t]*=[ \t]*"([^"]*)""#));

fn expression(text: &str) -> Regex {
    Regex::new(text).expect("a constant that tests use")
}

/// A file with the tags of all its services in a dialect, and the notes.
pub fn convert_document(text: &str, to: Dialect) -> Result<(String, Vec<String>), DocumentError> {
    let mut notes = Vec::new();
    let text = visit(text, &mut |service, tags| {
        let converted = convert(service, tags, to);
        notes.extend(
            converted
                .notes
                .into_iter()
                .map(|note| format!("service {service}: {note}")),
        );
        converted.tags
    })?;
    Ok((text, notes))
}

/// What is wrong with the tags of a file's services: a rule that cannot be read, or that gives no name.
pub fn validate_document(text: &str) -> Result<Vec<String>, DocumentError> {
    let mut problems = Vec::new();
    visit(text, &mut |service, tags| {
        let read = Tags::read(tags, false);
        problems.extend(
            read.problems
                .iter()
                .map(|(what, reason)| format!("service {service}: {what}: {reason}")),
        );
        for router in &read.routers {
            let shown = |reason: String| format!("service {service}: tag {}: {reason}", router.tag);
            match traefik_rule::parse(&router.rule, router.dialect) {
                Err(error) => problems.push(shown(error.to_string())),
                Ok(rule) => {
                    let names = traefik_rule::hosts(&rule);
                    let unknown = names.underivable.iter();
                    problems.extend(unknown.map(|unknown| {
                        shown(format!(
                            "no name can be derived from `{}`: {}",
                            unknown.what, unknown.reason
                        ))
                    }));
                }
            }
        }
        tags.to_vec()
    })?;
    Ok(problems)
}

/// Replaces the tags of each service by what `change` makes of them.
fn visit(text: &str, change: &mut dyn FnMut(&str, &[String]) -> Vec<String>) -> Result<String, DocumentError> {
    if text.trim_start().starts_with(['{', '[']) {
        let mut document: Value = serde_json::from_str(text)?;
        visit_json(&mut document, change);
        return Ok(serde_json::to_string_pretty(&document)? + "\n");
    }
    visit_hcl(text, change)
}

fn visit_json(value: &mut Value, change: &mut dyn FnMut(&str, &[String]) -> Vec<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| visit_json(item, change)),
        Value::Object(members) => {
            let name = NAMES
                .iter()
                .find_map(|key| members.get(*key)?.as_str().map(str::to_owned));
            let key = TAGS.iter().find(|key| members.get(**key).is_some_and(Value::is_array));
            if let (Some(name), Some(key)) = (name, key) {
                let tags = members[*key].as_array().into_iter().flatten();
                let tags: Option<Vec<String>> = tags.map(|tag| tag.as_str().map(str::to_owned)).collect();
                if let Some(tags) = tags {
                    members.insert((*key).to_owned(), change(&name, &tags).into());
                }
            }
            members.values_mut().for_each(|member| visit_json(member, change));
        }
        _ => {}
    }
}

fn visit_hcl(text: &str, change: &mut dyn FnMut(&str, &[String]) -> Vec<String>) -> Result<String, DocumentError> {
    let mut out = String::new();
    let mut rest = 0;
    for list in LISTS.captures_iter(text) {
        let (Some(whole), Some(indent)) = (list.get(0), list.get(1)) else {
            continue;
        };
        if whole.start() < rest {
            continue;
        }
        let (tags, comments, length) = strings(&text[whole.end()..]).map_err(|(at, found)| DocumentError::List {
            line: text[..whole.end() + at].lines().count(),
            found,
        })?;
        let end = whole.end() + length;
        let service = service_around(text, whole.start(), end);
        let changed = change(&service, &tags);
        if changed == tags {
            continue;
        }
        out.push_str(&text[rest..whole.end()]);
        let inner = format!("{}  ", indent.as_str());
        for comment in comments {
            out.push_str(&format!("\n{inner}{comment}"));
        }
        for tag in &changed {
            let quoted = tag.replace('\\', "\\\\").replace('"', "\\\"");
            out.push_str(&format!("\n{inner}\"{quoted}\","));
        }
        out.push_str(&format!("\n{}]", indent.as_str()));
        rest = end;
    }
    out.push_str(&text[rest..]);
    Ok(out)
}

type Strings = (Vec<String>, Vec<String>, usize);

/// The strings up to `]`, the comments between them, and how long all is. An error has its place and what is there.
fn strings(text: &str) -> Result<Strings, (usize, String)> {
    let (mut tags, mut comments) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        match first {
            ']' => return Ok((tags, comments, at + 1)),
            '"' => {
                let mut tag = String::new();
                let mut symbols = rest.char_indices().skip(1);
                let end = loop {
                    match symbols.next() {
                        Some((place, '"')) => break place + 1,
                        Some((_, '\\')) => tag.extend(symbols.next().map(|(_, escaped)| escaped)),
                        Some((_, symbol)) => tag.push(symbol),
                        None => return Err((at, "a string without an end".to_owned())),
                    }
                };
                tags.push(tag);
                at += end;
            }
            '#' | '/' => {
                let line = rest.lines().next().unwrap_or_default();
                comments.push(line.trim_end().to_owned());
                at += line.len();
            }
            symbol if symbol == ',' || symbol.is_whitespace() => at += symbol.len_utf8(),
            _ => return Err((at, rest.lines().next().unwrap_or_default().to_owned())),
        }
    }
    Err((at, "no `]`".to_owned()))
}

/// The name of the service whose tags are between `start` and `end`.
fn service_around(text: &str, start: usize, end: usize) -> String {
    let block = BLOCKS.captures_iter(&text[..start]).last();
    let (from, label) = match &block {
        Some(block) => (block.get(0).map_or(0, |whole| whole.end()), block.get(1)),
        None => (0, None),
    };
    let next = BLOCKS.find_at(text, end).map_or(text.len(), |next| next.start());
    let name = NAME.captures(&text[from..next]).and_then(|name| name.get(1));
    name.or(label)
        .map_or_else(|| "app".to_owned(), |name| name.as_str().to_owned())
}
