//! The `records` of a configuration's text, made to be these, and no other line of it touched.
//!
//! ```text
//! records:                                        records:
//!   # the gateway                                   # the gateway
//!   - {name: a.x., type: A, value: [192.0.2.1]}     - {name: a.x., type: A, ttl: 60, value: ["192.0.2.9"]}
//! log_level: info   # theirs                      log_level: info   # theirs
//! ```
//!
//! An item that says what it is to say already keeps its lines, with their comments. The text that comes out is read
//! again: it says what was wanted, or nothing comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::document::{self, YamlKind};
use super::{ConfiguredRecord, Loaded};
use crate::model::name::{Name, NameKey};
use crate::model::rdata;
use crate::model::record::{Order, RecordType, RrSet, Wildcard};

/// RRsets of the default view, by owner and type.
pub type RecordSets = BTreeMap<(NameKey, RecordType), (Name, RrSet)>;

/// Nodes of a text that is edited, at most: a ConfigMap has a megabyte.
const MOST_NODES: usize = 1_000_000;

/// Where an item of `records` is: its lines, from the first to behind the last.
struct Item {
    first: usize,
    end: usize,
    key: (NameKey, RecordType),
    style: Style,
}

/// How new items are written.
#[derive(Clone, Copy)]
struct Style {
    indent: usize,
    is_flow: bool,
}

/// The RRsets of `records` in a text, but for those in a view; or what is wrong with the text.
pub fn records_of(text: &str, path: &Path) -> Result<RecordSets, String> {
    Ok(default_of(&load(text, path)?))
}

/// The text with these `records`; those in a view stay as they are. An error where the text cannot say so.
pub fn with_records(text: &str, wanted: &RecordSets, path: &Path) -> Result<String, String> {
    let loaded = load(text, path)?;
    let says = |text: &str| records_of(text, path).is_ok_and(|records| are_same(&records, wanted));
    if says(text) {
        return Ok(text.to_owned());
    }
    let edited = by_item(text, &loaded, wanted).filter(|edited| says(edited));
    if let Some(edited) = edited {
        return Ok(edited);
    }
    let whole = as_a_whole(text, &loaded, wanted)?;
    match records_of(&whole, path) {
        Ok(records) if are_same(&records, wanted) => Ok(whole),
        Ok(_) => Err(format!(
            "{}: its `records` cannot be edited; write them as a list in lines",
            path.display()
        )),
        Err(error) => Err(format!("its records would not be good: {error}")),
    }
}

/// Whether two RRsets say the same; the order of values does not count.
pub fn is_same(one: &RrSet, other: &RrSet) -> bool {
    let values = |rrset: &RrSet| {
        let mut weights = rrset.handling.order().weights().iter().copied();
        let values = rrset
            .rdatas
            .iter()
            .map(|value| (rdata::canonical(rrset.rtype, value), weights.next()));
        values.collect::<BTreeSet<_>>()
    };
    one.rtype == other.rtype
        && one.ttl == other.ttl
        && one.handling.order().word() == other.handling.order().word()
        && one.handling.wildcard() == other.handling.wildcard()
        && values(one) == values(other)
}

/// Whether both have the same RRsets.
pub fn are_same(one: &RecordSets, other: &RecordSets) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .all(|(key, (_, rrset))| other.get(key).is_some_and(|(_, of_other)| is_same(rrset, of_other)))
}

fn load(text: &str, path: &Path) -> Result<Loaded, String> {
    Loaded::from_text(text, path).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("; ")
    })
}

fn default_of(loaded: &Loaded) -> RecordSets {
    let records = loaded.config.records.iter().filter(|record| record.view.is_none());
    let sets = records.map(|record| (key_of(record), (record.owner.clone(), record.rrset.clone())));
    sets.collect()
}

fn key_of(record: &ConfiguredRecord) -> (NameKey, RecordType) {
    (record.owner.key(), record.rrset.rtype)
}

/// The line of the key `records`, and the one behind its value; `None` where it is not there.
fn block(text: &str, lines: &[&str]) -> Result<Option<(usize, usize)>, String> {
    let root = document::parse(text, MOST_NODES).map_err(|(at, problem)| format!("{at}: {problem}"))?;
    let YamlKind::Mapping(entries) = &root.kind else {
        return Ok(None);
    };
    let starts: Vec<(usize, bool)> = entries
        .iter()
        .map(|(key, _)| {
            let is_it = matches!(&key.kind, YamlKind::Scalar { text, .. } if text == "records");
            (key.at.line as usize - 1, is_it)
        })
        .collect();
    let Some(place) = starts.iter().position(|(_, is_it)| *is_it) else {
        return Ok(None);
    };
    let first = starts[place].0;
    if !lines
        .get(first)
        .is_some_and(|line| line.trim_start_matches(['"', '\'']).starts_with("records"))
    {
        return Err("its `records` do not begin a line".to_owned());
    }
    let next = starts.get(place + 1).map_or(lines.len(), |(line, _)| *line);
    let is_end = |line: &&str| line.starts_with("...") || line.starts_with("---");
    let within = lines[first + 1..next].iter().take_while(|line| !is_end(line)).count();
    let end = first + 1 + within;
    // Comments before the next key are the next key's.
    let trailing = lines[first + 1..end].iter().rev();
    let trailing = trailing.take_while(|line| is_blank_or_comment(line, 0)).count();
    Ok(Some((first, end - trailing)))
}

/// Blank, or a comment that is not indented further than this.
fn is_blank_or_comment(line: &str, indent: usize) -> bool {
    let content = line.trim();
    content.is_empty() || (content.starts_with('#') && indent_of(line) <= indent)
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Only the items that differ; `None` where the list is not one of items in lines.
fn by_item(text: &str, loaded: &Loaded, wanted: &RecordSets) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (_, end) = block(text, &lines).ok()??;
    let items = items(&lines, loaded, end)?;
    let records = &loaded.config.records;
    let known = default_of(loaded);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (item, record) in items.iter().zip(records) {
        out.extend(lines[at..item.first].iter().copied());
        at = item.end;
        let own = &lines[item.first..item.end];
        let is_kept =
            record.view.is_some() || (wanted.get(&item.key)).is_some_and(|(_, rrset)| is_same(rrset, &record.rrset));
        if is_kept {
            out.extend(own.iter().copied());
        } else {
            if let Some((_, rrset)) = wanted.get(&item.key) {
                let comment = (own.len() == 1).then(|| comment_behind(own[0])).flatten();
                out.push_str(&written(&record.owner, rrset, item.style, comment));
            }
            // What a person wrote about it is not ours to remove.
            let comments = own.iter().skip(1).filter(|line| line.trim_start().starts_with('#'));
            out.extend(comments.copied());
        }
        if std::ptr::eq(item, items.last()?) {
            if !out.ends_with('\n') {
                out.push('\n');
            }
            for (_, (owner, rrset)) in wanted.iter().filter(|(key, _)| !known.contains_key(key)) {
                out.push_str(&written(owner, rrset, item.style, None));
            }
        }
    }
    out.extend(lines[at..].iter().copied());
    Some(out)
}

/// The items of a list of which each begins a line with `-`.
fn items(lines: &[&str], loaded: &Loaded, end: usize) -> Option<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    for record in &loaded.config.records {
        let first = record.at.line as usize - 1;
        let line = lines.get(first)?;
        let before: String = line.chars().take(record.at.column as usize - 1).collect();
        let style = Style {
            indent: indent_of(&before),
            is_flow: line.trim_start().trim_start_matches('-').trim_start().starts_with('{'),
        };
        let last = items.last_mut();
        if before.trim() != "-" || last.as_ref().is_some_and(|last| last.style.indent != style.indent) {
            return None;
        }
        if let Some(last) = last {
            last.end = first;
        }
        items.push(Item {
            first,
            end,
            key: key_of(record),
            style,
        });
    }
    for item in &mut items {
        let trailing = lines[item.first + 1..item.end].iter().rev();
        let trailing = trailing.take_while(|line| is_blank_or_comment(line, item.style.indent));
        item.end -= trailing.count();
    }
    (!items.is_empty()).then_some(items)
}

/// The comment behind an item in one line.
fn comment_behind(line: &str) -> Option<&str> {
    let behind = &line[line.rfind('}')? + 1..];
    let comment = behind.trim_start();
    (comment.starts_with('#') && behind.len() > comment.len()).then(|| comment.trim_end())
}

/// All items anew.
fn as_a_whole(text: &str, loaded: &Loaded, wanted: &RecordSets) -> Result<String, String> {
    if loaded.config.records.iter().any(|record| record.view.is_some()) {
        return Err("its `records` have views, and are not a list of one item a line: write them so".to_owned());
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (before, after) = match block(text, &lines)? {
        Some((first, end)) => (lines[..first].concat(), lines[end..].concat()),
        None => (text.to_owned(), String::new()),
    };
    let mut out = before;
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    if wanted.is_empty() {
        return Ok(out + "records: []\n" + &after);
    }
    out.push_str("records:\n");
    let style = Style {
        indent: 2,
        is_flow: false,
    };
    for (owner, rrset) in wanted.values() {
        out.push_str(&written(owner, rrset, style, None));
    }
    Ok(out + &after)
}

/// An item, with its line ends.
fn written(owner: &Name, rrset: &RrSet, style: Style, comment: Option<&str>) -> String {
    let order = rrset.handling.order();
    let values = rrset
        .rdatas
        .iter()
        .map(|value| scalar(&rdata::format_value(rrset.rtype, value)));
    let values: Vec<String> = values.collect();
    let mut fields = vec![
        ("name", scalar(&owner.to_string())),
        ("type", rrset.rtype.to_string()),
        ("ttl", rrset.ttl.to_string()),
        ("value", format!("[{}]", values.join(", "))),
    ];
    if *order != Order::Fixed {
        fields.push(("order", order.word().to_owned()));
    }
    if !order.weights().is_empty() {
        let weights: Vec<String> = order.weights().iter().map(u16::to_string).collect();
        fields.push(("weights", format!("[{}]", weights.join(", "))));
    }
    if rrset.handling.wildcard() == Wildcard::OneLabel && owner.is_wildcard() {
        fields.push(("wildcard", rrset.handling.wildcard().word().to_owned()));
    }
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    let indent = " ".repeat(style.indent);
    let comment = comment.map(|comment| format!("  {comment}")).unwrap_or_default();
    match style.is_flow {
        true => format!("{indent}- {{{}}}{comment}\n", fields.join(", ")),
        false => format!("{indent}- {}\n", fields.join(&format!("\n{indent}  "))),
    }
}

/// A YAML scalar: as it is where it can be nothing else, else in quotes (JSON's are YAML's, too).
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.contains('.')
        && text
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || "._-".contains(one))
        && text.parse::<f64>().is_err();
    match is_plain {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests;
